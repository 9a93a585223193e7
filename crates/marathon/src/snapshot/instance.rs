//! Instances of a workload: their states, their health and the addresses where they listen.

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
    /// The agent it runs on, by the name or address that the agent is configured with.
    pub host: Option<Arc<str>>,
    /// The state of its life cycle.
    pub state: TaskState,
    /// The health; of a pod, the worst of its containers with ports.
    pub health: Health,
    /// Pods: the health of each port of its own spec. Empty for apps; see [`Self::health_of`].
    pub port_health: Box<[Health]>,
    /// No readiness check fails. Always true outside a deployment.
    pub ready: bool,
    /// The oldest of the last successes of its health checks, by Marathon's clock. Bad news from
    /// before is out of date. Apps only.
    pub last_success: Option<Time>,
    /// The time when it started to run; before that, the time when it was staged.
    pub started: Option<Time>,
    /// The version it runs by.
    pub version: Option<Timestamp>,
    /// The definition it runs by.
    pub spec: InstanceSpec,
    /// The endpoints, one for each port of its own spec, in order. Empty if the spec is
    /// [`InstanceSpec::Unknown`].
    pub endpoints: Box<[Result<Endpoint, Unroutable>]>,
}

impl Instance {
    /// Tells whether it runs and the health of it or of one of its ports is unknown.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        let health = [self.health];
        let mut all = health.iter().chain(&self.port_health);
        self.state == TaskState::Running && all.any(|health| *health == Health::Unknown)
    }

    /// Returns the health that counts for one port of its own spec.
    #[must_use]
    pub fn health_of(&self, port_index: usize) -> Health {
        self.port_health.get(port_index).copied().unwrap_or(self.health)
    }
}

/// The definition that an instance runs by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceSpec {
    /// The current one, or one that differs from it in the number of instances only.
    Current,
    /// An earlier one.
    Older(Arc<Spec>),
    /// An earlier one, whose version record was not read yet.
    Unknown(Timestamp),
    /// An earlier one, whose version record Marathon has dropped; the current one doesn't fit the
    /// instance.
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

/// The address of a port of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Endpoint {
    /// A port of the agent, [`Instance::host`].
    Host {
        /// The allocated port.
        port: u16,
        /// The address of the container behind that port. None: it has no address of its own, or an
        /// unknown one.
        #[serde(default)]
        behind: Option<Behind>,
    },
    /// The task's own address.
    Container {
        /// At least one address, IPv4 and IPv6 in any order. Of each family Marathon itself would
        /// use the first.
        addresses: Arc<[IpAddr]>,
        /// The container port.
        port: u16,
    },
}

/// The address of a container behind a port of its agent. Only that agent, and at best its network,
/// can reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// At least one address, IPv4 and IPv6 in any order.
    pub addresses: Arc<[IpAddr]>,
    /// The container port.
    pub port: u16,
}

/// Why a port of an instance can't be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Unroutable {
    /// The task is inactive: Marathon blanks its ports (`TaskConversion.scala`).
    #[error("the task is inactive, and Marathon no longer lists its ports")]
    Inactive,
    /// The task has more or fewer ports than the definition: they belong to different versions.
    #[error("the definition has {expected} host ports, the task {found}")]
    PortCount {
        /// The number of host ports in the definition.
        expected: usize,
        /// The number of ports of the task.
        found: usize,
    },
    /// The definition requires a port of the agent that the task doesn't have: they belong to
    /// different versions.
    #[error("the definition requires host port {0}, which the task doesn't have")]
    OtherPort(u16),
    /// The task has no host.
    #[error("the task has no host yet")]
    NoHost,
    /// The allocated port is missing, 0 or unreadable.
    #[error("no host port is allocated to it yet")]
    NoHostPort,
    /// The task has no address of its own.
    #[error("the task has no address of its own yet")]
    NoAddress,
    /// `containerPort` is 0 and there is no host port: only the task knows the port, as $PORT.
    #[error(
        "containerPort is 0 and there is no hostPort, so only the task itself knows the port; \
         give it a containerPort"
    )]
    NoContainerPort,
    /// The port is on a network that isn't the first, and the addresses don't name their networks.
    #[error(
        "the app is in several networks and Marathon doesn't tell which address belongs to {network:?}"
    )]
    AmbiguousNetwork {
        /// The network that the port is on.
        network: String,
    },
    /// Pods: the instance lacks this endpoint.
    #[error("the pod instance doesn't list this endpoint")]
    NotListed,
    /// A port on a bridge without a host port.
    #[error("it is on the agent's bridge without a hostPort; give it one, 0 for any")]
    Unpublished,
    /// An unknown network mode.
    #[error("the network mode {0:?} is unknown")]
    NetworkMode(String),
}

/// The result of health checks. Unknown is not the same as down: Marathon forgets all results at a
/// change of leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Health {
    /// There are no health checks.
    NoChecks,
    /// All checks have passed.
    Up,
    /// A check has failed.
    Down,
    /// Not all checks have reported, and none has failed.
    Unknown,
}

/// The life cycle of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskState {
    /// Waiting for an agent, or being fetched.
    Staging,
    /// Being started.
    Starting,
    /// Running.
    Running,
    /// Told to stop.
    Killing,
    /// The agent is unreachable; the task may come back. Includes `TASK_LOST` of generations before 1.4.
    Unreachable,
    /// Ended, with Marathon's name of the state, as `TASK_FAILED`.
    Terminal(String),
    /// An unknown state, of a later Marathon.
    Other(String),
}

impl TaskState {
    /// Converts the name of a state in Mesos. `TASK_LOST` is the name of unreachable before 1.4:
    /// such a task can come back.
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

    /// Tells whether the task has ended. Before 1.4.7 a resident task comes back under its id.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }
}
