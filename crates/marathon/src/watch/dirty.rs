//! Workloads that wait to be read one by one. A rolling upgrade of a whole cluster makes many, and
//! every event needs to know when the first of them is due.

use std::collections::BTreeMap;
use std::time::Duration;

use super::expectation::Expectation;
use crate::WorkloadKey;

/// A workload that changed.
#[derive(Debug)]
pub(super) struct DirtyWorkload {
    /// The latest time for the read, however many events follow.
    pub(super) latest: Duration,
    pub(super) due: Duration,
    /// Bad news waits for the read: other changes don't put it off.
    pub(super) hastened: bool,
    /// The facts that the read has to show.
    pub(super) expectations: Vec<Expectation>,
}

#[derive(Debug, Default)]
pub(super) struct DirtySet {
    by_key: BTreeMap<WorkloadKey, DirtyWorkload>,
    /// The number of workloads due at each time.
    dues: BTreeMap<Duration, usize>,
}

impl DirtySet {
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn contains(&self, key: &WorkloadKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// Returns the time when the first one is due.
    pub(super) fn first_due(&self) -> Option<Duration> {
        self.dues.first_key_value().map(|(due, _)| *due)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&WorkloadKey, &DirtyWorkload)> {
        self.by_key.iter()
    }

    /// Changes a workload, or `new` if it isn't in the set yet.
    pub(super) fn change_or_insert(
        &mut self,
        key: WorkloadKey,
        new: DirtyWorkload,
        change: impl FnOnce(&mut DirtyWorkload),
    ) {
        let mut dirty = self.remove(&key).unwrap_or(new);
        change(&mut dirty);
        *self.dues.entry(dirty.due).or_default() += 1;
        self.by_key.insert(key, dirty);
    }

    /// Changes a workload that is in the set.
    pub(super) fn change(&mut self, key: &WorkloadKey, change: impl FnOnce(&mut DirtyWorkload)) {
        if let Some(dirty) = self.remove(key) {
            self.change_or_insert(key.clone(), dirty, change);
        }
    }

    pub(super) fn remove(&mut self, key: &WorkloadKey) -> Option<DirtyWorkload> {
        let dirty = self.by_key.remove(key)?;
        if let Some(count) = self.dues.get_mut(&dirty.due) {
            *count -= 1;
            if *count == 0 {
                self.dues.remove(&dirty.due);
            }
        }
        Some(dirty)
    }

    /// Removes and returns all workloads.
    pub(super) fn take_all(&mut self) -> BTreeMap<WorkloadKey, DirtyWorkload> {
        std::mem::take(self).by_key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn the_first_that_is_due_is_known_whatever_happens_to_the_others() {
        let key = |id: &str| WorkloadKey { kind: Kind::App, id: id.into() };
        let at = Duration::from_secs;
        let new = |due| DirtyWorkload {
            latest: at(99),
            due: at(due),
            hastened: false,
            expectations: Vec::new(),
        };
        let mut dirties = DirtySet::default();
        assert_eq!(dirties.first_due(), None);
        dirties.change_or_insert(key("/a"), new(5), |_| {});
        dirties.change_or_insert(key("/b"), new(5), |_| {});
        dirties.change_or_insert(key("/c"), new(3), |_| {});
        assert_eq!(dirties.first_due(), Some(at(3)));
        dirties.change_or_insert(key("/c"), new(1), |dirty| dirty.due = at(7));
        assert_eq!(dirties.first_due(), Some(at(5)));
        assert!(dirties.remove(&key("/a")).is_some() && dirties.remove(&key("/a")).is_none());
        assert_eq!((dirties.first_due(), dirties.len()), (Some(at(5)), 2));
        assert_eq!(dirties.take_all().len(), 2);
        assert_eq!((dirties.first_due(), dirties.len()), (None, 0));
    }
}
