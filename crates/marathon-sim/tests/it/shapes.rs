//! What each generation writes, against literal answers of that generation. The letters are those
//! of the cases: bridge, host, user network and address-per-task until 1.4; bridge, container
//! and host from 1.5 on.

use marathon_sim::Generation;
use serde_json::{Value, json};

use crate::support::*;

fn absent(value: &Value, keys: &[&str]) {
    for key in keys {
        assert_eq!(value.get(key), None, "{key} in {value:#}");
    }
}

fn bridge() -> Value {
    json!({"id": "/db", "labels": {"owner": "x"}, "instances": 1,
        "container": {"type": "DOCKER", "docker": {"image": "mysql", "network": "BRIDGE",
            "portMappings": [{"containerPort": 3306, "hostPort": 0, "servicePort": 10001,
                "protocol": "tcp", "name": "sql", "labels": {"VIP_0": "3.3.0.6:3306"}}]}},
        "healthChecks": [{"protocol": "TCP", "portIndex": 0, "gracePeriodSeconds": 10,
            "intervalSeconds": 5, "timeoutSeconds": 5, "maxConsecutiveFailures": 3}]})
}

/// The app as the list shows it with its tasks.
async fn listed(cluster: &Cluster, app: &Value) -> Value {
    cluster.run(app).await;
    cluster.get("/v2/apps?embed=apps.tasks").await["apps"][0].take()
}

#[tokio::test]
async fn a_bridge_until_1_4_has_made_up_port_definitions() {
    for generation in [Generation::V1_1, Generation::V1_4] {
        let cluster = Cluster::start(generation).await;
        let app = listed(&cluster, &bridge()).await;
        assert_has(
            &app,
            &json!({"id": "/db", "labels": {"owner": "x"}, "instances": 1, "cmd": null,
                "container": {"type": "DOCKER", "volumes": [], "docker": {"image": "mysql",
                    "network": "BRIDGE", "privileged": false, "parameters": [],
                    "portMappings": [{"containerPort": 3306, "hostPort": 0, "servicePort": 10001,
                        "protocol": "tcp", "name": "sql", "labels": {"VIP_0": "3.3.0.6:3306"}}]}},
                "ports": [10001],
                "portDefinitions": [{"port": 10001, "protocol": "tcp", "labels": {}}],
                "requirePorts": false, "ipAddress": null,
                "healthChecks": [{"protocol": "TCP", "portIndex": 0, "gracePeriodSeconds": 10,
                    "intervalSeconds": 5, "timeoutSeconds": 5, "maxConsecutiveFailures": 3,
                    "ignoreHttp1xx": false}],
                "readinessChecks": [], "tasksStaged": 0, "tasksRunning": 1, "tasksHealthy": 1,
                "tasksUnhealthy": 0, "deployments": []}),
        );
        absent(&app, &["networks"]);
        absent(&app["container"], &["portMappings"]);
        let task = &app["tasks"][0];
        let result = &task["healthCheckResults"][0];
        assert_has(result, &json!({"alive": true, "consecutiveFailures": 0, "lastFailure": null}));
        assert_eq!(task["version"], app["versionInfo"]["lastConfigChangeAt"]);
        let id = task["id"].as_str().unwrap();
        if generation == Generation::V1_1 {
            assert_eq!(task["ipAddresses"], json!([]));
            assert_eq!(result["taskId"], id);
            absent(task, &["state", "servicePorts"]);
            absent(result, &["instanceId"]);
        } else {
            assert_eq!(task["state"], "TASK_RUNNING");
            assert_eq!(result["instanceId"], id.replace("db.", "db.marathon-"));
            absent(task, &["servicePorts"]);
            absent(result, &["taskId"]);
        }
        cluster.end().await;
    }
}

#[tokio::test]
async fn b_host_until_1_4_has_its_ports_in_port_definitions() {
    for (generation, mappings) in [(Generation::V1_1, json!(null)), (Generation::V1_4, json!([]))] {
        let cluster = Cluster::start(generation).await;
        let definitions = json!([{"port": 8087, "protocol": "tcp", "name": "proto",
            "labels": {"VIP_0": "ephemeral-store:8087"}}]);
        let docker = json!({"id": "/docker", "portDefinitions": definitions,
            "container": {"docker": {"image": "x", "network": "HOST",
                "portMappings": [{"containerPort": 1}]}}});
        let app = listed(&cluster, &docker).await;
        let network = json!({"network": "HOST", "portMappings": mappings});
        assert_has(
            &app,
            &json!({"container": {"docker": network}, "portDefinitions": definitions,
                "ports": [8087], "ipAddress": null}),
        );
        assert_eq!(app["tasks"][0]["ports"].as_array().unwrap().len(), 1);
        let plain = json!({"id": "/plain", "cmd": "sleep 1000", "ports": [0]});
        let app = cluster.run(&plain).await;
        assert_eq!(app["container"], json!(null));
        assert_eq!(app["ports"].as_array().unwrap().len(), 1);
        cluster.end().await;
    }
}

#[tokio::test]
async fn c_user_network_in_1_4_has_addresses_and_no_ports() {
    let cluster = Cluster::start(Generation::V1_4).await;
    let posted = json!({"id": "/web", "ipAddress": {"networkName": "dcos"},
        "container": {"docker": {"image": "x", "network": "USER", "portMappings": [
            {"containerPort": 80, "servicePort": 10002, "protocol": "tcp",
                "labels": {"VIP_0": "1.2.3.4:80"}}]}}});
    let app = listed(&cluster, &posted).await;
    assert_has(
        &app,
        &json!({"ipAddress": {"groups": [], "labels": {}, "discovery": {"ports": []},
                "networkName": "dcos"},
            "container": {"docker": {"network": "USER", "portMappings": [{"containerPort": 80,
                "servicePort": 10002, "protocol": "tcp", "labels": {"VIP_0": "1.2.3.4:80"}}]}}}),
    );
    absent(&app, &["ports", "portDefinitions", "requirePorts", "networks"]);
    absent(&app["container"]["docker"]["portMappings"][0], &["hostPort"]);
    let task = &app["tasks"][0];
    assert_eq!(task["ports"], json!([]));
    assert_eq!(task["ipAddresses"][0]["protocol"], "IPv4");
    cluster.end().await;
}

#[tokio::test]
async fn d_an_address_per_task_has_its_ports_in_discovery() {
    let ports = json!([{"number": 80, "name": "http", "protocol": "tcp",
        "labels": {"VIP_0": "1.2.3.4:80"}}]);
    let posted = json!({"id": "/ip", "cmd": "sleep 1000", "ipAddress": {"discovery":
        {"ports": ports}}});
    for generation in [Generation::V1_1, Generation::V1_4] {
        let cluster = Cluster::start(generation).await;
        let app = listed(&cluster, &posted).await;
        assert_has(&app, &json!({"ipAddress": {"discovery": {"ports": ports}}, "container": null}));
        assert_eq!(app["tasks"][0]["ports"], json!([]));
        cluster.end().await;
    }
    // Later generations read the old form and write the new one.
    let cluster = Cluster::start(Generation::V1_6).await;
    let app = listed(&cluster, &posted).await;
    assert_has(
        &app,
        &json!({"networks": [{"mode": "container", "name": "dcos"}],
            "container": {"type": "MESOS", "portMappings": [{"containerPort": 80, "name": "http",
                "protocol": "tcp", "labels": {"VIP_0": "1.2.3.4:80"}}]}}),
    );
    absent(&app, &["ipAddress"]);
    cluster.end().await;
}

#[tokio::test]
async fn e_a_bridge_from_1_5_on_has_networks_and_no_port_definitions() {
    for generation in [Generation::V1_5, Generation::V1_6] {
        let cluster = Cluster::start(generation).await;
        let app = listed(&cluster, &bridge()).await;
        assert_has(
            &app,
            &json!({"id": "/db", "container": {"type": "DOCKER",
                    "docker": {"image": "mysql", "forcePullImage": false, "parameters": [],
                        "privileged": false},
                    "volumes": [],
                    "portMappings": [{"containerPort": 3306, "hostPort": 0, "servicePort": 10001,
                        "labels": {"VIP_0": "3.3.0.6:3306"}, "name": "sql", "protocol": "tcp"}]},
                "networks": [{"mode": "container/bridge"}], "requirePorts": false,
                "tasks": [{"state": "TASK_RUNNING", "ipAddresses": [{"protocol": "IPv4"}]}]}),
        );
        absent(&app, &["portDefinitions", "ports", "ipAddress", "cmd", "uris"]);
        absent(&app["container"]["docker"], &["network", "portMappings"]);
        let task = &app["tasks"][0];
        assert!(task["ipAddresses"][0]["ipAddress"].as_str().unwrap().starts_with("172.17."));
        let id = task["id"].as_str().unwrap();
        let result = &task["healthCheckResults"][0];
        if generation == Generation::V1_5 {
            assert_eq!(result["instanceId"], id.replace("db.", "db.marathon-"));
            assert_eq!(result["lastFailure"], json!(null));
        } else {
            assert!(id.starts_with("db.instance-") && id.ends_with("._app.1"), "{id}");
            assert_eq!(result["instanceId"], id.trim_end_matches("._app.1"));
            absent(result, &["lastFailure", "lastFailureCause"]);
        }
        cluster.end().await;
    }
}

#[tokio::test]
async fn f_a_container_network_from_1_5_on_has_no_host_ports() {
    for generation in [Generation::V1_5, Generation::V1_6] {
        let cluster = Cluster::start(generation).await;
        let posted = json!({"id": "/ping", "networks": [{"name": "dcos", "mode": "container"}],
            "container": {"type": "MESOS", "docker": {"image": "x"}, "portMappings": [
                {"containerPort": 10, "labels": {"VIP_0": "notnet:1234"}, "name": "ping"}]}});
        let app = listed(&cluster, &posted).await;
        assert_has(
            &app,
            &json!({"networks": [{"name": "dcos", "mode": "container"}],
                "container": {"portMappings": [{"containerPort": 10, "name": "ping",
                    "labels": {"VIP_0": "notnet:1234"}, "protocol": "tcp", "servicePort": 10000}]},
                "tasks": [{"ports": [], "ipAddresses": [{"protocol": "IPv4"}]}]}),
        );
        absent(&app["container"]["portMappings"][0], &["hostPort"]);
        let task = &app["tasks"][0];
        let lists = ["healthCheckResults", "servicePorts", "localVolumes"];
        match generation {
            Generation::V1_6 => lists.iter().for_each(|key| assert_eq!(task[key], json!([]))),
            _ => absent(task, &lists),
        }
        cluster.end().await;
    }
}

#[tokio::test]
async fn g_host_from_1_5_on_has_port_definitions() {
    for generation in [Generation::V1_5, Generation::V1_6] {
        let cluster = Cluster::start(generation).await;
        let posted = json!({"id": "/host", "cmd": "sleep 1000"});
        let app = listed(&cluster, &posted).await;
        assert_has(
            &app,
            &json!({"networks": [{"mode": "host"}],
                "portDefinitions": [{"port": 10000, "name": "default", "protocol": "tcp"}]}),
        );
        absent(&app, &["container", "ports", "ipAddress"]);
        assert_eq!(app["tasks"][0]["ports"].as_array().unwrap().len(), 1);
        cluster.end().await;
    }
}

#[tokio::test]
async fn stray_port_definitions_stay_until_1_4_and_go_from_1_5_on() {
    let mut posted = bridge();
    posted["portDefinitions"] = json!([{"port": 5, "labels": {"VIP_0": "9.9.9.9:9"}}]);
    let cluster = Cluster::start(Generation::V1_4).await;
    let app = cluster.run(&posted).await;
    let stray = json!([{"port": 10001, "labels": {"VIP_0": "9.9.9.9:9"}}]);
    assert_eq!(app["portDefinitions"], stray);
    assert_eq!(app["tasks"][0]["ports"].as_array().unwrap().len(), 1);
    cluster.end().await;
    let cluster = Cluster::start(Generation::V1_5).await;
    absent(&cluster.run(&posted).await, &["portDefinitions"]);
    cluster.end().await;
}

#[tokio::test]
async fn service_ports_are_in_the_list_of_all_tasks() {
    for generation in GENERATIONS {
        let cluster = Cluster::start(generation).await;
        cluster.run(&bridge()).await;
        let tasks = cluster.get("/v2/tasks?status=running").await;
        assert_eq!(tasks["tasks"][0]["servicePorts"], json!([10001]));
        assert_eq!(cluster.get("/v2/tasks?status=staging").await, json!({"tasks": []}));
        cluster.end().await;
    }
}
