//! Status codes, headers, messages.

use marathon_sim::Generation;
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn every_refusal_has_marathons_status_and_words() {
    let cluster = Cluster::start(Generation::V1_6).await;
    cluster.run(&bridge_app("/db", 1)).await;
    let exists = bridge_app("/db", 1).to_string();
    let text = |value: &str| value.to_owned();
    for (method, path, body, status, message) in [
        ("GET", "/v2/apps/x", text(""), 404, "App '/x' does not exist"),
        ("DELETE", "/v2/apps//a/b", text(""), 404, "App '/a/b' does not exist"),
        ("PATCH", "/v2/apps/x", text("{}"), 404, "App '/x' does not exist"),
        ("POST", "/v2/apps/x/restart", text(""), 404, "App '/x' does not exist"),
        ("GET", "/v2/apps/x/versions", text(""), 404, "App '/x' does not exist"),
        ("GET", "/v2/apps/x/tasks", text(""), 404, "App '/x' does not exist"),
        ("GET", "/v2/apps//x/*", text(""), 404, "Group '/x' does not exist"),
        ("GET", "/v2/groups/x", text(""), 404, "Group '/x' does not exist"),
        ("DELETE", "/v2/groups/x", text(""), 404, "Group '/x' does not exist"),
        ("GET", "/v2/pods/x::status", text(""), 404, "Pod '/x' does not exist"),
        ("DELETE", "/v2/apps/db/tasks/x", text(""), 404, "Task 'x' does not exist"),
        ("DELETE", "/v2/deployments/x", text(""), 404, "DeploymentPlan x does not exist"),
        ("POST", "/v2/apps", exists, 409, "An app with id [/db] already exists."),
        ("POST", "/v2/apps", text("{"), 400, "Invalid JSON"),
        ("POST", "/v2/apps", text(""), 400, "Invalid JSON"),
        ("POST", "/v2/apps", text("[]"), 422, "Invalid JSON"),
        ("POST", "/v2/apps", text("{}"), 422, "Invalid JSON"),
        ("POST", "/v2/apps", text(r#"{"id":"/a","cmd":5}"#), 422, "Invalid JSON"),
        (
            "POST",
            "/v2/apps",
            text(r#"{"id":"/a","cmd":"x","labels":{"VIP_0":1}}"#),
            422,
            "Invalid JSON",
        ),
        ("POST", "/v2/apps", text(r#"{"id":"/a"}"#), 422, "Object is not valid"),
        ("POST", "/v2/apps", text(r#"{"id":"/A_b","cmd":"x"}"#), 422, "Object is not valid"),
        ("POST", "/v2/apps", text(r#"{"id":"/","cmd":"x"}"#), 422, "Object is not valid"),
        ("PUT", "/v2/apps", text("{}"), 422, "Invalid JSON"),
        ("POST", "/v2/tasks/delete", text("{}"), 422, "Invalid JSON"),
        ("POST", "/v2/pods", text(r#"{"id":"/p","containers":[]}"#), 422, "Object is not valid"),
        ("GET", "/v3", text(""), 404, "Not Found"),
        ("POST", "/ping", text(""), 405, "Method Not Allowed"),
    ] {
        let reply = cluster.send(method, path, body.clone()).await;
        assert_eq!(
            (reply.status, reply.message()),
            (status, message),
            "{method} {path} {body}: {reply:?}"
        );
    }
    cluster.end().await;
}

#[tokio::test]
async fn a_broken_rule_is_told_with_its_path() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let with = |key: &str, value: Value| {
        let mut app = json!({"id": "/a", "cmd": "x"});
        app[key] = value;
        app
    };
    let ports = |ports: Value| with("portDefinitions", ports);
    for (app, path) in [
        (ports(json!([{"name": "a"}, {"name": "a"}])), "/portDefinitions"),
        (ports(json!([{"port": 5}, {"port": 5}])), "/portDefinitions"),
        (ports(json!([{"name": "No"}])), "/portDefinitions/name"),
        (ports(json!([{"protocol": "sctp"}])), "/protocol"),
        (with("args", json!(["x"])), "/"),
        (with("networks", json!([{"mode": "wide"}])), "/networks/mode"),
        (with("networks", json!([{"mode": "host"}, {"mode": "container"}])), "/networks"),
        (with("healthChecks", json!([{"protocol": "TCP", "portIndex": 7}])), "/healthChecks"),
        (with("backoffSeconds", json!(-1)), "/backoffSeconds"),
        (with("backoffSeconds", json!(1e300)), "/backoffSeconds"),
    ] {
        let reply = cluster.send("POST", "/v2/apps", app.to_string()).await;
        assert_eq!((reply.status, reply.message()), (422, "Object is not valid"), "{app}");
        assert_eq!(reply.body["details"][0]["path"], path, "{app}");
        assert!(reply.body["details"][0]["errors"][0].is_string());
    }
    cluster.end().await;
}

#[tokio::test]
async fn a_post_is_answered_with_the_app_its_place_and_its_deployment() {
    for generation in GENERATIONS {
        let cluster = Cluster::start(generation).await;
        let reply = cluster.put("POST", "/v2/apps", &bridge_app("grp/db", 1)).await;
        assert_eq!(reply.status, 201);
        assert_eq!(reply.header("location"), format!("{}/v2/apps/grp/db", cluster.url()));
        let id = &reply.body["deployments"][0]["id"];
        assert_has(
            &reply.body,
            &json!({"id": "/grp/db", "tasksStaged": 0, "tasksRunning": 0, "tasksHealthy": 0,
                "tasksUnhealthy": 0, "deployments": [{"id": id}]}),
        );
        assert_eq!(reply.body.get("versionInfo"), None);
        match generation {
            Generation::V1_1 => assert_eq!(reply.header("marathon-deployment-id"), ""),
            _ => assert_eq!(reply.header("marathon-deployment-id"), id),
        }
        cluster.end().await;
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_of_a_leader() {
    let cluster = Cluster::start(Generation::V1_6).await;
    for path in ["/v2/apps", "/v2/apps/none", "/ping"] {
        let reply = cluster.send("GET", path, "").await;
        for (name, value) in [
            ("x-marathon-leader", &*cluster.url()),
            ("cache-control", "no-cache, no-store, must-revalidate"),
            ("pragma", "no-cache"),
            ("expires", "0"),
            ("x-frame-options", "DENY"),
            ("x-xss-protection", "1; mode=block"),
        ] {
            assert_eq!(reply.header(name), value, "{path}");
        }
    }
    cluster.end().await;
}

#[tokio::test]
async fn answers_are_compressed_for_who_asks() {
    let cluster = Cluster::start(Generation::V1_6).await;
    cluster.run(&bridge_app("/db", 1)).await;
    let url = format!("{}/v2/apps", cluster.url());
    let plain = reqwest::Client::builder().no_gzip().build().unwrap();
    let ask = |coding: &'static str| plain.get(&url).header("accept-encoding", coding).send();
    let zipped = ask("gzip").await.unwrap();
    assert_eq!(zipped.headers()["content-encoding"], "gzip");
    assert!(zipped.headers()["vary"].to_str().unwrap().eq_ignore_ascii_case("accept-encoding"));
    let zipped = zipped.bytes().await.unwrap();
    assert!(zipped.starts_with(&[0x1f, 0x8b]));
    let whole = ask("identity").await.unwrap();
    assert!(!whole.headers().contains_key("content-encoding"));
    assert!(whole.bytes().await.unwrap().len() > zipped.len());
    // The tests' own client asks for gzip and unpacks it.
    assert_eq!(cluster.get("/v2/apps").await["apps"][0]["id"], "/db");
    cluster.end().await;
}

#[tokio::test]
async fn the_cluster_tells_who_it_is() {
    for generation in GENERATIONS {
        let cluster = Cluster::start(generation).await;
        let leader = cluster.url().replace("http://", "");
        assert_eq!(cluster.get("/v2/leader").await, json!({"leader": leader}));
        assert_has(
            &cluster.get("/v2/info").await,
            &json!({"name": "marathon", "version": generation.version(), "leader": leader,
                "elected": true, "marathon_config": {"framework_name": "marathon"}}),
        );
        assert_eq!(cluster.get("/ping").await, json!("pong\n"));
        let pods = cluster.send("HEAD", "/v2/pods", "").await.status;
        assert_eq!(pods, if generation == Generation::V1_1 { 404 } else { 200 });
        cluster.end().await;
    }
}

#[tokio::test]
async fn tasks_are_listed_only_if_asked_for_and_apps_are_chosen_by_their_labels() {
    let cluster = Cluster::start(Generation::V1_6).await;
    for (id, labels) in [("/a", json!({"x": "1", "y": "1"})), ("/b", json!({"x": "2"}))] {
        let mut app = bridge_app(id, 0);
        app["labels"] = labels;
        cluster.put("POST", "/v2/apps", &app).await;
    }
    assert_eq!(cluster.get("/v2/apps").await["apps"][0].get("tasks"), None);
    for embed in ["apps.tasks", "tasks", "app.tasks", "nonsense&embed=apps.tasks"] {
        let apps = cluster.get(&format!("/v2/apps?embed={embed}")).await;
        assert_eq!(apps["apps"][0]["tasks"], json!([]), "{embed}");
    }
    for (query, chosen) in [
        ("label=x", json!(["/a", "/b"])),
        ("label=x==1", json!(["/a"])),
        ("label=x!=1", json!(["/b"])),
        ("label=x,y", json!(["/a"])),
        ("label=VIP_0", json!([])),
        ("id=b", json!(["/b"])),
    ] {
        let apps = cluster.get(&format!("/v2/apps?{query}")).await;
        let ids: Value = apps["apps"].as_array().unwrap().iter().map(|a| a["id"].clone()).collect();
        assert_eq!(ids, chosen, "{query}");
    }
    cluster.end().await;
}

#[tokio::test]
async fn several_apps_are_put_as_one_deployment() {
    let cluster = Cluster::start(Generation::V1_5).await;
    let both = json!([bridge_app("/a", 1), bridge_app("/b", 1)]);
    cluster.put("PUT", "/v2/apps", &both).await;
    cluster.settled().await;
    cluster.put("PATCH", "/v2/apps", &json!([{"id": "/a", "instances": 0}])).await;
    cluster.settled().await;
    let running = |app: &Value| app["tasks"].as_array().unwrap().len();
    let (a, b) = (cluster.app("/a").await, cluster.app("/b").await);
    assert_eq!((running(&a), running(&b)), (0, 1));
    let created = cluster.put("PUT", "/v2/apps/c", &bridge_app("/c", 0)).await;
    assert_eq!(created.status, 201);
    cluster.end().await;
}

#[tokio::test]
async fn a_partial_update_keeps_what_it_does_not_name() {
    for generation in GENERATIONS {
        let cluster = Cluster::start(generation).await;
        let before = cluster.run(&bridge_app("/db", 0)).await;
        cluster.put("PUT", "/v2/apps/db", &json!({"labels": {"a": "b"}})).await;
        let after = cluster.app("/db").await;
        assert_eq!(after["labels"], json!({"a": "b"}));
        assert_eq!(after["container"], before["container"]);
        // Back to an earlier version.
        cluster.settled().await;
        cluster.put("PUT", "/v2/apps/db", &json!({"version": before["version"]})).await;
        let back = cluster.app("/db").await;
        assert_eq!(back["labels"], json!({}));
        assert_ne!(back["version"], before["version"]);
        cluster.end().await;
    }
}

#[tokio::test]
async fn a_deployment_is_shown_and_can_be_taken_back() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let before = cluster.run(&bridge_app("/db", 1)).await;
    let stuck = json!({"healthChecks": [{"protocol": "COMMAND", "command": {"value": "false"}}]});
    let deployed = cluster.put("PUT", "/v2/apps/db", &stuck).await;
    let id = deployed.body["deploymentId"].as_str().unwrap();
    assert_has(
        &cluster.get("/v2/deployments").await,
        &json!([{"id": id, "version": deployed.body["version"], "affectedApps": ["/db"],
            "affectedPods": [], "currentStep": 1, "totalSteps": 1,
            "steps": [{"actions": [{"action": "RestartApplication", "app": "/db"}]}],
            "currentActions": [{"action": "RestartApplication", "app": "/db"}]}]),
    );
    let back = cluster.put("DELETE", &format!("/v2/deployments/{id}"), &json!({})).await;
    assert_eq!(back.status, 200);
    cluster.settled().await;
    let after = cluster.app("/db").await;
    assert_eq!(after["healthChecks"], before["healthChecks"]);

    let deployed = cluster.put("PUT", "/v2/apps/db", &stuck).await;
    let id = deployed.body["deploymentId"].as_str().unwrap();
    let left = cluster.put("DELETE", &format!("/v2/deployments/{id}?force=true"), &json!({})).await;
    assert_eq!(left.status, 202);
    assert_eq!(cluster.get("/v2/deployments").await, json!([]));
    cluster.end().await;
}

#[tokio::test]
async fn absurd_sizes_are_survived() {
    let cluster = Cluster::with(Generation::V1_6, |config| {
        config.agents.truncate(1);
        config.agents[0].ports = 31_000..=31_002;
    })
    .await;
    cluster.put("POST", "/v2/apps", &bridge_app("/many", 4_000_000_000)).await;
    cluster.until("/v2/apps/many", |body| body["app"]["tasksRunning"] == 3).await;
    let deep = "[".repeat(100_000);
    assert_eq!(cluster.send("POST", "/v2/apps", deep).await.status, 400);
    // It is refused before it is sent, and its connection closed: no other request may be on it.
    let large = reqwest::Client::new().post(format!("{}/v2/apps", cluster.url()));
    assert_eq!(large.body("x".repeat(17 << 20)).send().await.unwrap().status(), 413);
    assert_eq!(cluster.get("/ping").await, json!("pong\n"));
    cluster.end().await;
}
