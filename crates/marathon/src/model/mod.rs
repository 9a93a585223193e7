//! Marathon's own JSON, of every generation from 0.11 to 1.11, as far as the network, the health
//! and the version of a task go. Everything is optional here: what a generation doesn't have is
//! absent or null, and what it has beyond this is skipped. The names are those of Marathon's API.

mod app;
mod health;
mod network;
mod pod;
mod task;

pub(crate) use app::{App, Group, Present};
pub(crate) use health::{HealthCheck, HealthCheckResult, ReadinessCheckResult};
pub(crate) use network::{Container, DiscoveryPort, Network, PortDefinition, PortMapping};
pub(crate) use pod::{
    ContainerStatus, EndpointStatus, PodContainer, PodEndpoint, PodInstance, PodSpec, PodStatus,
};
pub(crate) use task::Task;
