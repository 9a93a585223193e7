//! Apps: from a posted definition to the stored form, and from that to a [`Spec`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::refusal::{Refusal, read_seconds, read_value};
use super::spec::{Backoff, Command, Container, Network, Object, Spec, Upgrade};
use super::{health, migrate, ports, validate};
use crate::config::Generation;
use crate::time::Timestamp;

/// Reads a complete definition as that of `id`.
pub(crate) fn create_app(
    id: &str,
    mut app: Object,
    generation: Generation,
) -> Result<Spec, Refusal> {
    migrate::migrate_app(&mut app)?;
    finish_app(id, app, generation)
}

/// Reads a partial update: its fields replace those of the stored form `base`.
pub(crate) fn update_app(
    id: &str,
    base: &Object,
    mut change: Object,
    generation: Generation,
) -> Result<Spec, Refusal> {
    migrate::migrate_app(&mut change)?;
    let mut app = base.clone();
    app.extend(change);
    finish_app(id, app, generation)
}

fn finish_app(id: &str, mut app: Object, generation: Generation) -> Result<Spec, Refusal> {
    app.insert("id".to_owned(), id.into());
    let network = complete_app(&mut app, generation)?;
    validate::check_app(&app)?;
    parse_app(app, network)
}

/// Fills in Marathon's defaults (`state/AppDefinition.scala`).
fn complete_app(app: &mut Object, generation: Generation) -> Result<Network, Refusal> {
    let network = parse_network(app.get("networks"))?;
    app.entry("networks").or_insert_with(|| json!([{"mode": "host"}]));
    ports::complete_ports(app, &network, generation.is_legacy());
    let defaults = [
        ("backoffFactor", json!(1.15)),
        ("backoffSeconds", json!(1)),
        ("constraints", json!([])),
        ("cpus", json!(1)),
        ("dependencies", json!([])),
        ("disk", json!(0)),
        ("env", json!({})),
        ("executor", json!("")),
        ("fetch", json!([])),
        ("gpus", json!(0)),
        ("healthChecks", json!([])),
        ("instances", json!(1)),
        ("labels", json!({})),
        ("maxLaunchDelaySeconds", json!(if generation >= Generation::V1_6 { 300 } else { 3600 })),
        ("mem", json!(128)),
        ("readinessChecks", json!([])),
        ("requirePorts", json!(false)),
        ("upgradeStrategy", json!({"minimumHealthCapacity": 1, "maximumOverCapacity": 1})),
    ];
    for (key, default) in defaults {
        app.entry(key).or_insert(default);
    }
    if let Some(checks) = app.get_mut("healthChecks").and_then(Value::as_array_mut) {
        checks.iter_mut().filter_map(Value::as_object_mut).for_each(health::complete_check);
    }
    if network != Network::Host {
        app.insert("requirePorts".to_owned(), json!(false));
    }
    complete_container(app);
    Ok(network)
}

fn complete_container(app: &mut Object) {
    let Some(container) = app.get_mut("container").and_then(Value::as_object_mut) else { return };
    container.entry("volumes").or_insert_with(|| json!([]));
    let Some(docker) = container.get_mut("docker").and_then(Value::as_object_mut) else {
        container.entry("type").or_insert_with(|| json!("MESOS"));
        return;
    };
    docker.retain(|_, value| !value.is_null());
    for (key, default) in
        [("forcePullImage", json!(false)), ("parameters", json!([])), ("privileged", json!(false))]
    {
        docker.entry(key).or_insert(default);
    }
    container.entry("type").or_insert_with(|| json!("DOCKER"));
}

/// Parses the network mode of a `networks` list. Modes can't be mixed; an empty list means host.
pub(super) fn parse_network(networks: Option<&Value>) -> Result<Network, Refusal> {
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default = "container")]
        mode: String,
        #[serde(default)]
        name: Option<String>,
    }
    fn container() -> String {
        "container".to_owned()
    }
    let entries: Vec<Entry> = networks.map(read_value).transpose()?.unwrap_or_default();
    let Some(first) = entries.first() else { return Ok(Network::Host) };
    if entries.iter().any(|entry| entry.mode != first.mode) {
        return Err(Refusal::single("/networks", "modes must not be mixed"));
    }
    match first.mode.as_str() {
        "host" => Ok(Network::Host),
        "container/bridge" => Ok(Network::Bridge),
        "container" => {
            let name = |entry: Entry| entry.name.unwrap_or_else(|| "dcos".to_owned());
            Ok(Network::Container(entries.into_iter().map(name).collect()))
        }
        other => Err(Refusal::single("/networks/mode", format!("{other} is no network mode"))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    instances: usize,
    #[serde(default)]
    cmd: Option<String>,
    #[serde(default)]
    args: Option<Vec<String>>,
    env: BTreeMap<String, Value>,
    constraints: Vec<Vec<String>>,
    upgrade_strategy: Upgrade,
    backoff_seconds: f64,
    backoff_factor: f64,
    max_launch_delay_seconds: f64,
    #[serde(default)]
    task_kill_grace_period_seconds: Option<f64>,
}

/// Seconds from SIGTERM to SIGKILL, shorter than Mesos' default `--executor_shutdown_grace_period`.
pub(super) const KILL_GRACE: f64 = 3.0;

fn parse_app(app: Object, network: Network) -> Result<Spec, Refusal> {
    let source = Value::Object(app);
    let fields: Fields = read_value(&source)?;
    let Value::Object(app) = source else { return Err(Refusal::Shape("no object".to_owned())) };
    let ports = ports::parse_ports(&app, &network)?;
    let checks = app["healthChecks"].as_array().into_iter().flatten();
    let checks =
        checks.map(|check| health::parse_app_check(check, &ports)).collect::<Result<_, _>>()?;
    let image = app.get("container").and_then(|container| container.pointer("/docker/image"));
    let image = image.and_then(Value::as_str).map(str::to_owned);
    let command = match (&image, fields.cmd, fields.args) {
        (None, Some(cmd), _) => Command::Run(vec!["sh".to_owned(), "-c".to_owned(), cmd]),
        (None, None, Some(args)) if !args.is_empty() => Command::Run(args),
        _ => Command::Server,
    };
    // A value that is not a string names a secret; the simulator has none.
    let text = |(key, value): (String, Value)| Some((key, value.as_str()?.to_owned()));
    let env = fields.env.into_iter().filter_map(text).collect();
    let unique = |c: &Vec<String>| matches!(&c[..], [field, op, ..] if field == "hostname" && op == "UNIQUE");
    let backoff = Backoff {
        first: read_seconds("/backoffSeconds", fields.backoff_seconds)?,
        factor: fields.backoff_factor.max(1.0),
        most: read_seconds("/maxLaunchDelaySeconds", fields.max_launch_delay_seconds)?,
    };
    let volumes = app.get("container").and_then(|container| container.get("volumes"));
    let mut volumes = volumes.and_then(Value::as_array).into_iter().flatten();
    let resident = volumes.any(|volume| volume.get("persistent").is_some_and(Value::is_object));
    let grace = fields.task_kill_grace_period_seconds.unwrap_or(KILL_GRACE);
    Ok(Spec {
        id: app["id"].as_str().unwrap_or_default().to_owned(),
        version: Timestamp::now(),
        instances: fields.instances,
        pod: false,
        network,
        containers: vec![Container { name: None, image, command, env, ports, checks }],
        upgrade: fields.upgrade_strategy,
        unique_hosts: fields.constraints.iter().any(unique),
        resident,
        kill_grace: read_seconds("/taskKillGracePeriodSeconds", grace)?,
        backoff,
        source: app,
    })
}
