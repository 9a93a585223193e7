//! The apps and pods that a receiver knows, each in memory once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use marathon::{Interner, Workload, WorkloadKey};

use crate::error::StreamError;

/// Apps and pods, no more of them than could be read from a Marathon.
#[derive(Debug, Clone, Default)]
pub(crate) struct Workloads {
    /// Each with the length of its record.
    all: BTreeMap<WorkloadKey, (Arc<Workload>, usize)>,
    /// The length of all records.
    bytes: usize,
    /// Texts that many tasks share.
    interner: Interner,
}

impl Workloads {
    /// Returns an empty list for a new snapshot, most of which will be as before.
    pub(crate) fn begin_anew(&self) -> Self {
        Self { interner: self.interner.clone(), ..Self::default() }
    }

    /// Returns one app or pod.
    pub(crate) fn get(&self, key: &WorkloadKey) -> Option<&Arc<Workload>> {
        self.all.get(key).map(|(workload, _)| workload)
    }

    /// Has an app or pod share the memory of what is known of it: all if nothing has changed, else
    /// its definition, and the ids of its tasks.
    pub(crate) fn share_with(&self, workload: &mut Arc<Workload>) {
        let Some(known) = self.get(&workload.key()) else { return };
        if known == workload {
            return workload.clone_from(known);
        }
        let Some(workload) = Arc::get_mut(workload) else { return };
        workload.id.clone_from(&known.id);
        if workload.spec == known.spec {
            workload.spec.clone_from(&known.spec);
        }
        let ids: BTreeSet<_> = known.instances.iter().map(|instance| &instance.id).collect();
        for instance in &mut workload.instances {
            if let Some(id) = ids.get(&instance.id) {
                instance.id.clone_from(id);
            }
        }
    }

    /// Adds an app or pod, or replaces it, if there is room for a record of this length.
    pub(crate) fn insert(
        &mut self,
        mut workload: Arc<Workload>,
        bytes: usize,
    ) -> Result<(), StreamError> {
        check_caps(&workload)?;
        let key = workload.key();
        let before = self.all.get(&key).map(|(_, bytes)| *bytes);
        let total = self.bytes - before.unwrap_or_default() + bytes;
        if total > caps::ANSWER || before.is_none() && self.all.len() >= caps::WORKLOADS {
            let why = "with it the relay has told of more than a cap allows";
            return Err(StreamError::Capped { id: workload.id.to_string(), why });
        }
        self.bytes = total;
        // One that others hold already has its texts from here.
        if let Some(workload) = Arc::get_mut(&mut workload) {
            self.interner.intern_workload(workload);
        }
        self.all.insert(key, (workload, bytes));
        Ok(())
    }

    /// Removes an app or pod. Returns whether it was known.
    pub(crate) fn remove(&mut self, key: &WorkloadKey) -> bool {
        let removed = self.all.remove(key);
        self.bytes -= removed.as_ref().map_or(0, |(_, bytes)| *bytes);
        removed.is_some()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.all.values().map(|(workload, _)| workload)
    }
}

/// Checks that a relay sends no more than could be read from a Marathon.
fn check_caps(workload: &Workload) -> Result<(), StreamError> {
    workload.check_caps().map_err(|why| {
        let id = caps::cut_text(&workload.id, caps::TEXT).into_owned();
        StreamError::Capped { id, why }
    })
}
