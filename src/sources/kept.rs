//! The knowledge of a source, in the form that its state file holds.

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

/// Parses the JSON of a Marathon's state file and writes it again; `None` if it can't be parsed.
#[must_use]
pub fn rewrite_state(json: &[u8]) -> Option<Vec<u8>> {
    let saved: Saved<KeptWorkloads> = serde_json::from_slice(json).ok()?;
    serde_json::to_vec(&KeptState::Marathon(saved)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state file that an earlier release wrote.
    const FIXTURE: &str = include_str!("../../tests/agent/fixtures/m0.known");

    #[test]
    fn a_state_file_reads_and_writes_as_before() {
        let (_header, json) = FIXTURE.split_once('\n').unwrap();
        let kept = KeptState::Marathon(serde_json::from_str(json).unwrap());
        assert_eq!(serde_json::to_string(&kept).unwrap(), json);
    }
}
