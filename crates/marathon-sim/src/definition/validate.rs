//! Validation of definitions, by the rules of `api/v2/validation/AppValidation.scala` that matter
//! here.

use std::collections::BTreeSet;

use serde_json::Value;

use super::refusal::{Refusal, Violation};
use super::spec::Object;

/// Checks a completed app.
pub(super) fn check_app(app: &Object) -> Result<(), Refusal> {
    check_labels("/labels", app.get("labels"))?;
    let mut found = Vec::new();
    let mut refuse = |path: &str, error: &str| {
        found.push(Violation { path: path.to_owned(), error: error.to_owned() });
    };
    let has = |key: &str| app.get(key).is_some_and(|value| !value.is_null());
    let image = app.get("container").and_then(|c| c.pointer("/docker/image").or(c.get("appc")));
    if !has("cmd") && !has("args") && image.is_none() {
        refuse(
            "/",
            "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.",
        );
    }
    if has("cmd") && has("args") {
        refuse("/", "AppDefinition must contain only one of 'cmd' or 'args'");
    }
    let mappings = app.get("container").and_then(|container| container.get("portMappings"));
    for (path, ports) in
        [("/portDefinitions", app.get("portDefinitions")), ("/container/portMappings", mappings)]
    {
        let ports = ports.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for port in ports {
            check_labels(&format!("{path}/labels"), port.get("labels"))?;
        }
        let names: Vec<&str> = ports.iter().filter_map(|port| port.get("name")?.as_str()).collect();
        if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
            refuse(path, "Port names must be unique.");
        }
        if names.iter().any(|name| !is_port_name(name)) {
            let rule = "must match regular expression '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'";
            refuse(&format!("{path}/name"), rule);
        }
        let fixed =
            |port: &Value| port.get("port").and_then(Value::as_u64).filter(|port| *port > 0);
        let fixed: Vec<u64> = ports.iter().filter_map(fixed).collect();
        if fixed.iter().collect::<BTreeSet<_>>().len() < fixed.len() {
            refuse(path, "Ports must be unique.");
        }
    }
    if found.is_empty() { Ok(()) } else { Err(Refusal::Invalid(found)) }
}

/// Checks the path of an app or pod: each segment is a name of at most 63 characters.
pub(crate) fn check_path(id: &str) -> Result<(), Refusal> {
    let segments = id.trim_matches('/');
    if segments.is_empty() {
        return Err(Refusal::single("/id", "must not be root"));
    }
    let is_word = |segment: &str| {
        segment.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))
            && !segment.is_empty()
            && !segment.starts_with('-')
            && !segment.ends_with('-')
    };
    if segments.len() > 512 || !segments.split('/').all(is_word) {
        let rule = "must fully match regular expression '^(([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])\\.)*([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])|(\\.|\\.\\.)$'";
        return Err(Refusal::single("/id", rule));
    }
    Ok(())
}

/// Checks that labels are strings.
pub(super) fn check_labels(path: &str, labels: Option<&Value>) -> Result<(), Refusal> {
    let is_text = |labels: &Value| {
        labels.as_object().is_some_and(|labels| labels.values().all(Value::is_string))
    };
    match labels {
        Some(labels) if !is_text(labels) => {
            Err(Refusal::Shape(format!("{path}: expected an object of strings")))
        }
        _ => Ok(()),
    }
}

fn is_port_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}
