//! The cache of version records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{InstanceSpec, Snapshot, Spec, VersionKey};

/// A cache of version records: earlier definitions, as Marathon keeps them. They never change, so a
/// record stays valid as long as an instance runs by it.
#[derive(Debug, Clone, Default)]
pub struct Records(BTreeMap<VersionKey, Option<Arc<Spec>>>);

impl Records {
    /// Adds the definition that Marathon has recorded for a version.
    pub fn insert(&mut self, key: VersionKey, spec: Spec) {
        self.0.insert(key, Some(Arc::new(spec)));
    }

    /// Notes that Marathon has dropped a record: it keeps 25 or 50 of each app.
    pub fn insert_gone(&mut self, key: VersionKey) {
        self.0.insert(key, None);
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
                self.0.entry(key).or_insert_with(|| Some(Arc::clone(&workload.spec)));
            }
        }
    }

    /// Tells whether a record is known, or known to be dropped.
    #[must_use]
    pub fn contains(&self, key: &VersionKey) -> bool {
        self.0.contains_key(key)
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
        self.0.retain(|key, _| used.contains(&(key.kind, &key.id, key.version)));
    }

    pub(crate) fn spec_of(&self, key: &VersionKey) -> InstanceSpec {
        match self.0.get(key) {
            Some(Some(spec)) => InstanceSpec::Older(Arc::clone(spec)),
            Some(None) => InstanceSpec::Gone(key.version),
            None => InstanceSpec::Unknown(key.version),
        }
    }
}
