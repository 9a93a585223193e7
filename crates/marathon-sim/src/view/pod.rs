//! JSON of pods and their status (`core/pod/impl/PodStatusConversion.scala`).

use serde_json::{Value, json};

use super::task::agent_id;
use crate::config::Generation;
use crate::definition::{Network, Spec};
use crate::store::{Entry, Instance, Store, Task, TaskState};
use crate::time::Timestamp;

/// Formats a time: pods of 1.4 and 1.5 omit trailing zeros.
fn pod_time(time: Timestamp, generation: Generation) -> Value {
    match generation {
        Generation::V1_4 | Generation::V1_5 => Value::String(time.to_trimmed()),
        _ => time.into(),
    }
}

/// Returns the definition of a pod.
pub(crate) fn pod_definition(spec: &Spec, generation: Generation) -> Value {
    let mut pod = spec.source.clone();
    pod.insert("version".to_owned(), pod_time(spec.version, generation));
    Value::Object(pod)
}

/// Returns a pod with its instances. Its `spec` is the latest version, whatever its instances run
/// by.
pub(crate) fn pod_status(store: &Store, entry: &Entry) -> Value {
    let instances: Vec<&Instance> = store.instances_of(&entry.spec.id).collect();
    let stable = instances.iter().filter(|instance| instance.is_healthy()).count();
    let status = if stable == entry.spec.instances { "STABLE" } else { "DEGRADED" };
    let since = instances.iter().map(|instance| last_change(instance)).max();
    let since = pod_time(since.unwrap_or(entry.spec.version), store.generation);
    json!({
        "id": entry.spec.id,
        "spec": pod_definition(&entry.spec, store.generation),
        "status": status,
        "statusSince": since,
        "instances": instances.iter().map(|i| pod_instance(store, i)).collect::<Vec<Value>>(),
        "terminationHistory": [],
        "lastUpdated": since,
        "lastChanged": since,
    })
}

/// Returns the time when the state of one of its tasks last changed.
fn last_change(instance: &Instance) -> Timestamp {
    instance.tasks.iter().map(|task| task.since).max().unwrap_or(instance.staged_at)
}

/// Returns one instance of a pod.
pub(crate) fn pod_instance(store: &Store, instance: &Instance) -> Value {
    let (generation, spec) = (store.generation, &instance.spec);
    let agent = &store.agents[instance.agent];
    let since = pod_time(last_change(instance), generation);
    let containers = spec.containers.iter().zip(&instance.tasks);
    let containers = containers.map(|(c, task)| container_status(c, task, generation));
    let mut status = json!({
        "id": instance.id,
        "status": instance_status(instance),
        "statusSince": since,
        "conditions": [],
        "agentHostname": agent.hostname,
        "networks": pod_networks(store, instance),
        "containers": containers.collect::<Vec<Value>>(),
        "specReference": format!("/v2/pods{}::versions/{}", spec.id, spec.version),
        "localVolumes": [],
        "lastUpdated": since,
        "lastChanged": since,
    });
    if generation >= Generation::V1_5 {
        status["agentId"] = json!(agent_id(instance.agent));
    }
    if generation >= Generation::V1_6 {
        status["role"] = json!("*");
    }
    status
}

fn instance_status(instance: &Instance) -> &'static str {
    let all = |state| instance.tasks.iter().all(|task| task.state == state);
    match () {
        () if instance.is_ending() => "TERMINAL",
        () if instance.is_healthy() => "STABLE",
        () if all(TaskState::Running) => "DEGRADED",
        () => "STAGING",
    }
}

fn pod_networks(store: &Store, instance: &Instance) -> Value {
    let address = instance.address.unwrap_or(store.agents[instance.agent].address);
    let addresses = json!([address.to_string()]);
    match &instance.spec.network {
        Network::Container(names) => {
            // The simulator assigns one address, on the first network.
            names.iter().take(1).map(|name| json!({"name": name, "addresses": addresses})).collect()
        }
        _ => json!([{"addresses": addresses}]),
    }
}

fn container_status(
    container: &crate::definition::Container,
    task: &Task,
    generation: Generation,
) -> Value {
    let since = pod_time(task.since, generation);
    let health = task.health.first();
    let reported = health.and_then(Option::as_ref).map(|health| health.alive);
    let mut conditions = Vec::new();
    if health.is_some() && task.state == TaskState::Running {
        let reason = match reported {
            Some(_) => "health-reported-by-mesos",
            None => "health-unreported-by-mesos",
        };
        conditions.push(json!({
            "name": "healthy",
            "value": reported.unwrap_or_default().to_string(),
            "reason": reason,
            "lastChanged": since,
            "lastUpdated": since,
        }));
    }
    json!({
        "name": container.name,
        "status": task.state.name(),
        "statusSince": since,
        "containerId": task.id,
        "conditions": conditions,
        "endpoints": endpoint_statuses(container, task, reported),
        "lastUpdated": since,
        "lastChanged": since,
    })
}

/// Returns the endpoints: those with a host port first and the checked one last, as in
/// `endpointStatuses`.
fn endpoint_statuses(
    container: &crate::definition::Container,
    task: &Task,
    reported: Option<bool>,
) -> Vec<Value> {
    let mut host_ports = task.host_ports.iter();
    let checked = container.checks.first().and_then(|check| match check.probe {
        crate::definition::Probe::Tcp(target) | crate::definition::Probe::Http { target, .. } => {
            Some(target)
        }
        _ => None,
    });
    let mut endpoints: Vec<((bool, bool), Value)> = Vec::new();
    for (index, port) in container.ports.iter().enumerate() {
        let mut endpoint = json!({"name": port.name});
        if port.host_port.is_some() {
            endpoint["allocatedHostPort"] = json!(host_ports.next());
        }
        let is_checked = checked == Some(crate::definition::Target::Index(index));
        if let Some(alive) = reported.filter(|_| is_checked) {
            endpoint["healthy"] = json!(alive);
        }
        endpoints.push(((is_checked, port.host_port.is_none()), endpoint));
    }
    endpoints.sort_by_key(|(order, _)| *order);
    endpoints.into_iter().map(|(_, endpoint)| endpoint).collect()
}
