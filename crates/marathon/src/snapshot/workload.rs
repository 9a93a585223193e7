//! Apps and pods, and the keys that name them.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Instance, InstanceSpec, Spec};

/// The kind of a workload.
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

/// The key of an app or a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadKey {
    /// App or pod.
    pub kind: Kind,
    /// The id, as `/group/db`.
    pub id: Arc<str>,
}

impl WorkloadKey {
    /// Returns the key of the other kind with this id. Marathon gives an id to one at a time.
    pub(crate) fn of_other_kind(&self) -> Self {
        let kind = match self.kind {
            Kind::App => Kind::Pod,
            Kind::Pod => Kind::App,
        };
        Self { kind, id: Arc::clone(&self.id) }
    }
}

/// Formats as `app /group/db`.
impl fmt::Display for WorkloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

/// The key of a version record: one version of a definition. Such a record never changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VersionKey {
    /// App or pod.
    pub kind: Kind,
    /// The id of the app or pod, as `/group/db`.
    pub id: Arc<str>,
    /// The time of the version, which identifies it.
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
    /// The instances that run or have ended.
    pub instances: Vec<Instance>,
    /// The document has listed the instances; otherwise an empty list means nothing.
    pub tasks_known: bool,
    /// A deployment is under way. Apps only.
    pub deploying: bool,
    /// The definition asks for no instances: somebody scaled the app or pod to 0.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// A part of the definition could not be read, so it may have more ports and labels.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub damaged: bool,
}

impl Workload {
    /// Returns the kind and id of this workload.
    #[must_use]
    pub fn key(&self) -> WorkloadKey {
        WorkloadKey { kind: self.kind, id: Arc::clone(&self.id) }
    }

    /// Tells whether its definition, or an earlier one that an instance runs by, has a label that may
    /// be a VIP.
    #[must_use]
    pub fn has_vip_labels(&self) -> bool {
        let older = self.instances.iter().filter_map(|instance| match &instance.spec {
            InstanceSpec::Older(spec) => Some(&**spec),
            InstanceSpec::Current | InstanceSpec::Unknown(_) | InstanceSpec::Gone(_) => None,
        });
        let mut specs = std::iter::once(&*self.spec).chain(older);
        let is_vip = |key: &str| key.starts_with("VIP") || key.starts_with("vip");
        specs.any(|spec| {
            spec.label_objects().any(|(_, labels)| labels.iter().any(|(key, _)| is_vip(key)))
        })
    }

    /// Returns the definition that one of its instances runs by, if known.
    #[must_use]
    pub fn spec_of<'a>(&'a self, instance: &'a Instance) -> Option<&'a Spec> {
        instance.spec.or_current(&self.spec)
    }
}
