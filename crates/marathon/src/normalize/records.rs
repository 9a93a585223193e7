//! The cache of version records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{InstanceSpec, Labels, Port, Snapshot, Spec, Timestamp, VersionKey, Workload};

/// A cache of version records: earlier definitions, as Marathon keeps them. They never change, so a
/// record stays valid as long as an instance runs by it.
///
/// Beyond [`caps::RECORDS`] none is added, but one that was read takes the place of current
/// definitions: every answer brings those anyway.
#[derive(Debug, Clone, Default)]
pub struct Records {
    by_key: BTreeMap<VersionKey, Record>,
    /// The memory that they take, roughly.
    bytes: usize,
}

/// A record, if Marathon has it.
#[derive(Debug, Clone)]
struct Record {
    spec: Option<Arc<Spec>>,
    /// It is the definition that the last answer had.
    is_current: bool,
}

impl Records {
    /// Adds the definition that Marathon has recorded for a version.
    pub fn insert(&mut self, key: VersionKey, spec: Spec) {
        self.make_room(memory_of(&spec));
        self.insert_shared(key, &Arc::new(spec), false);
    }

    /// Drops current definitions until there is room for so many bytes.
    fn make_room(&mut self, bytes: usize) {
        let mut missing = (self.bytes + bytes).saturating_sub(caps::RECORDS);
        if missing == 0 {
            return;
        }
        self.by_key.retain(|_, record| {
            let Some(spec) = record.spec.as_ref().filter(|_| record.is_current && missing > 0)
            else {
                return true;
            };
            let freed = memory_of(spec);
            missing = missing.saturating_sub(freed);
            self.bytes -= freed;
            false
        });
    }

    /// Notes that Marathon has dropped a record: it keeps 25 or 50 of each app.
    pub fn insert_gone(&mut self, key: VersionKey) {
        self.replace(key, Record { spec: None, is_current: false });
    }

    fn insert_shared(&mut self, key: VersionKey, spec: &Arc<Spec>, is_current: bool) {
        let bytes = memory_of(spec);
        if self.bytes + bytes <= caps::RECORDS {
            self.bytes += bytes;
            self.replace(key, Record { spec: Some(Arc::clone(spec)), is_current });
        }
    }

    fn replace(&mut self, key: VersionKey, record: Record) {
        let before = self.by_key.insert(key, record).and_then(|before| before.spec);
        self.bytes -= before.map_or(0, |spec| memory_of(&spec));
    }

    /// Lists up to so many of the records that Marathon has dropped: those that follow `last`, or the
    /// first ones.
    pub(crate) fn gone_after(&self, last: Option<&VersionKey>, most: usize) -> Vec<VersionKey> {
        let gone = self.by_key.iter().filter(|(_, known)| known.spec.is_none()).map(|(key, _)| key);
        let later = gone.clone().filter(|key| last.is_none_or(|last| *key > last));
        let earlier = gone.filter(|key| last.is_some_and(|last| *key <= last));
        later.chain(earlier).take(most).cloned().collect()
    }

    /// Adds the definitions that instances run by now. When an upgrade replaces them, which happens
    /// for all agents at once, no agent has to request them.
    pub fn remember_current(&mut self, snapshot: &Snapshot) {
        let is_whole = |known: &&Arc<Workload>| known.spec.version.is_some() && !known.damaged;
        for workload in snapshot.workloads.iter().filter(is_whole) {
            let current = workload.instances.iter().filter(|instance| {
                instance.spec == InstanceSpec::Current && !instance.state.is_terminal()
            });
            let versions: BTreeSet<_> = current.filter_map(|instance| instance.version).collect();
            let key =
                |version| VersionKey { kind: workload.kind, id: workload.id.clone(), version };
            let of_workload = key(Timestamp::MIN)..=key(Timestamp::MAX);
            for (key, record) in self.by_key.range_mut(of_workload) {
                record.is_current = versions.contains(&key.version);
            }
            for key in versions.into_iter().map(key) {
                if !self.by_key.contains_key(&key) {
                    self.insert_shared(key, &workload.spec, true);
                }
            }
        }
    }

    /// Tells whether a record is known, or known to be dropped.
    #[must_use]
    pub fn contains(&self, key: &VersionKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// Drops the records that no instance of a snapshot runs by.
    pub fn retain_used(&mut self, snapshot: &Snapshot) {
        let used: BTreeSet<_> = snapshot
            .workloads
            .iter()
            .flat_map(|workload| {
                let versions = workload.instances.iter().filter_map(|instance| instance.version);
                versions.map(|version| (workload.kind, &workload.id, version))
            })
            .collect();
        self.by_key.retain(|key, _| used.contains(&(key.kind, &key.id, key.version)));
        let specs = self.by_key.values().filter_map(|record| record.spec.as_ref());
        self.bytes = specs.map(|spec| memory_of(spec)).sum();
    }

    pub(crate) fn spec_of(&self, key: &VersionKey) -> InstanceSpec {
        match self.by_key.get(key).map(|record| &record.spec) {
            Some(Some(spec)) => InstanceSpec::Older(Arc::clone(spec)),
            Some(None) => InstanceSpec::Gone(key.version),
            None => InstanceSpec::Unknown(key.version),
        }
    }
}

/// Estimates the memory that a definition takes.
fn memory_of(spec: &Spec) -> usize {
    let labels = |labels: &Labels| -> usize {
        labels.iter().map(|(key, value)| PER_LABEL + key.len() + value.len()).sum()
    };
    let ports = spec.ports.iter().map(|port| PER_PORT + labels(&port.labels));
    let unused = spec.unused_ports.iter().map(|port| PER_PORT + labels(&port.labels));
    size_of::<Spec>() + labels(&spec.labels) + ports.chain(unused).sum::<usize>()
}

/// Memory of a port besides its labels, and of a label besides its texts.
const PER_PORT: usize = 2 * size_of::<Port>();
const PER_LABEL: usize = 2 * size_of::<(String, String)>();
