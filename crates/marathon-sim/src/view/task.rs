//! JSON of tasks of apps (`Formats.scala` until 1.5, `raml/TaskConversion.scala` from 1.6 on).

use serde_json::{Value, json};

use crate::config::Generation;
use crate::definition::{Network, Object, service_ports};
use crate::store::{Health, Instance, Reservation, Store};
use crate::time::Timestamp;

/// Returns the Mesos id of an agent.
pub(crate) fn agent_id(agent: usize) -> String {
    format!("00000000-0000-4000-8000-000000000000-S{agent}")
}

/// Returns the task of an app's instance.
pub(crate) fn task_status(store: &Store, instance: &Instance) -> Value {
    Value::Object(task_fields(store, instance))
}

/// Returns a resident task that has ended, as lists show it until it is started again.
pub(crate) fn reserved_task(store: &Store, reserved: &Reservation) -> Value {
    let mut task = Object::new();
    let mut put = |key: &str, value: Value| task.insert(key.to_owned(), value);
    put("id", json!(reserved.naming.task_id(None)));
    put("appId", json!(reserved.app));
    put("host", json!(store.agents[reserved.agent].hostname));
    put("slaveId", json!(agent_id(reserved.agent)));
    if store.generation != Generation::V1_1 {
        put("state", json!("TASK_FAILED"));
    }
    if store.generation >= Generation::V1_6 {
        for list in ["ports", "servicePorts", "localVolumes", "ipAddresses", "healthCheckResults"] {
            put(list, json!([]));
        }
        put("role", json!("*"));
    }
    Value::Object(task)
}

/// Returns the task, as in `/v2/tasks`.
pub(crate) fn task_with_service_ports(store: &Store, instance: &Instance) -> Value {
    let mut task = task_fields(store, instance);
    if let Some(entry) = store.find_app(&instance.spec.id) {
        let ports = service_ports(&entry.spec.source, &entry.spec.network);
        put_list(&mut task, store.generation, "servicePorts", json!(ports));
    }
    Value::Object(task)
}

fn task_fields(store: &Store, instance: &Instance) -> Object {
    let generation = store.generation;
    let (only, agent) = (&instance.tasks[0], &store.agents[instance.agent]);
    let mut task = Object::new();
    let mut put = |key: &str, value: Value| task.insert(key.to_owned(), value);
    put("id", json!(only.id));
    put("appId", json!(instance.spec.id));
    put("host", json!(agent.hostname));
    put("slaveId", json!(agent_id(instance.agent)));
    put("ports", json!(only.host_ports));
    put("stagedAt", instance.staged_at.into());
    put("version", instance.spec.version.into());
    if generation != Generation::V1_1 {
        put("state", json!(only.state.name()));
    }
    if generation <= Generation::V1_5 || only.started_at.is_some() {
        put("startedAt", time(only.started_at));
    }
    let addresses = ip_addresses(store, instance);
    if generation == Generation::V1_1 {
        put("ipAddresses", addresses.clone());
    }
    if generation >= Generation::V1_6 {
        put("servicePorts", json!([]));
        put("localVolumes", json!([]));
        put("role", json!("*"));
    }
    put_list(&mut task, generation, "ipAddresses", addresses);
    let results =
        only.health.iter().flatten().map(|known| health_result(known, instance, generation));
    put_list(&mut task, generation, "healthCheckResults", results.collect());
    task
}

/// Returns the addresses of an instance that Mesos knows.
pub(crate) fn ip_addresses(store: &Store, instance: &Instance) -> Value {
    let address = match (&instance.spec.network, store.generation) {
        // Docker reported only addresses on user networks to Mesos then.
        (Network::Bridge, Generation::V1_1) => None,
        (Network::Host, Generation::V1_6) => Some(store.agents[instance.agent].address),
        _ => instance.address,
    };
    let entry = |address| json!({"ipAddress": address, "protocol": "IPv4"});
    address.map(|address| entry(address.to_string())).into_iter().collect()
}

/// Adds a list; from 1.6 on even if it is empty.
fn put_list(task: &mut Object, generation: Generation, key: &str, list: Value) {
    if generation >= Generation::V1_6 || list.as_array().is_some_and(|list| !list.is_empty()) {
        task.insert(key.to_owned(), list);
    }
}

fn time(time: Option<Timestamp>) -> Value {
    time.map(Value::from).unwrap_or_default()
}

fn health_result(health: &Health, instance: &Instance, generation: Generation) -> Value {
    let mut result = json!({
        "alive": health.alive,
        "consecutiveFailures": health.consecutive_failures,
        "firstSuccess": time(health.first_success),
        "lastSuccess": time(health.last_success),
        "lastFailure": time(health.last_failure),
        "lastFailureCause": health.last_failure_cause,
    });
    match generation {
        Generation::V1_1 => result["taskId"] = json!(instance.tasks[0].id),
        _ => result["instanceId"] = json!(instance.id),
    }
    if generation >= Generation::V1_6
        && let Some(result) = result.as_object_mut()
    {
        result.retain(|_, value| !value.is_null());
    }
    result
}
