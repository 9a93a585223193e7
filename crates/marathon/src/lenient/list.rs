use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess};
use serde_json::value::RawValue;

use super::Log;
use super::value::{Any, Read};

/// A list keeps its length: what can't be read is an empty element, so that the positions of the
/// others, which mean something in Marathon's lists of ports, stay what they are.
impl<T: Read> Read for Vec<T> {
    const WANTED: &'static str = "a list";

    fn list<'de, A: SeqAccess<'de>>(list: A, log: &mut Log) -> Result<Option<Self>, A::Error> {
        let mut read = Self::new();
        each_element(list, log, |text, log| {
            let roomy = log.make_room::<T>();
            if roomy {
                read.push(element(text, log));
            }
            roomy
        })?;
        // Most lists are short and there are many of them: what pushing left over would add up.
        read.shrink_to_fit();
        Ok(Some(read))
    }
}

/// Gives `take` the text of each element, at its path, as long as it says true.
pub(crate) fn each_element<'de, A: SeqAccess<'de>>(
    mut list: A,
    log: &mut Log,
    mut take: impl FnMut(&'de str, &mut Log) -> bool,
) -> Result<(), A::Error> {
    let mut index = 0;
    let mut more = true;
    while more {
        let Some(raw) = list.next_element::<&RawValue>()? else { return Ok(()) };
        more = log.at_index(index, |log| take(raw.get(), log));
        index += 1;
    }
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

fn element<T: Read>(text: &str, log: &mut Log) -> T {
    if log.too_deep() {
        log.note("it is nested too deeply");
        return T::default();
    }
    let mut json = serde_json::Deserializer::from_str(text);
    Any::new(log).deserialize(&mut json).unwrap_or_else(|error| {
        log.note(error.to_string());
        T::default()
    })
}

/// None is null or absent, or couldn't be read.
impl<T: Read> Read for Option<T> {
    const WANTED: &'static str = T::WANTED;

    fn boolean(found: bool) -> Option<Self> {
        T::boolean(found).map(Some)
    }

    fn whole(found: u64) -> Option<Self> {
        T::whole(found).map(Some)
    }

    fn fraction(found: f64) -> Option<Self> {
        T::fraction(found).map(Some)
    }

    fn text(found: &str) -> Option<Self> {
        T::text(found).map(Some)
    }

    fn list<'de, A: SeqAccess<'de>>(list: A, log: &mut Log) -> Result<Option<Self>, A::Error> {
        Ok(T::list(list, log)?.map(Some))
    }

    fn object<'de, A: MapAccess<'de>>(object: A, log: &mut Log) -> Result<Option<Self>, A::Error> {
        Ok(T::object(object, log)?.map(Some))
    }
}
