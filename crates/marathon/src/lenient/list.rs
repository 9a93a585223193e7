//! Lenient lists and optional values.

use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess};
use serde_json::value::RawValue;

use super::Log;
use super::value::{FromJson, ValueSeed};

/// Memory that a list element takes, as a multiple of its size: the snapshot has one of its own, with
/// more in it.
const ELEMENT_FACTOR: usize = 3;

/// A list keeps its length: an element that can't be read becomes a default. So the others keep
/// their positions, which matter in Marathon's lists of ports.
impl<T: FromJson> FromJson for Vec<T> {
    const EXPECTED: &'static str = "a list";

    fn from_list<'de, A: SeqAccess<'de>>(
        mut list: A,
        log: &mut Log,
    ) -> Result<Option<Self>, A::Error> {
        let mut read = Self::new();
        let mut next = |index, log: &mut Log| {
            log.at_index(index, |log| list.next_element_seed(Element::new(log)))
        };
        while let Some(element) = next(read.len(), log)? {
            let Some(element) = element else { continue };
            // Most lists have one element; without this, pushing it would allocate four.
            if read.is_empty() {
                read.reserve_exact(1);
            }
            read.push(element);
        }
        // There are many lists, and their spare capacity would add up.
        read.shrink_to_fit();
        Ok(Some(read))
    }
}

/// The seed of a list element; None if there is no memory left for it.
struct Element<'a, T> {
    log: &'a mut Log,
    made: PhantomData<T>,
}

impl<'a, T> Element<'a, T> {
    fn new(log: &'a mut Log) -> Self {
        Self { log, made: PhantomData }
    }
}

impl<'de, T: FromJson> DeserializeSeed<'de> for Element<'_, T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<T>, D::Error> {
        let log = self.log;
        if !log.take_room(ELEMENT_FACTOR * size_of::<T>()) {
            return IgnoredAny::deserialize(json).map(|_| None);
        }
        if log.too_deep() {
            log.add_unread("it is nested too deeply");
            return IgnoredAny::deserialize(json).map(|_| Some(T::default()));
        }
        if log.is_careful() {
            let text = <&RawValue>::deserialize(json)?.get();
            return Ok(Some(read_separately(text, log)));
        }
        ValueSeed::new(log).deserialize(json).map(Some)
    }
}

/// Reads one element on its own, so that an error in it costs nothing else.
fn read_separately<T: FromJson>(text: &str, log: &mut Log) -> T {
    let mut json = serde_json::Deserializer::from_str(text);
    ValueSeed::new(log).deserialize(&mut json).unwrap_or_else(|error| {
        log.add_unread(error.to_string());
        T::default()
    })
}

/// None stands for null, absent and unreadable.
impl<T: FromJson> FromJson for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_bool(found: bool) -> Option<Self> {
        T::from_bool(found).map(Some)
    }

    fn from_integer(found: u64) -> Option<Self> {
        T::from_integer(found).map(Some)
    }

    fn from_float(found: f64) -> Option<Self> {
        T::from_float(found).map(Some)
    }

    fn from_text(found: &str) -> Option<Self> {
        T::from_text(found).map(Some)
    }

    fn from_list<'de, A: SeqAccess<'de>>(list: A, log: &mut Log) -> Result<Option<Self>, A::Error> {
        Ok(T::from_list(list, log)?.map(Some))
    }

    fn from_object<'de, A: MapAccess<'de>>(
        object: A,
        log: &mut Log,
    ) -> Result<Option<Self>, A::Error> {
        Ok(T::from_object(object, log)?.map(Some))
    }
}
