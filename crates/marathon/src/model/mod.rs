//! Marathon's JSON, of every generation from 0.11 to 1.11: the network, the health and the version
//! of tasks. Everything is optional: fields that a generation lacks are absent or null, and other
//! fields are skipped. The names are those of Marathon's API.

mod app;
mod health;
mod network;
mod pod;
mod task;

pub(crate) use app::{App, Group};
pub(crate) use health::{HealthCheck, HealthCheckResult, ReadinessCheckResult};
pub(crate) use network::{Container, DiscoveryPort, Network, PortDefinition, PortMapping};
pub(crate) use pod::{
    ContainerStatus, EndpointStatus, PodContainer, PodEndpoint, PodInstance, PodSpec, PodStatus,
};
pub(crate) use task::Task;
