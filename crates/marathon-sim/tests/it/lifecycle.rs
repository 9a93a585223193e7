//! Starting, scaling, changing, killing.

use marathon_sim::Generation;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::*;

fn ids(tasks: &[Value]) -> Vec<String> {
    let mut ids: Vec<String> =
        tasks.iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn a_process_that_dies_is_a_failed_task_and_is_replaced_on_another_port() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let before = cluster.run(&bridge_app("/db", 1)).await["tasks"][0].take();
    let id = before["id"].as_str().unwrap();
    let [process] = processes(id)[..] else { panic!("one process for {id}") };
    kill(Pid::from_raw(process), Signal::SIGKILL).unwrap();

    let path = "/v2/apps/db";
    let after = cluster.until(path, |body| {
        let task = &body["app"]["tasks"][0];
        task["state"] == "TASK_RUNNING" && task["id"] != before["id"]
    });
    let app = after.await["app"].take();
    assert_has(
        &app["lastTaskFailure"],
        &json!({"state": "TASK_FAILED", "taskId": id, "host": before["host"]}),
    );
    assert_ne!(address(&app["tasks"][0]), address(&before));
    assert_eq!(http(address(&app["tasks"][0])).await["task"], app["tasks"][0]["id"]);
    cluster.end().await;
}

#[tokio::test]
async fn scaling_keeps_what_runs_spreads_what_is_new_and_ends_the_youngest() {
    let cluster = Cluster::start(Generation::V1_5).await;
    let one = cluster.run(&bridge_app("/db", 1)).await;
    let scale = |instances: usize| json!({"instances": instances});
    cluster.put("PUT", "/v2/apps/db", &scale(3)).await;
    cluster.settled().await;
    let three = cluster.app("/db").await;
    let tasks = three["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 3);
    assert_eq!(tasks[0]["id"], one["tasks"][0]["id"]);
    let on = |last| tasks.iter().filter(|task| task["host"] == cluster.ip(last)).count();
    assert_eq!((on(11) + on(12), on(11).abs_diff(on(12))), (3, 1));
    let (old, new) = (&one["versionInfo"], &three["versionInfo"]);
    assert_eq!(old["lastConfigChangeAt"], new["lastConfigChangeAt"]);
    assert_ne!(old["lastScalingAt"], new["lastScalingAt"]);
    assert_eq!(new["lastScalingAt"], three["version"]);
    // A task keeps the version it was started with.
    assert_eq!(tasks[0]["version"], one["version"]);

    cluster.put("PUT", "/v2/apps/db", &scale(1)).await;
    cluster.settled().await;
    assert_eq!(ids(&cluster.tasks("/db").await), ids(&tasks[..1]));
    cluster.end().await;
}

#[tokio::test]
async fn while_versions_change_the_old_task_stays_until_the_new_one_is_healthy() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let old = cluster.run(&bridge_app("/db", 1)).await;
    let directory = tempfile::tempdir().unwrap();
    let ready = directory.path().join("ready");
    let check = json!({"protocol": "COMMAND", "intervalSeconds": 1,
        "command": {"value": format!("test -e {}", ready.display())}});
    let deployed = cluster.put("PUT", "/v2/apps/db", &json!({"healthChecks": [check]})).await;

    let both = cluster.until("/v2/apps/db", |body| {
        let states = body["app"]["tasks"].as_array().unwrap().iter().map(|task| &task["state"]);
        states.filter(|state| **state == "TASK_RUNNING").count() == 2
    });
    let app = both.await["app"].take();
    assert_eq!(app["tasks"][0]["version"], old["version"]);
    assert_eq!(app["tasks"][1]["version"], app["version"]);
    assert_eq!(app["versionInfo"]["lastConfigChangeAt"], app["version"]);
    assert_eq!(app["deployments"], json!([{"id": deployed.body["deploymentId"]}]));

    let locked = cluster.send("PUT", "/v2/apps/db", r#"{"instances": 2}"#).await;
    assert_eq!(locked.status, 409);
    assert_eq!(
        locked.message(),
        "App is locked by one or more deployments. Override with the option '?force=true'. View \
         details at '/v2/deployments/<DEPLOYMENT_ID>'."
    );
    assert_eq!(locked.body["deployments"], json!([{"id": deployed.body["deploymentId"]}]));

    std::fs::write(ready, "").unwrap();
    cluster.settled().await;
    assert_eq!(ids(&cluster.tasks("/db").await), ids(&app["tasks"].as_array().unwrap()[1..]));
    cluster.end().await;
}

#[tokio::test]
async fn a_restart_is_a_new_version_with_all_new_tasks() {
    let cluster = Cluster::start(Generation::V1_4).await;
    let before = cluster.run(&bridge_app("/db", 2)).await;
    cluster.put("POST", "/v2/apps/db/restart", &json!({})).await;
    cluster.settled().await;
    let after = cluster.app("/db").await;
    let (old, new) = (ids(before["tasks"].as_array().unwrap()), cluster.tasks("/db").await);
    assert_eq!(new.len(), 2);
    assert!(ids(&new).iter().all(|id| !old.contains(id)));
    let versions = cluster.get("/v2/apps/db/versions").await;
    assert_eq!(versions, json!({"versions": [after["version"], before["version"]]}));
    let path = format!("/v2/apps/db/versions/{}", before["version"].as_str().unwrap());
    assert_has(&cluster.get(&path).await, &json!({"id": "/db", "version": before["version"]}));
    cluster.end().await;
}

#[tokio::test]
async fn putting_what_is_already_so_changes_nothing() {
    for generation in GENERATIONS {
        let cluster = Cluster::start(generation).await;
        let before = cluster.run(&bridge_app("/db", 1)).await;
        cluster.put("PUT", "/v2/apps/db", &bridge_app("/db", 1)).await;
        let after = cluster.app("/db").await;
        assert_eq!((&after["version"], &after["tasks"]), (&before["version"], &before["tasks"]));
        // Nor does putting back what was read, where nothing in it is made up.
        if generation >= Generation::V1_5 {
            cluster.put("PUT", "/v2/apps/db", &before).await;
            assert_eq!(cluster.app("/db").await["version"], before["version"], "{generation}");
        }
        cluster.end().await;
    }
}

#[tokio::test]
async fn a_task_is_killed_and_replaced_or_killed_for_good() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let app = cluster.run(&bridge_app("/db", 2)).await;
    let id = app["tasks"][0]["id"].as_str().unwrap();
    let path = format!("/v2/apps/db/tasks/{id}");
    let killed = cluster.put("DELETE", &path, &json!({})).await;
    assert_eq!(killed.body["task"]["id"], id);
    cluster
        .until("/v2/apps/db/tasks", |body| {
            let tasks = body["tasks"].as_array().unwrap();
            tasks.len() == 2 && tasks.iter().all(|t| t["id"] != id && t["state"] == "TASK_RUNNING")
        })
        .await;

    let gone = cluster.send("DELETE", &path, "").await;
    assert_eq!((gone.status, gone.message()), (404, &*format!("Task '{id}' does not exist")));
    let both = cluster.send("DELETE", "/v2/apps/db/tasks?scale=true&wipe=true", "").await;
    assert_eq!(both.status, 400);
    assert_eq!(both.message(), "You cannot use scale and wipe at the same time.");

    let first = cluster.tasks("/db").await[0]["id"].clone();
    let ids_of_one = json!({"ids": [first]});
    let scaled = cluster.put("POST", "/v2/tasks/delete?scale=true", &ids_of_one).await;
    assert!(scaled.body["deploymentId"].is_string());
    cluster.settled().await;
    let app = cluster.app("/db").await;
    assert_eq!((&app["instances"], app["tasks"].as_array().unwrap().len()), (&json!(1), 1));

    let host = app["tasks"][0]["host"].as_str().unwrap();
    let none = cluster.put("DELETE", "/v2/apps/db/tasks?host=elsewhere", &json!({})).await;
    assert_eq!(none.body, json!({"tasks": []}));
    let all = cluster.put("DELETE", &format!("/v2/apps/db/tasks?host={host}"), &json!({})).await;
    assert_eq!(all.body["tasks"][0]["id"], app["tasks"][0]["id"]);
    cluster.end().await;
}

#[tokio::test]
async fn a_task_that_takes_its_time_to_end_is_seen_killing_and_still_serves() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let mut app = bridge_app("/slow", 1);
    app["env"] = json!({"SIM_STOP_DELAY_MS": "60000"});
    app["taskKillGracePeriodSeconds"] = json!(1200);
    let task = cluster.run(&app).await["tasks"][0].take();
    cluster.put("DELETE", "/v2/apps/slow/tasks", &json!({})).await;
    assert_eq!(cluster.tasks("/slow").await[0]["state"], "TASK_KILLING");
    assert_eq!(http(address(&task)).await["task"], task["id"]);
    cluster.end().await;
}

#[tokio::test]
async fn a_program_that_ignores_sigterm_is_killed_when_its_grace_is_over() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let app = json!({"id": "/stubborn", "taskKillGracePeriodSeconds": 1,
        "cmd": "trap '' TERM; while :; do sleep 0.05; done"});
    let id = cluster.run(&app).await["tasks"][0]["id"].as_str().unwrap().to_owned();
    cluster.put("DELETE", "/v2/apps/stubborn", &json!({})).await;
    cluster.settled().await;
    assert_eq!(processes(&id), Vec::<i32>::new());
    cluster.end().await;
}

#[tokio::test]
async fn a_program_gets_the_environment_marathon_gives() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("environment");
    let app = json!({"id": "/grp/job", "env": {"MINE": "yes", "FILE": file},
        "cmd": "echo $MARATHON_APP_ID $MESOS_TASK_ID $HOST $PORT $PORT1 $PORTS $PORT_WEB $MINE \
                > $FILE.new; mv $FILE.new $FILE; exec sleep 1000",
        "portDefinitions": [{"port": 0, "name": "web"}, {"port": 0}]});
    let task = cluster.run(&app).await["tasks"][0].take();
    eventually(|| file.exists()).await;
    let written = std::fs::read_to_string(&file).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or(&value.to_string()).to_owned();
    let (first, second) = (text(&task["ports"][0]), text(&task["ports"][1]));
    let expected = format!(
        "/grp/job {} {} {first} {second} {first},{second} {first} yes\n",
        text(&task["id"]),
        text(&task["host"])
    );
    assert_eq!(written, expected);
    cluster.end().await;
}

#[tokio::test]
async fn a_deleted_app_is_gone_at_once_and_its_tasks_soon() {
    let cluster = Cluster::start(Generation::V1_6).await;
    let app = cluster.run(&bridge_app("/db", 2)).await;
    let deleted = cluster.put("DELETE", "/v2/apps/db", &json!({})).await;
    assert_eq!(deleted.header("marathon-deployment-id"), deleted.body["deploymentId"]);
    assert_eq!(cluster.send("GET", "/v2/apps/db", "").await.status, 404);
    cluster.settled().await;
    for task in app["tasks"].as_array().unwrap() {
        assert_eq!(processes(task["id"].as_str().unwrap()), Vec::<i32>::new());
    }
    cluster.end().await;
}
