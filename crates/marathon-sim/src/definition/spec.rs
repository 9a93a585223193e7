//! Stored definitions, parsed as far as tasks need it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::check::Check;
use crate::time::Timestamp;

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// One version of an app or a pod. It is immutable: a change makes a new version.
#[derive(Debug)]
pub(crate) struct Spec {
    /// The absolute path.
    pub(crate) id: String,
    pub(crate) version: Timestamp,
    /// The stored form, without `version`.
    pub(crate) source: Object,
    pub(crate) instances: usize,
    pub(crate) pod: bool,
    pub(crate) network: Network,
    /// One container for an app.
    pub(crate) containers: Vec<Container>,
    pub(crate) upgrade: Upgrade,
    pub(crate) unique_hosts: bool,
    /// It has a persistent volume: its tasks are started again where they were.
    pub(crate) resident: bool,
    /// Time from SIGTERM to SIGKILL.
    pub(crate) kill_grace: Duration,
    pub(crate) backoff: Backoff,
}

/// The network of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Network {
    /// The network of the agent.
    Host,
    /// A bridge, reached by host ports of the agent; only the agent can reach the address of the
    /// task.
    Bridge,
    /// Networks of these names, with an address for each task.
    Container(Vec<String>),
}

#[derive(Debug, Clone)]
pub(crate) struct Container {
    /// The name, in a pod.
    pub(crate) name: Option<String>,
    pub(crate) image: Option<String>,
    pub(crate) command: Command,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) ports: Vec<Port>,
    pub(crate) checks: Vec<Check>,
}

/// The command of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// The built-in server, in place of an image.
    Server,
    /// A program on this machine.
    Run(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) name: Option<String>,
    /// The port in the container. 0: the same as the host port.
    pub(crate) container_port: u16,
    /// The port on the agent. None: none. 0: any.
    pub(crate) host_port: Option<u16>,
    pub(crate) tcp: bool,
    pub(crate) udp: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Upgrade {
    /// Share of the instances that stay healthy while versions change, 0 to 1.
    pub(crate) minimum_health_capacity: f64,
    /// Share of the instances that may run on top while versions change, 0 to 1.
    pub(crate) maximum_over_capacity: f64,
}

impl Default for Upgrade {
    fn default() -> Self {
        Self { minimum_health_capacity: 1.0, maximum_over_capacity: 1.0 }
    }
}

/// The delay before a failed task is restarted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) factor: f64,
    pub(crate) most: Duration,
}

impl Backoff {
    /// Returns the delay after this number of failures in a row.
    pub(crate) fn delay_after(&self, failures: u32) -> Duration {
        let power = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let wanted = self.first.as_secs_f64() * self.factor.powi(power);
        Duration::try_from_secs_f64(wanted).unwrap_or(self.most).min(self.most)
    }
}

impl Spec {
    /// Copies the definition as another version.
    pub(crate) fn with_version(self: &Arc<Self>, version: Timestamp) -> Self {
        Self {
            id: self.id.clone(),
            version,
            source: self.source.clone(),
            network: self.network.clone(),
            containers: self.containers.clone(),
            ..**self
        }
    }

    /// Tells whether `other` differs in the number of instances at most.
    pub(crate) fn is_scaling_of(&self, other: &Self) -> bool {
        let but_instances = |source: &Object| {
            let mut source = source.clone();
            source.remove(if self.pod { "scaling" } else { "instances" });
            source
        };
        self.pod == other.pod && but_instances(&self.source) == but_instances(&other.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_grows_to_its_limit_and_never_overflows() {
        let backoff =
            Backoff { first: Duration::from_secs(1), factor: 2.0, most: Duration::from_secs(60) };
        let delays: Vec<u64> =
            [1, 2, 3, 9, u32::MAX].map(|n| backoff.delay_after(n).as_secs()).into();
        assert_eq!(delays, [1, 2, 4, 60, 60]);
    }
}
