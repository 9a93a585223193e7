//! Times in the formats of Marathon: UTC, in milliseconds.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use serde_json::Value;
use tokio::time::Instant;

/// Returns the time of the cluster. It starts at the wall clock and runs with tokio's clock, so
/// that a test that pauses tokio's clock pauses this one, too.
pub fn now() -> jiff::Timestamp {
    static START: OnceLock<(jiff::Timestamp, Instant)> = OnceLock::new();
    let (wall, start) = START.get_or_init(|| (jiff::Timestamp::now(), Instant::now()));
    let now = Instant::now();
    // Parallel tests have a clock each, and any of them may be ahead.
    let shifted = match now.checked_duration_since(*start) {
        Some(since) => wall.checked_add(since),
        None => wall.checked_sub(start.duration_since(now)),
    };
    shifted.unwrap_or(*wall)
}

/// A time in milliseconds. Versions of apps and pods are such times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(i64);

impl Timestamp {
    pub(crate) fn now() -> Self {
        Self(now().as_millisecond())
    }

    /// Returns the time so many milliseconds later.
    pub(crate) fn shifted_by(self, milliseconds: i64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Returns the next millisecond.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Formats for the HTTP header `Date`.
    pub(crate) fn to_http_date(self) -> String {
        self.format("%a, %d %b %Y %H:%M:%S GMT")
    }

    fn format(self, format: &str) -> String {
        let time = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        time.strftime(format).to_string()
    }

    /// Formats like pods of 1.4 and 1.5: without trailing zeros in the fraction.
    pub(crate) fn to_trimmed(self) -> String {
        let text = self.to_string();
        let kept = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
        format!("{kept}Z")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("%Y-%m-%dT%H:%M:%S%.3fZ"))
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.parse::<jiff::Timestamp>()?.as_millisecond()))
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::String(time.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_as_it_was_written() {
        for (text, trimmed) in [
            ("2017-02-03T23:06:03.940Z", "2017-02-03T23:06:03.94Z"),
            ("2017-02-03T23:06:10.000Z", "2017-02-03T23:06:10Z"),
            ("2017-02-03T23:06:00.000Z", "2017-02-03T23:06:00Z"),
            ("2017-02-03T23:06:03.007Z", "2017-02-03T23:06:03.007Z"),
        ] {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(time.to_string(), text);
            assert_eq!(time.to_trimmed(), trimmed);
        }
        let time: Timestamp = "2017-02-03T23:06:03.940Z".parse().unwrap();
        assert_eq!(time.to_http_date(), "Fri, 03 Feb 2017 23:06:03 GMT");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
