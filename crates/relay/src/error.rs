//! Reasons why a stream can't be used.

use crate::record::SCHEMA;

/// A reason why a stream can't be used. It is to be closed, and another one opened.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// A record can't be parsed.
    #[error("a record `{name}` can't be read")]
    Unreadable {
        /// The name of the record.
        name: String,
        /// The reason.
        #[source]
        error: serde_json::Error,
    },
    /// The relay has a later schema.
    #[error(
        "the relay speaks version {0} of the stream, and this vipd version {SCHEMA}: upgrade it"
    )]
    Schema(u32),
    /// A record came that can't come there.
    #[error("a record `{0}` came out of turn")]
    OutOfTurn(&'static str),
    /// A record has more than a cap allows.
    #[error("{id}: {why}")]
    Capped {
        /// The app or pod.
        id: String,
        /// What there is too much of.
        why: &'static str,
    },
}
