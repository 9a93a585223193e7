//! Apps and groups.

use std::time::Duration;

use jiff::Timestamp;
use serde::de::MapAccess;

use super::network::IpAddress;
use super::{
    Container, HealthCheck, Network, PodStatus, PortDefinition, ReadinessCheckResult, Task,
};
use crate::Labels;
use crate::lenient::{Field, Record, record};

#[derive(Debug, Default)]
pub(crate) struct App {
    pub(crate) id: Option<String>,
    pub(crate) version: Option<Timestamp>,
    pub(crate) version_info: VersionInfo,
    /// The number of tasks that there should be.
    pub(crate) instances: Option<u64>,
    pub(crate) labels: Labels,
    /// From 1.5.
    pub(crate) networks: Vec<Network>,
    pub(crate) container: Container,
    /// Up to 1.4, bridged apps have them, too, made from the service ports.
    pub(crate) port_definitions: Vec<PortDefinition>,
    /// Up to 1.4: the service ports.
    pub(crate) ports: Vec<Option<u16>>,
    /// On the network of the agent, tasks get the ports of the definition.
    pub(crate) require_ports: Option<bool>,
    /// From 0.14 to 1.4: in apps whose tasks have addresses of their own.
    pub(crate) ip_address: Option<IpAddress>,
    pub(crate) health_checks: Vec<HealthCheck>,
    pub(crate) readiness_checks: Vec<Present>,
    /// With `embed=apps.readiness`, while a deployment is under way.
    pub(crate) readiness_check_results: Vec<ReadinessCheckResult>,
    /// With `embed=apps.tasks`.
    pub(crate) tasks: Option<Vec<Task>>,
    pub(crate) deployments: Vec<Present>,
    pub(crate) task_kill_grace_period: Option<Duration>,
    /// It took too much memory, and is left out.
    pub(crate) outgrown: bool,
    /// A part of its definition could not be read.
    pub(crate) damaged: bool,
}

record!(workload "app" App {
    "id" => id,
    "version" => version,
    "versionInfo" => version_info,
    "instances" => instances,
    "labels" => labels,
    "networks" => networks,
    "container" => container,
    "portDefinitions" => port_definitions,
    "ports" => ports,
    "requirePorts" => require_ports,
    "ipAddress" => ip_address,
    "healthChecks" => health_checks,
    "readinessChecks" => readiness_checks,
    "readinessCheckResults" => readiness_check_results,
    "tasks" => tasks,
    "deployments" => deployments,
    "taskKillGracePeriodSeconds" => task_kill_grace_period,
});

/// The history of an app. Absent in one that was posted and never changed.
#[derive(Debug, Default)]
pub(crate) struct VersionInfo {
    /// The last version that changed more than the number of instances.
    pub(crate) last_config_change_at: Option<Timestamp>,
}

record!(VersionInfo { "lastConfigChangeAt" => last_config_change_at });

/// An object of which only the presence matters: a deployment, a readiness check.
#[derive(Debug, Default)]
pub(crate) struct Present;

impl Record for Present {
    fn read_field<'de, A: MapAccess<'de>>(
        &mut self,
        _: &str,
        field: Field<'_, A>,
    ) -> Result<(), A::Error> {
        field.skip_value()
    }
}

/// A group as in /v2/groups, with the apps and pods in it.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) id: Option<String>,
    pub(crate) apps: Option<Vec<App>>,
    pub(crate) pods: Option<Vec<PodStatus>>,
    pub(crate) groups: Option<Vec<Group>>,
}

record!(Group { "id" => id, "apps" => apps, "pods" => pods, "groups" => groups });
