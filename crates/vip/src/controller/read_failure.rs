//! Failures to read the kernel.

/// The kernel could not be read. The text has the error with its causes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadFailure(pub String);
