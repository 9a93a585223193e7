//! Parsing of posted health checks.

use serde::Deserialize;
use serde_json::Value;

use super::check::{Check, Probe, Target};
use super::refusal::{Refusal, read_seconds, read_value};
use super::spec::{Object, Port};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    #[serde(default = "default_protocol")]
    protocol: String,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    port_index: Option<usize>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    command: Option<PostedCommand>,
    #[serde(default = "default_grace")]
    grace_period_seconds: f64,
    #[serde(default = "default_interval")]
    interval_seconds: f64,
    #[serde(default = "default_timeout")]
    timeout_seconds: f64,
    #[serde(default = "default_failures")]
    max_consecutive_failures: u32,
    #[serde(default, rename = "ignoreHttp1xx")]
    ignore_1xx: bool,
}

#[derive(Deserialize)]
struct PostedCommand {
    value: String,
}

fn default_protocol() -> String {
    "HTTP".to_owned()
}

fn default_grace() -> f64 {
    300.0
}

fn default_interval() -> f64 {
    60.0
}

fn default_timeout() -> f64 {
    20.0
}

fn default_failures() -> u32 {
    3
}

/// Fills in Marathon's defaults (`core/health/HealthCheck.scala`).
pub(super) fn complete_check(check: &mut Object) {
    let protocol = check.entry("protocol").or_insert_with(|| default_protocol().into()).clone();
    check.retain(|_, value| !value.is_null());
    let defaults = [
        ("gracePeriodSeconds", 300.into()),
        ("intervalSeconds", 60.into()),
        ("timeoutSeconds", 20.into()),
        ("maxConsecutiveFailures", 3.into()),
    ];
    for (key, default) in defaults {
        check.entry(key).or_insert(default);
    }
    let protocol = protocol.as_str().unwrap_or_default();
    if protocol == "COMMAND" {
        return;
    }
    if !check.contains_key("port") {
        check.entry("portIndex").or_insert_with(|| 0.into());
    }
    if protocol.contains("HTTP") {
        check.entry("ignoreHttp1xx").or_insert_with(|| false.into());
    }
}

/// Parses one completed check of an app.
pub(super) fn parse_app_check(value: &Value, ports: &[Port]) -> Result<Check, Refusal> {
    let posted: Posted = read_value(value)?;
    let index = posted.port_index.unwrap_or(0);
    let target = posted.port.map_or(Target::Index(index), Target::Number);
    let by_mesos = posted.protocol.starts_with("MESOS_") || posted.protocol == "COMMAND";
    let path = posted.path.unwrap_or_else(|| "/".to_owned());
    let probe = match posted.protocol.as_str() {
        "TCP" | "MESOS_TCP" => Probe::Tcp(target),
        "HTTP" | "MESOS_HTTP" => Probe::Http { target, path },
        "HTTPS" | "MESOS_HTTPS" => Probe::Https,
        "COMMAND" => match posted.command {
            Some(command) => Probe::Command(command.value),
            None => return Err(Refusal::single("/healthChecks/command", "must not be empty")),
        },
        other => {
            return Err(Refusal::single(
                "/healthChecks/protocol",
                format!("{other} is no protocol"),
            ));
        }
    };
    let reaches_port = match probe {
        Probe::Command(_) => true,
        _ => posted.port.is_some() || index < ports.len(),
    };
    if !reaches_port {
        let error = "Health check port indices must address an element of the ports array or \
                     container port mappings.";
        return Err(Refusal::single("/healthChecks", error));
    }
    Ok(Check {
        probe,
        grace: read_seconds("/healthChecks/gracePeriodSeconds", posted.grace_period_seconds)?,
        interval: read_seconds("/healthChecks/intervalSeconds", posted.interval_seconds)?,
        timeout: read_seconds("/healthChecks/timeoutSeconds", posted.timeout_seconds)?,
        max_failures: posted.max_consecutive_failures,
        ignore_1xx: posted.ignore_1xx,
        by_mesos,
    })
}

/// Parses the `healthCheck` of a pod's container.
pub(super) fn parse_pod_check(value: &Value, ports: &[Port]) -> Result<Check, Refusal> {
    let mut flat = value.as_object().cloned().unwrap_or_default();
    let endpoint = |kind: &Value| {
        let name = kind.get("endpoint").and_then(Value::as_str).unwrap_or_default();
        ports.iter().position(|port| port.name.as_deref() == Some(name)).ok_or_else(|| {
            let error = format!("healthCheck endpoint `{name}` is no endpoint of the container");
            Refusal::single("/containers/healthCheck", error)
        })
    };
    if let Some(http) = flat.remove("http") {
        flat.insert("protocol".to_owned(), "MESOS_HTTP".into());
        if http.get("scheme").and_then(Value::as_str) == Some("HTTPS") {
            flat.insert("protocol".to_owned(), "MESOS_HTTPS".into());
        }
        flat.insert("path".to_owned(), http.get("path").cloned().unwrap_or_else(|| "/".into()));
        flat.insert("portIndex".to_owned(), endpoint(&http)?.into());
    } else if let Some(tcp) = flat.remove("tcp") {
        flat.insert("protocol".to_owned(), "MESOS_TCP".into());
        flat.insert("portIndex".to_owned(), endpoint(&tcp)?.into());
    } else if let Some(exec) = flat.remove("exec") {
        let shell = exec.pointer("/command/shell").cloned().unwrap_or_default();
        flat.insert("protocol".to_owned(), "COMMAND".into());
        flat.insert("command".to_owned(), serde_json::json!({"value": shell}));
    }
    parse_app_check(&Value::Object(flat), ports)
}
