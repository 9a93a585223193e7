//! Pods: definition and status joined by name.

use std::time::Duration;

use marathon::{
    Document, Health, InstanceSpec, Kind, NetworkMode, Protocol, Records, TaskState, VersionKey,
};

use crate::common::{endpoints, fixture, only, snapshot};

#[test]
fn endpoints_are_joined_by_name_whatever_their_order() {
    let pod = only(&fixture("pods.json"));
    assert_eq!((&*pod.id, pod.kind, pod.path.as_str()), ("/productpage", Kind::Pod, "$[0]"));
    assert_eq!(pod.spec.network, NetworkMode::Container { networks: vec!["dcos".to_owned()] });
    assert_eq!(
        (pod.spec.labels_path.as_str(), pod.spec.labels.get("version")),
        ("spec.labels", Some("v1"))
    );
    assert_eq!(pod.spec.settling, Some(Duration::from_secs(32)));
    assert_eq!(pod.spec.task_kill_grace, Some(Duration::from_millis(2500)));
    let paths: Vec<_> = pod.spec.ports.iter().map(|port| port.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "spec.containers[0].endpoints[0]",
            "spec.containers[0].endpoints[1]",
            "spec.containers[1].endpoints[0]",
            "spec.containers[1].endpoints[1]"
        ]
    );
    let [instance] = &pod.instances[..] else { panic!("one instance") };
    assert_eq!(
        endpoints(instance),
        ["10.0.0.165:31180", "9.0.6.3 port 9100", "10.0.0.165:20053", "9.0.6.3 port 1"]
    );
    assert_eq!(
        (instance.state.clone(), instance.spec.clone()),
        (TaskState::Running, InstanceSpec::Current)
    );
    let healths: Vec<_> = (0..4).map(|port| instance.health_of(port)).collect();
    assert_eq!(healths, [Health::Up, Health::Up, Health::NoChecks, Health::NoChecks]);
    assert_eq!(instance.health, Health::Up);
}

#[test]
fn protocols_of_an_endpoint_are_those_it_names() {
    let pod = only(&fixture("pods.json"));
    let protocols: Vec<_> = pod.spec.ports.iter().map(|port| &port.protocols[..]).collect();
    let both = [Protocol::Udp, Protocol::Tcp];
    assert_eq!(protocols, [&[Protocol::Tcp][..], &[Protocol::Tcp], &both, &[]]);
    assert_eq!(pod.spec.ports[1].other_protocols, ["http"]);
}

/// A pod of one checked container with one endpoint, and one instance of it.
fn pod(network: &str, endpoint: &str, instance: &str, container: &str) -> String {
    format!(
        r#"[{{"id":"/p","spec":{{"id":"/p","version":"2020-01-02T00:00:00.48Z","networks":[{network}],
            "containers":[{{"name":"c","healthCheck":{{}},"endpoints":[{{"name":"e",{endpoint}}}]}}]}},
            "status":"STABLE","instances":[{{"id":"p.1","agentHostname":"agent",{instance},
            "containers":[{{"name":"c",{container}}}]}}]}}]"#
    )
}

#[test]
fn an_endpoint_is_reached_at_the_agent_or_in_the_network_it_names() {
    const HOST: &str = r#"{"mode":"host"}"#;
    const BRIDGE: &str = r#"{"mode":"container/bridge"}"#;
    const TWO: &str = r#"{"mode":"container","name":"a"},{"mode":"container","name":"b"}"#;
    const ADDRESSES: &str = r#""networks":[{"name":"a","addresses":["9.0.0.1"]},
        {"name":"b","addresses":["9.0.0.2","fd01::2"]}]"#;
    const AGENT: &str = r#""networks":[{"addresses":["10.0.0.5"]}]"#;
    const GIVEN: &str =
        r#""status":"TASK_RUNNING","endpoints":[{"name":"e","allocatedHostPort":31000}]"#;
    const NONE_GIVEN: &str = r#""status":"TASK_RUNNING","endpoints":[{"name":"e"}]"#;
    let cases = [
        (HOST, r#""containerPort":null,"hostPort":0"#, AGENT, GIVEN, "agent:31000"),
        (HOST, r#""containerPort":null"#, AGENT, GIVEN, "agent:31000"),
        ("", r#""hostPort":0"#, AGENT, GIVEN, "agent:31000"),
        (BRIDGE, r#""containerPort":80,"hostPort":0"#, AGENT, GIVEN, "agent:31000"),
        (BRIDGE, r#""containerPort":80"#, AGENT, NONE_GIVEN, "on the agent's bridge"),
        (
            TWO,
            r#""containerPort":80,"hostPort":0,"networkNames":["a"]"#,
            ADDRESSES,
            GIVEN,
            "agent:31000",
        ),
        (
            TWO,
            r#""containerPort":80,"networkNames":["b"]"#,
            ADDRESSES,
            NONE_GIVEN,
            "9.0.0.2 or fd01::2 port 80",
        ),
        (
            TWO,
            r#""containerPort":80"#,
            ADDRESSES,
            NONE_GIVEN,
            "9.0.0.1 or 9.0.0.2 or fd01::2 port 80",
        ),
        (TWO, r#""containerPort":80,"networkNames":["c"]"#, ADDRESSES, NONE_GIVEN, "no address"),
        (TWO, r#""containerPort":0"#, ADDRESSES, NONE_GIVEN, "containerPort is 0"),
        (HOST, r#""hostPort":0"#, AGENT, NONE_GIVEN, "no host port"),
        (
            HOST,
            r#""hostPort":0"#,
            AGENT,
            r#""status":"TASK_UNREACHABLE","endpoints":[]"#,
            "is inactive",
        ),
        (
            HOST,
            r#""hostPort":0"#,
            AGENT,
            r#""endpoints":[{"name":"f","allocatedHostPort":1}]"#,
            "doesn't list",
        ),
        (HOST, r#""hostPort":0"#, AGENT, r#""name":"d","endpoints":[{"name":"e"}]"#, "is inactive"),
    ];
    for (network, endpoint, instance, container, expected) in cases {
        let pod = only(&pod(network, endpoint, instance, container));
        let found = endpoints(&pod.instances[0]);
        assert!(found[0].contains(expected), "{found:?}, not {expected}");
    }
}

#[test]
fn the_health_of_an_endpoint_is_that_of_its_container() {
    let condition = |value: &str, reason: &str| {
        format!(
            r#""conditions":[{{"name":"healthy","value":"{value}","reason":"health-{reason}-by-mesos"}}]"#
        )
    };
    let cases = [
        (condition("true", "reported"), Health::Up),
        (condition("false", "reported"), Health::Down),
        (condition("false", "unreported"), Health::Unknown),
        (condition("maybe", "reported"), Health::Unknown),
        (r#""conditions":[]"#.to_owned(), Health::Unknown),
        (r#""conditions":null,"endpoints":[{"name":"e","healthy":true}]"#.to_owned(), Health::Up),
        (r#""endpoints":[{"name":"e","healthy":false}]"#.to_owned(), Health::Down),
        (r#""name":"another""#.to_owned(), Health::Unknown),
    ];
    for (container, expected) in cases {
        let pod =
            only(&pod(r#"{"mode":"host"}"#, r#""hostPort":0"#, r#""status":"STABLE""#, &container));
        assert_eq!(pod.instances[0].health_of(0), expected, "{container}");
        assert_eq!(pod.instances[0].health, expected, "{container}");
    }
}

#[test]
fn a_pod_instance_is_as_far_as_its_containers() {
    let terminal = |name: &str| TaskState::Terminal(name.to_owned());
    let cases = [
        ("STABLE", &["RUNNING", "RUNNING"][..], TaskState::Running),
        ("DEGRADED", &["RUNNING", "UNREACHABLE"], TaskState::Unreachable),
        ("TERMINAL", &["KILLING", "RUNNING"], TaskState::Killing),
        ("TERMINAL", &["FAILED", "KILLED"], terminal("TASK_FAILED")),
        ("TERMINAL", &[], terminal("TERMINAL")),
        ("DEGRADED", &["RUNNING", "FINISHED"], TaskState::Running),
        ("STAGING", &["RUNNING", "STAGING"], TaskState::Staging),
        ("PENDING", &[], TaskState::Staging),
        ("ODD", &[], TaskState::Other("ODD".to_owned())),
    ];
    for (status, containers, expected) in cases {
        let containers: Vec<_> =
            containers.iter().map(|state| format!(r#"{{"status":"TASK_{state}"}}"#)).collect();
        let json = format!(
            r#"{{"id":"/p","spec":{{"id":"/p"}},"instances":[{{"id":"p.1","status":"{status}",
                "containers":[{}]}}]}}"#,
            containers.join(",")
        );
        assert_eq!(only(&json).instances[0].state, expected, "{status} {containers:?}");
    }
}

#[test]
fn an_instance_of_an_earlier_version_runs_by_the_record_its_reference_names() {
    let at = |version: &str| {
        let instance = format!(r#""specReference":"/v2/pods/p::versions/{version}""#);
        pod(
            r#"{"mode":"host"}"#,
            r#""hostPort":0"#,
            &instance,
            r#""endpoints":[{"name":"old","allocatedHostPort":7},{"name":"e","allocatedHostPort":8}]"#,
        )
    };
    let same = only(&at("2020-01-02T00:00:00.480Z"));
    assert_eq!(same.instances[0].spec, InstanceSpec::Current, "trailing zeros don't matter");

    let older = at("2020-01-01T00:00:00.000Z");
    let missing = snapshot(&older).missing_versions();
    let version = "2020-01-01T00:00:00Z".parse().unwrap();
    let key = VersionKey { kind: Kind::Pod, id: "/p".into(), version };
    assert_eq!(missing, std::slice::from_ref(&key));

    let mut records = Records::default();
    let record = r#"{"id":"/p","networks":[{"mode":"host"}],
        "containers":[{"name":"c","endpoints":[{"name":"old","hostPort":0}]}]}"#;
    records.insert(key, Document::parse_version(Kind::Pod, record.as_bytes()).unwrap());
    let snapshot = Document::parse(older.as_bytes()).unwrap().to_snapshot(&records);
    let instance = &snapshot.workloads[0].instances[0];
    assert_eq!(endpoints(instance), ["agent:7"]);
    assert_eq!(instance.health_of(0), Health::NoChecks);
}
