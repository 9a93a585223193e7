//! Clocks that differ: the node's and Marathon's, those of two Marathons, and those of one leader and
//! the next. Only differences within one clock count.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use marathon_sim::{Fate, Handle, Running};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::{World, app, eventually, pass, run, weights};

const WEB: &str = "3.3.0.6:80";
const DB: &str = "3.3.0.7:3306";
/// How much another clock is ahead, in seconds: -3 h, -60 s, -12 s, 0, 10 min, 3 h.
const SKEWS: [i64; 6] = [-10_800, -60, -12, 0, 600, 10_800];

fn place(task: &Running) -> SocketAddr {
    SocketAddr::new(IpAddr::from(task.host), task.ports[0])
}

fn set_clock(sim: &Handle, skew: i64) {
    sim.set_clock(1000 * skew);
}

fn weight(world: &World, vip: &str, server: &SocketAddr) -> Option<u32> {
    weights(&world.kernel.current_state(), vip)?.get(server).copied()
}

/// An app of three tasks that are not killed for being ill.
fn patient(id: &str, vip: &str) -> Value {
    let mut patient = app(id, vip, 3);
    patient["healthChecks"][0]["maxConsecutiveFailures"] = json!(1000);
    patient
}

/// An ill task takes no new connections within 2 s, and is back soon after it is well. What ends
/// goes within a second.
async fn news_acts_in_time(world: &World, sim: usize, vip: &str) {
    let task = world.sims[sim].running_tasks().remove(0);
    let at = place(&task);
    for (fate, expected) in [(Fate::Ill, Some(0)), (Fate::Well, Some(1)), (Fate::Over, None)] {
        let begun = Instant::now();
        world.sims[sim].set_fate(&task.task, fate);
        while weight(world, vip, &at) != expected {
            pass(20).await;
            let tasks = world.sims[sim].running_tasks();
            assert!(begun.elapsed() < Duration::from_secs(4), "{fate:?} of {at}: {tasks:?}");
        }
    }
}

#[test]
fn a_task_that_was_never_checked_waits_as_long_by_any_clock() {
    for skew in SKEWS {
        run(async {
            let config = |config: &mut marathon_sim::Config| {
                // No check has a result in the time of this test.
                config.time_scale = 1000.0;
                config.first_check = Duration::from_secs(100_000);
            };
            let mut world = World::with(&[&config]).await;
            set_clock(world.sim(), skew);
            world.start().await;
            eventually(async || world.agent().view.borrow().ready).await;
            let mut silent = app("/web", WEB, 1);
            silent["healthChecks"][0]["gracePeriodSeconds"] = json!(6);
            silent["healthChecks"][0]["intervalSeconds"] = json!(4);
            world.send("POST", "/v2/apps", &silent).await;
            let runs = async || {
                let tasks = world.sim().running_tasks();
                tasks.len() == 1 && tasks[0].state == "TASK_RUNNING"
            };
            eventually(runs).await;
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(9) {
                let served = world.served(WEB).unwrap_or_default();
                assert!(served.is_empty(), "{skew}: after {:?}", begun.elapsed());
                pass(100).await;
                // The leader's clock steps while the task waits.
                if begun.elapsed() > Duration::from_secs(5) {
                    set_clock(world.sim(), -skew);
                }
            }
            world.until_served(WEB, 1).await;
            assert!(begun.elapsed() < Duration::from_secs(14), "{skew}: {:?}", begun.elapsed());
            world.end().await;
        });
    }
}

#[test]
fn a_clock_that_steps_under_a_leader_or_between_two_costs_no_news() {
    for skew in SKEWS {
        for election in [false, true] {
            run(async {
                let mut world = World::with(&[&|config| config.standbys = 1]).await;
                world.run_app(&patient("/web", WEB)).await;
                world.start().await;
                world.until_served(WEB, 3).await;
                set_clock(world.sim(), skew);
                if election {
                    world.sim().set_leader(Some(1));
                    pass(5000).await;
                }
                eprintln!("clock ahead by {skew} s, election: {election}");
                news_acts_in_time(&world, 0, WEB).await;
                world.until_served(WEB, 3).await;
                set_clock(world.sim(), 0);
                news_acts_in_time(&world, 0, WEB).await;
                world.end().await;
            });
        }
    }
}

#[test]
fn the_clocks_of_two_marathons_are_never_compared() {
    for skew in SKEWS {
        run(async {
            let mut world = World::with(&[&|_| {}, &|_| {}]).await;
            set_clock(&world.sims[1], skew);
            world.run_app_on(0, &patient("/web", WEB)).await;
            world.run_app_on(1, &patient("/db", DB)).await;
            world.start().await;
            world.until_served(WEB, 3).await;
            world.until_served(DB, 3).await;
            news_acts_in_time(&world, 1, DB).await;
            news_acts_in_time(&world, 0, WEB).await;
            world.end().await;
        });
    }
}

/// The new definition has another port, with another VIP, before the old one.
fn redefined() -> Value {
    let mut new = app("/web", WEB, 2);
    let ports = &mut new["container"]["portMappings"];
    let before = json!({"containerPort": 3306, "hostPort": 0, "labels": {"VIP_0": DB}});
    ports.as_array_mut().unwrap().insert(0, before);
    new["readinessChecks"] = json!([{"name": "warm", "portName": "http"}]);
    new
}

/// A leader whose clock was set back gives the new definition an older version than the old one.
#[test]
fn old_tasks_keep_their_own_ports_whatever_the_versions_say() {
    for skew in SKEWS {
        for restarts in [false, true] {
            run(async {
                let mut world = World::serving(2).await;
                let old: Vec<_> = world.sim().running_tasks().iter().map(place).collect();
                set_clock(world.sim(), skew);
                world.sim().set_ready("/web", false);
                world.send("PUT", "/v2/apps/web?force=true", &redefined()).await;
                eventually(async || {
                    let tasks = world.sim().running_tasks();
                    tasks.len() == 4 && tasks.iter().all(|task| task.healthy)
                })
                .await;
                pass(5000).await;
                if restarts {
                    // One that has never seen the old definition.
                    world.stop().await;
                    std::fs::remove_dir_all(world.folder.path().join("state")).unwrap();
                    world.start().await;
                    pass(10_000).await;
                }
                let mut served = world.served(WEB).unwrap();
                served.retain(|at| old.contains(at));
                assert_eq!(served.len(), 2, "{skew}, restarts: {restarts}");
                world.sim().set_ready("/web", true);
                world.until_served(DB, 2).await;
                for (_, state) in world.kernel.take_history() {
                    let servers = weights(&state, DB).unwrap_or_default();
                    assert!(old.iter().all(|at| !servers.contains_key(at)), "{skew}: {servers:?}");
                }
                world.end().await;
            });
        }
    }
}
