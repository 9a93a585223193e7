//! Lenient objects.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::Log;
use super::value::{FromJson, ValueSeed};

/// A struct that is read from an object, field by field. See [`super::record!`].
pub(crate) trait Record: Default {
    /// The kind of workload that it is, if it is one: `app` or `pod`.
    const WORKLOAD: Option<&'static str> = None;

    /// Leaves out everything but the id, and returns that.
    fn leave_out(&mut self) -> Option<&str> {
        None
    }

    /// Notes that a part of its definition could not be read.
    fn mark_damaged(&mut self) {}

    fn read_field<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        field: Field<'_, A>,
    ) -> Result<(), A::Error>;
}

/// Keys of an app or a pod that don't define what its VIPs are.
const ASIDE: [&str; 7] = [
    "tasks",
    "instances",
    "healthChecks",
    "readinessChecks",
    "readinessCheckResults",
    "deployments",
    "taskKillGracePeriodSeconds",
];

/// The value of one key, to be read or skipped.
pub(crate) struct Field<'a, A> {
    object: &'a mut A,
    log: &'a mut Log,
}

impl<'de, A: MapAccess<'de>> Field<'_, A> {
    /// Reads the value into `place`.
    pub(crate) fn read_into<T: FromJson>(
        self,
        key: &'static str,
        place: &mut T,
    ) -> Result<(), A::Error> {
        let Self { object, log } = self;
        *place = log.at_key(key, |log| object.next_value_seed(ValueSeed::new(log)))?;
        Ok(())
    }

    /// Skips the value, whatever it is and however deep.
    pub(crate) fn skip_value(self) -> Result<(), A::Error> {
        self.object.next_value::<IgnoredAny>().map(drop)
    }
}

impl<R: Record> FromJson for R {
    const EXPECTED: &'static str = "an object";

    fn from_object<'de, A: MapAccess<'de>>(
        object: A,
        log: &mut Log,
    ) -> Result<Option<Self>, A::Error> {
        let Some(kind) = R::WORKLOAD else { return read_record(object, log).map(Some) };
        let (record, is_enough) = log.within_workload(|log| read_record::<R, A>(object, log));
        let mut record = record?;
        if !is_enough {
            let id = record.leave_out().unwrap_or("without id");
            let reason = format!("{kind} {id} takes far more memory than any real one: left out");
            log.add_finding(reason);
        }
        Ok(Some(record))
    }
}

fn read_record<'de, R: Record, A: MapAccess<'de>>(
    mut object: A,
    log: &mut Log,
) -> Result<R, A::Error> {
    let mut record = R::default();
    while let Some(key) = object.next_key::<Key<'de>>()? {
        let unread = log.unread_values();
        record.read_field(&key.0, Field { object: &mut object, log })?;
        if log.unread_values() > unread && !ASIDE.contains(&&*key.0) {
            record.mark_damaged();
        }
    }
    Ok(record)
}

/// A key of an object, borrowed if it has no escapes.
pub(crate) struct Key<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct AnyKey;

        impl<'de> Visitor<'de> for AnyKey {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }

        json.deserialize_str(AnyKey)
    }
}
