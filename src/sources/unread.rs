//! VIP labels that no reader has seen: they stand where Marathon has no labels, or vipd has no
//! ports.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use marathon::{Finding, Workload};
use vip::label::{Key, VipRef, classify_key};

use super::scan::{FoundLabel, Scan};

/// A VIP label, or an option, that nobody reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadLabel {
    /// Id of the app or pod around it; empty outside of any.
    pub app: Arc<str>,
    /// The JSON path of the object around it.
    pub path: Arc<str>,
    /// The label's key.
    pub key: String,
    /// The label's value.
    pub value: String,
    /// The line, from 1.
    pub line: usize,
    /// The reason.
    pub reason: String,
}

const BELONGS: &str = "a VIP label belongs in the `labels` of a port: of an entry of \
                       container.portMappings (bridges and container networks), portDefinitions \
                       (the host's network) or a pod's endpoints";

/// Where a definition of an app stands.
const APP: &[&str] = &["", "apps", "app", "*"];

/// The fields around labels, each with the fields that it belongs in; "" is the document.
const FIELDS: &[(&str, &[&str])] = &[
    ("labels", &["portMappings", "portDefinitions", "ports", "endpoints"]),
    ("container", APP),
    ("portMappings", &["container", "docker"]),
    ("portDefinitions", APP),
    ("docker", &["container"]),
    ("ipAddress", APP),
    ("discovery", &["ipAddress"]),
    ("ports", &["discovery"]),
    ("containers", &["", "spec"]),
    ("endpoints", &["containers"]),
    ("spec", &["", "pods"]),
    ("apps", &["", "groups"]),
    ("pods", &["", "groups"]),
    ("groups", &["", "groups"]),
    ("app", &[""]),
    ("*", &[""]),
];

/// Lists of ports.
const PORTS: [&str; 4] = ["portMappings", "portDefinitions", "ports", "endpoints"];

/// Finds the labels of a text that none of these workloads has.
pub(crate) fn find_unread<'a>(
    scan: &Scan,
    workloads: impl Iterator<Item = &'a Workload> + Clone,
    findings: &[Finding],
) -> Vec<UnreadLabel> {
    let apps: HashMap<&str, &Arc<str>> =
        workloads.clone().map(|workload| (workload.path.as_str(), &workload.id)).collect();
    let read: BTreeSet<String> = workloads
        .flat_map(|workload| {
            let objects = workload.spec.label_objects();
            objects.map(|(path, _)| format!("{}.{path}", workload.path))
        })
        .collect();
    let reasons: BTreeMap<&str, &str> =
        findings.iter().map(|finding| (finding.path.as_str(), finding.reason.as_str())).collect();
    let is_read =
        |label: &&FoundLabel| label.superseded_by.is_none() && read.contains(&*label.path);
    let unread = scan.labels.iter().filter(|label| !is_read(label) && is_meant(label));
    unread
        .map(|label| UnreadLabel {
            app: enclosing_parts(&label.path)
                .find_map(|path| apps.get(path).map(|id| Arc::clone(id)))
                .unwrap_or_default(),
            path: Arc::clone(&label.path),
            key: label.key.clone(),
            value: label.value.clone(),
            line: label.line,
            reason: explain(label, &reasons),
        })
        .collect()
}

/// Tells whether a label outside of `labels` is meant to be one. An environment variable `VIP` may
/// well hold the address that an app connects to.
fn is_meant(label: &FoundLabel) -> bool {
    let is_address = || is_address(&label.value);
    match classify_key(&label.key, &label.value) {
        Key::Vip if is_environment(&label.path) => label.key.contains('_') && is_address(),
        Key::Vip => true,
        Key::Lookalike => !is_environment(&label.path) && is_address(),
        Key::Other => !is_environment(&label.path),
    }
}

fn is_address(value: &str) -> bool {
    let value = value.split_once("://").map_or(value, |(_, rest)| rest);
    let address = value.rsplit_once(':').map(|(address, _)| address.parse::<IpAddr>());
    matches!(value.parse(), Ok(VipRef::Address(..))) || matches!(address, Some(Ok(_)))
}

fn is_environment(path: &str) -> bool {
    last_key(path).is_some_and(|key| ["env", "environment"].contains(&key))
}

fn explain(label: &FoundLabel, findings: &BTreeMap<&str, &str>) -> String {
    if let Some(key) = &label.superseded_by {
        return format!(
            "the key {key:?} around it stands again later, and Marathon keeps the last"
        );
    }
    let lost = enclosing_parts(&label.path).find_map(|path| Some((path, findings.get(path)?)));
    if let Some((path, reason)) = lost.filter(|(path, _)| *path != "$") {
        return format!("it is inside of {path}, which can't be read: {reason}");
    }
    if is_environment(&label.path) {
        return format!("this is an environment variable; {BELONGS}");
    }
    let mut around = "";
    for key in keys_of(&label.path) {
        let known = FIELDS.iter().find(|(name, _)| *name == key);
        match known {
            None => return explain_unknown(key, around),
            Some((_, parents)) if !parents.contains(&around) => {
                return match key {
                    "labels" if around.is_empty() => {
                        format!("these labels are of no app; {BELONGS}")
                    }
                    "labels" => format!("no labels are read in `{around}`; {BELONGS}"),
                    _ => format!("`{key}` belongs in {}, not here", place_of(parents)),
                };
            }
            Some(_) => around = key,
        }
    }
    match PORTS.contains(&around) {
        true => "it stands on the port itself: put it in the port's `labels`".to_owned(),
        false => format!("it is not in any `labels`; {BELONGS}"),
    }
}

fn place_of(parents: &[&str]) -> String {
    match parents.first() {
        Some(&"") | None => "the definition itself".to_owned(),
        Some(first) => format!("`{first}`"),
    }
}

/// Explains a field that is not around labels: it may be misspelt.
fn explain_unknown(key: &str, around: &str) -> String {
    let fits = |(_, parents): &&(&str, &[&str])| parents.contains(&around);
    let by_place = FIELDS.iter().filter(fits).chain(FIELDS);
    let near = by_place.map(|(name, _)| *name).find(|name| is_near(key, name));
    match near {
        Some(name) => format!("nothing reads `{key}`: write `{name}`"),
        None => format!("nothing reads labels in `{key}`; {BELONGS}"),
    }
}

/// Tells whether a word is another but for case, separators and up to two typing errors; one in a
/// short word.
fn is_near(word: &str, name: &str) -> bool {
    let plain = |text: &str| -> Vec<u8> {
        let letters = text.bytes().filter(u8::is_ascii_alphanumeric);
        letters.map(|byte| byte.to_ascii_lowercase()).take(32).collect()
    };
    let (word, name) = (plain(word), plain(name));
    !word.is_empty()
        && !name.is_empty()
        && distance(&word, &name) <= if name.len() < 5 { 1 } else { 2 }
}

/// Counts the letters to insert, delete, replace or swap with their neighbour.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best =
                (rows[i][j] + usize::from(x != y)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// Lists a path and the paths of all parts around it, from the innermost.
fn enclosing_parts(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| {
        let end = path.rfind(['.', '['])?;
        Some(&path[..end])
    })
}

/// Lists the keys of a path, without indices.
fn keys_of(path: &str) -> impl Iterator<Item = &str> {
    let steps = path.split(['.', '[']).skip(1).map(|step| step.trim_end_matches(']'));
    let is_index = |step: &&str| step.bytes().all(|byte| byte.is_ascii_digit());
    steps.filter(move |step| !is_index(step)).map(|step| step.trim_matches('"'))
}

fn last_key(path: &str) -> Option<&str> {
    keys_of(path).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_fields_are_near_the_right_ones() {
        for (word, name) in [
            ("coainer", "container"),
            ("Container", "container"),
            ("label", "labels"),
            ("lables", "labels"),
            ("port_mappings", "portMappings"),
            ("portmapping", "portMappings"),
            ("portDefinition", "portDefinitions"),
            ("endpoint", "endpoints"),
            ("ip-address", "ipAddress"),
            ("app s", "apps"),
        ] {
            assert!(is_near(word, name), "{word} {name}");
        }
        for (word, name) in [("env", "spec"), ("volumes", "labels"), ("", "app"), ("x", "*")] {
            assert!(!is_near(word, name), "{word} {name}");
        }
    }

    #[test]
    fn paths_come_apart() {
        assert_eq!(keys_of("$.apps[3].x[\"y z\"][0]").collect::<Vec<_>>(), ["apps", "x", "y z"]);
        assert_eq!(
            enclosing_parts("$.a[0].b").collect::<Vec<_>>(),
            ["$.a[0].b", "$.a[0]", "$.a", "$"]
        );
    }
}
