//! The read of everything: when it is due, and what it has to show.

use std::collections::BTreeMap;
use std::time::Duration;

use super::expectation::{Expectation, Fact};
use crate::WorkloadKey;

/// Limit of workloads that wait to be read.
pub(super) const MAX_DIRTY: usize = 1000;
/// Limit of expectations of one read.
const MAX_CLAIMS: usize = 64;

#[derive(Debug)]
pub(super) struct Everything {
    pub(super) due: Duration,
    pub(super) begun: Option<Duration>,
    pub(super) last: Option<Duration>,
    /// The due time that the stream's opening has set, and the one before.
    pub(super) hastened_by_stream: Option<(Duration, Duration)>,
    pub(super) expectations: BTreeMap<WorkloadKey, Vec<Expectation>>,
    /// Time of the last event that was dropped for lack of room.
    pub(super) forgotten: Option<Duration>,
}

impl Everything {
    /// Undoes the effect of a stream that ended before its read began: a stream that ends at once
    /// would otherwise cause a read each time.
    pub(super) fn forget_stream(&mut self) {
        if let Some((due, before)) = self.hastened_by_stream.take()
            && self.begun.is_none()
            && self.due == due
        {
            self.due = before;
        }
    }

    pub(super) fn add_expectations(&mut self, key: WorkloadKey, expectations: Vec<Expectation>) {
        let Some(latest) = expectations.iter().map(|expectation| expectation.heard_at).max() else {
            return;
        };
        if self.expectations.len() >= MAX_DIRTY && !self.expectations.contains_key(&key) {
            return self.note_forgotten(latest);
        }
        add_expectations(self.expectations.entry(key).or_default(), expectations, latest);
    }

    pub(super) fn note_forgotten(&mut self, heard_at: Duration) {
        self.forgotten = self.forgotten.max(Some(heard_at));
    }
}

/// Adds expectations. Above the limit, one [`Fact::More`] stands for the rest.
pub(super) fn add_expectations(
    expectations: &mut Vec<Expectation>,
    more: impl IntoIterator<Item = Expectation>,
    now: Duration,
) {
    expectations.extend(more);
    if expectations.len() > MAX_CLAIMS {
        expectations.truncate(MAX_CLAIMS - 1);
        expectations.push(Expectation::new(Fact::More, "", None, now));
    }
}
