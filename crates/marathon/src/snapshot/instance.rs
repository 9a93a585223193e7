//! What runs of a workload, where it listens and how it is.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Spec, Time};

/// One running copy of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The task id; of a pod, the instance id. Opaque.
    pub id: Arc<str>,
    /// The agent it runs on: a name or an address, whatever the agent calls itself.
    pub host: Option<Arc<str>>,
    /// How far it is in its life.
    pub state: TaskState,
    /// The verdict of its health checks; of a pod, the worst of its containers with ports.
    pub health: Health,
    /// Pods: the verdict for each port of its own spec. Empty for apps; see [`Self::health_of`].
    pub port_health: Box<[Health]>,
    /// Its readiness checks don't speak against it. Always true outside a deployment.
    pub ready: bool,
    /// Since when every health check has succeeded at least once more, by Marathon's clock: the
    /// oldest of their last successes. Older bad news is out of date. Known of apps only.
    pub last_success: Option<Time>,
    /// When it started to run.
    pub started: Option<Time>,
    /// The version it runs by.
    pub version: Option<Timestamp>,
    /// The definition it runs by.
    pub spec: InstanceSpec,
    /// Where it listens: one for each port of its own spec, in order. Empty where the spec is
    /// [`InstanceSpec::Unknown`].
    pub endpoints: Box<[Result<Endpoint, Unroutable>]>,
}

impl Instance {
    /// The health that counts for one port of its own spec.
    #[must_use]
    pub fn health_of(&self, port_index: usize) -> Health {
        self.port_health.get(port_index).copied().unwrap_or(self.health)
    }
}

/// Which definition an instance runs by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceSpec {
    /// The one of the workload, or one that differs from it in the number of instances only.
    Current,
    /// An earlier one.
    Older(Arc<Spec>),
    /// An earlier one, whose record was not read yet.
    Unknown(Timestamp),
    /// An earlier one, whose record Marathon has dropped, and the definition of the workload
    /// doesn't fit the instance.
    Gone(Timestamp),
}

impl InstanceSpec {
    pub(crate) fn or_current<'a>(&'a self, current: &'a Spec) -> Option<&'a Spec> {
        match self {
            Self::Current => Some(current),
            Self::Older(spec) => Some(spec),
            Self::Unknown(_) | Self::Gone(_) => None,
        }
    }
}

/// Where a port of an instance is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Endpoint {
    /// At the agent, [`Instance::host`].
    Host {
        /// The allocated port.
        port: u16,
        /// Where the container itself listens, behind that port. None: it has no address of its
        /// own, or that isn't known.
        #[serde(default)]
        behind: Option<Behind>,
    },
    /// At the task's own address.
    Container {
        /// Its addresses, IPv4 and IPv6 as they come, at least one. The first of a family is the
        /// one Marathon itself would use.
        addresses: Arc<[IpAddr]>,
        /// The container port.
        port: u16,
    },
}

/// Where a container listens behind a port of its agent: only that agent, and at best its network,
/// reaches it there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// Its addresses, IPv4 and IPv6 as they come, at least one.
    pub addresses: Arc<[IpAddr]>,
    /// The container port.
    pub port: u16,
}

/// Why a port of an instance can't be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Unroutable {
    /// Marathon blanks the ports of tasks that aren't active (`TaskConversion.scala`).
    #[error("the task is not active, so Marathon no longer says which ports it has")]
    Inactive,
    /// The walk over mappings and ports doesn't come out even: they belong to different versions.
    #[error("the definition asks for {expected} host ports, the task has {found}")]
    PortCount {
        /// Ports that the definition asks of the agent.
        expected: usize,
        /// Ports that the task has.
        found: usize,
    },
    /// No agent is named.
    #[error("the task has no host yet")]
    NoHost,
    /// The allocated port is missing, 0 or unreadable.
    #[error("no host port is allocated to it yet")]
    NoHostPort,
    /// The task's own address is missing.
    #[error("the task has no address of its own yet")]
    NoAddress,
    /// `containerPort` is 0 and no host port is asked for: only the task knows the port, as $PORT.
    #[error(
        "containerPort is 0 and there is no hostPort, so only the task itself knows the port; \
         give it a containerPort"
    )]
    NoContainerPort,
    /// Several networks, a port on one that isn't the first, and addresses without their names.
    #[error(
        "the app is in several networks and Marathon doesn't say which address belongs to {network:?}"
    )]
    AmbiguousNetwork {
        /// The network that the port is on.
        network: String,
    },
    /// Pods: the instance has other endpoints, and not this one.
    #[error("the pod instance doesn't list this endpoint")]
    NotListed,
    /// On a bridge without host port.
    #[error("it is behind the agent's bridge without a hostPort; give it one, 0 for any")]
    Unpublished,
    /// A network mode that isn't known.
    #[error("the network mode {0:?} is not known")]
    NetworkMode(String),
}

/// The verdict of health checks. Not knowing is not the same as down: Marathon forgets every
/// result at a change of leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Health {
    /// There are no health checks.
    NoChecks,
    /// Every check has reported, and well.
    Up,
    /// A check failed.
    Down,
    /// Not every check has reported, and none has failed.
    Unknown,
}

/// How far a task is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskState {
    /// Waiting for an agent, or being fetched.
    Staging,
    /// The executor has it.
    Starting,
    /// It runs.
    Running,
    /// It was told to stop.
    Killing,
    /// Its agent is out of reach; it may come back. `TASK_LOST` of generations before 1.4 too.
    Unreachable,
    /// It is over, with the name Marathon has for it, as `TASK_FAILED`.
    Terminal(String),
    /// A state that Marathon didn't have when this was written.
    Other(String),
}

impl TaskState {
    /// The state that Mesos calls so. A lost task is one whose agent is out of reach, as generations
    /// before 1.4 called it, and can come back.
    pub(crate) fn from_mesos_name(name: &str) -> Self {
        match name {
            "TASK_STAGING" => Self::Staging,
            "TASK_STARTING" => Self::Starting,
            "TASK_RUNNING" => Self::Running,
            "TASK_KILLING" => Self::Killing,
            "TASK_UNREACHABLE" | "TASK_LOST" => Self::Unreachable,
            "TASK_FINISHED"
            | "TASK_FAILED"
            | "TASK_KILLED"
            | "TASK_ERROR"
            | "TASK_GONE"
            | "TASK_DROPPED"
            | "TASK_UNKNOWN"
            | "TASK_GONE_BY_OPERATOR" => Self::Terminal(name.to_owned()),
            _ => Self::Other(name.to_owned()),
        }
    }

    /// The task is over and its id never comes back.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }
}
