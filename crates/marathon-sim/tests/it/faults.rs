//! Members, elections, and everything that can go wrong on purpose.

use std::time::{Duration, Instant};

use marathon_sim::{Fault, Generation};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::listener::Stream;
use crate::support::*;

/// A GET over a connection of its own: the bytes of the answer, to the end of the connection.
async fn raw(url: &str, path: &str, headers: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    (String::from_utf8(bytes[..end].to_vec()).unwrap(), bytes.split_off(end))
}

async fn pair(generation: Generation) -> Cluster {
    Cluster::with(generation, |config| {
        config.standbys = 1;
        config.leader_wait = Duration::from_millis(20);
        config.election = Duration::from_millis(20);
    })
    .await
}

#[tokio::test]
async fn a_standby_passes_everything_on_and_says_so() {
    for generation in GENERATIONS {
        let cluster = pair(generation).await;
        cluster.run(&bridge_app("/db", 1)).await;
        let [leader, standby] = cluster.handle().urls() else { panic!("two members") };
        let (head, body) = raw(standby, "/v2/apps", "").await;
        assert!(head.contains(&format!("x-marathon-leader: {leader}\r\n")), "{head}");
        let via = standby.replace("http://", "1.1 ");
        assert!(head.contains(&format!("x-marathon-via: {via}\r\n")), "{head}");
        let apps: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(apps["apps"][0]["id"], "/db");
        assert!(!raw(leader, "/v2/apps", "").await.0.contains("x-marathon-via"));
        cluster.end().await;
    }
}

#[tokio::test]
async fn a_standby_passes_the_stream_on_until_1_7_and_sends_to_the_leader_from_then_on() {
    for generation in GENERATIONS {
        let cluster = pair(generation).await;
        let [leader, standby] = cluster.handle().urls() else { panic!("two members") };
        if generation == Generation::V1_6 {
            let path = "/v2/events?event_type=a&event_type=b";
            let (head, body) = raw(standby, path, "Accept: text/event-stream\r\n").await;
            assert!(head.starts_with("HTTP/1.1 302 "), "{head}");
            assert!(head.contains(&format!("location: {leader}{path}\r\n")), "{head}");
            assert_eq!(body, b"");
        } else {
            let mut stream = Stream::open(standby, "").await;
            let via = standby.replace("http://", "X-Marathon-Via: 1.1 ");
            assert!(stream.head.contains(&format!("{via}\r\n")), "{}", stream.head);
            assert!(stream.head.contains(&format!("X-Marathon-Leader: {leader}\r\n")));
            assert_eq!(stream.head.matches("Date: ").count(), 2);
            cluster.put("POST", "/v2/apps", &bridge_app("/db", 0)).await;
            stream.until("deployment_success").await;
        }
        cluster.end().await;
    }
}

#[tokio::test]
async fn an_abdication_ends_streams_and_the_next_member_leads() {
    let cluster = pair(Generation::V1_6).await;
    let [first, second] = cluster.handle().urls() else { panic!("two members") };
    let mut stream = Stream::open(first, "").await;
    let reply = cluster.send("DELETE", "/v2/leader", "").await;
    assert_eq!((reply.status, reply.message()), (200, "Leadership abdicated"));
    assert_eq!(reply.header("x-marathon-leader"), first);
    stream.ends().await;
    let second_address = second.trim_start_matches("http://");
    cluster.until("/v2/leader", |body| body["leader"] == second_address).await;
    assert_eq!(cluster.send("GET", "/ping", "").await.header("x-marathon-leader"), second);
    let mut stream = Stream::open(second, "").await;
    assert_eq!(stream.next().await.unwrap()["eventType"], "event_stream_attached");
    cluster.end().await;
}

#[tokio::test]
async fn with_no_leader_everything_is_refused_in_html_after_a_while() {
    for (generation, status) in [(Generation::V1_4, 503), (Generation::V1_6, 502)] {
        let cluster = pair(generation).await;
        cluster.handle().set_leader(None);
        for path in ["/v2/apps", "/ping", "/v2/events"] {
            let begin = Instant::now();
            let reply = cluster.send("GET", path, "").await;
            assert!(begin.elapsed() >= Duration::from_millis(20));
            assert_eq!(reply.status, status, "{path}");
            assert_eq!(reply.header("content-type"), "text/html;charset=utf-8");
            assert_eq!(reply.header("x-marathon-leader"), "");
            let page = reply.body.as_str().unwrap();
            assert!(page.contains("Could not determine the current leader"), "{page}");
            assert!(page.contains(&format!("Problem accessing {path}.")), "{page}");
        }
        cluster.handle().set_leader(Some(1));
        assert_eq!(cluster.get("/ping").await, json!("pong\n"));
        cluster.end().await;
    }
}

#[tokio::test]
async fn a_new_leader_knows_no_results_of_marathons_own_checks() {
    let cluster = pair(Generation::V1_6).await;
    for (id, protocol) in [("/tcp", "TCP"), ("/mesos", "MESOS_TCP")] {
        let mut app = bridge_app(id, 1);
        // The first check comes soon, the next one not in this test.
        app["healthChecks"] = json!([{"protocol": protocol, "intervalSeconds": 100_000}]);
        cluster.run(&app).await;
    }
    cluster.handle().set_leader(Some(1));
    let results = async |id| cluster.tasks(id).await[0]["healthCheckResults"].clone();
    assert_eq!(results("/tcp").await, json!([]));
    assert_eq!(results("/mesos").await[0]["alive"], true);
    cluster.end().await;
}

#[tokio::test]
async fn health_can_be_forgotten_with_no_election_and_streams_go_on() {
    let cluster = Cluster::start(Generation::V1_4).await;
    let mut app = bridge_app("/tcp", 1);
    app["healthChecks"] = json!([{"protocol": "TCP", "intervalSeconds": 100_000}]);
    cluster.run(&app).await;
    let mut stream = Stream::open(&cluster.url(), "").await;
    cluster.handle().forget_health();
    assert_eq!(cluster.tasks("/tcp").await[0].get("healthCheckResults"), None);
    cluster.put("PUT", "/v2/apps/tcp", &json!({"instances": 0})).await;
    stream.until("deployment_info").await;
    cluster.end().await;
}

#[tokio::test]
async fn events_are_lost_doubled_swapped_and_late_on_the_wire() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let mut stream = Stream::open(&cluster.url(), "").await;
    stream.next().await.unwrap();
    let kinds = [
        "deployment_info",
        "group_change_success",
        "api_post_event",
        "deployment_step_success",
        "deployment_success",
    ];
    let [info, group, post, step, end] = kinds;
    for (number, (fault, told)) in [
        (Fault::Lost, vec![info, post, step, end]),
        (Fault::Doubled, vec![info, group, group, post, step, end]),
        (Fault::Reordered, vec![info, post, group, step, end]),
        (Fault::Late { ms: 1000 }, vec![info, post, step, end, group]),
    ]
    .into_iter()
    .enumerate()
    {
        cluster.handle().inject_fault(fault.times(1).limited_to(group));
        cluster.put("POST", "/v2/apps", &bridge_app(&format!("/a{number}"), 0)).await;
        for kind in told {
            assert_eq!(stream.next().await.unwrap()["eventType"], kind, "{fault:?}");
        }
    }
    cluster.end().await;
}

#[tokio::test]
async fn the_api_can_lag_behind_an_event() {
    let cluster = Cluster::start(Generation::V1_6).await;
    cluster.run(&bridge_app("/db", 1)).await;
    let mut stream = Stream::open(&cluster.url(), "").await;
    cluster.handle().inject_fault(Fault::Lag { ms: 3_600_000 }.always());
    cluster.put("PUT", "/v2/apps/db", &json!({"instances": 0})).await;
    stream.until("deployment_success").await;
    for path in ["/v2/apps/db", "/v2/apps/db?embed=apps.tasks"] {
        assert_eq!(cluster.get(path).await["app"]["instances"], 1, "{path}");
    }
    assert_eq!(cluster.get("/v2/tasks").await["tasks"][0]["state"], "TASK_RUNNING");
    cluster.handle().clear_faults();
    assert_eq!(cluster.app("/db").await["instances"], 0);
    // A short lag is over by itself.
    cluster.handle().inject_fault(Fault::Lag { ms: 50 }.always());
    cluster.put("PUT", "/v2/apps/db", &json!({"instances": 1})).await;
    cluster.until("/v2/apps/db", |body| body["app"]["instances"] == 1).await;
    cluster.end().await;
}

#[tokio::test]
async fn a_stream_can_end_at_once_or_go_dead() {
    let cluster = Cluster::with(Generation::V1_6, |config| {
        config.heartbeat = Duration::from_millis(10);
    })
    .await;
    cluster.handle().inject_fault(Fault::Closed.times(1));
    let mut closed = Stream::open(&cluster.url(), "").await;
    assert!(closed.head.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(closed.next().await, None);

    let mut dead = Stream::open(&cluster.url(), "").await;
    dead.next().await.unwrap();
    cluster.handle().inject_fault(Fault::HalfOpen.always());
    // Heartbeats that were under way come; after them nothing does.
    while tokio::time::timeout(Duration::from_millis(200), dead.byte()).await.is_ok() {}
    cluster.put("POST", "/v2/apps", &bridge_app("/db", 0)).await;
    cluster.handle().set_leader(Some(0));
    let silence = tokio::time::timeout(Duration::from_millis(50), dead.byte()).await;
    assert!(silence.is_err(), "{silence:?}");
    cluster.handle().clear_faults();
    let mut well = Stream::open(&cluster.url(), "").await;
    assert_eq!(well.next().await.unwrap()["eventType"], "event_stream_attached");
    cluster.end().await;
    dead.ends().await;
}

#[tokio::test]
async fn answers_fail_in_all_the_ways_they_do() {
    let cluster = Cluster::start(Generation::V1_6).await;
    cluster.run(&bridge_app("/db", 1)).await;
    let handle = cluster.handle();
    let health = json!({"message": "while retrieving health counts for app [/db]"});
    for (fault, status, body) in [
        (Fault::Empty, 200, json!("")),
        (Fault::NoApps, 200, json!({"apps": []})),
        (Fault::HealthAsk, 500, health),
    ] {
        handle.inject_fault(fault.times(1));
        let reply = cluster.send("GET", "/v2/apps", "").await;
        let leader = if fault == Fault::Empty { "" } else { &*cluster.url() };
        assert_eq!(reply.header("x-marathon-leader"), leader, "{fault:?}");
        assert_eq!((reply.status, reply.body), (status, body), "{fault:?}");
        assert_eq!(cluster.get("/v2/apps").await["apps"][0]["id"], "/db");
    }
    handle.inject_fault(Fault::Empty.times(1));
    let (head, body) = raw(&cluster.url(), "/v2/apps", "").await;
    assert!(head.contains("content-length: 0\r\n") && body.is_empty(), "{head}");
    for (fault, status) in [(Fault::BadGateway, 502), (Fault::Unavailable, 503)] {
        handle.inject_fault(fault.times(1).limited_to("/v2/events"));
        let reply = cluster.send("GET", "/v2/events", "").await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("content-type"), "text/html;charset=utf-8");
        assert!(reply.body.as_str().unwrap().starts_with("<html>"));
    }
    handle.inject_fault(Fault::Stall { ms: 50 }.times(1));
    let begin = Instant::now();
    cluster.get("/v2/apps").await;
    assert!(begin.elapsed() >= Duration::from_millis(50));
    cluster.end().await;
}

#[tokio::test]
async fn a_body_can_end_in_its_middle_and_the_head_doesnt_tell() {
    let cluster = Cluster::start(Generation::V1_6).await;
    cluster.run(&bridge_app("/db", 1)).await;
    for headers in ["Accept-Encoding: gzip\r\n", ""] {
        cluster.handle().inject_fault(Fault::Truncated.times(1));
        let (head, body) = raw(&cluster.url(), "/v2/apps/db/versions", headers).await;
        let (_, whole) = raw(&cluster.url(), "/v2/apps/db/versions", headers).await;
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        assert_eq!(head.contains("content-encoding: gzip"), !headers.is_empty());
        if headers.is_empty() {
            assert_eq!(body, whole[..whole.len() / 2]);
        } else {
            assert!(body.starts_with(&[0x1f, 0x8b]));
        }
    }
    // A client that unpacks sees an error, no shorter text.
    cluster.handle().inject_fault(Fault::Truncated.times(1));
    let answer = reqwest::get(format!("{}/v2/apps", cluster.url())).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    answer.bytes().await.unwrap_err();
    cluster.end().await;
}

#[tokio::test]
async fn a_token_is_needed_and_expires_but_open_streams_stay() {
    let cluster = Cluster::with(Generation::V1_6, |config| {
        config.token_lifetime = Some(Duration::from_secs(3600));
    })
    .await;
    let client = reqwest::Client::new();
    let get = async |authorization: String| {
        let url = format!("{}/v2/apps", cluster.url());
        let answer = client.get(url).header("authorization", authorization).send().await.unwrap();
        answer.status().as_u16()
    };
    let refused = cluster.send("GET", "/ping", "").await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "oauthjwt"));
    let login = json!({"uid": "vipd", "token": "x.y.z"});
    let body = cluster.put("POST", "/acs/api/v1/auth/login", &login).await.body;
    let token = body["token"].as_str().unwrap();
    assert_eq!(get(format!("token={token}")).await, 200);
    assert_eq!(get(format!("Bearer {token}")).await, 200);
    assert_eq!(get("token=other".to_owned()).await, 401);
    let mut open = Stream::open_as(&cluster.url(), "", &format!("token={token}")).await;
    cluster.handle().expire_tokens();
    assert_eq!(get(format!("token={token}")).await, 401);
    let body = cluster.put("POST", "/acs/api/v1/auth/login", &login).await.body;
    let again = format!("token={}", body["token"].as_str().unwrap());
    drop(Stream::open_as(&cluster.url(), "", &again).await);
    open.until("event_stream_detached").await;
    cluster.end().await;
}

#[tokio::test]
async fn the_switchboard_is_reached_over_http_at_every_member_whoever_leads() {
    let cluster = pair(Generation::V1_6).await;
    let rule = json!({"fault": "no-apps", "times": 3});
    cluster.put("POST", "/_sim/faults", &rule).await;
    assert_eq!(cluster.get("/_sim/faults").await, json!([rule]));
    assert_eq!(cluster.get("/v2/apps").await, json!({"apps": []}));
    assert_eq!(cluster.get("/_sim/faults").await, json!([{"fault": "no-apps", "times": 2}]));
    cluster.put("DELETE", "/_sim/faults", &json!({})).await;
    assert_eq!(cluster.get("/_sim/faults").await, json!([]));
    cluster.put("PUT", "/_sim/leader", &json!({"leader": null})).await;
    assert_eq!(cluster.send("GET", "/ping", "").await.status, 502);
    let urls = cluster.handle().urls();
    assert_eq!(cluster.get("/_sim/members").await, json!({"members": urls, "leader": null}));
    cluster.put("PUT", "/_sim/leader", &json!({"leader": 1})).await;
    assert_eq!(cluster.get("/ping").await, json!("pong\n"));
    cluster.put("POST", "/_sim/forget-health", &json!({})).await;
    cluster.put("POST", "/_sim/expire-tokens", &json!({})).await;
    for (method, path, body, status) in [
        ("PUT", "/_sim/leader", json!({"leader": 2}), 400),
        ("PUT", "/_sim/leader", json!({"lead": 1}), 400),
        ("POST", "/_sim/faults", json!({"fault": "gremlins"}), 400),
        ("GET", "/_sim/none", json!({}), 404),
    ] {
        assert_eq!(cluster.send(method, path, body.to_string()).await.status, status, "{path}");
    }
    cluster.end().await;
}
