//! What is known of a source, in the form that its state file holds.

use serde::{Deserialize, Serialize};

use super::marathon::kept::KeptWorkloads;
use crate::clock::Timestamp;

/// The knowledge of a source that outlives the agent: whoever saves it doesn't look inside. The
/// state file doesn't tell the kind of source; each source parses its own.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum KeptState {
    /// Of a Marathon.
    Marathon(Saved<KeptWorkloads>),
}

/// Knowledge, and the time at which it was read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Saved<T> {
    pub(crate) read_at: Timestamp,
    pub(crate) what: T,
}
