//! The event stream, byte by byte and event by event.

use std::net::SocketAddr;

use marathon_sim::Generation;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::listener::Stream;
use crate::support::*;

/// What a story is told by: the types, with what matters of them.
fn outline(events: &[Value]) -> Vec<String> {
    let text = |event: &Value| {
        let mut text = event["eventType"].as_str().unwrap().to_owned();
        for key in
            ["taskStatus", "condition", "alive", "healthy", "appId", "groupId", "remoteAddress"]
        {
            if let Some(value) =
                event.get(key).filter(|_| key != "appId" || event.get("taskStatus").is_none())
            {
                text += &format!(" {}", value.as_str().unwrap_or(&value.to_string()));
            }
        }
        text
    };
    events.iter().map(text).collect()
}

fn checked_app(id: &str) -> Value {
    let mut app = bridge_app(id, 1);
    app["healthChecks"] = json!([{"protocol": "TCP", "intervalSeconds": 1}]);
    app
}

#[tokio::test]
async fn the_head_of_the_stream_has_no_length_and_no_chunks() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let mut stream = Stream::open(&cluster.url(), "").await;
    let mut lines: Vec<&str> = stream.head.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "HTTP/1.1 200 OK");
    assert!(lines.remove(0).starts_with("Date: "));
    let leader = format!("X-Marathon-Leader: {}", cluster.url());
    assert_eq!(
        lines,
        [
            &*leader,
            "Cache-Control: no-cache, no-store, must-revalidate",
            "Pragma: no-cache",
            "Expires: 0",
            "X-Frame-Options: DENY",
            "X-XSS-Protection: 1; mode=block",
            "Content-Type: text/event-stream;charset=utf-8",
            "Connection: close",
        ]
    );
    let attached = stream.next().await.unwrap();
    assert_eq!(attached["eventType"], "event_stream_attached");
    assert_eq!(attached["remoteAddress"], "127.0.0.1");
    cluster.end().await;
    stream.ends().await;
}

#[tokio::test]
async fn a_stream_may_follow_another_request_on_its_connection() {
    let cluster = Cluster::start(Generation::V1_4).await;
    let address: SocketAddr = cluster.url().trim_start_matches("http://").parse().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut read = vec![0; 1024];
    let mut length = 0;
    while !read[..length].ends_with(b"pong\n") {
        length += stream.read(&mut read[length..]).await.unwrap();
    }
    let mut stream = Stream::on(stream, "", "").await;
    assert_eq!(stream.next().await.unwrap()["eventType"], "event_stream_attached");
    cluster.end().await;
}

#[tokio::test]
async fn frames_end_in_cr_lf_and_heartbeats_are_a_cr_and_a_lf() {
    let cluster = Cluster::with(Generation::V1_6, |config| {
        config.heartbeat = std::time::Duration::from_millis(20);
    })
    .await;
    let mut stream = Stream::open(&cluster.url(), "").await;
    let mut bytes = Vec::new();
    stream.reader.read_until(b'}', &mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.starts_with("event: event_stream_attached\r\ndata: {"), "{text}");
    // The end of the event, then heartbeats.
    let mut rest = [0; 8];
    stream.reader.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest, b"\r\n\r\n\r\n\r\n");
    cluster.end().await;
}

#[tokio::test]
async fn anything_but_the_exact_accept_is_refused_in_html() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let client = reqwest::Client::new();
    let url = format!("{}/v2/events", cluster.url());
    for accept in ["*/*", "text/event-stream, */*", "text/event-stream;q=1", "application/json"] {
        let answer = client.get(&url).header("accept", accept).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 405, "{accept}");
        assert_eq!(answer.headers()["content-type"], "text/html;charset=utf-8");
        assert!(answer.text().await.unwrap().contains("HTTP ERROR 405"));
    }
    assert_eq!(cluster.send("POST", "/v2/events", "").await.status, 405);
    cluster.end().await;
}

#[tokio::test]
async fn a_start_a_kill_and_an_end_are_told_in_marathons_order() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let mut stream = Stream::open(&cluster.url(), "").await;
    cluster.put("POST", "/v2/apps", &checked_app("/g/db")).await;
    let events = stream.until("deployment_success").await;
    assert_eq!(
        outline(&events),
        [
            "event_stream_attached 127.0.0.1",
            "deployment_info",
            "group_change_success /g",
            "api_post_event",
            "status_update_event TASK_STAGING",
            "instance_changed_event Staging",
            "status_update_event TASK_STARTING",
            "instance_changed_event Starting",
            "status_update_event TASK_RUNNING",
            "instance_changed_event Running",
            "health_status_changed_event true /g/db",
            "instance_health_changed_event true",
            "deployment_step_success",
            "deployment_success",
        ]
    );
    let app = cluster.app("/g/db").await;
    let task = &app["tasks"][0];
    assert_has(
        &events[8],
        &json!({"slaveId": task["slaveId"], "taskId": task["id"], "taskStatus": "TASK_RUNNING",
            "message": "", "appId": "/g/db", "host": task["host"], "ports": task["ports"],
            "ipAddresses": task["ipAddresses"], "version": app["version"]}),
    );
    let instance = &task["healthCheckResults"][0]["instanceId"];
    assert_has(
        &events[9],
        &json!({"instanceId": instance, "condition": "Running", "runSpecId": "/g/db",
            "agentId": task["slaveId"], "host": task["host"], "runSpecVersion": app["version"]}),
    );
    assert_has(
        &events[10],
        &json!({"appId": "/g/db", "instanceId": instance, "version": app["version"], "alive": true}),
    );
    assert_has(
        &events[3],
        &json!({"clientIp": "127.0.0.1", "uri": "/v2/apps",
        "appDefinition": {"id": "/g/db", "version": app["version"]}}),
    );
    let plan = &events[1]["plan"];
    let step = json!({"actions": [{"action": "StartApplication", "app": "/g/db"}]});
    assert_eq!(*plan, json!({"id": plan["id"], "version": app["version"], "steps": [step]}));
    assert_eq!(events[1]["currentStep"], step);
    assert_eq!(events[13]["id"], plan["id"]);
    assert_eq!(events[13]["plan"], *plan);

    let id = task["id"].as_str().unwrap();
    cluster.put("DELETE", &format!("/v2/apps/g/db/tasks/{id}"), &json!({})).await;
    let killed = stream.until("health_status_changed_event").await;
    let of_old = killed.iter().filter(|e| e["taskId"] == id || e["instanceId"] == *instance);
    assert_eq!(
        outline(&of_old.cloned().collect::<Vec<Value>>()),
        [
            "status_update_event TASK_KILLING",
            "instance_changed_event Killing",
            "status_update_event TASK_KILLED",
            "instance_changed_event Killed",
        ]
    );
    cluster.settled().await;
    cluster.put("DELETE", "/v2/apps/g/db", &json!({})).await;
    let events = stream.until("deployment_success").await;
    assert_eq!(
        outline(&events),
        [
            "instance_health_changed_event true",
            "deployment_info",
            "app_terminated_event /g/db",
            "group_change_success /g",
            "status_update_event TASK_KILLING",
            "instance_changed_event Killing",
            "status_update_event TASK_KILLED",
            "instance_changed_event Killed",
            "deployment_step_success",
            "deployment_success",
        ]
    );
    cluster.end().await;
}

#[tokio::test]
async fn a_failing_check_is_told_by_the_names_of_the_generation() {
    for (generation, id, kill) in [
        (Generation::V1_1, "taskId", "unhealthy_task_kill_event"),
        (Generation::V1_4, "instanceId", "unhealthy_instance_kill_event"),
    ] {
        let cluster = Cluster::start(generation).await;
        let directory = tempfile::tempdir().unwrap();
        let well = directory.path().join("well");
        std::fs::write(&well, "").unwrap();
        let mut app = bridge_app("/moody", 1);
        app["healthChecks"] = json!([{"protocol": "COMMAND", "intervalSeconds": 1,
            "maxConsecutiveFailures": 1, "command": {"value": format!("test -e {}", well.display())}}]);
        cluster.run(&app).await;
        let mut stream = Stream::open(&cluster.url(), "").await;
        stream.next().await.unwrap();
        std::fs::remove_file(&well).unwrap();
        let events = stream.until(kill).await;
        let told: Vec<&Value> = events.iter().map(|event| &event["eventType"]).collect();
        let mut expected = vec!["failed_health_check_event", "health_status_changed_event"];
        if generation == Generation::V1_4 {
            expected.push("instance_health_changed_event");
        }
        expected.extend(["failed_health_check_event", kill]);
        assert_eq!(told, expected);
        assert_eq!(events[0]["healthCheck"]["protocol"], "COMMAND");
        assert_eq!(events[1]["alive"], false);
        assert!(events.iter().all(|event| event[id].is_string()), "{events:#?}");
        assert!(stream.next().await.unwrap()["taskStatus"] == "TASK_KILLING");
        cluster.end().await;
    }
}

#[tokio::test]
async fn pods_are_told_by_the_path_of_the_request_and_by_their_instances() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let types = [
        "pod_created_event",
        "pod_updated_event",
        "pod_deleted_event",
        "instance_changed_event",
        "deployment_success",
    ];
    let query = types.map(|kind| format!("event_type={kind}")).join("&");
    let mut stream = Stream::open(&cluster.url(), &format!("?{query}")).await;
    let mut pod = json!({"id": "/p", "networks": [{"mode": "host"}], "containers": [
        {"name": "a", "resources": {"cpus": 0.1, "mem": 32}, "image": {"kind": "DOCKER", "id": "x"}},
        {"name": "b", "resources": {"cpus": 0.1, "mem": 32}, "image": {"kind": "DOCKER", "id": "x"}}]});
    cluster.put("POST", "/v2/pods", &pod).await;
    let events = stream.until("deployment_success").await;
    let outlined = outline(&events);
    assert_eq!(
        outlined,
        [
            "pod_created_event",
            "instance_changed_event Staging",
            "instance_changed_event Starting",
            "instance_changed_event Running",
            "deployment_success",
        ]
    );
    assert_has(&events[0], &json!({"clientIp": "127.0.0.1", "uri": "/v2/pods"}));
    assert_eq!(events[1]["runSpecId"], "/p");
    pod["scaling"] = json!({"kind": "fixed", "instances": 0});
    cluster.put("PUT", "/v2/pods/p", &pod).await;
    let events = stream.until("deployment_success").await;
    assert_has(&events[0], &json!({"eventType": "pod_updated_event", "uri": "/v2/pods/p"}));
    cluster.put("DELETE", "/v2/pods/p", &json!({})).await;
    assert_eq!(stream.next().await.unwrap()["eventType"], "pod_deleted_event");
    cluster.end().await;
}

#[tokio::test]
async fn types_are_chosen_and_plans_are_light_as_the_generation_knows() {
    for (generation, filters, light) in [
        (Generation::V1_1, false, false),
        (Generation::V1_4, true, false),
        (Generation::V1_5, true, true),
        (Generation::V1_6, true, true),
    ] {
        let cluster = Cluster::start(generation).await;
        let url = cluster.url();
        let query = "?plan-format=light&event_type=deployment_info&event_type=none";
        let mut chosen = Stream::open(&url, query).await;
        let mut all = Stream::open(&url, "").await;
        cluster.put("POST", "/v2/apps", &bridge_app("/db", 0)).await;
        let first = chosen.next().await.unwrap();
        assert_eq!(first["eventType"] == "deployment_info", filters, "{generation}");
        let told = match filters {
            true => first,
            false => chosen.until("deployment_info").await.pop().unwrap(),
        };
        assert_eq!(told["plan"].get("original").is_none(), light, "{generation}");
        let told = all.until("deployment_info").await.pop().unwrap();
        // Without being asked only 1.8 is light.
        assert_eq!(told["plan"].get("original").is_none(), generation == Generation::V1_6);
        if !light {
            assert_eq!(told["plan"]["original"]["apps"], json!([]));
            assert_eq!(told["plan"]["target"]["apps"][0]["id"], "/db");
        }
        let end = all.until("deployment_success").await.pop().unwrap();
        assert_eq!(end.get("plan").is_none(), generation == Generation::V1_1);
        cluster.end().await;
    }
}

#[tokio::test]
async fn many_changes_at_once_are_told_as_a_change_of_the_root_and_a_cancelled_one_as_failed() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let mut stream = Stream::open(&cluster.url(), "").await;
    let mut stuck = bridge_app("/b", 1);
    stuck["healthChecks"] = json!([{"protocol": "HTTP", "path": "/status/500"}]);
    let both = json!([bridge_app("/a", 0), stuck]);
    let deployed = cluster.put("PUT", "/v2/apps", &both).await;
    let events = outline(&stream.until("group_change_success").await);
    assert_eq!(events[1..], ["deployment_info", "group_change_success /"]);
    let id = deployed.body["deploymentId"].as_str().unwrap();
    cluster.put("DELETE", &format!("/v2/deployments/{id}?force=true"), &json!({})).await;
    let failed = stream.until("deployment_failed").await.pop().unwrap();
    assert_eq!(failed["id"], id);
    assert!(!outline(&[failed]).iter().any(|text| text.contains("api_post_event")));
    cluster.end().await;
}

#[tokio::test]
async fn others_are_told_of_a_listener_that_comes_and_goes() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let mut stream = Stream::open(&cluster.url(), "").await;
    let other = Stream::open(&cluster.url(), "").await;
    drop(other);
    let events = stream.until("event_stream_detached").await;
    let told: Vec<String> = outline(&events);
    let attached = "event_stream_attached 127.0.0.1";
    assert_eq!(told, [attached, attached, "event_stream_detached 127.0.0.1"]);
    cluster.end().await;
}

// Before 1.8 it would miss events and stay; the unit tests of the bus show that.
#[tokio::test]
async fn a_listener_that_doesnt_read_is_closed_from_1_8_on() {
    const CHANGES: usize = 12;
    let cluster = Cluster::with(Generation::V1_6, |config| config.event_buffer = 2).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(256 << 10).unwrap();
    let address: SocketAddr = cluster.url().trim_start_matches("http://").parse().unwrap();
    let stream = socket.connect(address).await.unwrap();
    let mut slow = Stream::on(stream, "?event_type=api_post_event", "").await;
    let mut app = bridge_app("/large", 0);
    app["labels"] = json!({"x": "x".repeat(1 << 20)});
    for number in 0..CHANGES {
        app["labels"]["n"] = json!(number.to_string());
        cluster.put("PUT", "/v2/apps/large?force=true", &app).await;
    }
    // Now it reads: whole events, part of one perhaps, and the end.
    let mut told = 0;
    while let Some(line) = slow.line().await {
        told += usize::from(line.starts_with("event: "));
    }
    assert!(told < CHANGES, "{told}");
    cluster.end().await;
}
