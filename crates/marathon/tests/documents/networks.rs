//! The matrix of containerizer and network: what each combination looks like in Marathon's JSON,
//! and where its port is reached. Numbers and addresses are those of a real cluster.

use crate::common::{endpoints, only};

const AGENT: &str = "10.0.0.243";

/// Where the only port of a running task of an app is reached.
fn app(network: &str, definition: &str, ports: &str, addresses: &[&str]) -> String {
    let addresses: Vec<_> =
        addresses.iter().map(|address| format!(r#"{{"ipAddress":"{address}"}}"#)).collect();
    let workload = only(&format!(
        r#"{{"id":"/x","version":"2018-05-01T08:00:00.000Z","networks":[{network}],{definition},
            "tasks":[{{"id":"x.1","host":"{AGENT}","ports":{ports},"ipAddresses":[{}],"state":"TASK_RUNNING",
                "startedAt":"2018-05-01T08:00:01.000Z","version":"2018-05-01T08:00:00.000Z"}}]}}"#,
        addresses.join(",")
    ));
    endpoints(&workload.instances[0]).join(", ")
}

/// Where the only endpoint of a running pod is reached.
fn pod(network: &str, endpoint: &str, status: &str, address: &str) -> String {
    let workload = only(&format!(
        r#"{{"id":"/p","spec":{{"id":"/p","networks":[{network}],"containers":[{{"name":"c",
                "endpoints":[{{"name":"e","protocol":["tcp"],{endpoint}}}]}}]}},
            "instances":[{{"id":"p.1","agentHostname":"{AGENT}",
                "networks":[{{"name":"dcos","addresses":["{address}"]}}],
                "containers":[{{"name":"c","status":"TASK_RUNNING","endpoints":[{{"name":"e"{status}}}]}}]}}]}}"#
    ));
    endpoints(&workload.instances[0]).join(", ")
}

#[test]
fn on_the_agents_network_a_port_is_the_agents() {
    const HOST: &str = r#"{"mode":"host"}"#;
    const PORT: &str = r#""portDefinitions":[{"port":0,"protocol":"tcp","labels":{}}]"#;
    for container in ["null", r#"{"type":"MESOS"}"#, r#"{"type":"DOCKER","docker":{"image":"x"}}"#]
    {
        let definition = format!(r#"{PORT},"container":{container}"#);
        assert_eq!(app(HOST, &definition, "[26645]", &[AGENT]), "10.0.0.243:26645");
    }
    let status = r#","allocatedHostPort":26645"#;
    assert_eq!(pod(HOST, r#""hostPort":0"#, status, AGENT), "10.0.0.243:26645");
}

#[test]
fn on_a_bridge_a_port_is_the_one_mapped_on_the_agent() {
    const BRIDGE: &str = r#"{"mode":"container/bridge"}"#;
    for (kind, port, address) in
        [("MESOS", "15263", "172.31.254.3"), ("DOCKER", "20560", "172.18.0.2")]
    {
        let definition = format!(
            r#""container":{{"type":"{kind}","portMappings":[{{"containerPort":8080,"hostPort":0}}]}}"#
        );
        let found = app(BRIDGE, &definition, &format!("[{port}]"), &[address]);
        assert_eq!(found, format!("10.0.0.243:{port}"));
    }
}

#[test]
fn on_an_overlay_a_port_is_the_tasks_own_unless_it_asks_for_one_of_the_agent() {
    const DCOS: &str = r#"{"mode":"container","name":"dcos"}"#;
    const OWN: &str = r#""container":{"portMappings":[{"containerPort":8080}]}"#;
    assert_eq!(app(DCOS, OWN, "[]", &["9.0.2.130"]), "9.0.2.130 port 8080");
    let both = app(DCOS, OWN, "[]", &["172.19.0.2", "fd01:b::2:8000:0:2"]);
    assert_eq!(both, "172.19.0.2 or fd01:b::2:8000:0:2 port 8080");
    const MAPPED: &str = r#""container":{"portMappings":[{"containerPort":80,"hostPort":0}]}"#;
    assert_eq!(app(DCOS, MAPPED, "[12049]", &["9.0.1.29"]), "10.0.0.243:12049");
    assert_eq!(pod(DCOS, r#""containerPort":8080"#, "", "9.0.1.3"), "9.0.1.3 port 8080");
    let status = r#","allocatedHostPort":12049"#;
    let mapped = pod(DCOS, r#""containerPort":80,"hostPort":0"#, status, "9.0.1.3");
    assert_eq!(mapped, "10.0.0.243:12049");
    const ANY: &str = r#""container":{"portMappings":[{"containerPort":0}]}"#;
    assert!(app(DCOS, ANY, "[]", &["9.0.2.130"]).starts_with("containerPort is 0"));
}
