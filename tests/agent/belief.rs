//! What the agent believes of events, and for how long: the end of a task that comes back under its
//! id, events that are wrong, and an app and a pod that follow each other under one id.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use marathon_sim::{Fate, Generation, Running};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::{World, app, eventually, pass, run, weights};

const WEB: &str = "3.3.0.6:80";

fn place(task: &Running) -> SocketAddr {
    SocketAddr::new(IpAddr::from(task.host), task.ports[0])
}

fn places(world: &World) -> Vec<SocketAddr> {
    let mut places: Vec<_> = world.sim().running_tasks().iter().map(place).collect();
    places.sort();
    places
}

/// Waits until this is so, and fails if it takes longer.
async fn within(time: Duration, is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    eventually(is_so).await;
    assert!(begun.elapsed() <= time, "it took {:?}", begun.elapsed());
}

async fn with_generation(generation: Generation) -> World {
    World::with(&[&move |config| config.generation = generation]).await
}

/// Until 1.4.6 a resident task is started again under its id.
#[test]
fn the_tutorials_mysql_fails_and_comes_back_under_its_id() {
    let mysql = include_str!("../../docs/examples/mysql.json");
    let mysql: Value = serde_json::from_str(mysql).unwrap();
    const DB: &str = "3.3.0.6:3306";
    for generation in [Generation::V1_1, Generation::V1_4, Generation::V1_6] {
        run(async {
            let mut world = with_generation(generation).await;
            world.run_app(&mysql).await;
            world.start().await;
            world.until_served(DB, 1).await;
            for _ in 0..3 {
                let before = world.sim().running_tasks().remove(0);
                world.sim().set_fate(&before.task, Fate::Over);
                let gone = async || !world.served(DB).unwrap().contains(&place(&before));
                within(Duration::from_secs(1), gone).await;
                let back = async || {
                    let now = world.sim().running_tasks();
                    now.len() == 1 && now[0].healthy && world.served(DB) == Some(places(&world))
                };
                within(Duration::from_secs(5), back).await;
                let after = world.sim().running_tasks().remove(0);
                assert_eq!(after.task == before.task, generation == Generation::V1_1);
                assert_ne!(place(&after), place(&before));
            }
            world.end().await;
        });
    }
}

/// An event that is sent though nothing has happened, of a task and its instance.
type Lie = fn(task: &str, instance: &str) -> (&'static str, Value);

const LIES: [Lie; 7] = [
    |task, _| ("status_update_event", json!({"taskId": task, "taskStatus": "TASK_FAILED"})),
    |task, _| ("status_update_event", json!({"taskId": task, "taskStatus": "TASK_KILLING"})),
    |task, _| ("status_update_event", json!({"taskId": task, "taskStatus": "TASK_GONE"})),
    |_, id| ("instance_changed_event", json!({"instanceId": id, "condition": "Failed"})),
    |_, id| ("unknown_instance_terminated_event", json!({"instanceId": id})),
    |_, id| ("instance_health_changed_event", json!({"instanceId": id, "healthy": false})),
    |_, _| ("app_terminated_event", json!({})),
];

/// Sends a lie about every task.
async fn lie(world: &World, lie: Lie) {
    for task in world.sim().running_tasks() {
        let instance = task.task.split("._app").next().unwrap();
        let (kind, mut fields) = lie(&task.task, instance);
        fields["appId"] = json!(task.app);
        fields["runSpecId"] = json!(task.app);
        world.sim().send_event(kind, &fields);
    }
}

#[test]
fn a_lie_about_every_task_takes_out_no_more_than_one_of_three_and_not_for_long() {
    for (instances, fewest) in [(3, 2), (1, 1)] {
        for each in LIES {
            run(async {
                let world = World::serving(instances).await;
                lie(&world, each).await;
                pass(15_000).await;
                let what = each("t", "i");
                for (_, state) in world.kernel.take_history() {
                    let weights = weights(&state, WEB).unwrap();
                    let serving = weights.values().filter(|weight| **weight > 0).count();
                    assert!(serving >= fewest, "{what:?} of {instances}: {weights:?}");
                }
                assert_eq!(world.served(WEB).unwrap(), places(&world), "{what:?} of {instances}");
                world.end().await;
            });
        }
    }
}

#[test]
fn what_really_ends_goes_at_once_be_it_the_last_or_all() {
    for instances in [1, 2, 3, 8] {
        run(async {
            let world = World::serving(instances).await;
            let tasks = world.sim().running_tasks();
            for task in &tasks {
                world.sim().set_fate(&task.task, Fate::Over);
            }
            let dead: Vec<_> = tasks.iter().map(place).collect();
            let gone = async || dead.iter().all(|at| !world.served(WEB).unwrap().contains(at));
            within(Duration::from_secs(1), gone).await;
            world.until_served(WEB, instances).await;
            world.end().await;
        });
    }
}

fn pod() -> Value {
    json!({"id": "/web", "scaling": {"kind": "fixed", "instances": 1},
        "networks": [{"mode": "container/bridge"}],
        "containers": [{
            "name": "web", "resources": {"cpus": 0.1, "mem": 32},
            "image": {"id": "x", "kind": "DOCKER"},
            "endpoints": [{"name": "web", "containerPort": 80, "hostPort": 0,
                "protocol": ["tcp"], "labels": {"VIP_0": WEB}}]}]})
}

#[test]
fn a_pod_and_an_app_follow_each_other_under_one_id() {
    for (gap, late) in [(0, None), (100, None), (5000, None), (0, Some(3000)), (400, Some(3000))] {
        run(async {
            let world = World::serving(1).await;
            for turn in 0..4 {
                if let Some(ms) = late {
                    let rule = marathon_sim::Fault::Late { ms }.always();
                    let kind = ["app_terminated_event", "pod_deleted_event"][turn % 2];
                    world.sim().inject_fault(rule.limited_to(kind));
                }
                let (old, new, body) = match turn % 2 {
                    0 => ("/v2/apps/web", "/v2/pods", pod()),
                    _ => ("/v2/pods/web", "/v2/apps", app("/web", WEB, 1)),
                };
                world.send("DELETE", &format!("{old}?force=true"), &Value::Null).await;
                pass(gap).await;
                world.send("POST", &format!("{new}?force=true"), &body).await;
                let replaced = async || {
                    let now = world.sim().running_tasks();
                    now.len() == 1 && now[0].healthy && world.served(WEB) == Some(places(&world))
                };
                within(Duration::from_secs(15), replaced).await;
                pass(12_000).await;
                assert_eq!(world.served(WEB), Some(places(&world)), "turn {turn}, gap {gap}");
                world.sim().clear_faults();
            }
            world.end().await;
        });
    }
}
