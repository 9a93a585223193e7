//! Ports of apps: defaults, parsing, and the service ports that Marathon assigns.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::refusal::{Refusal, read_value};
use super::spec::{Network, Object, Port};

/// Marathon's `--local_port_min` and `--local_port_max`.
const SERVICE_PORTS: std::ops::Range<u16> = 10_000..20_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mapping {
    #[serde(default)]
    container_port: u16,
    #[serde(default)]
    host_port: Option<u16>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default = "default_protocol")]
    protocol: String,
}

#[derive(Deserialize)]
struct Definition {
    #[serde(default)]
    port: u16,
    #[serde(default)]
    name: Option<String>,
    #[serde(default = "default_protocol")]
    protocol: String,
}

fn default_protocol() -> String {
    "tcp".to_owned()
}

/// Returns the list with the app's ports: `portDefinitions` or `container.portMappings`.
fn port_list<'a>(app: &'a Object, network: &Network) -> Option<&'a Vec<Value>> {
    match network {
        Network::Host => app.get("portDefinitions")?.as_array(),
        _ => app.get("container")?.get("portMappings")?.as_array(),
    }
}

fn port_list_mut<'a>(app: &'a mut Object, network: &Network) -> Option<&'a mut Vec<Value>> {
    match network {
        Network::Host => app.get_mut("portDefinitions")?.as_array_mut(),
        _ => app.get_mut("container")?.get_mut("portMappings")?.as_array_mut(),
    }
}

fn service_key(network: &Network) -> &'static str {
    if *network == Network::Host { "port" } else { "servicePort" }
}

/// Removes ports that don't belong to the network mode, adds those that Marathon adds, and fills in
/// their fields. Until 1.4 stray `portDefinitions` stay in the definition without effect.
pub(super) fn complete_ports(app: &mut Object, network: &Network, legacy: bool) {
    let named = |port: Value| {
        let mut port = port;
        if !legacy {
            port["name"] = json!("default");
        }
        json!([port])
    };
    if *network == Network::Host {
        if let Some(container) = app.get_mut("container").and_then(Value::as_object_mut) {
            container.remove("portMappings");
        }
        app.entry("portDefinitions").or_insert_with(|| named(json!({"port": 0})));
    } else {
        let strays = app.get("portDefinitions").and_then(Value::as_array).map_or(0, Vec::len);
        let container = app.entry("container").or_insert_with(|| json!({"type": "MESOS"}));
        if let Some(container) = container.as_object_mut() {
            let mappings = container.entry("portMappings").or_insert_with(|| {
                if legacy { json!([]) } else { named(json!({"containerPort": 0})) }
            });
            if let Some(mappings) = mappings.as_array_mut().filter(|_| !legacy) {
                let missing = strays.saturating_sub(mappings.len());
                mappings.extend(std::iter::repeat_n(json!({}), missing));
            }
        }
        if !legacy {
            app.remove("portDefinitions");
        }
    }
    for port in port_list_mut(app, network).into_iter().flatten().filter_map(Value::as_object_mut) {
        complete_port(port, network);
    }
}

fn complete_port(port: &mut Object, network: &Network) {
    port.retain(|_, value| !value.is_null());
    let mut default = |key: &str, value: Value| {
        port.entry(key).or_insert(value);
    };
    default("protocol", json!("tcp"));
    default("labels", json!({}));
    default(service_key(network), json!(0));
    if *network != Network::Host {
        default("containerPort", json!(0));
    }
    if *network == Network::Bridge {
        default("hostPort", json!(0));
    }
}

/// Parses the ports of a task, in order.
pub(super) fn parse_ports(app: &Object, network: &Network) -> Result<Vec<Port>, Refusal> {
    let fixed = app.get("requirePorts").and_then(Value::as_bool).unwrap_or_default();
    let mut ports = Vec::new();
    for value in port_list(app, network).into_iter().flatten() {
        let (name, protocol, container_port, host_port) = if *network == Network::Host {
            let Definition { port, name, protocol } = read_value(value)?;
            (name, protocol, 0, Some(if fixed { port } else { 0 }))
        } else {
            let Mapping { container_port, host_port, name, protocol } = read_value(value)?;
            (name, protocol, container_port, host_port)
        };
        let (mut tcp, mut udp) = (false, false);
        for part in protocol.split(',').map(str::trim) {
            match part {
                "tcp" => tcp = true,
                "udp" => udp = true,
                other => {
                    return Err(Refusal::single("/protocol", format!("{other} is no protocol")));
                }
            }
        }
        ports.push(Port { name, container_port, host_port, tcp, udp });
    }
    Ok(ports)
}

/// Returns the app's service ports, in the order of its ports.
pub(crate) fn service_ports(app: &Object, network: &Network) -> Vec<u16> {
    let port = |value: &Value| {
        let port = value.get(service_key(network)).and_then(Value::as_u64).unwrap_or(0);
        u16::try_from(port).unwrap_or(0)
    };
    port_list(app, network).into_iter().flatten().map(port).collect()
}

/// Assigns a service port to every port that has 0: the one it had `before`, or else a free one.
pub(crate) fn assign_service_ports(
    app: &mut Object,
    network: &Network,
    before: &[u16],
    used: &BTreeSet<u16>,
) {
    let mut taken: BTreeSet<u16> = service_ports(app, network).into_iter().collect();
    for (index, port) in port_list_mut(app, network).into_iter().flatten().enumerate() {
        let Some(port) = port.as_object_mut() else { continue };
        if port.get(service_key(network)).and_then(Value::as_u64) != Some(0) {
            continue;
        }
        let old = before.get(index).copied().filter(|old| *old != 0 && !taken.contains(old));
        let free = || SERVICE_PORTS.clone().find(|p| !taken.contains(p) && !used.contains(p));
        if let Some(chosen) = old.or_else(free) {
            taken.insert(chosen);
            port.insert(service_key(network).to_owned(), chosen.into());
        }
    }
}
