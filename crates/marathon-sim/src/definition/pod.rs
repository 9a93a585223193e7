//! Pods: from a posted definition to a [`Spec`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::refusal::{Refusal, read_seconds, read_value};
use super::spec::{Backoff, Command, Container, Object, Port, Spec, Upgrade};
use super::{app, health, validate};
use crate::time::Timestamp;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    #[serde(default)]
    scaling: Option<Scaling>,
    containers: Vec<PostedContainer>,
    #[serde(default)]
    environment: BTreeMap<String, Value>,
    #[serde(default)]
    scheduling: Scheduling,
}

#[derive(Deserialize)]
struct Scaling {
    instances: usize,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Scheduling {
    upgrade: Upgrade,
    kill_grace_period_seconds: Option<f64>,
    placement: Placement,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Placement {
    constraints: Vec<Constraint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Constraint {
    field_name: String,
    operator: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostedContainer {
    name: String,
    #[serde(default)]
    image: Option<Image>,
    #[serde(default)]
    exec: Option<Value>,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
    #[serde(default)]
    environment: BTreeMap<String, Value>,
    #[serde(default)]
    health_check: Option<Value>,
}

#[derive(Deserialize)]
struct Image {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    name: String,
    #[serde(default)]
    container_port: Option<u16>,
    #[serde(default)]
    host_port: Option<u16>,
    #[serde(default)]
    protocol: Vec<String>,
}

/// Reads a definition as that of `id`.
pub(crate) fn create_pod(id: &str, mut pod: Object) -> Result<Spec, Refusal> {
    pod.retain(|_, value| !value.is_null());
    pod.remove("version");
    pod.insert("id".to_owned(), id.into());
    pod.entry("networks").or_insert_with(|| json!([{"mode": "host"}]));
    pod.entry("scaling").or_insert_with(|| json!({"kind": "fixed", "instances": 1}));
    validate::check_labels("/labels", pod.get("labels"))?;
    let network = app::parse_network(pod.get("networks"))?;
    let source = Value::Object(pod);
    let posted: Posted = read_value(&source)?;
    let Value::Object(source) = source else { return Err(Refusal::Shape("no object".to_owned())) };
    if posted.containers.is_empty() {
        return Err(Refusal::single("/containers", "must not be empty"));
    }
    let environment = &posted.environment;
    let containers = posted.containers.into_iter().map(|c| parse_container(c, environment));
    let grace = posted.scheduling.kill_grace_period_seconds.unwrap_or(app::KILL_GRACE);
    let unique = |c: &Constraint| c.field_name == "hostname" && c.operator == "UNIQUE";
    Ok(Spec {
        id: id.to_owned(),
        version: Timestamp::now(),
        instances: posted.scaling.map_or(1, |scaling| scaling.instances),
        pod: true,
        network,
        containers: containers.collect::<Result<_, _>>()?,
        upgrade: posted.scheduling.upgrade,
        resident: false,
        unique_hosts: posted.scheduling.placement.constraints.iter().any(unique),
        kill_grace: read_seconds("/scheduling/killGracePeriodSeconds", grace)?,
        backoff: Backoff {
            first: Duration::from_secs(1),
            factor: 1.15,
            most: Duration::from_secs(300),
        },
        source,
    })
}

fn parse_container(
    posted: PostedContainer,
    environment: &BTreeMap<String, Value>,
) -> Result<Container, Refusal> {
    let ports: Vec<Port> = posted.endpoints.into_iter().map(parse_port).collect();
    let check = posted.health_check.filter(|check| !check.is_null());
    let checks =
        check.iter().map(|c| health::parse_pod_check(c, &ports)).collect::<Result<_, _>>()?;
    let shell = posted.exec.as_ref().and_then(|exec| exec.pointer("/command/shell"));
    let command = match (&posted.image, shell.and_then(Value::as_str)) {
        (None, Some(shell)) => {
            Command::Run(vec!["sh".to_owned(), "-c".to_owned(), shell.to_owned()])
        }
        _ => Command::Server,
    };
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    let env = environment.iter().chain(&posted.environment).filter_map(text).collect();
    let image = posted.image.map(|image| image.id);
    Ok(Container { name: Some(posted.name), image, command, env, ports, checks })
}

/// Parses a port. Protocols other than tcp and udp are allowed and ignored; the default is tcp.
fn parse_port(endpoint: Endpoint) -> Port {
    let has = |protocol: &str| endpoint.protocol.iter().any(|p| p == protocol);
    Port {
        tcp: has("tcp") || !has("udp"),
        udp: has("udp"),
        name: Some(endpoint.name),
        container_port: endpoint.container_port.unwrap_or(0),
        host_port: endpoint.host_port,
    }
}
