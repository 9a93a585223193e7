//! A compact time.

use std::num::NonZeroI64;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A time of Marathon's, which has milliseconds, stored as microseconds. An optional one takes a
/// third of the memory of an optional [`Timestamp`], and each task has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Timestamp", into = "Timestamp")]
pub struct Time {
    /// Microseconds since 1970. 0 is stored as 1.
    micros: NonZeroI64,
}

/// The value that stands for 0.
const FIRST: NonZeroI64 = const { NonZeroI64::new(1).unwrap() };

impl Time {
    /// Converts to a `Timestamp`.
    #[must_use]
    pub fn to_timestamp(self) -> Timestamp {
        // It was made from a `Timestamp`, so it is in range.
        Timestamp::from_microsecond(self.micros.get()).unwrap_or(Timestamp::MAX)
    }

    /// Returns the time since an earlier one; None if that is later.
    pub(crate) fn since(self, earlier: Self) -> Option<Duration> {
        let micros = self.micros.get().checked_sub(earlier.micros.get())?;
        u64::try_from(micros).ok().map(Duration::from_micros)
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self { micros: NonZeroI64::new(at.as_microsecond()).unwrap_or(FIRST) }
    }
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        time.to_timestamp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_marathon_says_is_kept_to_the_millisecond() {
        for text in ["2019-05-21T10:43:34.737Z", "1969-12-31T23:59:59.999Z", "9999-12-30T22:00:00Z"]
        {
            let at: Timestamp = text.parse().unwrap();
            assert_eq!(Time::from(at).to_timestamp(), at);
            let json = serde_json::to_string(&Time::from(at)).unwrap();
            assert_eq!(json, serde_json::to_string(&at).unwrap());
            assert_eq!(serde_json::from_str::<Time>(&json).unwrap().to_timestamp(), at);
        }
    }

    #[test]
    fn any_time_is_one_and_their_order_stays() {
        let all = [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX];
        assert!(all.map(Time::from).is_sorted());
        let first = Time::from(Timestamp::UNIX_EPOCH);
        assert_eq!(first.to_timestamp().as_microsecond(), 1, "there is no 0");
    }

    #[test]
    fn one_that_may_be_missing_takes_no_more() {
        assert_eq!(size_of::<Option<Time>>(), 8);
    }
}
