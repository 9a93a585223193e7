//! A [`Snapshot`] of Marathon: one shape for the apps and pods of every generation.

mod ids;
mod instance;
mod labels;
mod spec;
mod time;
mod workload;

use std::collections::BTreeSet;

pub(crate) use ids::instance_has_task;
pub use instance::{Behind, Endpoint, Health, Instance, InstanceSpec, TaskState, Unroutable};
pub use labels::Labels;
pub use spec::{NetworkMode, Port, Protocol, Scope, Spec, UnusedPort};
pub use time::Time;
pub use workload::{Kind, VersionKey, Workload, WorkloadKey};

use crate::lenient::Finding;

/// Everything that was read, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The apps and pods in the order of the document. Kind and id together are unique.
    pub workloads: Vec<Workload>,
    /// What the snapshot may be taken for.
    pub coverage: Coverage,
    /// What could not be read.
    pub findings: Vec<Finding>,
    /// How long the documents were, in bytes: what the answer cost Marathon.
    pub bytes: usize,
}

impl Snapshot {
    /// The version records that instances run by and that were not at hand, each one once.
    /// Finished instances don't count: nobody is sent to them.
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

/// Whether what isn't in a snapshot doesn't exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Every app there is, is here.
    pub apps: bool,
    /// Every pod there is, is here.
    pub pods: bool,
}
