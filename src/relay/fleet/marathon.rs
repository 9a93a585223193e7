//! The Marathon of the model, and what it is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use marathon::watch::Action;
use marathon::{Coverage, Snapshot, Workload, WorkloadKey};

use super::cluster::Cluster;

/// Length of an answer with 1,000 apps of 10 tasks each, of one app and of an event for one reader,
/// in bytes as they were measured; reads with gzip.
const EVERYTHING: u64 = 1_026_000;
const ONE: u64 = 1_100;
const EVENT: u64 = 450;

/// What a Marathon was asked for in some time.
#[derive(Debug, Default, Clone)]
pub(super) struct Load {
    /// Requests by second. A read of everything is two, and opening a stream is two.
    requests: BTreeMap<u64, u64>,
    pub(super) bytes: u64,
}

impl Load {
    pub(super) fn count(&mut self, action: &Action, now: Duration) {
        let (requests, bytes) = match action {
            Action::Open { .. } => (2, 300),
            Action::ReadEverything => (2, EVERYTHING),
            Action::Read(_) => (1, ONE),
            Action::Close => (0, 0),
        };
        *self.requests.entry(now.as_secs()).or_default() += requests;
        self.bytes += bytes;
    }

    pub(super) fn count_event(&mut self) {
        self.bytes += EVENT;
    }

    pub(super) fn total(&self) -> u64 {
        self.requests.values().sum()
    }

    /// The most requests in a second.
    pub(super) fn peak(&self) -> u64 {
        self.requests.values().copied().max().unwrap_or(0)
    }
}

/// One Marathon with one leader, or none.
pub(super) struct SimMarathon {
    pub(super) cluster: Cluster,
    pub(super) leader: Option<u32>,
    /// What relays asked for.
    pub(super) from_relays: Load,
    /// What agents asked for.
    pub(super) from_agents: Load,
}

impl SimMarathon {
    pub(super) fn leader_name(&self) -> Option<String> {
        self.leader.map(|leader| format!("http://m{leader}:8080"))
    }

    pub(super) fn everything(&self) -> Snapshot {
        Snapshot {
            workloads: self.cluster.workloads().iter().cloned().map(Arc::new).collect(),
            coverage: Coverage { apps: true, pods: true },
            findings: Vec::new(),
            bytes: usize::try_from(EVERYTHING).unwrap_or(usize::MAX),
            framework: None,
            framework_name: None,
        }
    }

    pub(super) fn one(&self, key: &WorkloadKey) -> Option<Arc<Workload>> {
        let found = self.cluster.workloads().iter().find(|workload| workload.id == key.id);
        found.cloned().map(Arc::new)
    }
}
