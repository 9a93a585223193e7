//! The contributions of workloads to the facts about the cluster, kept so that a new translation of a
//! workload can replace its old contribution.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use marathon::WorkloadKey;
use vip::LabelReport;

use crate::sources::facts::{ClusterContext, Contribution};

/// The contributions of all workloads of a Marathon.
#[derive(Debug, Default)]
pub(super) struct Contributions {
    by_workload: BTreeMap<WorkloadKey, Contribution>,
    by_host: BTreeMap<Arc<str>, BTreeSet<WorkloadKey>>,
}

impl Contributions {
    /// Replaces the contribution of a workload.
    pub(super) fn replace(
        &mut self,
        key: &WorkloadKey,
        new: Contribution,
        cluster: &mut ClusterContext,
    ) {
        self.exchange(key, &new, cluster);
        self.by_workload.insert(key.clone(), new);
    }

    /// Removes the contribution of a workload that is gone.
    pub(super) fn remove(&mut self, key: &WorkloadKey, cluster: &mut ClusterContext) {
        self.exchange(key, &Contribution::default(), cluster);
    }

    fn exchange(&mut self, key: &WorkloadKey, new: &Contribution, cluster: &mut ClusterContext) {
        let old = self.by_workload.remove(key).unwrap_or_default();
        cluster.replace_contribution(&old, new);
        // A task that changes its state stays on its host.
        if old.hosts == new.hosts {
            return;
        }
        for host in old.hosts.difference(&new.hosts) {
            if let Some(keys) = self.by_host.get_mut(host) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_host.remove(host);
                }
            }
        }
        for host in new.hosts.difference(&old.hosts) {
            self.by_host.entry(host.clone()).or_default().insert(key.clone());
        }
    }

    /// The number of workloads.
    pub(super) fn workload_count(&self) -> usize {
        self.by_workload.len()
    }

    /// The workloads with a task on this host.
    pub(super) fn workloads_on_host(&self, host: &str) -> BTreeSet<WorkloadKey> {
        self.by_host.get(host).cloned().unwrap_or_default()
    }

    /// The hosts that tasks run on.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.by_host.keys().map(|host| &**host)
    }

    /// Returns whether a task runs on this host.
    pub(super) fn has_host(&self, host: &str) -> bool {
        self.by_host.contains_key(host)
    }

    /// Reports on labels that make no claim.
    pub(super) fn label_reports(&self) -> impl Iterator<Item = &LabelReport> {
        self.by_workload.values().flat_map(|each| &each.reports)
    }
}
