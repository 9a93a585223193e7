//! Which port of a task belongs to which port of its definition.

use marathon::{Protocol, TaskState, Unroutable};

use crate::common::{endpoints, only};

/// An app with these mappings in this network, and one running task of it.
fn app(networks: &str, mappings: &str, task: &str) -> String {
    format!(
        r#"{{"id":"/x","version":"2020-01-02T00:00:00.000Z","networks":[{networks}],
            "container":{{"portMappings":[{mappings}]}},
            "tasks":[{{"id":"x.1","host":"agent","state":"TASK_RUNNING",
                "startedAt":"2020-01-03T00:00:00.000Z","version":"2020-01-02T00:00:00.000Z",
                "ipAddresses":[{{"ipAddress":"9.0.0.1","protocol":"IPv4"}}],{task}}}]}}"#
    )
}

fn walked(networks: &str, mappings: &str, ports: &str) -> Vec<String> {
    endpoints(&only(&app(networks, mappings, &format!(r#""ports":{ports}"#))).instances[0])
}

const CONTAINER: &str = r#"{"mode":"container","name":"dcos"}"#;
const BRIDGE: &str = r#"{"mode":"container/bridge"}"#;

#[test]
fn only_a_mapping_with_a_host_port_consumes_a_port_of_the_task() {
    let cases: [(&str, &str, &str, &[&str]); 7] = [
        // A plain zip would give 31001 to the second.
        (
            CONTAINER,
            r#"{"containerPort":1,"hostPort":0},{"containerPort":2},{"containerPort":3,"hostPort":0}"#,
            "[31000,31001]",
            &["agent:31000", "9.0.0.1 port 2", "agent:31001"],
        ),
        (
            CONTAINER,
            r#"{"containerPort":1},{"containerPort":2,"hostPort":8080}"#,
            "[8080]",
            &["9.0.0.1 port 1", "agent:8080"],
        ),
        (
            CONTAINER,
            r#"{"containerPort":1,"hostPort":null},{"containerPort":2,"hostPort":0}"#,
            "[31000]",
            &["9.0.0.1 port 1", "agent:31000"],
        ),
        // containerPort 0 is whatever is allocated on the agent.
        (CONTAINER, r#"{"containerPort":0,"hostPort":0}"#, "[31000]", &["agent:31000"]),
        // On a bridge every mapping has a host port, said or not.
        (
            BRIDGE,
            r#"{"containerPort":1},{"containerPort":2,"hostPort":0}"#,
            "[31000,31001]",
            &["agent:31000", "agent:31001"],
        ),
        (BRIDGE, "", "[]", &[]),
        // One mapping for both protocols is one port of the task.
        (BRIDGE, r#"{"containerPort":53,"protocol":"udp,tcp"}"#, "[31053]", &["agent:31053"]),
    ];
    for (network, mappings, ports, expected) in cases {
        assert_eq!(walked(network, mappings, ports), expected, "{mappings}");
    }
}

#[test]
fn ports_that_do_not_come_out_even_are_not_paired_at_all() {
    let two = r#"{"containerPort":1,"hostPort":0},{"containerPort":2,"hostPort":0}"#;
    for (ports, found) in [("[]", 0), ("[31000]", 1), ("[31000,31001,31002]", 3)] {
        let app = only(&app(BRIDGE, two, &format!(r#""ports":{ports}"#)));
        let expected = Err(Unroutable::PortCount { expected: 2, found });
        assert_eq!(app.instances[0].endpoints.to_vec(), vec![expected; 2]);
    }
    let mixed = r#"{"containerPort":1,"hostPort":0},{"containerPort":2}"#;
    let reason = "the definition has 1 host ports, the task 2";
    assert_eq!(walked(CONTAINER, mixed, "[31000,31001]"), [reason; 2]);
}

#[test]
fn a_port_that_cannot_be_reached_says_why() {
    let two_networks = r#"{"mode":"container","name":"a"},{"mode":"container","name":"b"}"#;
    let on = |network: &str| format!(r#"{{"containerPort":80,"networkNames":["{network}"]}}"#);
    assert_eq!(walked(two_networks, &on("a"), "[]"), ["9.0.0.1 port 80"]);
    assert!(walked(two_networks, &on("b"), "[]")[0].contains("which address belongs to \"b\""));
    assert!(walked(CONTAINER, r#"{"containerPort":0}"#, "[]")[0].contains("containerPort is 0"));
    assert!(walked(CONTAINER, "{}", "[]")[0].contains("containerPort is 0"));
    assert!(walked(BRIDGE, r#"{"containerPort":1}"#, "[0]")[0].contains("no host port"));
    assert!(walked(r#"{"mode":"mesh"}"#, "{}", "[]")[0].contains("\"mesh\" is unknown"));
    let no_host = app(BRIDGE, r#"{"containerPort":1}"#, r#""ports":[1],"host":null"#);
    assert_eq!(*only(&no_host).instances[0].endpoints, [Err(Unroutable::NoHost)]);
    let no_address = app(CONTAINER, r#"{"containerPort":1}"#, r#""ports":[],"ipAddresses":null"#);
    assert_eq!(*only(&no_address).instances[0].endpoints, [Err(Unroutable::NoAddress)]);
}

#[test]
fn an_inactive_task_keeps_its_identity_and_has_no_endpoints() {
    let blank = r#""ports":[],"startedAt":null,"stagedAt":null,"version":null"#;
    for (state, expected) in [
        ("TASK_UNREACHABLE", TaskState::Unreachable),
        ("TASK_FAILED", TaskState::Terminal("TASK_FAILED".to_owned())),
        ("TASK_STAGING", TaskState::Staging),
    ] {
        for (network, mappings) in
            [(BRIDGE, r#"{"containerPort":1,"hostPort":0}"#), (CONTAINER, r#"{"containerPort":1}"#)]
        {
            let task = format!(r#"{blank},"state":"{state}""#);
            let app = only(&app(network, mappings, &task));
            let [task] = &app.instances[..] else { panic!("one task") };
            assert_eq!((&*task.id, task.host.as_deref()), ("x.1", Some("agent")));
            assert_eq!(task.state, expected);
            assert_eq!(*task.endpoints, [Err(Unroutable::Inactive)]);
        }
    }
    let active = app(BRIDGE, "{}", r#""ports":[31000],"state":"TASK_UNREACHABLE""#);
    assert_eq!(endpoints(&only(&active).instances[0]), ["agent:31000"]);
}

#[test]
fn protocols_are_split_and_what_is_neither_tcp_nor_udp_is_kept_apart() {
    let cases: [(&str, &[Protocol], &[&str]); 8] = [
        ("null", &[Protocol::Tcp], &[]),
        (r#""tcp""#, &[Protocol::Tcp], &[]),
        (r#""udp""#, &[Protocol::Udp], &[]),
        (r#""udp,tcp""#, &[Protocol::Udp, Protocol::Tcp], &[]),
        (r#""tcp, udp""#, &[Protocol::Tcp, Protocol::Udp], &[]),
        (r#""TCP,tcp""#, &[Protocol::Tcp], &[]),
        (r#""sctp,tcp""#, &[Protocol::Tcp], &["sctp"]),
        (r#""""#, &[], &[""]),
    ];
    for (given, known, others) in cases {
        let json = app(BRIDGE, &format!(r#"{{"protocol":{given}}}"#), r#""ports":[1]"#);
        let port = &only(&json).spec.ports[0];
        assert_eq!(
            (&port.protocols[..], port.other_protocols.as_slice()),
            (known, &others.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
            "{given}"
        );
    }
}

/// Marathon 0.13 lists the ports of a task as Mesos offered them.
#[test]
fn required_ports_are_those_of_the_definition_in_whatever_order_a_task_lists_them() {
    let definitions = r#""portDefinitions":[{"port":9000},{"port":8000},{"port":0},{"port":7000}]"#;
    let ports = r#""ports":[9000,8000,0,7000]"#;
    let all = ["agent:9000", "agent:8000", "agent:31000", "agent:7000"];
    let strange = "the definition requires host port 7000, which the task doesn't have";
    for list in [definitions, ports] {
        for (listed, expected) in [
            ("[9000,8000,31000,7000]", all),
            ("[7000,8000,9000,31000]", all),
            ("[31000,7000,8000,9000]", all),
            ("[9000,8000,31000,7001]", [all[0], all[1], all[2], strange]),
        ] {
            let app = format!(
                r#"{{"id":"/x","requirePorts":true,{list},
                    "tasks":[{{"id":"x.1","host":"agent","state":"TASK_RUNNING",
                        "startedAt":"2020-01-03T00:00:00.000Z","ports":{listed}}}]}}"#
            );
            assert_eq!(endpoints(&only(&app).instances[0]), expected, "{list} {listed}");
            let any = app.replace("true", "false");
            assert_eq!(endpoints(&only(&any).instances[0])[0].split(':').count(), 2, "{any}");
        }
    }
    let ranges = r#"{"id":"/x","requirePorts":true,"portDefinitions":[{"port":2},{"port":1}],
        "tasks":[{"id":"x.1","host":"agent","startedAt":"2020-01-03T00:00:00.000Z","ports":[1,2]}]}"#;
    assert_eq!(endpoints(&only(ranges).instances[0]), ["agent:2", "agent:1"]);
}
