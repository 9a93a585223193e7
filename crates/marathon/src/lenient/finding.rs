//! Findings: parts of a document that could not be read.

use std::fmt;

/// A part of a document that could not be read. Only the value at `path` is left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finding {
    /// The JSON path from the root of the document, as `$.apps[3].tasks[0].ports`.
    pub path: String,
    /// The reason: a sentence without capital and full stop.
    pub reason: String,
}

/// Formats as `$.apps[3].tasks[0].ports: expected a list, found a string`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}
