//! Agents, ports and addresses.

use marathon_sim::Generation;
use serde_json::{Value, json};
use tokio::net::UdpSocket;

use crate::support::*;

#[tokio::test]
async fn unique_hosts_are_honoured_and_what_has_no_place_waits() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let mut app = bridge_app("/db", 3);
    app["constraints"] = json!([["hostname", "UNIQUE"]]);
    cluster.put("POST", "/v2/apps", &app).await;
    let app = cluster.until("/v2/apps/db", |body| body["app"]["tasksRunning"] == 2).await;
    let hosts = [0, 1].map(|index| app["app"]["tasks"][index]["host"].clone());
    assert_ne!(hosts[0], hosts[1]);
    assert_eq!(cluster.get("/v2/deployments").await.as_array().unwrap().len(), 1);
    cluster.end().await;
}

#[tokio::test]
async fn fixed_host_ports_are_honoured_once_an_agent() {
    let cluster = Cluster::start(Generation::V1_5).await;
    let mut app = bridge_app("/fixed", 2);
    app["container"]["docker"]["portMappings"][0]["hostPort"] = json!(3306);
    let app = cluster.run(&app).await;
    let places = [0, 1].map(|index| address(&app["tasks"][index]).to_string());
    let mut places = places.to_vec();
    places.sort();
    assert_eq!(places, [format!("{}:3306", cluster.ip(11)), format!("{}:3306", cluster.ip(12))]);
    cluster.end().await;
}

#[tokio::test]
async fn host_mode_serves_on_its_ports_and_required_ports_are_the_service_ports() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let app = |id: &str, fixed: bool, port: u16| {
        json!({"id": id, "requirePorts": fixed, "networks": [{"mode": "host"}],
            "container": {"type": "MESOS", "docker": {"image": "x"}},
            "portDefinitions": [{"port": port, "protocol": "tcp"}]})
    };
    let fixed = cluster.run(&app("/fixed", true, 31_500)).await;
    assert_eq!(fixed["tasks"][0]["ports"], json!([31_500]));
    assert_eq!(http(address(&fixed["tasks"][0])).await["app"], "/fixed");
    let random = cluster.run(&app("/random", false, 15_000)).await;
    assert_ne!(random["tasks"][0]["ports"], json!([15_000]));
    assert_eq!(random["portDefinitions"][0]["port"], json!(15_000));
    cluster.end().await;
}

#[tokio::test]
async fn udp_is_echoed_with_a_name_and_one_mapping_can_serve_both_protocols() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let mut app = bridge_app("/dns", 1);
    app["container"]["docker"]["portMappings"][0]["protocol"] = json!("udp,tcp");
    let task = cluster.run(&app).await["tasks"][0].take();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(b"question", address(&task)).await.unwrap();
    let mut answer = [0; 1024];
    let length = socket.recv(&mut answer).await.unwrap();
    let expected = format!("/dns {} {} question", task["id"].as_str().unwrap(), address(&task));
    assert_eq!(String::from_utf8_lossy(&answer[..length]), expected);
    assert_eq!(http(address(&task)).await["app"], "/dns");
    cluster.end().await;
}

#[tokio::test]
async fn an_agent_with_a_second_address_serves_ipv6_too() {
    let cluster = Cluster::with(Generation::V1_6, |config| {
        config.agents.truncate(1);
        config.agents[0].address6 = Some("::1".parse().unwrap());
        // ::1 is everybody's: stay off the other tests' ports.
        config.agents[0].ports = 29_000..=29_900;
    })
    .await;
    let task = cluster.run(&bridge_app("/web", 1)).await["tasks"][0].take();
    let v6 = format!("[::1]:{}", task["ports"][0]).parse().unwrap();
    assert_eq!(http(v6).await["task"], task["id"]);
    cluster.end().await;
}

#[tokio::test]
async fn mapped_and_unmapped_ports_mix_on_a_container_network() {
    let cluster = Cluster::with(Generation::V1_6, |config| {
        config.agents.truncate(1);
        let [a, b, c, _] = config.agents[0].address.octets();
        config.agents[0].subnet = Some(format!("{a}.{b}.{c}.64/26").parse().unwrap());
    })
    .await;
    let app = json!({"id": "/mix", "networks": [{"mode": "container", "name": "dcos"}],
        "healthChecks": [{"protocol": "TCP", "portIndex": 0, "intervalSeconds": 1},
            {"protocol": "HTTP", "portIndex": 1, "intervalSeconds": 1}],
        "container": {"type": "MESOS", "docker": {"image": "x"}, "portMappings": [
            {"containerPort": 8001}, {"containerPort": 8002, "hostPort": 0}]}});
    let task = cluster.run(&app).await["tasks"][0].take();
    assert_eq!(task["ports"].as_array().unwrap().len(), 1);
    let own = task["ipAddresses"][0]["ipAddress"].as_str().unwrap();
    assert_eq!(http(format!("{own}:8001").parse().unwrap()).await["port"], 8001);
    assert_eq!(http(address(&task)).await["task"], task["id"]);
    cluster.end().await;
}

#[tokio::test]
async fn a_port_taken_by_another_program_fails_the_task_and_it_moves_on() {
    let cluster = Cluster::with(Generation::V1_6, |config| config.agents.truncate(1)).await;
    let taken = tokio::net::TcpListener::bind((cluster.ip(11), 31_000)).await.unwrap();
    cluster.put("POST", "/v2/apps", &bridge_app("/db", 1)).await;
    cluster.settled().await;
    let app: Value = cluster.app("/db").await;
    assert_eq!(app["lastTaskFailure"]["state"], "TASK_FAILED");
    assert_eq!(app["tasks"][0]["ports"], json!([31_001]));
    drop(taken);
    cluster.end().await;
}
