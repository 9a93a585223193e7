//! What can't be read costs itself only, and nothing makes the reader fall.

use marathon::{Document, Records, Snapshot};
use proptest::prelude::*;

use crate::common::{endpoints, fixture, snapshot};

fn findings(snapshot: &Snapshot) -> Vec<String> {
    snapshot.findings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_loss_is_noted_with_its_path_and_costs_only_itself() {
    let json = r#"{"apps":[
        {"id":"/a","labels":"none","networks":[{"mode":"host"}],
         "portDefinitions":[{"labels":{"VIP_0":1,"VIP_0":"1.1.1.1:1","b":null,"c":{"d":[]}}},"odd",{"protocol":7}],
         "tasks":[{"id":"a.1","host":"h","startedAt":"2020-01-01T00:00:00Z","ports":[1,2,3]},7,
                  {"id":"a.2","host":["h"],"startedAt":"2020-01-01T00:00:00Z","ports":[1,99999,-3]}]},
        "x",
        {"id":"/b","healthChecks":{},"taskKillGracePeriodSeconds":-1,"mem":1e999}]}"#;
    let snapshot = snapshot(json);
    assert_eq!(
        findings(&snapshot),
        [
            "$.apps[0].labels: expected an object of labels, found \"none\"",
            "$.apps[0].portDefinitions[0].labels[\"VIP_0\"]: expected a string, found 1",
            "$.apps[0].portDefinitions[0].labels[\"b\"]: expected a string, found null",
            "$.apps[0].portDefinitions[0].labels[\"c\"]: expected a string, found an object",
            "$.apps[0].portDefinitions[1]: expected an object, found \"odd\"",
            "$.apps[0].portDefinitions[2].protocol: expected a string, found 7",
            "$.apps[0].tasks[1]: expected an object, found 7",
            "$.apps[0].tasks[2].host: expected a string, found a list",
            "$.apps[0].tasks[2].ports[1]: expected a port from 0 to 65535, found 99999",
            "$.apps[0].tasks[2].ports[2]: expected a port from 0 to 65535, found -3",
            "$.apps[1]: expected an object, found \"x\"",
            "$.apps[2].healthChecks: expected a list, found an object",
            "$.apps[2].taskKillGracePeriodSeconds: expected a number of seconds, found -1",
            "$.apps[0].tasks[1]: a task without id is left out",
            "$.apps[1]: an app without id is left out",
        ]
    );
    let [a, _] = &snapshot.workloads[..] else { panic!("two apps") };
    let labels: Vec<_> = a.spec.ports[0].labels.iter().collect();
    assert_eq!(labels, [("VIP_0", "1.1.1.1:1")]);
    assert_eq!(endpoints(&a.instances[0]), ["h:1", "h:2", "h:3"]);
}

#[test]
fn a_definition_is_damaged_if_a_part_of_it_that_makes_vips_cannot_be_read() {
    for (part, damaged) in [
        (r#""portDefinitions":[{"port":1},7]"#, true),
        (r#""portDefinitions":{}"#, true),
        (r#""labels":{"a":1}"#, true),
        (r#""container":{"docker":{"network":{}}}"#, true),
        (r#""tasks":[{"id":"a.1","ports":"x"}]"#, false),
        (r#""healthChecks":7,"deployments":7,"readinessChecks":7"#, false),
        (r#""env":7,"portDefinitions":null"#, false),
    ] {
        let json = format!(r#"{{"apps":[{{"id":"/a",{part}}},{{"id":"/b"}}]}}"#);
        let found: Vec<_> = snapshot(&json).workloads.iter().map(|each| each.damaged).collect();
        assert_eq!(found, [damaged, false], "{part}");
    }
    for (spec, damaged) in [(r#"{"containers":7}"#, true), (r#"{"containers":[]}"#, false)] {
        let json = format!(r#"[{{"id":"/p","spec":{spec},"instances":[]}}]"#);
        assert_eq!(snapshot(&json).workloads[0].damaged, damaged, "{spec}");
    }
}

#[test]
fn a_number_out_of_range_or_a_broken_escape_costs_one_element() {
    let json = r#"{"apps":[{"id":"/a\ud800"},{"id":"/b","taskKillGracePeriodSeconds":1e999},
        {"id":"/c","tasks":[{"id":"c.1","ports":[1e999]},{"id":"c.2"}]}]}"#;
    let snapshot = snapshot(json);
    assert_eq!(snapshot.workloads.len(), 1);
    assert_eq!(snapshot.workloads[0].instances.len(), 2);
    let paths: Vec<_> = snapshot.findings.iter().map(|finding| finding.path.as_str()).collect();
    assert_eq!(paths[..3], ["$.apps[0]", "$.apps[1]", "$.apps[2].tasks[0].ports[0]"]);
}

#[test]
fn bytes_that_are_not_utf_8_cost_no_more_than_themselves() {
    let document = Document::parse(b"{\"id\":\"/a\",\"labels\":{\"k\":\"\xff\"}}").unwrap();
    let snapshot = document.to_snapshot(&Records::default());
    assert_eq!(snapshot.workloads[0].spec.labels.get("k"), Some("\u{fffd}"));
    assert_eq!(findings(&snapshot), ["$: some bytes are not UTF-8 and were replaced"]);
}

#[test]
fn depth_is_bounded_and_unknown_depth_is_stepped_over() {
    let deep = 5_000;
    let unknown = format!(r#"{{"id":"/a","env":{}{}}}"#, "[".repeat(deep), "]".repeat(deep));
    assert_eq!(findings(&snapshot(&unknown)), [""; 0]);
    let groups = format!(
        r#"{}{{"id":"/a"}}{}"#,
        r#"{"id":"g","apps":[],"groups":["#.repeat(deep),
        "]}".repeat(deep)
    );
    let snapshot = snapshot(&groups);
    assert_eq!(snapshot.findings[0].reason, "it is nested too deeply");
    let wrong = format!(r#"{{"id":"/a","labels":{}{}}}"#, "[".repeat(deep), "]".repeat(deep));
    assert_eq!(crate::common::snapshot(&wrong).findings.len(), 1);
}

#[test]
fn a_small_document_cannot_claim_much_memory() {
    let many = "{},".repeat(60_000);
    let json = format!(r#"{{"apps":[{many}{{}}]}}"#);
    let error = Document::parse(json.as_bytes()).unwrap_err();
    assert_eq!(error, marathon::DocumentError::Outgrown);

    let noisy = format!(r#"{{"apps":[{}0]}}"#, "0,".repeat(5000));
    let snapshot_of_noise = snapshot(&noisy);
    assert_eq!(snapshot_of_noise.findings.len(), 1001);

    let ports = vec!["{}"; 3000].join(",");
    let tasks = vec![r#"{"id":"t"}"#; 3000].join(",");
    let square =
        format!(r#"[{{"id":"/a","portDefinitions":[{ports}],"tasks":[{tasks}]}},{{"id":"/b"}}]"#);
    let snapshot = snapshot(&square);
    assert!(!snapshot.workloads[0].tasks_known && snapshot.workloads[0].instances.is_empty());
    assert_eq!(snapshot.workloads.len(), 2);
    assert_eq!(snapshot.findings.len(), 1);
}

#[test]
fn nulls_everywhere_are_an_app_without_anything() {
    let keys = [
        "version",
        "versionInfo",
        "labels",
        "networks",
        "container",
        "portDefinitions",
        "ports",
        "ipAddress",
        "healthChecks",
        "readinessChecks",
        "readinessCheckResults",
        "deployments",
    ];
    let nulls: Vec<_> = keys.iter().map(|key| format!(r#""{key}":null"#)).collect();
    let task = r#"{"id":"t","host":null,"ports":null,"ipAddresses":null,"startedAt":null,"version":null,"state":null,"healthCheckResults":null}"#;
    let json = format!(r#"{{"apps":[{{"id":"/a",{},"tasks":[{task}]}}]}}"#, nulls.join(","));
    let snapshot = snapshot(&json);
    assert_eq!(findings(&snapshot), [""; 0]);
    assert_eq!(snapshot.workloads[0].instances.len(), 1);
}

const FIXTURES: [&str; 10] = [
    "apps-0.11.json",
    "apps-1.1-bridge.json",
    "apps-1.3-host.json",
    "apps-1.4-ip-per-task.json",
    "apps-1.4-user.json",
    "apps-1.5-bridge.json",
    "apps-1.6-container.json",
    "apps-1.6-host.json",
    "groups.json",
    "pods.json",
];

fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        Just("1e999".to_owned()),
        "[a-z:./0-9]{0,8}".prop_map(|value| format!("{value:?}")),
    ];
    let key = prop::sample::select(vec![
        "id",
        "apps",
        "app",
        "groups",
        "pods",
        "spec",
        "instances",
        "containers",
        "tasks",
        "ports",
        "labels",
        "networks",
        "container",
        "docker",
        "portMappings",
        "hostPort",
        "VIP_0",
        "mode",
        "version",
        "ipAddress",
        "discovery",
        "endpoints",
        "healthCheckResults",
        "*",
        "name",
    ]);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(|list| format!("[{}]", list.join(","))),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|object| {
                let pairs: Vec<_> = object.iter().map(|(k, v)| format!("{k:?}:{v}")).collect();
                format!("{{{}}}", pairs.join(","))
            }),
        ]
    })
}

/// Reads in all ways; none may fall.
fn read_all_ways(body: &[u8]) {
    let ways = [Document::parse(body), Document::parse_apps(body), Document::parse_pods(body)];
    for document in ways.into_iter().flatten() {
        let snapshot = document.to_snapshot(&Records::default());
        let _ = snapshot.missing_versions();
        for workload in &snapshot.workloads {
            assert!(workload.id.starts_with('/'));
            for instance in &workload.instances {
                let ports = workload.spec_of(instance).map_or(0, |spec| spec.ports.len());
                assert_eq!(instance.endpoints.len(), ports);
            }
        }
    }
}

/// The same text with some of its bytes changed, cut or doubled.
fn mutated(text: &[u8], edits: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for &(place, kind, byte) in edits {
        let place = place % bytes.len().max(1);
        match kind % 4 {
            0 if place < bytes.len() => bytes[place] = byte,
            1 => bytes.truncate(place),
            2 => bytes.insert(place.min(bytes.len()), byte),
            _ if place < bytes.len() => drop(bytes.remove(place)),
            _ => {}
        }
    }
    bytes
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_all_ways(&bytes);
    }

    #[test]
    fn arbitrary_json_of_marathons_words_never_panics(json in any_json()) {
        read_all_ways(json.as_bytes());
    }

    #[test]
    fn a_damaged_document_never_panics(
        name in prop::sample::select(&FIXTURES[..]),
        edits in prop::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..6),
    ) {
        read_all_ways(&mutated(fixture(name).as_bytes(), &edits));
    }

    #[test]
    fn one_damaged_app_never_changes_another(
        damage in any_json(),
        edits in prop::collection::vec((any::<usize>(), 32u8..127), 1..6),
        name in prop::sample::select(&FIXTURES[..8]),
        replace in any::<bool>(),
    ) {
        let good = fixture(name);
        let app = good.trim().strip_prefix("{\"apps\":[").unwrap().strip_suffix("]}").unwrap();
        let damaged = if replace {
            damage
        } else {
            let edits: Vec<_> = edits.iter().map(|&(place, byte)| (place, 0, byte)).collect();
            String::from_utf8(mutated(app.as_bytes(), &edits)).unwrap()
        };
        // What isn't JSON any more is no damage to one app but to the document.
        prop_assume!(serde_json::from_str::<serde::de::IgnoredAny>(&damaged).is_ok());
        let alone = snapshot(&good).workloads.remove(0);
        let both = snapshot(&format!("{{\"apps\":[{app},{damaged}]}}"));
        prop_assert!(
            both.workloads.contains(&alone)
                || both.findings.iter().any(|finding| finding.reason.contains("same id"))
        );
    }
}
