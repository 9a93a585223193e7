//! The normalised picture: one shape for the apps and pods of every Marathon generation.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::{Finding, Labels};

/// Everything that was read, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The apps, then the pods, in the order of the document. Kind and id together are unique.
    pub workloads: Vec<Workload>,
    /// What the snapshot may be taken for.
    pub coverage: Coverage,
    /// What could not be read.
    pub findings: Vec<Finding>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionKey {
    /// App or pod.
    pub kind: Kind,
    /// The id of the app or pod, as `/group/db`.
    pub id: String,
    /// The moment of the version, which is its name.
    pub version: Timestamp,
}

/// One app or pod with its instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The path in Marathon's tree, as `/group/db`.
    pub id: String,
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

/// One version of a definition, as far as the network goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The moment of the version. None in a definition that was never posted.
    pub version: Option<Timestamp>,
    /// The labels of the app or pod itself.
    pub labels: Labels,
    /// Where these labels stand, from [`Workload::path`]: `labels`, or `spec.labels`.
    pub labels_path: String,
    /// The network the tasks are in.
    pub network: NetworkMode,
    /// The ports, in the order of the definition.
    pub ports: Vec<Port>,
    /// How many health checks the definition has: so many results a healthy app task has.
    pub health_checks: usize,
    /// How long a new task may take until its health is known: the longest grace period and
    /// interval of a health check together. None: there are no health checks.
    pub settling: Option<Duration>,
    /// From SIGTERM to SIGKILL. None: left to Mesos.
    pub task_kill_grace: Option<Duration>,
}

/// The network of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkMode {
    /// The agent's own.
    Host,
    /// A bridge on the agent, behind it: reached by ports of the agent.
    Bridge,
    /// A network with an address for each task.
    Container {
        /// The names of the networks, in order; empty where the generation has no names.
        networks: Vec<String>,
    },
    /// A mode that Marathon didn't have when this was written. Nothing in it is routable.
    Other(String),
}

/// One port of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The position among the ports of its spec, from 0.
    pub index: usize,
    /// Its name, which is unique in the spec of an app, and in a container of a pod.
    pub name: Option<String>,
    /// Pods: the container that has the port.
    pub container: Option<String>,
    /// Where it stands, from [`Workload::path`]: `container.docker.portMappings[0]`.
    pub path: String,
    /// The protocols that are tcp or udp. `udp,tcp` is both.
    pub protocols: Vec<Protocol>,
    /// Anything else that was given as protocol, as `http`.
    pub other_protocols: Vec<String>,
    /// The port inside the container. None on the agent's own network. 0 stands for "the port
    /// that is allocated on the agent".
    pub container_port: Option<u16>,
    /// Whose address the port is reached at.
    pub scope: Scope,
    /// A health check looks at the task (pods: at this container).
    pub checked: bool,
    /// The labels of the port.
    pub labels: Labels,
}

/// Whose address a port is reached at. Marathon's own `network-scope` in the Mesos `DiscoveryInfo`
/// follows the same rule (`PortDiscovery.scala`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The agent's, at a port that is allocated for each task.
    Host,
    /// The task's own, at the container port.
    Container {
        /// The networks the port is on, by name; empty: all the task is in.
        networks: Vec<String>,
    },
}

/// A layer-4 protocol that can be balanced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One running copy of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The task id; of a pod, the instance id. Opaque.
    pub id: String,
    /// The agent it runs on: a name or an address, whatever the agent calls itself.
    pub host: Option<String>,
    /// How far it is in its life.
    pub state: TaskState,
    /// The verdict of its health checks; of a pod, the worst of its containers with ports.
    pub health: Health,
    /// Pods: the verdict for each port of its own spec. Empty for apps; see [`Self::health_of`].
    pub port_health: Vec<Health>,
    /// Its readiness checks don't speak against it. Always true outside a deployment.
    pub ready: bool,
    /// When it started to run.
    pub started: Option<Timestamp>,
    /// The version it runs by.
    pub version: Option<Timestamp>,
    /// The definition it runs by.
    pub spec: InstanceSpec,
    /// Where it listens: one for each port of its own spec, in order. Empty where the spec is
    /// [`InstanceSpec::Unknown`].
    pub endpoints: Vec<Result<Endpoint, Unroutable>>,
}

impl Instance {
    /// The definition it runs by, if known.
    #[must_use]
    pub fn spec<'a>(&'a self, workload: &'a Workload) -> Option<&'a Spec> {
        match &self.spec {
            InstanceSpec::Current => Some(&workload.spec),
            InstanceSpec::Older(spec) => Some(spec),
            InstanceSpec::Unknown(_) => None,
        }
    }

    /// The health that counts for one port of its own spec.
    #[must_use]
    pub fn health_of(&self, port_index: usize) -> Health {
        self.port_health.get(port_index).copied().unwrap_or(self.health)
    }
}

/// Which definition an instance runs by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceSpec {
    /// The one of the workload, or one that differs from it in the number of instances only.
    Current,
    /// An earlier one.
    Older(Arc<Spec>),
    /// An earlier one, whose record was not read, not yet or because Marathon has dropped it.
    Unknown(Timestamp),
}

/// Where a port of an instance is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// At the agent.
    Host {
        /// The agent: a name or an address.
        host: String,
        /// The allocated port.
        port: u16,
    },
    /// At the task's own address.
    Container {
        /// Its addresses, IPv4 and IPv6 as they come, at least one. The first of a family is the
        /// one Marathon itself would use.
        addresses: Vec<IpAddr>,
        /// The container port.
        port: u16,
    },
}

/// Why a port of an instance can't be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// On a bridge without host port.
    #[error("it is behind the agent's bridge without a hostPort; give it one, 0 for any")]
    Unpublished,
    /// A network mode that isn't known.
    #[error("the network mode {0:?} is not known")]
    NetworkMode(String),
}

/// The verdict of health checks. Not knowing is not the same as down: Marathon forgets every
/// result at a change of leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The task is over and its id never comes back.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }
}
