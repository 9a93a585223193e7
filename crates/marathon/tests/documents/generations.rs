//! Each shape that a generation of Marathon has for an app, as it comes over the wire.

use std::time::Duration;

use crate::common::{endpoints, fixture, only};
use marathon::{Health, InstanceSpec, Kind, NetworkMode, Protocol, Scope, TaskState, Workload};

/// What a port is, in short: path, protocols, container port, labels.
fn ports(workload: &Workload) -> Vec<String> {
    let short = |port: &marathon::Port| {
        let protocols: Vec<_> = port.protocols.iter().map(ToString::to_string).collect();
        let labels: Vec<_> =
            port.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let container_port = port.container_port.map_or("-".to_owned(), |port| port.to_string());
        format!("{} {} {container_port} {}", port.path, protocols.join("+"), labels.join(" "))
    };
    workload.spec.ports.iter().map(short).collect()
}

fn container(networks: &[&str]) -> NetworkMode {
    NetworkMode::Container { networks: networks.iter().map(ToString::to_string).collect() }
}

#[test]
fn a_bridged_app_before_1_5_has_its_docker_port_mappings_and_no_stray_port_definitions() {
    let db = only(&fixture("apps-1.1-bridge.json"));
    assert_eq!((&*db.id, db.kind, db.path.as_str()), ("/db", Kind::App, "$.apps[0]"));
    assert!(db.tasks_known && !db.deploying);
    assert_eq!(db.spec.network, NetworkMode::Bridge);
    assert_eq!(ports(&db), ["container.docker.portMappings[0] tcp 3306 VIP_0=3.3.0.6:3306"]);
    assert_eq!(db.spec.labels.get("owner"), Some("x"));
    assert_eq!(db.spec.settling, Some(Duration::from_secs(15)));
    let [task] = &db.instances[..] else { panic!("one task") };
    assert_eq!(endpoints(task), ["172.16.1.21:13122"]);
    assert_eq!((task.health, task.spec.clone()), (Health::Up, InstanceSpec::Current));
    assert_eq!(
        (task.state.clone(), task.ready),
        (TaskState::Running, true),
        "no state: it started"
    );
}

#[test]
fn a_docker_host_app_before_1_5_has_its_port_definitions() {
    let app = only(&fixture("apps-1.3-host.json"));
    assert_eq!(app.spec.network, NetworkMode::Host);
    assert_eq!(
        ports(&app),
        ["portDefinitions[0] tcp - VIP_0=ephemeral-store:8087", "portDefinitions[1] udp - "]
    );
    assert_eq!(endpoints(&app.instances[0]), ["agent-1.example:31807", "agent-1.example:31808"]);
    assert_eq!((app.instances[0].health, app.spec.settling), (Health::NoChecks, None));
}

#[test]
fn a_docker_user_app_before_1_5_is_reached_at_its_own_address() {
    let app = only(&fixture("apps-1.4-user.json"));
    assert_eq!(app.spec.network, container(&["dcos"]));
    assert_eq!(ports(&app), ["container.docker.portMappings[0] tcp 80 VIP_0=1.2.3.4:80"]);
    assert_eq!(endpoints(&app.instances[0]), ["9.0.2.130 port 80"]);
}

#[test]
fn an_app_with_ip_per_task_has_its_discovery_ports() {
    let app = only(&fixture("apps-1.4-ip-per-task.json"));
    assert_eq!(app.spec.network, container(&[]));
    assert_eq!(
        ports(&app),
        [
            "ipAddress.discovery.ports[0] tcp 80 VIP_0=1.2.3.4:80",
            "ipAddress.discovery.ports[1] tcp 0 "
        ]
    );
    let found = endpoints(&app.instances[0]);
    assert_eq!(found[0], "172.19.0.2 or fd01:b::2:8000:0:2 port 80");
    assert!(found[1].contains("containerPort is 0"), "{}", found[1]);
}

#[test]
fn a_bridged_app_from_1_5_has_its_container_port_mappings() {
    let app = only(&fixture("apps-1.5-bridge.json"));
    assert_eq!(app.spec.network, NetworkMode::Bridge);
    assert_eq!(ports(&app), ["container.portMappings[0] tcp 8081 VIP_0=/artifactory:8081"]);
    assert_eq!(app.spec.ports[0].name.as_deref(), Some("artifactory"));
    assert_eq!(endpoints(&app.instances[0]), ["10.0.2.148:1565"]);
}

#[test]
fn a_container_app_from_1_5_without_host_port_is_reached_at_its_own_address() {
    let app = only(&fixture("apps-1.6-container.json"));
    assert_eq!(app.spec.network, container(&["dcos"]));
    assert_eq!(ports(&app), ["container.portMappings[0] tcp 10 VIP_0=notnet:1234"]);
    assert_eq!(app.spec.ports[0].scope, Scope::Container { networks: vec![] });
    assert_eq!(app.spec.task_kill_grace, Some(Duration::from_secs(30)));
    assert_eq!(endpoints(&app.instances[0]), ["9.0.2.130 port 10"]);
}

#[test]
fn a_host_app_from_1_5_has_its_port_definitions() {
    let app = only(&fixture("apps-1.6-host.json"));
    assert_eq!(app.spec.network, NetworkMode::Host);
    assert_eq!(ports(&app), ["portDefinitions[0] udp+tcp - VIP_0=1.2.3.4:80"]);
    assert_eq!(app.spec.ports[0].protocols, [Protocol::Udp, Protocol::Tcp]);
    assert_eq!(endpoints(&app.instances[0]), ["10.0.0.5:80"]);
}

#[test]
fn an_app_of_0_11_has_ports_without_labels_and_nulls_for_all_it_lacks() {
    let app = only(&fixture("apps-0.11.json"));
    assert_eq!(ports(&app), ["ports[0] tcp - ", "ports[1] tcp - "]);
    assert_eq!(app.spec.labels.get("VIP_0"), Some("1.2.3.4:80"));
    let [running, staged] = &app.instances[..] else { panic!("two tasks") };
    assert_eq!(
        (running.state.clone(), staged.state.clone()),
        (TaskState::Running, TaskState::Staging)
    );
    assert_eq!(endpoints(running), ["10.0.0.5:31000", "10.0.0.5:31001"]);
    assert_eq!(endpoints(staged), ["the task has no host yet"; 2]);
}

#[test]
fn the_tutorials_definitions_are_read_as_they_are_printed() {
    let example = |name: &str| {
        let path = format!("{}/../../docs/examples/{name}", env!("CARGO_MANIFEST_DIR"));
        only(&std::fs::read_to_string(path).unwrap())
    };
    let vip = |labels: &str| vec![format!("container.docker.portMappings[0] tcp 3306 {labels}")];
    let mysql = example("mysql.json");
    assert_eq!((&*mysql.id, mysql.path.as_str(), mysql.tasks_known), ("/mysql", "$", false));
    assert_eq!(ports(&mysql), vip("VIP_0=3.3.0.6:3306"));
    assert_eq!(mysql.spec.settling, Some(Duration::from_secs(360)));
    let twice = example("mysql-two-vips.json");
    assert_eq!(ports(&twice), vip("VIP_0=3.3.0.6:3306 VIP_0=4.4.0.7:3306"));
    assert_eq!(twice.spec.ports[0].labels.get("VIP_0"), Some("4.4.0.7:3306"));
    let wordpress = example("wordpress.json");
    assert_eq!(ports(&wordpress), ["container.docker.portMappings[0] tcp 80 "]);
}

#[test]
fn the_network_is_told_from_whatever_the_generation_says_it_with() {
    let cases = [
        (r#""cmd":"x""#, NetworkMode::Host),
        (r#""container":null,"ipAddress":null"#, NetworkMode::Host),
        (r#""container":{"type":"MESOS"}"#, NetworkMode::Host),
        (r#""container":{"docker":{}}"#, NetworkMode::Host),
        (r#""container":{"docker":{"network":"HOST"}}"#, NetworkMode::Host),
        (r#""container":{"docker":{"network":"BRIDGE"}}"#, NetworkMode::Bridge),
        (
            r#""container":{"docker":{"network":"USER"}},"ipAddress":{"networkName":"n"}"#,
            container(&["n"]),
        ),
        (r#""ipAddress":{}"#, container(&[])),
        (r#""container":{"docker":{"network":"weave"}}"#, NetworkMode::Other("weave".into())),
        (
            r#""networks":[{"mode":"host"}],"container":{"docker":{"network":"BRIDGE"}}"#,
            NetworkMode::Host,
        ),
        (r#""networks":[{"mode":"container/bridge"}]"#, NetworkMode::Bridge),
        (r#""networks":[{"name":"a"},{"name":"b","mode":"container"}]"#, container(&["a", "b"])),
        (r#""networks":[{"mode":"mesh"}]"#, NetworkMode::Other("mesh".into())),
        (r#""networks":[],"ipAddress":{}"#, container(&[])),
    ];
    for (rest, expected) in cases {
        let app = only(&format!(r#"{{"id":"/x",{rest}}}"#));
        assert_eq!(app.spec.network, expected, "{rest}");
    }
}
