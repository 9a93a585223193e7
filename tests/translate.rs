//! From Marathon's documents to claims: the port of each task behind each VIP.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its own documents should stop")]

use std::collections::BTreeMap;

use marathon::{Document, Records, Timestamp, VersionKey};
use serde_json::{Value, json};
use vip::{Claim, Condition, Ending};
use vipd::sources::hosts::Hosts;
use vipd::sources::marathon::translate::{
    Naming, Translation, snapshot_hosts, translate_snapshot, workload_task_names,
};
use vipd::sources::resolve::{all_addresses, resolve_hosts};

const NAMING: Naming<'_> = Naming { framework: Some("marathon"), zone_len: 23, task_zone: None };

const NOW: &str = "2026-01-01T01:00:00Z";

fn read(document: &Value, records: &Records) -> Translation {
    let document = Document::parse(document.to_string().as_bytes()).unwrap();
    let snapshot = document.to_snapshot(records);
    let hosts = resolve_hosts(snapshot_hosts(&snapshot), std::time::Duration::ZERO);
    translate_snapshot(&snapshot, &hosts, NOW.parse::<Timestamp>().unwrap(), NAMING)
}

/// Each VIP with the addresses of its candidates.
fn servers(document: &Value) -> BTreeMap<String, Vec<String>> {
    by_vip(&read(document, &Records::default()).claims)
}

fn by_vip(claims: &[Claim]) -> BTreeMap<String, Vec<String>> {
    let mut servers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for claim in claims {
        let known = servers.entry(claim.vip.to_string()).or_default();
        for candidate in &claim.candidates {
            known.push(match &candidate.reach {
                Ok(reach) => format!("{}:{}", reach.place.addresses[0], reach.place.port),
                Err(why) => why.to_string(),
            });
        }
    }
    servers
}

fn expect<const N: usize>(document: &Value, expected: [(&str, &[&str]); N]) {
    let expected = expected.into_iter().map(|(vip, servers)| {
        (vip.to_owned(), servers.iter().map(|&server| server.to_owned()).collect::<Vec<_>>())
    });
    assert_eq!(servers(document), expected.collect());
}

fn task(host: &str, ports: &[u16]) -> Value {
    json!({ "id": "t", "host": host, "ports": ports, "state": "TASK_RUNNING",
            "startedAt": "2026-01-01T00:00:00.000Z", "version": "2026-01-01T00:00:00.000Z",
            "ipAddresses": [{ "ipAddress": "9.0.1.130", "protocol": "IPv4" }] })
}

fn app(networks: &str, mappings: &Value, task: &Value) -> Value {
    json!({ "id": "/a", "version": "2026-01-01T00:00:00.000Z", "networks": [{ "mode": networks }],
            "container": { "portMappings": mappings }, "tasks": [task] })
}

#[test]
fn bridge_ports_are_the_agents() {
    let mapping = |labels| json!([{ "containerPort": 80, "hostPort": 0, "protocol": "tcp", "labels": labels }]);
    expect(
        &app(
            "container/bridge",
            &mapping(json!({ "VIP_0": "1.2.3.4:5000" })),
            &task("10.0.0.243", &[26645]),
        ),
        [("1.2.3.4:5000/tcp", &["10.0.0.243:26645"])],
    );
    expect(
        &app(
            "container/bridge",
            &mapping(json!({ "VIP_0": "1.2.3.4:5000", "VIP_1": "1.2.3.5:5000" })),
            &task("10.0.0.243", &[26645]),
        ),
        [("1.2.3.4:5000/tcp", &["10.0.0.243:26645"]), ("1.2.3.5:5000/tcp", &["10.0.0.243:26645"])],
    );
}

#[test]
fn container_ports_are_the_tasks() {
    expect(
        &app(
            "container",
            &json!([{ "containerPort": 80, "protocol": "tcp", "labels": { "VIP_0": "1.2.3.4:5000" } }]),
            &task("10.0.1.248", &[]),
        ),
        [("1.2.3.4:5000/tcp", &["9.0.1.130:80"])],
    );
}

/// The names of tasks of a document, by kind.
fn task_names(document: &Value) -> BTreeMap<String, Vec<String>> {
    let document = Document::parse(document.to_string().as_bytes()).unwrap();
    let snapshot = document.to_snapshot(&Records::default());
    let hosts = resolve_hosts(snapshot_hosts(&snapshot), std::time::Duration::ZERO);
    let naming = Naming { task_zone: Some("z"), ..NAMING };
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for workload in &snapshot.workloads {
        assert!(workload_task_names(workload, &hosts, NAMING).is_empty());
        for (name, address) in workload_task_names(workload, &hosts, naming) {
            let kind = name.strip_prefix("a.marathon.").unwrap().strip_suffix(".z").unwrap();
            let address = address.map_or("unknown".to_owned(), |address| address.to_string());
            names.entry(kind.to_owned()).or_default().push(address);
        }
    }
    names
}

#[test]
fn the_names_of_tasks_follow_their_networks() {
    let own = json!([{ "containerPort": 80 }]);
    let mapped = json!([{ "containerPort": 80, "hostPort": 0 }]);
    let (agent, container) = ("10.0.0.243", "9.0.1.130");
    for (network, mappings, ports, expected) in [
        ("host", json!([]), &[][..], [agent, agent, agent]),
        ("container/bridge", mapped.clone(), &[26645], [agent, agent, container]),
        ("container", own, &[], [agent, container, container]),
        ("container", mapped, &[26645], [agent, agent, container]),
        // Marathon tells the addresses of tasks by their ports.
        ("container", json!([]), &[], [agent, "unknown", "unknown"]),
    ] {
        let kinds = ["agentip", "autoip", "containerip"].into_iter().zip(expected);
        let expected = kinds.map(|(kind, address)| (kind.to_owned(), vec![address.to_owned()]));
        let app = app(network, &mappings, &task(agent, ports));
        assert_eq!(task_names(&app), expected.collect(), "{network} {mappings}");
    }
    let mut ended = app("host", &json!([]), &task(agent, &[]));
    ended["tasks"][0]["state"] = "TASK_FINISHED".into();
    assert!(task_names(&ended).is_empty());
}

#[test]
fn tcp_and_udp_on_one_port_are_two() {
    expect(
        &app(
            "container/bridge",
            &json!([{ "containerPort": 80, "hostPort": 0, "protocol": "udp,tcp", "labels": { "VIP_0": "1.2.3.4:5000" } }]),
            &task("10.0.0.243", &[26645]),
        ),
        [("1.2.3.4:5000/tcp", &["10.0.0.243:26645"]), ("1.2.3.4:5000/udp", &["10.0.0.243:26645"])],
    );
}

#[test]
fn mapped_and_unmapped_ports_mix() {
    let mappings = json!([
        { "containerPort": 80, "labels": { "VIP_0": "1.1.1.1:1" } },
        { "containerPort": 81, "hostPort": 0, "labels": { "VIP_0": "1.1.1.2:2" } },
        { "containerPort": 82, "labels": { "VIP_0": "1.1.1.3:3" } },
        { "containerPort": 83, "hostPort": 0, "labels": { "VIP_0": "1.1.1.4:4" } },
    ]);
    expect(
        &app("container", &mappings, &task("10.0.0.1", &[31081, 31083])),
        [
            ("1.1.1.1:1/tcp", &["9.0.1.130:80"]),
            ("1.1.1.2:2/tcp", &["10.0.0.1:31081"]),
            ("1.1.1.3:3/tcp", &["9.0.1.130:82"]),
            ("1.1.1.4:4/tcp", &["10.0.0.1:31083"]),
        ],
    );
}

#[test]
fn service_ports_made_up_for_bridge_apps_are_no_host_ports() {
    let app = json!({
        "id": "/db", "ports": [10001], "ipAddress": null,
        "portDefinitions": [{ "port": 10001, "protocol": "tcp", "labels": { "VIP_0": "8.8.8.8:1" } }],
        "container": { "type": "DOCKER", "docker": { "network": "BRIDGE", "portMappings": [
            { "containerPort": 3306, "hostPort": 0, "servicePort": 10001, "protocol": "tcp",
              "labels": { "VIP_0": "3.3.0.6:3306" } }] } },
        "tasks": [task("172.16.1.21", &[13122])],
    });
    expect(&app, [("3.3.0.6:3306/tcp", &["172.16.1.21:13122"])]);
}

#[test]
fn an_upgrade_reads_each_task_by_its_own_version() {
    let app = json!({
        "id": "/a", "version": "2026-01-02T00:00:00.000Z",
        "versionInfo": { "lastConfigChangeAt": "2026-01-02T00:00:00.000Z" },
        "networks": [{ "mode": "container/bridge" }],
        "container": { "portMappings": [
            { "containerPort": 9, "hostPort": 0, "labels": {} },
            { "containerPort": 80, "hostPort": 0, "labels": { "VIP_0": "3.3.0.7:80" } }] },
        "tasks": [
            { "id": "new", "host": "10.0.0.2", "ports": [31009, 31080], "state": "TASK_RUNNING",
              "startedAt": "2026-01-02T00:00:01.000Z", "version": "2026-01-02T00:00:00.000Z" },
            { "id": "old", "host": "10.0.0.1", "ports": [31001], "state": "TASK_RUNNING",
              "startedAt": "2026-01-01T00:00:01.000Z", "version": "2026-01-01T00:00:00.000Z" }],
    });
    let mut records = Records::default();
    let key = VersionKey {
        kind: marathon::Kind::App,
        id: "/a".into(),
        version: "2026-01-01T00:00:00Z".parse().unwrap(),
    };
    let earlier = json!({
        "id": "/a", "version": "2026-01-01T00:00:00.000Z", "networks": [{ "mode": "container/bridge" }],
        "container": { "portMappings": [
            { "containerPort": 80, "hostPort": 0, "labels": { "VIP_0": "3.3.0.6:80" } }] } });
    let spec = Document::parse_version(key.kind, earlier.to_string().as_bytes()).unwrap();
    records.insert(key, spec);
    let translation = read(&app, &records);
    let servers = by_vip(&translation.claims);
    assert_eq!(servers["3.3.0.7:80/tcp"], ["10.0.0.2:31080"]);
    assert_eq!(servers["3.3.0.6:80/tcp"], ["10.0.0.1:31001"]);
    let superseded: Vec<_> = translation.claims.iter().map(|claim| claim.superseded).collect();
    assert_eq!(superseded, [false, true]);
}

#[test]
fn states_and_health_become_conditions() {
    let results = |alive: bool, seen: bool| {
        let at = seen.then_some("2026-01-01T00:30:00.000Z");
        json!([{ "alive": alive, "lastSuccess": at.filter(|_| alive), "lastFailure": at.filter(|_| !alive) }])
    };
    let old = "2026-01-01T00:00:00.000Z";
    let new = "2026-01-01T00:58:00.000Z";
    for (state, started, results, expected) in [
        ("TASK_RUNNING", old, results(true, true), Condition::Healthy),
        ("TASK_RUNNING", old, results(false, true), Condition::Unhealthy),
        ("TASK_RUNNING", new, results(false, false), Condition::Unknown { settled: false }),
        ("TASK_RUNNING", new, json!([]), Condition::Unknown { settled: false }),
        ("TASK_RUNNING", old, json!([]), Condition::Unknown { settled: true }),
        ("TASK_RUNNING", old, Value::Null, Condition::Unknown { settled: true }),
        ("TASK_STAGING", new, json!([]), Condition::Starting),
        ("TASK_KILLING", old, results(true, true), Condition::Killing),
        ("TASK_UNREACHABLE", old, results(true, true), Condition::Unreachable),
        ("TASK_FAILED", old, results(true, true), Condition::Terminal(Ending::Failed)),
    ] {
        let app = json!({
            "id": "/a", "version": old, "networks": [{ "mode": "host" }],
            "portDefinitions": [{ "port": 1, "labels": { "VIP_0": "3.3.0.6:80" } }],
            "healthChecks": [{ "protocol": "TCP", "gracePeriodSeconds": 300, "intervalSeconds": 60 }],
            "tasks": [{ "id": "t", "host": "10.0.0.1", "ports": [31000], "state": state,
                        "startedAt": started, "version": old, "healthCheckResults": results }],
        });
        let translation = read(&app, &Records::default());
        assert_eq!(translation.claims[0].candidates[0].condition, expected, "{state} {results}");
    }
}

#[test]
fn an_agent_whose_name_does_not_resolve_costs_only_its_own_task() {
    let mut app = app(
        "container/bridge",
        &json!([{ "containerPort": 80, "hostPort": 0, "labels": { "VIP_0": "3.3.0.6:80" } }]),
        &task("10.0.0.1", &[31000]),
    );
    let lost = task("agent7.invalid", &[31001]);
    app["tasks"].as_array_mut().unwrap().push(lost);
    let servers = servers(&app);
    assert_eq!(servers["3.3.0.6:80/tcp"][0], "10.0.0.1:31000");
    assert!(
        servers["3.3.0.6:80/tcp"][1].starts_with("its agent's name agent7.invalid"),
        "{servers:?}"
    );
}

#[test]
fn what_is_not_known_of_running_tasks_is_a_gap() {
    let mapping =
        json!([{ "containerPort": 80, "hostPort": 0, "labels": { "VIP_0": "3.3.0.6:80" } }]);
    let whole = app("container/bridge", &mapping, &task("10.0.0.1", &[31000]));
    let read = |document: &Value| read(document, &Records::default());
    assert!(read(&whole).gaps.is_empty() && !read(&whole).claims[0].incomplete);

    let mut upgraded = whole.clone();
    upgraded["version"] = json!("2026-02-01T00:00:00.000Z");
    let translation = read(&upgraded);
    assert_eq!(translation.gaps.len(), 1, "{:?}", translation.gaps);
    assert!(translation.claims[0].incomplete);
    assert!(translation.uncertain.contains(&[10, 0, 0, 1].into()));

    let mut untold = whole.clone();
    untold.as_object_mut().unwrap().remove("tasks");
    assert_eq!(read(&untold).gaps.len(), 1);

    let unresolved = app("container/bridge", &mapping, &task("agent7.invalid", &[31000]));
    assert_eq!(read(&unresolved).gaps.len(), 1);

    let mut ended = upgraded.clone();
    ended["tasks"][0]["state"] = json!("TASK_FAILED");
    assert!(read(&ended).gaps.is_empty());
}

#[test]
fn every_agent_is_known_whatever_network_its_tasks_are_in() {
    let mapping = json!([{ "containerPort": 80, "labels": { "VIP_0": "3.3.0.6:80" } }]);
    let app = app("container", &mapping, &task("10.0.0.7", &[]));
    let snapshot =
        Document::parse(app.to_string().as_bytes()).unwrap().to_snapshot(&Records::default());
    assert_eq!(snapshot_hosts(&snapshot), ["10.0.0.7"].into());
    let hosts = resolve_hosts(snapshot_hosts(&snapshot), std::time::Duration::ZERO);
    assert!(all_addresses(&hosts).any(|address| *address == std::net::IpAddr::from([10, 0, 0, 7])));
    let translation = read(&app, &Records::default());
    assert!(translation.tasks.contains(&[9, 0, 1, 130].into()));
}

#[test]
fn a_bad_option_of_the_app_is_told_once() {
    let mut app = app(
        "container/bridge",
        &json!([
            { "containerPort": 1, "hostPort": 0, "labels": { "VIP_0": "3.3.0.6:80" } },
            { "containerPort": 2, "hostPort": 0, "labels": { "VIP_0": "3.3.0.6:81" } }]),
        &task("10.0.0.1", &[1, 2]),
    );
    app["labels"] = json!({ "IPVS_WEIGHT": "many" });
    let told: Vec<_> = read(&app, &Records::default())
        .reports
        .into_iter()
        .map(|report| (report.place.key, report.place.port, report.place.path))
        .collect();
    assert_eq!(told, [("IPVS_WEIGHT".to_owned(), None, "$.labels".to_owned())]);
}

#[test]
fn ten_thousand_labels_are_read_in_a_blink_and_capped() {
    let labels: Vec<_> =
        (0..5000).map(|n| format!("\"VIP_{n}\":\"3.3.{}.{}:80\"", n / 250, n % 250)).collect();
    let labels = format!("{0},{0}", labels.join(","));
    let text = format!(
        r#"{{"id":"/a","networks":[{{"mode":"host"}}],"portDefinitions":[{{"labels":{{{labels}}}}}]}}"#
    );
    let snapshot = Document::parse(text.as_bytes()).unwrap().to_snapshot(&Records::default());
    let translation = translate_snapshot(&snapshot, &Hosts::new(), NOW.parse().unwrap(), NAMING);
    assert_eq!(translation.claims.len(), 64);
    assert_eq!(translation.reports.len(), 10_000 - 64);
}

#[test]
fn vips_in_a_list_that_the_network_has_no_use_for_are_reported() {
    let labelled =
        json!([{ "containerPort": 80, "port": 80, "labels": { "VIP_0": "3.3.0.6:80", "a": "b" } }]);
    let plain = json!([{ "containerPort": 80, "labels": { "a": "b" } }]);
    let reports = |definition: Value| -> Vec<String> {
        let reports = read(&definition, &Records::default()).reports;
        reports
            .iter()
            .map(|report| format!("{}: {:?}", report.place.path, report.verdict))
            .collect()
    };
    for (definition, path, list) in [
        (
            json!({ "id": "/a", "container": { "portMappings": labelled } }),
            "container.portMappings[0]",
            "portDefinitions",
        ),
        (
            json!({ "id": "/a", "networks": [{ "mode": "host" }],
                    "container": { "docker": { "portMappings": labelled } } }),
            "container.docker.portMappings[0]",
            "portDefinitions",
        ),
        (
            json!({ "id": "/a", "networks": [{ "mode": "container/bridge" }],
                    "container": { "portMappings": plain }, "portDefinitions": labelled }),
            "portDefinitions[0]",
            "container.portMappings",
        ),
    ] {
        let found = reports(definition);
        let [report] = found.as_slice() else { panic!("{found:?}") };
        assert!(report.contains(&format!("{path}.labels")), "{report}");
        assert!(report.contains(&format!("ports are those of {list}")), "{report}");
    }
    // As some tools write it.
    let both = json!({ "id": "/a", "networks": [{ "mode": "container/bridge" }],
                       "container": { "portMappings": labelled }, "portDefinitions": labelled });
    assert_eq!(reports(both), [""; 0]);
}
