//! The cache of version records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{InstanceSpec, Labels, Port, Snapshot, Spec, VersionKey};

/// A cache of version records: earlier definitions, as Marathon keeps them. They never change, so a
/// record stays valid as long as an instance runs by it.
///
/// Beyond [`caps::RECORDS`] none is added.
#[derive(Debug, Clone, Default)]
pub struct Records {
    by_key: BTreeMap<VersionKey, Option<Arc<Spec>>>,
    /// The memory that they take, roughly.
    bytes: usize,
}

impl Records {
    /// Adds the definition that Marathon has recorded for a version.
    pub fn insert(&mut self, key: VersionKey, spec: Spec) {
        self.insert_shared(key, &Arc::new(spec));
    }

    /// Notes that Marathon has dropped a record: it keeps 25 or 50 of each app.
    pub fn insert_gone(&mut self, key: VersionKey) {
        self.by_key.insert(key, None);
    }

    fn insert_shared(&mut self, key: VersionKey, spec: &Arc<Spec>) {
        let bytes = memory_of(spec);
        if self.bytes + bytes <= caps::RECORDS {
            self.bytes += bytes;
            if let Some(Some(old)) = self.by_key.insert(key, Some(Arc::clone(spec))) {
                self.bytes -= memory_of(&old);
            }
        }
    }

    /// Lists up to so many of the records that Marathon has dropped: those that follow `last`, or the
    /// first ones.
    pub(crate) fn gone_after(&self, last: Option<&VersionKey>, most: usize) -> Vec<VersionKey> {
        let gone = self.by_key.iter().filter(|(_, spec)| spec.is_none()).map(|(key, _)| key);
        let later = gone.clone().filter(|key| last.is_none_or(|last| *key > last));
        let earlier = gone.filter(|key| last.is_some_and(|last| *key <= last));
        later.chain(earlier).take(most).cloned().collect()
    }

    /// Adds the definitions that instances run by now. When an upgrade replaces them, which happens
    /// for all agents at once, no agent has to request them.
    pub fn remember_current(&mut self, snapshot: &Snapshot) {
        for workload in snapshot.workloads.iter().filter(|known| known.spec.version.is_some()) {
            let current = workload.instances.iter().filter(|instance| {
                instance.spec == InstanceSpec::Current && !instance.state.is_terminal()
            });
            let versions: BTreeSet<_> = current.filter_map(|instance| instance.version).collect();
            for version in versions {
                let key = VersionKey { kind: workload.kind, id: workload.id.clone(), version };
                if !self.by_key.contains_key(&key) {
                    self.insert_shared(key, &workload.spec);
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
        self.bytes = self.by_key.values().flatten().map(|spec| memory_of(spec)).sum();
    }

    pub(crate) fn spec_of(&self, key: &VersionKey) -> InstanceSpec {
        match self.by_key.get(key) {
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
