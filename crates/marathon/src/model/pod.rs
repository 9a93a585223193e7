//! Pods: definitions and statuses.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{HealthCheck, Network};
use crate::Labels;
use crate::lenient::record;

/// A pod as in `/v2/pods/::status` (`podStatus.raml`).
#[derive(Debug, Default)]
pub(crate) struct PodStatus {
    pub(crate) id: Option<String>,
    /// The current definition, whatever the instances run by.
    pub(crate) spec: PodSpec,
    pub(crate) instances: Option<Vec<PodInstance>>,
    /// It took too much memory, and is left out.
    pub(crate) outgrown: bool,
    /// A part of its definition could not be read.
    pub(crate) damaged: bool,
}

record!(workload "pod" PodStatus { "id" => id, "spec" => spec, "instances" => instances });

/// A pod as in `/v2/pods` (`pod.raml`).
#[derive(Debug, Default)]
pub(crate) struct PodSpec {
    pub(crate) id: Option<String>,
    pub(crate) version: Option<Timestamp>,
    pub(crate) scaling: Scaling,
    pub(crate) labels: Labels,
    pub(crate) networks: Vec<Network>,
    pub(crate) containers: Vec<PodContainer>,
    /// It took too much memory, and is left out.
    pub(crate) outgrown: bool,
    /// A part of its definition could not be read.
    pub(crate) damaged: bool,
}

record!(workload "pod" PodSpec {
    "id" => id,
    "version" => version,
    "scaling" => scaling,
    "labels" => labels,
    "networks" => networks,
    "containers" => containers,
});

#[derive(Debug, Default)]
pub(crate) struct Scaling {
    /// The number of instances that there should be.
    pub(crate) instances: Option<u64>,
}

record!(Scaling { "instances" => instances });

#[derive(Debug, Default)]
pub(crate) struct PodContainer {
    pub(crate) name: Option<String>,
    pub(crate) health_check: Option<HealthCheck>,
    pub(crate) endpoints: Vec<PodEndpoint>,
    pub(crate) lifecycle: Lifecycle,
}

record!(PodContainer {
    "name" => name,
    "healthCheck" => health_check,
    "endpoints" => endpoints,
    "lifecycle" => lifecycle,
});

#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    pub(crate) kill_grace_period: Option<Duration>,
}

record!(Lifecycle { "killGracePeriodSeconds" => kill_grace_period });

#[derive(Debug, Default)]
pub(crate) struct PodEndpoint {
    pub(crate) name: Option<String>,
    pub(crate) container_port: Option<u16>,
    /// 0: any. Absent: none, except on the network of the agent.
    pub(crate) host_port: Option<u16>,
    /// May be absent or any text, such as `http`.
    pub(crate) protocol: Vec<String>,
    pub(crate) labels: Labels,
    pub(crate) network_names: Vec<String>,
}

record!(PodEndpoint {
    "name" => name,
    "containerPort" => container_port,
    "hostPort" => host_port,
    "protocol" => protocol,
    "labels" => labels,
    "networkNames" => network_names,
});

#[derive(Debug, Default)]
pub(crate) struct PodInstance {
    pub(crate) id: Option<Arc<str>>,
    /// `PENDING`, `STAGING`, `STABLE`, `DEGRADED`, `TERMINAL`.
    pub(crate) status: Option<String>,
    pub(crate) agent_hostname: Option<Arc<str>>,
    pub(crate) networks: Vec<PodNetwork>,
    pub(crate) containers: Vec<ContainerStatus>,
    /// `/v2/pods/db::versions/2019-05-21T10:43:34.737Z`.
    pub(crate) spec_reference: Option<String>,
}

record!(PodInstance {
    "id" => id,
    "status" => status,
    "agentHostname" => agent_hostname,
    "networks" => networks,
    "containers" => containers,
    "specReference" => spec_reference,
});

#[derive(Debug, Default)]
pub(crate) struct PodNetwork {
    /// Absent on the network of the agent.
    pub(crate) name: Option<String>,
    pub(crate) addresses: Vec<Option<IpAddr>>,
}

record!(PodNetwork { "name" => name, "addresses" => addresses });

#[derive(Debug, Default)]
pub(crate) struct ContainerStatus {
    pub(crate) name: Option<String>,
    /// A state of a task.
    pub(crate) status: Option<String>,
    /// The time when it was staged or started to run.
    pub(crate) status_since: Option<Timestamp>,
    pub(crate) conditions: Vec<Condition>,
    /// In an order of their own; empty for an inactive task.
    pub(crate) endpoints: Vec<EndpointStatus>,
}

record!(ContainerStatus {
    "name" => name,
    "status" => status,
    "statusSince" => status_since,
    "conditions" => conditions,
    "endpoints" => endpoints,
});

/// A condition. Only `healthy` is known, with the string `true` or `false`.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    pub(crate) name: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) reason: Option<String>,
}

record!(Condition { "name" => name, "value" => value, "reason" => reason });

#[derive(Debug, Default)]
pub(crate) struct EndpointStatus {
    pub(crate) name: Option<String>,
    pub(crate) allocated_host_port: Option<u16>,
    pub(crate) healthy: Option<bool>,
}

record!(EndpointStatus {
    "name" => name,
    "allocatedHostPort" => allocated_host_port,
    "healthy" => healthy,
});
