//! Conversion of deprecated fields to those of Marathon 1.5.
//!
//! The rules are those of `api/v2/AppNormalization.scala`, with its `NetworkTranslation`.

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::spec::Object;

/// Rewrites deprecated fields of an app or of a partial update; adds no defaults.
pub(super) fn migrate_app(app: &mut Object) -> Result<(), Refusal> {
    // Marathon treats null as absent.
    app.retain(|_, value| !value.is_null());
    let address = app.remove("ipAddress");
    let docker_network = take_docker_network(app)?;
    if docker_network.is_some() && app.contains_key("networks") {
        let error = "must not specify both container.docker.network and networks";
        return Err(Refusal::single("/", error));
    }
    if address.is_some() && app.contains_key("networks") {
        return Err(Refusal::single("/", "must not specify both networks and ipAddress"));
    }
    if let Some(network) = translate_network(address.as_ref(), docker_network.as_deref()) {
        app.insert("networks".to_owned(), json!([network]));
    }
    if let Some(address) = address {
        app.entry("container").or_insert_with(|| json!({"type": "MESOS"}));
        move_discovery(app, &address)?;
    }
    move_docker_port_mappings(app)?;
    if let Some(ports) = app.remove("ports") {
        let ports = ports.as_array().cloned().unwrap_or_default();
        let definitions = ports.iter().map(|port| json!({"port": port})).collect();
        app.entry("portDefinitions").or_insert(Value::Array(definitions));
    }
    if let Some(uris) = app.remove("uris") {
        let uris = uris.as_array().cloned().unwrap_or_default();
        let fetch = uris.iter().map(|uri| json!({"uri": uri})).collect();
        app.entry("fetch").or_insert(Value::Array(fetch));
    }
    // Fields that only a server sets.
    for key in ["version", "versionInfo", "tasks", "deployments", "lastTaskFailure", "storeUrls"] {
        app.remove(key);
    }
    app.retain(|key, _| !COUNTS.contains(&key.as_str()));
    Ok(())
}

const COUNTS: [&str; 4] = ["tasksStaged", "tasksRunning", "tasksHealthy", "tasksUnhealthy"];

fn take_docker_network(app: &mut Object) -> Result<Option<String>, Refusal> {
    let docker = app.get_mut("container").and_then(|container| container.get_mut("docker"));
    let Some(network) = docker.and_then(Value::as_object_mut).and_then(|d| d.remove("network"))
    else {
        return Ok(None);
    };
    match network.as_str() {
        Some("HOST" | "BRIDGE" | "USER") => Ok(network.as_str().map(str::to_owned)),
        None if network.is_null() => Ok(None),
        _ => Err(Refusal::single(
            "/container/docker/network",
            format!("{network} is no docker network"),
        )),
    }
}

fn translate_network(address: Option<&Value>, docker_network: Option<&str>) -> Option<Value> {
    let mode = match (docker_network, address) {
        (Some("HOST"), _) => "host",
        (Some("BRIDGE"), _) => "container/bridge",
        (Some(_), _) | (None, Some(_)) => "container",
        (None, None) => return None,
    };
    let mut network = json!({"mode": mode});
    let wanted = |key: &str| address.and_then(|address| address.get(key)).filter(|v| !v.is_null());
    if mode == "container" {
        // Marathon takes the name from `--default_network_name`, which is dcos in practice.
        network["name"] = wanted("networkName").cloned().unwrap_or_else(|| json!("dcos"));
    }
    if let Some(labels) = wanted("labels").filter(|labels| **labels != json!({})) {
        network["labels"] = labels.clone();
    }
    Some(network)
}

fn move_discovery(app: &mut Object, address: &Value) -> Result<(), Refusal> {
    let discovered = address.pointer("/discovery/ports").and_then(Value::as_array);
    let (Some(ports), Some(container)) =
        (discovered.filter(|ports| !ports.is_empty()), app.get_mut("container"))
    else {
        return Ok(());
    };
    if container.get("type").and_then(Value::as_str) == Some("DOCKER") {
        let error = "ipAddress/discovery is not allowed for Docker containers";
        return Err(Refusal::single("/ipAddress", error));
    }
    let mapping = |port: &Value| {
        let mut mapping = json!({"containerPort": port.get("number").unwrap_or(&Value::Null)});
        for key in ["name", "protocol", "labels"] {
            if let Some(value) = port.get(key) {
                mapping[key] = value.clone();
            }
        }
        mapping
    };
    let mappings = ports.iter().map(mapping).collect();
    if let Some(container) = container.as_object_mut() {
        container.insert("portMappings".to_owned(), Value::Array(mappings));
    }
    Ok(())
}

fn move_docker_port_mappings(app: &mut Object) -> Result<(), Refusal> {
    let Some(container) = app.get_mut("container").and_then(Value::as_object_mut) else {
        return Ok(());
    };
    container.retain(|_, value| !value.is_null());
    let Some(docker) = container.get_mut("docker").and_then(Value::as_object_mut) else {
        return Ok(());
    };
    let Some(mappings) = docker.remove("portMappings").filter(|mappings| !mappings.is_null())
    else {
        return Ok(());
    };
    let is_some = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
    if !container.get("portMappings").is_some_and(is_some) {
        container.insert("portMappings".to_owned(), mappings);
    } else if is_some(&mappings) {
        let error = "cannot specify both portMappings and docker.portMappings";
        return Err(Refusal::single("/container", error));
    }
    Ok(())
}
