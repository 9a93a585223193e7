//! The queue of launches, event subscriptions, plain text, flags and metrics.

use marathon_sim::Generation;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::*;

/// An app of which only two instances find a place: there are two agents.
fn spread_app(id: &str) -> Value {
    let mut app = bridge_app(id, 3);
    app["constraints"] = json!([["hostname", "UNIQUE"]]);
    app
}

#[tokio::test]
async fn what_finds_no_place_is_in_the_queue() {
    for generation in GENERATIONS {
        let cluster = Cluster::start(generation).await;
        assert_eq!(cluster.get("/v2/queue").await, json!({"queue": []}));
        cluster.put("POST", "/v2/apps", &spread_app("/g/wide")).await;
        let queue = cluster.until("/v2/queue", |q| q["queue"][0]["count"] == json!(1)).await;
        let item = &queue["queue"][0];
        assert_eq!(item["app"]["id"], "/g/wide");
        assert_eq!(item["delay"], json!({"timeLeftSeconds": 0, "overdue": true}));
        assert_eq!(item["since"].is_string(), generation >= Generation::V1_4);
        assert_eq!(cluster.send("DELETE", "/v2/queue//g/wide/delay", "").await.status, 204);
        let reply = cluster.send("DELETE", "/v2/queue//g/none/delay", "").await;
        let message = "Application /g/none not found in tasks queue.";
        assert_eq!((reply.status, reply.message()), (404, message));
        cluster.end().await;
    }
}

#[tokio::test]
async fn a_back_off_is_in_the_queue_and_can_be_reset() {
    let cluster = Cluster::with(Generation::V1_6, |config| config.time_scale = 1.0).await;
    let app = json!({"id": "/fails", "cmd": "exit 1", "instances": 1, "backoffSeconds": 600,
        "maxLaunchDelaySeconds": 600});
    cluster.put("POST", "/v2/apps", &app).await;
    let delayed = |queue: &Value| queue["queue"][0]["delay"]["overdue"] == json!(false);
    let queue = cluster.until("/v2/queue", delayed).await;
    let left = queue["queue"][0]["delay"]["timeLeftSeconds"].as_u64().unwrap();
    assert!((590..=600).contains(&left), "{left}");
    let failed = |app: &Value| app["app"]["lastTaskFailure"]["taskId"].as_str().map(str::to_owned);
    let first = failed(&cluster.get("/v2/apps/fails").await);
    assert_eq!(cluster.send("DELETE", "/v2/queue/fails/delay", "").await.status, 204);
    cluster.until("/v2/apps/fails", |app| failed(app) != first).await;
    cluster.end().await;
}

#[tokio::test]
async fn a_flag_is_true_in_any_case_and_false_in_any_other_word() {
    let cluster = Cluster::start(Generation::V1_6).await;
    cluster.put("POST", "/v2/apps", &spread_app("/a")).await;
    for (instances, (force, status)) in (4..).zip([
        ("?force=true", 200),
        ("?force=True", 200),
        ("?force=TRUE", 200),
        ("?force=False", 409),
        ("?force=1", 409),
        ("", 409),
    ]) {
        // Two agents: its deployment never ends.
        let body = json!({"instances": instances}).to_string();
        let reply = cluster.send("PUT", &format!("/v2/apps/a{force}"), body).await;
        assert_eq!(reply.status, status, "{force}");
    }
    for (path, status) in [("/v2/apps/a?force=False", 409), ("/v2/apps/a", 200)] {
        assert_eq!(cluster.send("DELETE", path, "").await.status, status, "{path}");
    }
    cluster.end().await;
}

#[tokio::test]
async fn tasks_are_listed_as_text_for_scripts() {
    let client = reqwest::Client::new();
    for generation in GENERATIONS {
        let cluster = Cluster::start(generation).await;
        let app = cluster.run(&bridge_app("/g/db", 2)).await;
        let text = async |path: &str, accept: &str| {
            let request = client.get(format!("{}{path}", cluster.url())).header("Accept", accept);
            request.send().await.unwrap().text().await.unwrap()
        };
        let tasks = app["tasks"].as_array().unwrap().iter();
        let mut places: Vec<String> = tasks.map(|task| address(task).to_string()).collect();
        places.sort();
        // Service ports begin at 10000.
        let expected = format!("g_db\t10000\t{}\t{}\t\n", places[0], places[1]);
        assert_eq!(text("/v2/tasks", "text/plain").await, expected);
        assert_eq!(text("/v2/apps//g/db/tasks", "text/plain").await, expected);
        assert!(text("/v2/tasks", "*/*").await.starts_with('{'));
        cluster.end().await;
    }
}

#[tokio::test]
async fn a_subscribed_url_gets_the_events_until_it_unsubscribes() {
    let hook = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", hook.local_addr().unwrap());
    let path = format!("/v2/eventSubscriptions?callbackUrl={url}");
    let cluster = Cluster::start(Generation::V1_1).await;
    let event = cluster.send("POST", &path, "").await.body;
    assert_has(&event, &json!({"eventType": "subscribe_event", "callbackUrl": url}));
    let all = cluster.get("/v2/eventSubscriptions").await;
    assert_eq!(all, json!({"callbackUrls": [url]}));
    let (mut stream, _) = hook.accept().await.unwrap();
    let mut request = vec![0; 4096];
    let length = stream.read(&mut request).await.unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
    drop(stream);
    cluster.send("DELETE", &path, "").await;
    assert_eq!(cluster.get("/v2/eventSubscriptions").await, json!({"callbackUrls": []}));
    assert_eq!(cluster.send("POST", "/v2/eventSubscriptions?callbackUrl=x", "").await.status, 400);
    cluster.end().await;
    let later = Cluster::start(Generation::V1_5).await;
    assert_eq!(later.send("GET", "/v2/eventSubscriptions", "").await.status, 404);
    later.end().await;
}

#[tokio::test]
async fn metrics_count_apps_and_tasks() {
    for (generation, apps, tasks) in [
        (
            Generation::V1_1,
            "service.mesosphere.marathon.app.count",
            "service.mesosphere.marathon.task.running.count",
        ),
        (Generation::V1_6, "marathon.apps.active.gauge", "marathon.instances.running.gauge"),
    ] {
        let cluster = Cluster::start(generation).await;
        cluster.run(&bridge_app("/a", 2)).await;
        let gauges = cluster.get("/metrics").await["gauges"].take();
        assert_eq!(gauges[apps], json!({"value": 1}));
        assert_eq!(gauges[tasks], json!({"value": 2}));
        cluster.end().await;
    }
}
