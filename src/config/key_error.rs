//! The error of a value in the configuration file.

use std::fmt;
use std::io::{self, ErrorKind};

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
        } else if let Some(KeyErrors(all)) = error.downcast_mut() {
            all.iter_mut().for_each(|each| Self::set_index(each, index));
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for KeyError {}

/// The errors of several keys that were found together.
#[derive(Debug)]
pub struct KeyErrors(Vec<Error>);

impl fmt::Display for KeyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(|each| format!("{each:#}")).collect();
        f.write_str(&texts.join("; "))
    }
}

impl std::error::Error for KeyErrors {}

/// Returns both results, or the errors of both.
pub(super) fn both<A, B>(
    first: Result<A, Error>,
    second: Result<B, Error>,
) -> Result<(A, B), Error> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        (Err(first), Err(second)) => {
            let all = [first, second].into_iter().flat_map(split_error).collect();
            Err(KeyErrors(all).into())
        }
    }
}

/// Returns the errors that an error consists of.
pub(super) fn split_error(error: Error) -> Vec<Error> {
    match error.downcast() {
        Ok(KeyErrors(all)) => all,
        Err(error) => vec![error],
    }
}

/// Returns whether it is an error for want of a right, and of nothing else: who has the right may find
/// that nothing is wrong.
#[must_use]
pub fn is_denied(error: &Error) -> bool {
    error.chain().any(|cause| {
        let is_denied_io = |error: &io::Error| error.kind() == ErrorKind::PermissionDenied;
        cause.downcast_ref().is_some_and(is_denied_io)
            || cause.downcast_ref().is_some_and(|KeyErrors(all)| all.iter().all(is_denied))
    })
}
