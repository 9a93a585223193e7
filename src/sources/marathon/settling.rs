//! The times at which the health checks of workloads' tasks should have reported. Every event asks for
//! the first of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use marathon::WorkloadKey;

/// The workloads with such a time.
#[derive(Debug, Default)]
pub(super) struct Settling {
    by_key: BTreeMap<WorkloadKey, Duration>,
    by_time: BTreeSet<(Duration, WorkloadKey)>,
}

impl Settling {
    /// Replaces the time of a workload.
    pub(super) fn replace(&mut self, key: &WorkloadKey, at: Option<Duration>) {
        if let Some(old) = self.by_key.remove(key) {
            self.by_time.remove(&(old, key.clone()));
        }
        if let Some(at) = at {
            self.by_key.insert(key.clone(), at);
            self.by_time.insert((at, key.clone()));
        }
    }

    /// The first time.
    pub(super) fn first(&self) -> Option<Duration> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the workloads whose time has come.
    pub(super) fn take_due(&mut self, now: Duration) -> BTreeSet<WorkloadKey> {
        let mut due = BTreeSet::new();
        while self.first().is_some_and(|at| at <= now) {
            let Some((_, key)) = self.by_time.pop_first() else { break };
            self.by_key.remove(&key);
            due.insert(key);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marathon::Kind;

    #[test]
    fn each_workload_is_due_once_and_at_its_last_time() {
        let key = |id: &str| WorkloadKey { kind: Kind::App, id: id.into() };
        let at = Duration::from_secs;
        let mut settling = Settling::default();
        settling.replace(&key("/a"), Some(at(5)));
        settling.replace(&key("/b"), Some(at(5)));
        settling.replace(&key("/a"), Some(at(9)));
        assert_eq!(settling.first(), Some(at(5)));
        assert_eq!(settling.take_due(at(8)), [key("/b")].into());
        settling.replace(&key("/b"), None);
        assert_eq!(settling.take_due(at(9)), [key("/a")].into());
        assert_eq!((settling.first(), settling.take_due(at(99))), (None, BTreeSet::new()));
    }
}
