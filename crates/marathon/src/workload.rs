//! The normalised picture: one shape for the apps and pods of every Marathon generation.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Finding, Instance, InstanceSpec, Spec};

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

/// What Marathon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// An app: each instance is one task.
    App,
    /// A pod: each instance is a group of containers that share their network.
    Pod,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::App => "app",
            Self::Pod => "pod",
        })
    }
}

/// Names one version of a workload's definition. Such a record never changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VersionKey {
    /// App or pod.
    pub kind: Kind,
    /// The id of the app or pod, as `/group/db`.
    pub id: Arc<str>,
    /// The moment of the version, which is its name.
    pub version: Timestamp,
}

/// One app or pod with its instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// The path in Marathon's tree, as `/group/db`.
    pub id: Arc<str>,
    /// App or pod.
    pub kind: Kind,
    /// The JSON path of the definition in the document, as `$` or `$.apps[3]`.
    pub path: String,
    /// The newest definition.
    pub spec: Arc<Spec>,
    /// What runs of it, or ran.
    pub instances: Vec<Instance>,
    /// The document said which instances there are; without it, an empty list says nothing.
    pub tasks_known: bool,
    /// A deployment is under way. Known of apps only.
    pub deploying: bool,
}
