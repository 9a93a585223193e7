//! Health checks that are really made.

use marathon_sim::Generation;
use serde_json::{Value, json};

use crate::support::*;

fn checked(id: &str, check: &Value) -> Value {
    let mut app = bridge_app(id, 1);
    app["healthChecks"] = json!([check]);
    app
}

#[tokio::test]
async fn a_task_that_fails_its_check_too_often_is_killed_and_replaced() {
    let cluster = Cluster::start(Generation::V1_4).await;
    let app = checked(
        "/ill",
        &json!({"protocol": "HTTP", "path": "/status/500", "gracePeriodSeconds": 0,
            "intervalSeconds": 1, "maxConsecutiveFailures": 2}),
    );
    cluster.put("POST", "/v2/apps", &app).await;
    let failing = cluster.until("/v2/apps/ill", |body| {
        body["app"]["tasks"][0]["healthCheckResults"][0]["lastFailure"].is_string()
    });
    let failing = failing.await["app"].take();
    let task = &failing["tasks"][0];
    assert_has(
        &task["healthCheckResults"][0],
        &json!({"alive": false, "firstSuccess": null, "lastSuccess": null,
            "lastFailureCause": "500"}),
    );
    assert_eq!(failing["tasksUnhealthy"], 1);
    cluster
        .until("/v2/apps/ill/tasks", |body| {
            body["tasks"].as_array().unwrap().iter().any(|other| other["id"] != task["id"])
        })
        .await;
    cluster.end().await;
}

#[tokio::test]
async fn failures_in_the_grace_period_show_as_not_alive_and_nothing_else() {
    for (generation, id) in [(Generation::V1_1, "taskId"), (Generation::V1_4, "instanceId")] {
        let cluster = Cluster::start(generation).await;
        let app = checked(
            "/young",
            &json!({"protocol": "HTTP", "path": "/status/503", "gracePeriodSeconds": 3000,
                "intervalSeconds": 1}),
        );
        cluster.put("POST", "/v2/apps", &app).await;
        let body = cluster.until("/v2/apps/young", |body| {
            body["app"]["tasks"][0]["healthCheckResults"].is_array()
        });
        let mut result = body.await["app"]["tasks"][0]["healthCheckResults"][0].take();
        assert!(result[id].take().is_string());
        assert_eq!(
            result,
            json!({"alive": false, "consecutiveFailures": 0, "firstSuccess": null,
                "lastSuccess": null, "lastFailure": null, "lastFailureCause": null, id: null})
        );
        cluster.end().await;
    }
}

#[tokio::test]
async fn one_failure_flips_alive_and_a_success_flips_it_back() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let directory = tempfile::tempdir().unwrap();
    let well = directory.path().join("well");
    std::fs::write(&well, "").unwrap();
    let app = checked(
        "/moody",
        &json!({"protocol": "COMMAND", "command": {"value": format!("test -e {}", well.display())},
            "intervalSeconds": 1, "maxConsecutiveFailures": 0}),
    );
    let task = cluster.run(&app).await["tasks"][0]["id"].take();
    let alive = |alive: bool| {
        move |body: &Value| body["app"]["tasks"][0]["healthCheckResults"][0]["alive"] == alive
    };
    std::fs::remove_file(&well).unwrap();
    cluster.until("/v2/apps/moody", alive(false)).await;
    std::fs::write(&well, "").unwrap();
    let body = cluster.until("/v2/apps/moody", alive(true)).await;
    assert_eq!(body["app"]["tasks"][0]["id"], task);
    assert_eq!(body["app"]["tasks"][0]["healthCheckResults"][0]["consecutiveFailures"], 0);
    cluster.end().await;
}

#[tokio::test]
async fn an_informational_answer_is_ignored_if_told_so() {
    let cluster = Cluster::start(Generation::V1_5).await;
    let app = checked(
        "/early",
        &json!({"protocol": "HTTP", "path": "/status/102", "gracePeriodSeconds": 0,
            "intervalSeconds": 1, "maxConsecutiveFailures": 1, "ignoreHttp1xx": true}),
    );
    cluster.put("POST", "/v2/apps", &app).await;
    let body = cluster
        .until("/v2/apps/early", |body| body["app"]["tasks"][0]["healthCheckResults"].is_array());
    assert_has(
        &body.await["app"]["tasks"][0]["healthCheckResults"][0],
        &json!({"alive": false, "consecutiveFailures": 0, "lastFailure": null}),
    );
    cluster.end().await;
}

#[tokio::test]
async fn an_https_check_never_has_a_result() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let check = json!({"protocol": "HTTPS", "intervalSeconds": 1});
    cluster.put("POST", "/v2/apps", &checked("/tls", &check)).await;
    let body = cluster.until("/v2/apps/tls", |body| body["app"]["tasksRunning"] == 1).await;
    assert_eq!(body["app"]["tasks"][0]["healthCheckResults"], json!([]));
    assert_eq!(body["app"]["tasksHealthy"], 0);
    cluster.end().await;
}
