//! A definition, as far as the network goes.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Labels;

/// One version of a definition, as far as the network goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The moment of the version. None in a definition that was never posted.
    pub version: Option<Timestamp>,
    /// The labels of the app or pod itself.
    pub labels: Labels,
    /// Where these labels stand, from [`Workload::path`](crate::Workload::path): `labels`, or `spec.labels`.
    pub labels_path: String,
    /// The network the tasks are in.
    pub network: NetworkMode,
    /// The ports, in the order of the definition.
    pub ports: Vec<Port>,
    /// Labelled ports in lists that Marathon ignores for this network.
    #[serde(default, rename = "unread", skip_serializing_if = "Vec::is_empty")]
    pub unused_ports: Vec<UnusedPort>,
    /// How many health checks the definition has: so many results a healthy app task has.
    pub health_checks: usize,
    /// How long a new task may take until its health is known: the longest grace period and
    /// interval of a health check together. None: there are no health checks.
    pub settling: Option<Duration>,
    /// From SIGTERM to SIGKILL. None: left to Mesos.
    pub task_kill_grace: Option<Duration>,
}

/// An entry with labels of a list of ports that its network has no use for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusedPort {
    /// Where it stands, from [`Workload::path`](crate::Workload::path).
    pub path: String,
    /// Its labels.
    pub labels: Labels,
}

/// The network of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The position among the ports of its spec, from 0.
    pub index: usize,
    /// Its name, which is unique in the spec of an app, and in a container of a pod.
    pub name: Option<String>,
    /// Pods: the container that has the port.
    pub container: Option<String>,
    /// Where it stands, from [`Workload::path`](crate::Workload::path): `container.docker.portMappings[0]`.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
