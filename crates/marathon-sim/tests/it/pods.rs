//! Pods.

use marathon_sim::Generation;
use serde_json::{Value, json};

use crate::support::*;

fn pod(instances: usize) -> Value {
    json!({"id": "/productpage", "labels": {"version": "v1"},
        "scaling": {"kind": "fixed", "instances": instances},
        "networks": [{"name": "dcos", "mode": "container"}],
        "containers": [
            {"name": "web", "resources": {"cpus": 0.1, "mem": 32}, "image": {"id": "x", "kind": "DOCKER"},
                "healthCheck": {"http": {"endpoint": "web", "path": "/", "scheme": "HTTP"},
                    "intervalSeconds": 1},
                "endpoints": [
                    {"name": "web", "containerPort": 9080, "hostPort": 0, "protocol": ["tcp"],
                        "labels": {"VIP_0": "/productpage:9080"}},
                    {"name": "inner", "containerPort": 9081, "protocol": ["tcp"]},
                    {"name": "admin", "containerPort": 9082, "hostPort": 0, "protocol": ["http"]}]},
            {"name": "side", "resources": {}, "exec": {"command": {"shell": "sleep 1000"}}}]})
}

#[tokio::test]
async fn a_pods_status_joins_with_its_definition_by_name() {
    for generation in [Generation::V1_4, Generation::V1_5, Generation::V1_6] {
        let cluster = Cluster::start(generation).await;
        let posted = cluster.put("POST", "/v2/pods", &pod(1)).await;
        assert_eq!(posted.status, 201);
        assert!(!posted.header("marathon-deployment-id").is_empty());
        cluster.settled().await;
        let mut status = cluster.get("/v2/pods/productpage::status").await;
        assert_eq!(cluster.get("/v2/pods/::status").await, json!([status]));
        let spec = cluster.get("/v2/pods/productpage").await;
        assert_eq!(status["spec"], spec);
        assert_eq!(cluster.get("/v2/pods").await, json!([spec]));

        let instance = status["instances"][0].take();
        assert_has(&status, &json!({"id": "/productpage", "status": "STABLE"}));
        let id = instance["id"].as_str().unwrap();
        assert!(id.starts_with("productpage.instance-"), "{id}");
        let web = &instance["containers"][0];
        assert_has(
            &instance,
            &json!({"status": "STABLE", "networks": [{"name": "dcos"}],
                "containers": [
                    {"name": "web", "status": "TASK_RUNNING", "conditions": [{"name": "healthy",
                        "value": "true", "reason": "health-reported-by-mesos"}]},
                    {"name": "side", "status": "TASK_RUNNING", "conditions": [], "endpoints": []}]}),
        );
        // Host ports first, the checked endpoint last: an index means nothing.
        let names: Vec<&Value> =
            web["endpoints"].as_array().unwrap().iter().map(|e| &e["name"]).collect();
        assert_eq!(names, ["admin", "inner", "web"]);
        assert_eq!(web["endpoints"][2]["healthy"], true);
        assert_eq!(web["endpoints"][1].get("allocatedHostPort"), None);
        let port = &web["endpoints"][2]["allocatedHostPort"];
        let host = instance["agentHostname"].as_str().unwrap();
        let answer = http(format!("{host}:{port}").parse().unwrap()).await;
        assert_eq!(answer["task"], web["containerId"]);
        let reference = instance["specReference"].as_str().unwrap();
        assert_eq!(cluster.get(reference).await, spec);
        assert_eq!(cluster.get("/v2/tasks").await, json!({"tasks": []}));
        cluster.end().await;
    }
}

#[tokio::test]
async fn a_pod_changes_is_killed_and_goes() {
    let cluster = Cluster::start(Generation::V1_6).await;
    cluster.put("POST", "/v2/pods", &pod(2)).await;
    cluster.settled().await;
    let before = cluster.get("/v2/pods/productpage::status").await;
    let again = cluster.send("POST", "/v2/pods", pod(1).to_string()).await;
    assert_eq!(
        (again.status, again.message()),
        (409, "A pod with id [/productpage] already exists.")
    );

    let id = before["instances"][0]["id"].as_str().unwrap();
    let path = format!("/v2/pods/productpage::instances/{id}");
    assert_eq!(cluster.put("DELETE", &path, &json!({})).await.body["id"], id);
    cluster
        .until("/v2/pods/productpage::status", |body| {
            let instances = body["instances"].as_array().unwrap();
            body["status"] == "STABLE" && instances.iter().all(|instance| instance["id"] != id)
        })
        .await;

    let mut changed = pod(1);
    changed["labels"] = json!({"version": "v2"});
    cluster.put("PUT", "/v2/pods/productpage", &changed).await;
    cluster.settled().await;
    let after = cluster.get("/v2/pods/productpage::status").await;
    assert_eq!(after["instances"].as_array().unwrap().len(), 1);
    assert_ne!(after["instances"][0]["specReference"], before["instances"][0]["specReference"]);
    assert_eq!(cluster.get("/v2/pods/productpage::versions").await.as_array().unwrap().len(), 2);

    let gone = cluster.put("DELETE", "/v2/pods/productpage", &json!({})).await;
    assert_eq!(gone.status, 202);
    assert!(!gone.header("marathon-deployment-id").is_empty());
    cluster.settled().await;
    assert_eq!(cluster.get("/v2/pods/::status").await, json!([]));
    cluster.end().await;
}

#[tokio::test]
async fn a_pods_containers_end_together() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let mut short = pod(1);
    short["containers"][1]["exec"]["command"]["shell"] = json!("sleep 0.2");
    cluster.put("POST", "/v2/pods", &short).await;
    let path = "/v2/pods/productpage::status";
    let first = cluster.until(path, |body| body["instances"][0]["id"].is_string()).await;
    let id = first["instances"][0]["id"].as_str().unwrap();
    cluster.until(path, |body| body["instances"][0]["id"].as_str().is_some_and(|i| i != id)).await;
    assert_eq!(processes(id), Vec::<i32>::new());
    cluster.end().await;
}

#[tokio::test]
async fn there_are_no_pods_before_1_4() {
    let cluster = Cluster::start(Generation::V1_1).await;
    for (method, path) in [("POST", "/v2/pods"), ("GET", "/v2/pods"), ("GET", "/v2/pods/::status")]
    {
        assert_eq!(cluster.send(method, path, pod(1).to_string()).await.status, 404);
    }
    cluster.end().await;
}
