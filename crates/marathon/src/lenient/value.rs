//! Lenient values, and the seed that reads them.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::log::{Clipped, Log};
use super::timestamp::parse_timestamp;

/// A type that is read from one JSON value. A constructor returns None for a value of the wrong
/// type; that becomes a finding, and the default is used.
pub(crate) trait FromJson: Default {
    /// The expected value, with its article.
    const EXPECTED: &'static str;

    /// Whether it matters that a long text is cut off.
    const CUT_IS_LOSS: bool = true;

    /// Converts null, which Marathon up to 1.4 writes for absent values.
    fn from_null() -> Option<Self> {
        Some(Self::default())
    }

    fn from_bool(_: bool) -> Option<Self> {
        None
    }

    fn from_integer(_: u64) -> Option<Self> {
        None
    }

    fn from_float(_: f64) -> Option<Self> {
        None
    }

    fn from_text(_: &str) -> Option<Self> {
        None
    }

    fn from_list<'de, A: SeqAccess<'de>>(
        mut list: A,
        _: &mut Log,
    ) -> Result<Option<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn from_object<'de, A: MapAccess<'de>>(
        mut object: A,
        _: &mut Log,
    ) -> Result<Option<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Reads a whole text. Only syntax is an error; anything else becomes a finding.
pub(crate) fn read_json<T: FromJson>(text: &str, log: &mut Log) -> Result<T, serde_json::Error> {
    log.twice_at_most(|log| read_once(text, log))
}

/// Reads a whole text in one pass, which an error ends.
pub(crate) fn read_once<T: FromJson>(text: &str, log: &mut Log) -> Result<T, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = ValueSeed::new(log).deserialize(&mut json)?;
    json.end()?;
    Ok(value)
}

/// A seed that makes a `T` of any value.
pub(crate) struct ValueSeed<'a, T> {
    log: &'a mut Log,
    made: PhantomData<T>,
}

impl<'a, T: FromJson> ValueSeed<'a, T> {
    pub(crate) fn new(log: &'a mut Log) -> Self {
        Self { log, made: PhantomData }
    }

    fn or_note(self, value: Option<T>, found: impl fmt::Display) -> T {
        value.unwrap_or_else(|| {
            self.log.add_unread(format!("expected {}, found {found}", T::EXPECTED));
            T::default()
        })
    }
}

impl<'de, T: FromJson> DeserializeSeed<'de> for ValueSeed<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<T, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, T: FromJson> Visitor<'de> for ValueSeed<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(self.or_note(T::from_null(), "null"))
    }

    fn visit_bool<E: Error>(self, found: bool) -> Result<T, E> {
        Ok(self.or_note(T::from_bool(found), found))
    }

    fn visit_u64<E: Error>(self, found: u64) -> Result<T, E> {
        Ok(self.or_note(T::from_integer(found), found))
    }

    fn visit_i64<E: Error>(self, found: i64) -> Result<T, E> {
        Ok(self.or_note(None, found))
    }

    fn visit_f64<E: Error>(self, found: f64) -> Result<T, E> {
        Ok(self.or_note(T::from_float(found), found))
    }

    fn visit_str<E: Error>(self, found: &str) -> Result<T, E> {
        let text = caps::cut_text(found, caps::TEXT);
        if T::CUT_IS_LOSS && text.len() < found.len() {
            self.log.add_finding(format!("it is longer than {} bytes and is cut off", caps::TEXT));
        }
        let found = &*text;
        self.log.count_text(found);
        Ok(self.or_note(T::from_text(found), Clipped(found)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        let value = T::from_list(list, self.log)?;
        Ok(self.or_note(value, "a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        let value = T::from_object(object, self.log)?;
        Ok(self.or_note(value, "an object"))
    }
}

impl FromJson for String {
    const EXPECTED: &'static str = "a string";

    fn from_text(found: &str) -> Option<Self> {
        Some(found.to_owned())
    }
}

/// A string that is shared and kept for long: the id of a task, the name of an agent.
impl FromJson for Option<Arc<str>> {
    const EXPECTED: &'static str = String::EXPECTED;

    fn from_text(found: &str) -> Option<Self> {
        Some(Some(found.into()))
    }
}

impl FromJson for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_bool(found: bool) -> Option<Self> {
        Some(found)
    }
}

impl FromJson for u16 {
    const EXPECTED: &'static str = "a port from 0 to 65535";

    fn from_integer(found: u64) -> Option<Self> {
        found.try_into().ok()
    }
}

impl FromJson for Option<u64> {
    const EXPECTED: &'static str = "a whole number from 0 on";

    fn from_integer(found: u64) -> Option<Self> {
        Some(Some(found))
    }
}

impl FromJson for Duration {
    const EXPECTED: &'static str = "a number of seconds";

    fn from_integer(found: u64) -> Option<Self> {
        Some(Self::from_secs(found))
    }

    fn from_float(found: f64) -> Option<Self> {
        Self::try_from_secs_f64(found).ok()
    }
}

impl FromJson for Option<Timestamp> {
    const EXPECTED: &'static str = "a time as 2017-02-03T23:06:03.940Z";

    fn from_text(found: &str) -> Option<Self> {
        parse_timestamp(found).map(Some)
    }
}

impl FromJson for Option<IpAddr> {
    const EXPECTED: &'static str = "an IP address";

    fn from_text(found: &str) -> Option<Self> {
        found.parse().ok().map(Some)
    }
}
