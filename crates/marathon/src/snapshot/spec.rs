//! Definitions: labels, network, ports and times.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Labels;

/// One version of the definition of an app or pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The time of the version, which identifies it. None in a definition that was never posted.
    pub version: Option<Timestamp>,
    /// The labels of the app or pod itself.
    pub labels: Labels,
    /// The path of these labels in [`Workload::path`](crate::Workload::path): `labels` or
    /// `spec.labels`.
    pub labels_path: String,
    /// The network of the tasks.
    pub network: NetworkMode,
    /// The ports, in the order of the definition.
    pub ports: Vec<Port>,
    /// Labelled ports in lists that Marathon ignores for this network.
    #[serde(default, rename = "unread", skip_serializing_if = "Vec::is_empty")]
    pub unused_ports: Vec<UnusedPort>,
    /// Number of health checks, and of results of a healthy task of an app.
    pub health_checks: usize,
    /// Longest time until the health of a new task is known: the longest sum of grace period and
    /// interval of a health check. None: there are no health checks.
    pub settling: Option<Duration>,
    /// Time from SIGTERM to SIGKILL. None: left to Mesos.
    pub task_kill_grace: Option<Duration>,
}

impl Spec {
    /// Iterates over every object of labels: those of the app or pod itself, of its ports, and of
    /// the ports that its network doesn't use. The paths are those in
    /// [`Workload::path`](crate::Workload::path).
    pub fn label_objects(&self) -> impl Iterator<Item = (String, &Labels)> {
        let own = std::iter::once((self.labels_path.clone(), &self.labels));
        let ports = self.ports.iter().map(|port| (&port.path, &port.labels));
        let unused = self.unused_ports.iter().map(|port| (&port.path, &port.labels));
        own.chain(ports.chain(unused).map(|(path, labels)| (format!("{path}.labels"), labels)))
    }

    /// Drops the room for more entries that its lists have.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.labels.shrink_to_fit();
        self.ports.shrink_to_fit();
        self.ports.iter_mut().for_each(|port| port.labels.shrink_to_fit());
        self.unused_ports.shrink_to_fit();
        self.unused_ports.iter_mut().for_each(|port| port.labels.shrink_to_fit());
    }

    /// Tells whether two definitions differ in their version at most.
    pub(crate) fn differs_in_version_only(&self, other: &Self) -> bool {
        let Self {
            version: _,
            labels,
            labels_path: _,
            network,
            ports,
            unused_ports,
            health_checks,
            settling,
            task_kill_grace,
        } = self;
        *labels == other.labels
            && *network == other.network
            && *ports == other.ports
            && *unused_ports == other.unused_ports
            && *health_checks == other.health_checks
            && *settling == other.settling
            && *task_kill_grace == other.task_kill_grace
    }
}

/// A labelled port in a list that its network doesn't use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusedPort {
    /// The path of the port in [`Workload::path`](crate::Workload::path).
    pub path: String,
    /// The labels of the port.
    pub labels: Labels,
}

/// The network of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    /// The network of the agent.
    Host,
    /// A bridge on the agent, reached by ports of the agent.
    Bridge,
    /// A network with an address for each task.
    Container {
        /// The names of the networks, in order; empty in generations without names.
        networks: Vec<String>,
    },
    /// An unknown mode, of a later Marathon. Nothing in it is routable.
    Other(String),
}

/// One port of a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The index among the ports of its spec.
    pub index: usize,
    /// The name, unique in the spec of an app and in a container of a pod.
    pub name: Option<String>,
    /// Pods: the container that has the port.
    pub container: Option<String>,
    /// The path of the port in [`Workload::path`](crate::Workload::path):
    /// `container.docker.portMappings[0]`.
    pub path: String,
    /// The protocols that are tcp or udp. `udp,tcp` is both.
    pub protocols: Vec<Protocol>,
    /// Any other protocols, such as `http`.
    pub other_protocols: Vec<String>,
    /// The port in the container. None on the network of the agent. 0 stands for the port that is
    /// allocated on the agent.
    pub container_port: Option<u16>,
    /// The address that the port is reached at.
    pub scope: Scope,
    /// The port of the agent that each task has to get. None: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<u16>,
    /// The task (pods: this container) has a health check.
    pub checked: bool,
    /// The labels of the port.
    pub labels: Labels,
}

/// The address that a port is reached at. Marathon's own `network-scope` in the Mesos
/// `DiscoveryInfo` follows the same rule (`PortDiscovery.scala`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// The address of the agent, at a port that is allocated for each task.
    Host,
    /// The task's own address, at the container port.
    Container {
        /// The names of the networks of the port; empty: all networks of the task.
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
