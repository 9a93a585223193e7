//! The tutorial's own definitions, as they are printed there.

use serde_json::json;

use crate::support::*;

const MYSQL: &str = include_str!("../../../../docs/examples/mysql.json");
const MYSQL_TWICE: &str = include_str!("../../../../docs/examples/mysql-two-vips.json");
const WORDPRESS: &str = include_str!("../../../../docs/examples/wordpress.json");

#[tokio::test]
async fn the_tutorials_apps_run_and_turn_healthy_in_every_generation() {
    for generation in GENERATIONS {
        let cluster = Cluster::start(generation).await;
        for definition in [MYSQL, WORDPRESS] {
            assert_eq!(cluster.send("POST", "/v2/apps", definition).await.status, 201);
        }
        cluster.settled().await;

        let mysql = cluster.app("/mysql").await;
        assert_has(&mysql, &json!({"tasksRunning": 1, "tasksHealthy": 1, "tasksUnhealthy": 0}));
        let task = &mysql["tasks"][0];
        let who = format!("/mysql {} {}", task["id"].as_str().unwrap(), address(task));
        assert_eq!(greeting_and_echo(address(task), "hello").await, (who, "hello".to_owned()));

        let wordpress = cluster.app("/wordpress").await;
        let task = &wordpress["tasks"][0];
        assert_eq!(
            http(address(task)).await,
            json!({"app": "/wordpress", "task": task["id"], "host": task["host"],
                "port": task["ports"][0]})
        );
        // The stray portDefinitions add no port.
        assert_eq!(task["ports"].as_array().unwrap().len(), 1);
        cluster.end().await;
    }
}

#[tokio::test]
async fn a_label_written_twice_keeps_its_last_value() {
    for generation in GENERATIONS {
        let cluster = Cluster::start(generation).await;
        let posted = cluster.send("POST", "/v2/apps", MYSQL_TWICE).await;
        let path = match posted.body.pointer("/container/portMappings") {
            Some(_) => "/container/portMappings/0/labels",
            None => "/container/docker/portMappings/0/labels",
        };
        assert_eq!(posted.body.pointer(path), Some(&json!({"VIP_0": "4.4.0.7:3306"})));
        cluster.end().await;
    }
}
