//! A [`Snapshot`] of Marathon: one shape for the apps and pods of every generation.

mod ids;
mod instance;
mod labels;
mod limits;
mod spec;
mod time;
mod workload;

use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) use ids::{instance_has_task, is_workload_id};
pub use instance::{Behind, Endpoint, Health, Instance, InstanceSpec, TaskState, Unroutable};
pub use labels::Labels;
pub use spec::{NetworkMode, Port, Protocol, Scope, Spec, UnusedPort};
pub use time::Time;
pub use workload::{Kind, VersionKey, Workload, WorkloadKey};

use crate::lenient::Finding;

/// Everything that was read, as of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The apps and pods in the order of the document. Kind and id together are unique. Whoever keeps
    /// one shares it.
    pub workloads: Vec<Arc<Workload>>,
    /// The kinds of workloads that it lists completely.
    pub coverage: Coverage,
    /// The parts that could not be read.
    pub findings: Vec<Finding>,
    /// Length of the documents in bytes, a measure of the cost for Marathon.
    pub bytes: usize,
    /// The id under which this Marathon is registered with Mesos. With another ZooKeeper or none of
    /// its old state it has another one. None: it isn't told.
    pub framework: Option<Arc<str>>,
    /// The name under which it is registered, which is part of the names of VIPs. None: it isn't
    /// told.
    pub framework_name: Option<Arc<str>>,
}

impl Snapshot {
    /// Returns the latest success of a health check. Marathon's clock is past that time.
    #[must_use]
    pub fn latest_success(&self) -> Option<Time> {
        let instances = self.workloads.iter().flat_map(|workload| &workload.instances);
        instances.filter_map(|instance| instance.last_success).max()
    }

    /// Returns the version records that instances run by and that are unknown, without duplicates.
    /// Ended instances don't count: they take no traffic.
    #[must_use]
    pub fn missing_versions(&self) -> Vec<VersionKey> {
        let unread = self.workloads.iter().flat_map(|workload| {
            workload.instances.iter().filter_map(|instance| match instance.spec {
                InstanceSpec::Unknown(version) if !instance.state.is_terminal() => {
                    Some(VersionKey { kind: workload.kind, id: workload.id.clone(), version })
                }
                _ => None,
            })
        });
        unread.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// The kinds of workloads that a snapshot lists completely: a missing one doesn't exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// All apps are in the snapshot.
    pub apps: bool,
    /// All pods are in the snapshot.
    pub pods: bool,
}

impl Coverage {
    /// Tells whether all workloads of a kind are in the snapshot.
    #[must_use]
    pub fn includes(self, kind: Kind) -> bool {
        match kind {
            Kind::App => self.apps,
            Kind::Pod => self.pods,
        }
    }
}
