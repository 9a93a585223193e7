//! JSON of app definitions until 1.4 (`api/v2/json/Formats.scala` of v1.1, v1.4).

use serde_json::{Value, json};

use crate::config::Generation;
use crate::definition::{Network, Object, Spec, service_ports};

/// Converts the stored form of an app.
pub(super) fn legacy_app(mut app: Object, spec: &Spec, generation: Generation) -> Object {
    let networks = app.remove("networks").unwrap_or_default();
    let ports = service_ports(&app, &spec.network);
    let address = move_network(&mut app, spec, &networks[0], generation);
    // Tasks with addresses of their own have no ports on the agent; 1.4 omits these.
    if generation == Generation::V1_1 || address.is_null() {
        add_ports(&mut app, &ports);
    } else {
        app.remove("portDefinitions");
        app.remove("requirePorts");
    }
    app.insert("ipAddress".to_owned(), address);
    let uri = |fetch: &Value| fetch.get("uri").cloned().unwrap_or_default();
    let uris = app["fetch"].as_array().into_iter().flatten().map(uri).collect();
    app.insert("uris".to_owned(), uris);
    app.insert("storeUrls".to_owned(), json!([]));
    let mut nulls = vec!["cmd", "args", "user", "container", "residency"];
    match generation {
        Generation::V1_1 => nulls.push("acceptedResourceRoles"),
        _ => nulls.push("taskKillGracePeriodSeconds"),
    }
    for key in nulls {
        app.entry(key).or_insert(Value::Null);
    }
    for check in app["healthChecks"].as_array_mut().into_iter().flatten() {
        if let Some(check) = check.as_object_mut() {
            check.entry("ignoreHttp1xx").or_insert(json!(false));
        }
    }
    app
}

/// Moves the network mode to the container and to `ipAddress`, and returns the latter.
fn move_network(app: &mut Object, spec: &Spec, network: &Value, generation: Generation) -> Value {
    let mut mappings = json!([]);
    let mut empty = false;
    let mut in_docker = false;
    if let Some(container) = app.get_mut("container").and_then(Value::as_object_mut) {
        mappings = container.remove("portMappings").unwrap_or(mappings);
        if let Some(docker) = container.get_mut("docker").and_then(Value::as_object_mut) {
            in_docker = true;
            let mode = match spec.network {
                Network::Host => "HOST",
                Network::Bridge => "BRIDGE",
                Network::Container(_) => "USER",
            };
            docker.insert("network".to_owned(), json!(mode));
            let mappings = match (&spec.network, generation) {
                (Network::Host, Generation::V1_1) => Value::Null,
                _ => mappings.clone(),
            };
            docker.insert("portMappings".to_owned(), mappings);
        }
        empty = !in_docker && container["volumes"] == json!([]);
    }
    if empty {
        app.remove("container");
    }
    let Network::Container(_) = spec.network else { return Value::Null };
    let mut address = json!({
        "groups": [],
        "labels": network.get("labels").cloned().unwrap_or_else(|| json!({})),
        "discovery": {"ports": if in_docker { json!([]) } else { discovery_ports(&mappings) }},
    });
    // 1.1 has only one such network.
    if generation != Generation::V1_1 {
        address["networkName"] = network["name"].clone();
    }
    address
}

fn discovery_ports(mappings: &Value) -> Value {
    let port = |mapping: &Value| {
        json!({
            "number": mapping["containerPort"],
            "name": mapping.get("name").cloned().unwrap_or_default(),
            "protocol": mapping["protocol"],
            "labels": mapping["labels"],
        })
    };
    mappings.as_array().into_iter().flatten().map(port).collect()
}

/// Adds `ports`, the service ports, and `portDefinitions` with the same ports. On a bridge these
/// are made up, with the names and labels of stray definitions if there are any.
fn add_ports(app: &mut Object, ports: &[u16]) {
    let given = app.remove("portDefinitions").unwrap_or_default();
    let definition = |(index, port): (usize, &u16)| {
        let mut definition =
            given.get(index).cloned().unwrap_or_else(|| json!({"protocol": "tcp", "labels": {}}));
        definition["port"] = json!(port);
        definition
    };
    let definitions = ports.iter().enumerate().map(definition).collect();
    app.insert("portDefinitions".to_owned(), definitions);
    app.insert("ports".to_owned(), json!(ports));
}
