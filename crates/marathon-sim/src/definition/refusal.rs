//! Refusals of a definition, and the readers that refuse a wrong value.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// Why a definition is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A breach of rules: 422 "Object is not valid".
    Invalid(Vec<Violation>),
    /// A field has the wrong type: 422 "Invalid JSON".
    Shape(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) path: String,
    pub(crate) error: String,
}

impl Refusal {
    /// Refuses for one reason.
    pub(super) fn single(path: &str, error: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { path: path.to_owned(), error: error.into() }])
    }
}

/// Reads `value` as a `T`; a wrong type is a [`Refusal::Shape`].
pub(super) fn read_value<T: for<'a> Deserialize<'a>>(value: &Value) -> Result<T, Refusal> {
    T::deserialize(value).map_err(|error| Refusal::Shape(error.to_string()))
}

/// Converts seconds to a duration. A negative or too large number is refused.
pub(super) fn read_seconds(path: &str, seconds: f64) -> Result<Duration, Refusal> {
    // A year: more than any real definition, and far from an overflow.
    const MOST: f64 = 365.0 * 86_400.0;
    if !(0.0..=MOST).contains(&seconds) {
        return Err(Refusal::single(path, format!("got {seconds}, expected 0 to {MOST} seconds")));
    }
    Ok(Duration::from_secs_f64(seconds))
}
