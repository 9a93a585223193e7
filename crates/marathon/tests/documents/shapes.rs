//! The order of keys never matters, at any level of a document of any shape.

use std::sync::Arc;

use marathon::{Coverage, Document, Finding, Labels, Records, Snapshot, Workload};
use proptest::prelude::*;
use serde_json::Value;

use crate::common::{fixture, only, snapshot};

/// One document of each shape.
fn documents() -> Vec<String> {
    const APP: &str = r#"{"id":"a","cmd":"x","version":"2020-01-01T00:00:00Z","labels":{"k":"v","VIP_9":"s"},
        "networks":[{"mode":"container/bridge"}],"container":{"type":"DOCKER","docker":{"image":"i"},
        "portMappings":[{"containerPort":80,"hostPort":0,"labels":{"VIP_0":"3.3.0.4:80","VIP_1":"3.3.0.5:80"}}]},
        "tasks":[{"id":"a.1","host":"h","ports":[31000],"state":"TASK_RUNNING","version":"2020-01-01T00:00:00Z"}]}"#;
    const SPEC: &str = r#"{"id":"/p","labels":{"a":"b"},"networks":[{"mode":"host"}],"containers":[
        {"name":"c","endpoints":[{"name":"e","protocol":["tcp"],"labels":{"VIP_0":"3.3.0.6:80"}}]}]}"#;
    let status = format!(
        r#"{{"id":"/p","spec":{SPEC},"status":"STABLE","instances":[{{"id":"p.1","agentHostname":"h",
        "status":"STABLE","containers":[{{"name":"c","status":"TASK_RUNNING","endpoints":[
        {{"name":"e","allocatedHostPort":80}}]}}]}}]}}"#
    );
    let group = |id: &str, inner: &str| {
        format!(
            r#"{{"id":"{id}","apps":[{APP}],"pods":[{status}],"groups":[{inner}],"dependencies":[],
            "version":"2020-01-01T00:00:00Z","enforceRole":false}}"#
        )
    };
    let sub = group("sub", "");
    let nameless = APP.replace(r#""id":"a","#, "");
    vec![
        APP.to_owned(),
        nameless.clone(),
        SPEC.to_owned(),
        status.clone(),
        format!(r#"{{"app":{APP}}}"#),
        format!(r#"{{"*":[{APP}]}}"#),
        format!(r#"{{"apps":[{APP},{nameless}],"meta":{{"apps":[],"id":"x"}}}}"#),
        format!(r#"{{"apps":[{APP}],"id":"/g"}}"#),
        format!(r#"{{"apps":[{APP}],"version":"2020-01-01T00:00:00Z"}}"#),
        format!(r#"{{"apps":[],"groups":[{sub}]}}"#),
        format!(r#"{{"apps":[{APP}],"groups":null,"id":null}}"#),
        format!(r#"{{"apps":[{APP}],"pods":[{status}]}}"#),
        group("/", &sub),
        group("/prod", &sub),
        format!("[{APP},{SPEC},{status},{sub}]"),
        format!("[{status}]"),
        r#"{"apps":[]}"#.to_owned(),
        r#"{"apps":{},"id":"/"}"#.to_owned(),
        r#"{"id":"t","appId":"/a","container":{}}"#.to_owned(),
        fixture("groups.json"),
        fixture("pods.json"),
        fixture("apps-0.11.json"),
        fixture("apps-1.1-bridge.json"),
        fixture("apps-1.4-ip-per-task.json"),
        fixture("apps-1.6-container.json"),
    ]
}

/// Writes a value with the keys of each object in the order that `seed` gives.
fn shuffled(value: &Value, seed: &mut u64) -> String {
    match value {
        Value::Array(list) => {
            let list: Vec<_> = list.iter().map(|value| shuffled(value, seed)).collect();
            format!("[{}]", list.join(","))
        }
        Value::Object(object) => {
            let mut pairs: Vec<_> = object.iter().collect();
            for last in (1..pairs.len()).rev() {
                *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                pairs.swap(last, usize::try_from(*seed >> 33).unwrap() % (last + 1));
            }
            let pairs =
                pairs.iter().map(|(key, value)| format!("{key:?}:{}", shuffled(value, seed)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
        plain => plain.to_string(),
    }
}

fn sort_labels(labels: &mut Labels) {
    let mut pairs: Vec<_> = labels.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    pairs.sort();
    *labels = pairs.into_iter().collect();
}

fn sort_workload(workload: &mut Workload) {
    let spec = Arc::make_mut(&mut workload.spec);
    sort_labels(&mut spec.labels);
    spec.ports.iter_mut().for_each(|port| sort_labels(&mut port.labels));
    spec.unused_ports.iter_mut().for_each(|port| sort_labels(&mut port.labels));
}

/// Everything read of a document, without an order: or the error.
fn read(json: &str) -> Result<(Snapshot, Vec<Workload>), String> {
    let document = Document::parse(json.as_bytes()).map_err(|error| error.to_string())?;
    let mut snapshot = document.to_snapshot(&Default::default());
    let mut nameless = document.nameless_workloads();
    let workloads = snapshot.workloads.iter_mut().map(Arc::make_mut);
    workloads.chain(&mut nameless).for_each(sort_workload);
    let key = |workload: &Workload| (workload.kind, workload.id.clone(), workload.path.clone());
    snapshot.workloads.sort_by_key(|workload| key(workload));
    nameless.sort_by_key(key);
    snapshot.findings.sort();
    snapshot.bytes = 0;
    Ok((snapshot, nameless))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_keys_never_matters(seed in any::<u64>()) {
        for document in documents() {
            let value: Value = serde_json::from_str(&document).unwrap();
            let other = shuffled(&value, &mut seed.clone());
            prop_assert_eq!(read(&value.to_string()), read(&other), "{}", other);
        }
    }
}

#[test]
fn a_group_that_begins_with_its_apps_is_a_group() {
    let json = r#"{"apps":[],"groups":[{"id":"/g","apps":[{"id":"/g/d","cmd":"x","portDefinitions":
        [{"port":0,"labels":{"VIP_0":"3.3.0.4:80"}}]}],"groups":[]}],"id":"/"}"#;
    let snapshot = snapshot(json);
    assert_eq!(&*snapshot.workloads[0].id, "/g/d");
    assert_eq!(snapshot.coverage, Coverage { apps: true, pods: false });
    assert!(Document::parse_apps(json.as_bytes()).is_err(), "it is no answer of /v2/apps");
}

#[test]
fn many_other_keys_hide_none() {
    let others: String = (0..1000).map(|n| format!("\"x{n}\":{n},")).collect();
    let json =
        format!(r#"{{"apps":[],{others}"groups":[{{"id":"g","apps":[{{"id":"a"}}]}}],"id":"/"}}"#);
    assert_eq!(&*snapshot(&json).workloads[0].id, "/g/a");
}

#[test]
fn a_long_label_of_no_interest_is_no_part_that_could_not_be_read() {
    let metadata = "x".repeat(5000);
    let text =
        format!(r#"{{"apps":[{{"id":"/a","labels":{{"PACKAGE":"{metadata}"}},"tasks":[]}}]}}"#);
    let document = Document::parse(text.as_bytes()).unwrap();
    let snapshot = document.to_snapshot(&Records::default());
    assert_eq!((snapshot.findings, snapshot.coverage.apps), (vec![], true));
}

#[test]
fn what_follows_a_document_is_looked_at_without_nesting() {
    for after in [",", ", ", "[", "{", "\n", "---", "{{"] {
        let text = format!(r#"{{"apps":[]}}{}"#, after.repeat(1_000_000));
        let _ = Document::parse(text.as_bytes());
    }
}

#[test]
fn a_document_with_an_unreadable_part_covers_nothing() {
    const NEITHER: Coverage = Coverage { apps: false, pods: false };
    for json in [
        r#"{"apps":[{"id":"/a","container":7}]}"#,
        r#"{"apps":[{"id":"/a","portDefinitions":[{"labels":[]}]}]}"#,
        r#"{"apps":[{"id":"/a","portDefinitions":[{"labels":{"VIP_0":1}}]}]}"#,
        r#"{"apps":[{"id":"/a","tasks":[{"host":"h"}]}]}"#,
        r#"{"apps":[{"id":"/a"},{"id":null,"portDefinitions":[{"labels":{"VIP_0":"3.3.0.4:80"}}]}]}"#,
        r#"{"apps":[{"id":"/"}]}"#,
        r#"{"apps":[],"groups":[],"pods":[]}"#,
        r#"{"id":"/","apps":[],"groups":[{"apps":[],"groups":[],"pods":[]}],"pods":[]}"#,
        r#"{"id":"/","apps":[],"groups":[],"pods":[{"id":"/p","spec":[]}]}"#,
        "{\"apps\":[{\"id\":\"/a\u{fffd}\"}]}",
    ] {
        let bytes = json.replace('\u{fffd}', "?");
        let bytes: Vec<u8> = bytes.bytes().map(|b| if b == b'?' { 0xff } else { b }).collect();
        let snapshot = Document::parse(&bytes).unwrap().to_snapshot(&Default::default());
        assert_eq!(snapshot.coverage, NEITHER, "{json}");
        assert_ne!(snapshot.findings, [], "{json}");
    }
}

#[test]
fn a_definition_without_an_id_is_read_for_its_labels_and_reported() {
    for (json, path) in [
        (r#"{"portDefinitions":[{"labels":{"VIP_0":"3.3.0.4:80"}}]}"#, "$"),
        (r#"{"id":null,"portDefinitions":[{"labels":{"VIP_0":"3.3.0.4:80"}}]}"#, "$"),
        (r#"{"id":"","portDefinitions":[{"labels":{"VIP_0":"3.3.0.4:80"}}]}"#, "$"),
        (r#"[{"id":null,"labels":{"VIP_0":"3.3.0.4:80"}}]"#, "$[0]"),
        (r#"{"containers":[{"endpoints":[{"labels":{"VIP_0":"3.3.0.4:80"}}]}]}"#, "$"),
        (
            r#"{"spec":{"containers":[{"endpoints":[{"labels":{"VIP_0":"x"}}]}]},"status":"STABLE"}"#,
            "$",
        ),
        (r#"{"apps":[{"labels":{"VIP_0":"x"}}]}"#, "$.apps[0]"),
    ] {
        let document = Document::parse(json.as_bytes()).unwrap();
        let snapshot = document.to_snapshot(&Default::default());
        assert_eq!(snapshot.workloads, [], "{json}");
        let found =
            |finding: &Finding| finding.path == path && finding.reason.contains("id is missing");
        assert!(snapshot.findings.iter().any(found), "{json}: {:?}", snapshot.findings);
        let nameless = document.nameless_workloads();
        let labels = nameless[0].spec.label_objects().map(|(_, labels)| labels.len());
        assert_eq!((nameless.len(), labels.sum::<usize>()), (1, 1), "{json}");
    }
}

#[test]
fn ids_in_groups_are_relative_to_their_group() {
    let snapshot = snapshot(
        r#"{"id":"prod","apps":[{"id":"../test/a"},{"id":"./b/"}],"groups":[
            {"id":"db","apps":[{"id":"mysql"},{"id":"/other"},{"id":"../../../up"}],
             "pods":[{"id":"pod","spec":{},"instances":[]}]},
            {"id":"../sibling","apps":[{"id":"c"}]},{"id":"/abs//","apps":[{"id":"d"}]}]}"#,
    );
    let ids: Vec<_> = snapshot.workloads.iter().map(|workload| &*workload.id).collect();
    let expected = [
        "/test/a",
        "/prod/b",
        "/prod/db/mysql",
        "/other",
        "/up",
        "/prod/db/pod",
        "/sibling/c",
        "/abs/d",
    ];
    assert_eq!(ids, expected);
}

#[test]
fn an_app_or_pod_scaled_to_0_is_suspended_in_every_shape_of_answer() {
    let suspended = |json: &str| only(json).suspended;
    assert!(suspended(r#"{"id": "/a", "instances": 0}"#));
    assert!(suspended(r#"{"app": {"id": "/a", "instances": 0, "tasks": [{"id": "t"}]}}"#));
    assert!(suspended(
        r#"{"id": "/", "groups": [{"id": "/g", "apps": [
        {"id": "/g/a", "instances": 0, "tasks": []}]}]}"#
    ));
    assert!(suspended(
        r#"{"id": "/p", "scaling": {"kind": "fixed", "instances": 0},
        "containers": []}"#
    ));
    assert!(suspended(
        r#"[{"id": "/p", "instances": [], "spec": {"id": "/p",
        "scaling": {"kind": "fixed", "instances": 0}, "containers": []}}]"#
    ));
    for running in [
        r#"{"id": "/a", "instances": 2, "tasks": []}"#,
        r#"{"id": "/a", "tasks": []}"#,
        r#"{"id": "/a", "instances": null, "tasks": []}"#,
        r#"[{"id": "/p", "instances": [], "spec": {"id": "/p", "containers": []}}]"#,
    ] {
        assert!(!suspended(running), "{running}");
    }
}
