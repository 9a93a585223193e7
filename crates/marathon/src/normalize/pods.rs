//! Conversion of a pod from Marathon's JSON to a workload.
//!
//! The status has only names and allocated ports of endpoints; labels, protocols and container
//! ports are in the definition. The two are joined by the names of container and endpoint, never by
//! position, since the status has an order of its own (`PodStatusConversion.scala`).

use std::net::IpAddr;
use std::sync::Arc;

use super::assembly::Assembly;
use super::health;
use super::ports::{
    container_behind, container_endpoint, declared_mode, host_endpoint, split_protocols,
};
use crate::model::{
    ContainerStatus, EndpointStatus, PodContainer, PodEndpoint, PodInstance, PodSpec,
};
use crate::{
    Endpoint, Health, Instance, InstanceSpec, Kind, NetworkMode, Port, Scope, Spec, TaskState,
    Time, Timestamp, Unroutable, Workload,
};

/// Converts a definition. `prefix` is its path within the workload: `spec.` or empty.
pub(crate) fn pod_spec(pod: &PodSpec, prefix: &str) -> Spec {
    let network = declared_mode(&pod.networks);
    let mut ports = Vec::new();
    for (c, container) in pod.containers.iter().enumerate() {
        for (e, endpoint) in container.endpoints.iter().enumerate() {
            let path = format!("{prefix}containers[{c}].endpoints[{e}]");
            ports.push(pod_port(ports.len(), path, container, endpoint, &network));
        }
    }
    let checks = || pod.containers.iter().filter_map(|container| container.health_check.as_ref());
    let graces = pod.containers.iter().filter_map(|c| c.lifecycle.kill_grace_period);
    Spec {
        version: pod.version,
        labels: pod.labels.clone(),
        labels_path: format!("{prefix}labels"),
        network,
        ports,
        unused_ports: Vec::new(),
        health_checks: checks().count(),
        settling: health::settling_time(checks()),
        task_kill_grace: graces.max(),
    }
}

fn pod_port(
    index: usize,
    path: String,
    container: &PodContainer,
    endpoint: &PodEndpoint,
    network: &NetworkMode,
) -> Port {
    let (protocols, other_protocols) =
        split_protocols(endpoint.protocol.iter().map(String::as_str));
    let scope = if endpoint.host_port.is_some() || *network == NetworkMode::Host {
        Scope::Host
    } else {
        Scope::Container { networks: endpoint.network_names.clone() }
    };
    Port {
        index,
        name: endpoint.name.clone(),
        container: container.name.clone(),
        path,
        protocols,
        other_protocols,
        container_port: endpoint.container_port,
        scope,
        required: None,
        checked: container.health_check.is_some(),
        labels: endpoint.labels.clone(),
    }
}

/// Converts a pod with its instances. `instances` is None if there is only the definition.
pub(crate) fn pod_workload(
    id: String,
    path: String,
    spec: Spec,
    instances: Option<&[PodInstance]>,
    assembly: &mut Assembly<'_>,
) -> Workload {
    let instances = instances.and_then(|listed| {
        assembly
            .build_instances(listed, |listed, assembly| pod_instance(&id, listed, &spec, assembly))
    });
    Workload {
        kind: Kind::Pod,
        path,
        tasks_known: instances.is_some(),
        instances: instances.unwrap_or_default(),
        deploying: false,
        suspended: false,
        damaged: false,
        spec: Arc::new(spec),
        id: id.into(),
    }
}

fn pod_instance(
    pod_id: &str,
    listed: &PodInstance,
    current: &Spec,
    assembly: &Assembly<'_>,
) -> Option<Instance> {
    let version = listed.spec_reference.as_deref().and_then(parse_reference);
    let of_version = match version {
        Some(version) if current.version != Some(version) => {
            match assembly.spec_of(Kind::Pod, pod_id, version) {
                // Ports are joined by name, so the current definition is safe to use.
                InstanceSpec::Gone(_) => InstanceSpec::Current,
                earlier => earlier,
            }
        }
        _ => InstanceSpec::Current,
    };
    let own = of_version.or_current(current);
    let (port_health, endpoints): (Vec<_>, Vec<_>) = own
        .into_iter()
        .flat_map(|spec| spec.ports.iter().map(|port| (&spec.network, port)))
        .take(caps::PORTS)
        .map(|(network, port)| (port_health(listed, port), locate_port(network, listed, port)))
        .unzip();
    Some(Instance {
        id: listed.id.clone()?,
        host: listed.agent_hostname.clone(),
        state: pod_state(listed),
        health: if own.is_some() { health::worst_health(&port_health) } else { Health::Unknown },
        ready: true,
        last_success: None,
        started: started_at(listed).map(Time::from),
        version,
        endpoints: endpoints.into(),
        port_health: port_health.into(),
        spec: of_version,
    })
}

/// Returns when the last of its running containers started; if none runs, when the last of those
/// that are about to was staged.
fn started_at(listed: &PodInstance) -> Option<Timestamp> {
    let latest = |states: &[&str]| {
        let of_state = listed.containers.iter().filter(|container| {
            container.status.as_deref().is_some_and(|status| states.contains(&status))
        });
        of_state.filter_map(|container| container.status_since).max()
    };
    latest(&["TASK_RUNNING"]).or_else(|| latest(&["TASK_STAGING", "TASK_STARTING"]))
}

/// Parses the version in `/v2/pods/db::versions/2019-05-21T10:43:34.737Z`.
fn parse_reference(reference: &str) -> Option<Timestamp> {
    reference.rsplit_once("::versions/")?.1.parse().ok()
}

/// Derives the state of an instance from those of its containers. Its own status is less precise:
/// `TERMINAL` may also mean being killed, and `DEGRADED` unhealthy or unreachable.
fn pod_state(listed: &PodInstance) -> TaskState {
    let states = listed.containers.iter().filter_map(|container| container.status.as_deref());
    let states: Vec<_> = states.map(TaskState::from_mesos_name).collect();
    for decisive in [TaskState::Killing, TaskState::Unreachable] {
        if states.contains(&decisive) {
            return decisive;
        }
    }
    let all = |state: &TaskState| states.iter().all(|other| other == state);
    match (states.first(), listed.status.as_deref()) {
        (Some(first), _) if all(first) => first.clone(),
        (Some(_), _) if states.iter().all(TaskState::is_terminal) => states[0].clone(),
        (_, Some("PENDING" | "STAGING") | None) => TaskState::Staging,
        (_, Some("STABLE" | "DEGRADED")) => TaskState::Running,
        (_, Some("TERMINAL")) => TaskState::Terminal("TERMINAL".to_owned()),
        (_, Some(other)) => TaskState::Other(other.to_owned()),
    }
}

fn find_container<'a>(listed: &'a PodInstance, port: &Port) -> Option<&'a ContainerStatus> {
    listed.containers.iter().find(|status| status.name.is_some() && status.name == port.container)
}

fn find_endpoint<'a>(status: &'a ContainerStatus, port: &Port) -> Option<&'a EndpointStatus> {
    status.endpoints.iter().find(|endpoint| endpoint.name.is_some() && endpoint.name == port.name)
}

fn port_health(listed: &PodInstance, port: &Port) -> Health {
    match find_container(listed, port) {
        _ if !port.checked => Health::NoChecks,
        None => Health::Unknown,
        Some(status) => health::container_health(
            status,
            find_endpoint(status, port).and_then(|found| found.healthy),
        ),
    }
}

fn locate_port(
    network: &NetworkMode,
    listed: &PodInstance,
    port: &Port,
) -> Result<Endpoint, Unroutable> {
    if let NetworkMode::Other(mode) = network {
        return Err(Unroutable::NetworkMode(mode.clone()));
    }
    let status = find_container(listed, port).ok_or(Unroutable::Inactive)?;
    if status.endpoints.is_empty() {
        return Err(Unroutable::Inactive);
    }
    let found = find_endpoint(status, port).ok_or(Unroutable::NotListed)?;
    match &port.scope {
        Scope::Host => {
            let behind =
                container_behind(network, &instance_addresses(listed, &[]), port.container_port);
            host_endpoint(listed.agent_hostname.as_deref(), found.allocated_host_port, behind)
        }
        Scope::Container { .. } if *network == NetworkMode::Bridge => Err(Unroutable::Unpublished),
        Scope::Container { networks } => {
            container_endpoint(&instance_addresses(listed, networks), port.container_port)
        }
    }
}

/// Returns the addresses of an instance in the given networks; in all networks if none is given.
fn instance_addresses(listed: &PodInstance, networks: &[String]) -> Vec<IpAddr> {
    let wanted = listed.networks.iter().filter(|network| {
        networks.is_empty() || network.name.as_ref().is_some_and(|name| networks.contains(name))
    });
    let addresses = wanted.flat_map(|network| network.addresses.iter().copied().flatten());
    addresses.take(caps::ADDRESSES).collect()
}
