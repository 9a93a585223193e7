use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::log::{Clipped, Log};

/// Made from one JSON value. A kind of value that a type can't be made from is `None`, which is
/// noted, and the default stands in for it.
pub(crate) trait Read: Default {
    /// What the type is made from, with its article.
    const WANTED: &'static str;

    /// Marathon up to 1.4 writes null for anything that is absent.
    fn null() -> Option<Self> {
        Some(Self::default())
    }

    fn boolean(_: bool) -> Option<Self> {
        None
    }

    fn whole(_: u64) -> Option<Self> {
        None
    }

    fn fraction(_: f64) -> Option<Self> {
        None
    }

    fn text(_: &str) -> Option<Self> {
        None
    }

    fn list<'de, A: SeqAccess<'de>>(mut list: A, _: &mut Log) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn object<'de, A: MapAccess<'de>>(
        mut object: A,
        _: &mut Log,
    ) -> Result<Option<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Reads a whole text. The error is of the syntax; all else is noted.
pub(crate) fn read<T: Read>(text: &str, log: &mut Log) -> Result<T, serde_json::Error> {
    log.twice_at_most(|log| once(text, log))
}

pub(super) fn once<T: Read>(text: &str, log: &mut Log) -> Result<T, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Any::new(log).deserialize(&mut json)?;
    json.end()?;
    Ok(value)
}

/// Takes whatever value comes and makes a `T` of it.
pub(crate) struct Any<'a, T> {
    log: &'a mut Log,
    made: PhantomData<T>,
}

impl<'a, T: Read> Any<'a, T> {
    pub(crate) fn new(log: &'a mut Log) -> Self {
        Self { log, made: PhantomData }
    }

    fn or_note(self, value: Option<T>, found: impl fmt::Display) -> T {
        value.unwrap_or_else(|| {
            self.log.note(format!("expected {}, found {found}", T::WANTED));
            T::default()
        })
    }
}

impl<'de, T: Read> DeserializeSeed<'de> for Any<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<T, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, T: Read> Visitor<'de> for Any<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WANTED)
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(self.or_note(T::null(), "null"))
    }

    fn visit_bool<E: Error>(self, found: bool) -> Result<T, E> {
        Ok(self.or_note(T::boolean(found), found))
    }

    fn visit_u64<E: Error>(self, found: u64) -> Result<T, E> {
        Ok(self.or_note(T::whole(found), found))
    }

    fn visit_i64<E: Error>(self, found: i64) -> Result<T, E> {
        Ok(self.or_note(None, found))
    }

    fn visit_f64<E: Error>(self, found: f64) -> Result<T, E> {
        Ok(self.or_note(T::fraction(found), found))
    }

    fn visit_str<E: Error>(self, found: &str) -> Result<T, E> {
        Ok(self.or_note(T::text(found), Clipped(found)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        let value = T::list(list, self.log)?;
        Ok(self.or_note(value, "a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        let value = T::object(object, self.log)?;
        Ok(self.or_note(value, "an object"))
    }
}

impl Read for String {
    const WANTED: &'static str = "a string";

    fn text(found: &str) -> Option<Self> {
        Some(found.to_owned())
    }
}

/// What many hold for long: a task's id, an agent's name.
impl Read for Option<Arc<str>> {
    const WANTED: &'static str = String::WANTED;

    fn text(found: &str) -> Option<Self> {
        Some(Some(found.into()))
    }
}

impl Read for bool {
    const WANTED: &'static str = "true or false";

    fn boolean(found: bool) -> Option<Self> {
        Some(found)
    }
}

impl Read for u16 {
    const WANTED: &'static str = "a port from 0 to 65535";

    fn whole(found: u64) -> Option<Self> {
        found.try_into().ok()
    }
}

impl Read for Duration {
    const WANTED: &'static str = "a number of seconds";

    fn whole(found: u64) -> Option<Self> {
        Some(Self::from_secs(found))
    }

    fn fraction(found: f64) -> Option<Self> {
        Self::try_from_secs_f64(found).ok()
    }
}

impl Read for Option<Timestamp> {
    const WANTED: &'static str = "a time as 2017-02-03T23:06:03.940Z";

    fn text(found: &str) -> Option<Self> {
        found.parse().ok().map(Some)
    }
}

impl Read for Option<IpAddr> {
    const WANTED: &'static str = "an IP address";

    fn text(found: &str) -> Option<Self> {
        found.parse().ok().map(Some)
    }
}
