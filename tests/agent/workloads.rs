//! Pods, deployments that wait for readiness, drains, lost sources and polling, to the kernel.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use marathon_sim::{Fate, Fault};
use nl_ipvs::DestinationSettings;
use serde_json::{Value, json};
use vip::label::DEFAULT_DRAIN;
use vip::{Observed, ObservedServer};

use crate::world::{World, app, eventually, pass, place, run, vip, weights};

const WEB: &str = "3.3.0.6:80";
const DB: &str = "3.3.0.7:3306";
pub(crate) const POD: &str = "3.3.0.9:9080";

pub(crate) fn pod(instances: usize) -> Value {
    json!({"id": "/pod", "scaling": {"kind": "fixed", "instances": instances},
        "networks": [{"mode": "container/bridge"}],
        "containers": [{
            "name": "web", "resources": {"cpus": 0.1, "mem": 32},
            "image": {"id": "x", "kind": "DOCKER"},
            "healthCheck": {"http": {"endpoint": "web", "path": "/"}, "intervalSeconds": 60,
                "maxConsecutiveFailures": 10},
            "endpoints": [{"name": "web", "containerPort": 9080, "hostPort": 0,
                "protocol": ["tcp"], "labels": {"VIP_0": POD}}]}]})
}

/// What really runs of an app or pod: its tasks, with where they serve.
fn running(world: &World, id: &str) -> BTreeMap<SocketAddr, String> {
    let of_it = world.sim().running_tasks().into_iter().filter(|task| task.app == id);
    of_it.map(|task| (SocketAddr::from((task.host, task.ports[0])), task.task)).collect()
}

fn all_at(weight: u32, world: &World, id: &str) -> BTreeMap<SocketAddr, u32> {
    running(world, id).into_keys().map(|at| (at, weight)).collect()
}

#[test]
fn a_pod_comes_up_is_ill_is_killed_changes_and_goes() {
    run(async {
        let mut world = World::new().await;
        world.start().await;
        world.send("POST", "/v2/pods", &pod(2)).await;
        world.until_served(POD, 2).await;
        assert_eq!(weights(&world.kernel.current_state(), POD).unwrap(), all_at(1, &world, "/pod"));

        let (at, task) = running(&world, "/pod").pop_first().unwrap();
        let weight = async |weight| {
            eventually(async || {
                weights(&world.kernel.current_state(), POD).unwrap().get(&at) == Some(&weight)
            })
            .await;
        };
        world.sim().set_fate(&task, Fate::Ill);
        weight(0).await;
        world.sim().set_fate(&task, Fate::Well);
        weight(1).await;

        let status = world.send("GET", "/v2/pods/pod::status", &Value::Null).await;
        let id = status["instances"][0]["id"].as_str().unwrap();
        let before = running(&world, "/pod");
        world.send("DELETE", &format!("/v2/pods/pod::instances/{id}"), &Value::Null).await;
        eventually(async || running(&world, "/pod") != before).await;
        let as_it_runs = async |instances| {
            eventually(async || {
                let found = weights(&world.kernel.current_state(), POD).unwrap();
                found.len() == instances && found == all_at(1, &world, "/pod")
            })
            .await;
        };
        as_it_runs(2).await;
        world.send("PUT", "/v2/pods/pod", &pod(3)).await;
        as_it_runs(3).await;
        world.send("DELETE", "/v2/pods/pod", &Value::Null).await;
        eventually(async || world.kernel.current_state().service(&vip(POD)).is_none()).await;
        world.end().await;
    });
}

#[test]
fn new_tasks_of_a_deployment_serve_when_they_are_ready_and_old_ones_until_then() {
    run(async {
        let mut world = World::new().await;
        let mut app = app("/web", WEB, 2);
        app["readinessChecks"] = json!([{"name": "warm", "portName": "http"}]);
        world.run_app(&app).await;
        world.start().await;
        world.until_served(WEB, 2).await;
        let old = running(&world, "/web");
        let _ = world.kernel.take_history();
        world.sim().set_ready("/web", false);
        app["env"]["RELEASE"] = json!("2");
        world.send("PUT", "/v2/apps/web", &app).await;
        // They run and are healthy: long enough for any read to tell.
        eventually(async || {
            let tasks = world.sim().running_tasks();
            tasks.len() == 4 && tasks.iter().all(|task| task.healthy)
        })
        .await;
        pass(20_000).await;
        let whole: BTreeMap<_, _> = old.keys().map(|at| (*at, 1)).collect();
        for (at, state) in world.kernel.take_history() {
            assert_eq!(weights(&state, WEB).as_ref(), Some(&whole), "at {at:?}");
        }
        world.sim().set_ready("/web", true);
        eventually(async || {
            let now = all_at(1, &world, "/web");
            let replaced = now.len() == 2 && old.keys().all(|at| !now.contains_key(at));
            replaced && weights(&world.kernel.current_state(), WEB) == Some(now)
        })
        .await;
        assert!(world.fewest(WEB) >= 1);
        world.end().await;
    });
}

/// Something that nobody knows of and that has connections.
fn stranger(weight: u32, active: u32) -> ObservedServer {
    let settings = DestinationSettings::masquerade(weight);
    ObservedServer { settings, active, inactive: 0, stats: None }
}

#[test]
fn a_drain_goes_on_after_a_restart_and_what_is_wanted_is_never_left_at_0() {
    run(async {
        let mut world = World::serving(2).await;
        let [a, b] = world.served(WEB).unwrap().try_into().unwrap();
        let [busy, idle, unknown] =
            [1, 2, 3].map(|last| SocketAddr::from(([10, 9, 9, last], 31_000)));
        world.stop().await;
        // As an agent leaves it that dies while it drains two and takes back a third.
        world.kernel.with_kernel(|kernel| {
            let service = kernel.state.services.values_mut().next().unwrap();
            service.servers.get_mut(&a).unwrap().settings.weight = 0;
            service.servers.insert(busy, stranger(0, 1));
            service.servers.insert(idle, stranger(0, 0));
            service.servers.insert(unknown, stranger(1, 1));
        });
        let _ = world.kernel.take_history();
        world.start().await;
        let table = |world: &World| weights(&world.kernel.current_state(), WEB).unwrap();
        let first: BTreeMap<_, _> = [(a, 1), (b, 1), (busy, 0), (idle, 0), (unknown, 0)].into();
        eventually(async || table(&world) == first).await;
        let second: BTreeMap<_, _> = [(a, 1), (b, 1), (busy, 0), (unknown, 0)].into();
        eventually(async || table(&world) == second).await;
        let nearly = u64::try_from(DEFAULT_DRAIN.as_millis()).unwrap() - 15_000;
        pass(nearly).await;
        assert_eq!(table(&world), second);
        // A drain has its full time again after a restart.
        world.kill();
        world.start().await;
        pass(nearly).await;
        assert_eq!(table(&world), second);
        eventually(async || table(&world) == [(a, 1), (b, 1)].into()).await;
        for (at, state) in world.kernel.take_history() {
            assert_eq!(weights(&state, WEB).unwrap()[&b], 1, "at {at:?}");
        }
        world.end().await;
    });
}

/// The whole table: services, weights, addresses.
fn whole(state: &Observed) -> BTreeMap<String, BTreeMap<SocketAddr, u32>> {
    let services = state.our_services().map(|(vip, service)| {
        let bound = if state.addresses.contains_key(&vip.address) { "" } else { " unbound" };
        let servers = service.servers.iter();
        let weights = servers.map(|(at, held)| (*at, held.settings.weight)).collect();
        (format!("{vip}{bound}"), weights)
    });
    services.collect()
}

#[test]
fn one_of_two_marathons_is_lost_through_restarts_and_damage() {
    run(async {
        let mut world = World::with(&[&|_| {}, &|_| {}]).await;
        world.run_app_on(0, &app("/web", WEB, 1)).await;
        world.run_app_on(1, &app("/web", WEB, 2)).await;
        world.run_app_on(1, &app("/db", DB, 1)).await;
        world.start().await;
        world.until_served(WEB, 3).await;
        world.until_served(DB, 1).await;
        let before = whole(&world.kernel.current_state());
        world.sims[1].set_leader(None);
        let lost = async |world: &World| {
            eventually(async || world.agent().view.borrow().status.lost.contains_key("m1")).await;
            pass(100_000).await;
            assert_eq!(whole(&world.kernel.current_state()), before);
        };
        lost(&world).await;
        world.kernel.with_kernel(|kernel| kernel.state.services.clear());
        eventually(async || whole(&world.kernel.current_state()) == before).await;
        // With what is on disk, then without.
        world.stop().await;
        world.start().await;
        lost(&world).await;
        world.stop().await;
        world.folder = tempfile::tempdir().unwrap();
        world.start().await;
        lost(&world).await;
        world.send("PUT", "/v2/apps/web?force=true", &json!({"instances": 2})).await;
        world.until_served(WEB, 4).await;
        assert_eq!(world.served(DB).unwrap().len(), 1);
        // What went meanwhile goes when the other is back.
        world.sims[1].set_leader(Some(0));
        eventually(async || world.agent().view.borrow().ready).await;
        world.send_to(1, "DELETE", "/v2/apps/db", &Value::Null).await;
        eventually(async || world.kernel.current_state().service(&vip(DB)).is_none()).await;
        assert_eq!(world.served(WEB).unwrap().len(), 4);
        world.end().await;
    });
}

#[test]
fn without_any_events_every_change_is_followed() {
    run(async {
        let mut world = World::new().await;
        world.sim().inject_fault(Fault::Closed.always());
        world.run_app(&app("/web", WEB, 3)).await;
        world.run_app(&app("/db", DB, 1)).await;
        world.start().await;
        world.until_served(WEB, 3).await;
        world.until_served(DB, 1).await;
        let _ = (world.kernel.take_history(), world.sim().take_requests());
        for turn in 0..3 {
            let tasks = world.tasks("/web").await;
            let dead = place(&tasks[turn]);
            let ids = json!({"ids": [tasks[turn]["id"]]});
            world.send("POST", "/v2/tasks/delete", &ids).await;
            eventually(async || {
                let served = world.served(WEB).unwrap();
                served.len() == 3 && !served.contains(&dead)
            })
            .await;
            assert!(world.fewest(WEB) >= 2);
            // Nor is one bad answer believed.
            world.sim().inject_fault(Fault::NoApps.times(1));
            pass(200_000).await;
            assert_eq!((world.fewest(WEB), world.served(DB).unwrap().len()), (3, 1));
            assert!(!world.agent().view.borrow().sources["m0"].streaming);
        }
        let asked = world.sim().take_requests();
        let reads = asked.iter().filter(|request| request.starts_with("GET /v2/apps?")).count();
        // Every 30 s or so, and once more after each bad answer.
        assert!((15..=40).contains(&reads), "{reads} reads of everything in 10 minutes");
        world.send("DELETE", "/v2/apps/db?force=true", &Value::Null).await;
        eventually(async || world.kernel.current_state().service(&vip(DB)).is_none()).await;
        world.end().await;
    });
}
