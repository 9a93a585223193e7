//! Tasks of apps.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::HealthCheckResult;
use crate::TaskState;
use crate::lenient::{FromJson, record};

/// A task of an app. An inactive one has only id, host, addresses and state.
#[derive(Debug, Default)]
pub(crate) struct Task {
    pub(crate) id: Option<Arc<str>>,
    pub(crate) host: Option<Arc<str>>,
    /// The allocated ports of the agent. None for an element that isn't a port.
    pub(crate) ports: Vec<Option<u16>>,
    pub(crate) ip_addresses: Vec<TaskAddress>,
    pub(crate) staged_at: Option<Timestamp>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) version: Option<Timestamp>,
    /// From 1.1.2, as `TASK_RUNNING`.
    pub(crate) state: Option<TaskState>,
    pub(crate) health_check_results: Vec<HealthCheckResult>,
}

record!(Task {
    "id" => id,
    "host" => host,
    "ports" => ports,
    "ipAddresses" => ip_addresses,
    "stagedAt" => staged_at,
    "startedAt" => started_at,
    "version" => version,
    "state" => state,
    "healthCheckResults" => health_check_results,
});

#[derive(Debug, Default)]
pub(crate) struct TaskAddress {
    pub(crate) ip_address: Option<IpAddr>,
}

record!(TaskAddress { "ipAddress" => ip_address });

impl FromJson for Option<TaskState> {
    const EXPECTED: &'static str = "a string";

    fn from_text(found: &str) -> Option<Self> {
        Some(Some(TaskState::from_mesos_name(found)))
    }
}
