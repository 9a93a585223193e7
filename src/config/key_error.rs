//! The error of a value in the configuration file.

use std::fmt;

use anyhow::Error;

/// The error of a key's value, with the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError {
    pub(super) table: &'static str,
    /// The number of the table, where it may be repeated.
    pub(super) index: Option<usize>,
    pub(super) key: &'static str,
    text: String,
}

impl KeyError {
    /// Creates the error of a key in a table. The text is complete: it names both if they help.
    #[must_use]
    pub fn new(table: &'static str, key: &'static str, text: impl Into<String>) -> Self {
        Self { table, index: None, key, text: text.into() }
    }

    /// Sets in `error`, if it is about a key, which one of repeated tables has the key.
    pub fn set_index(error: &mut Error, index: usize) {
        if let Some(at) = error.downcast_mut::<Self>() {
            at.index = Some(index);
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for KeyError {}
