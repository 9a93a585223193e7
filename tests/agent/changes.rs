//! What Marathon does comes into the kernel, and stays there through whatever the agent does.

use std::time::Duration;

use serde_json::{Value, json};
use vip::controller::Mode;
use vipd::agent::status::{Hold, Request};

use crate::world::{World, app, eventually, pass, place, run, vip, weights};

const WEB: &str = "3.3.0.6:80";
const DB: &str = "3.3.0.7:3306";

#[test]
fn an_app_comes_up_changes_and_goes() {
    run(async {
        let mut world = World::new().await;
        world.start().await;
        eventually(async || world.agent().view.borrow().ready).await;
        world.run_app(&app("/web", WEB, 2)).await;
        world.until_served(WEB, 2).await;
        let tasks = world.tasks("/web").await;
        let mut places: Vec<_> = tasks.iter().map(place).collect();
        places.sort();
        assert_eq!(world.served(WEB).unwrap(), places);
        assert!(world.kernel.current_state().addresses.contains_key(&vip(WEB).address));

        world.send("PUT", "/v2/apps/web?force=true", &json!({"instances": 3})).await;
        world.until_served(WEB, 3).await;
        world.run_app(&app("/db", DB, 1)).await;
        world.until_served(DB, 1).await;
        world.send("DELETE", "/v2/apps/web?force=true", &Value::Null).await;
        eventually(async || world.kernel.current_state().service(&vip(WEB)).is_none()).await;
        eventually(async || {
            !world.kernel.current_state().addresses.contains_key(&vip(WEB).address)
        })
        .await;
        assert_eq!(world.served(DB).unwrap().len(), 1);
        world.end().await;
    });
}

#[test]
fn a_task_that_dies_is_gone_before_anything_is_read() {
    run(async {
        let world = World::serving(3).await;
        let tasks = world.tasks("/web").await;
        // No read tells of it for a long time.
        world
            .sim()
            .inject_fault(marathon_sim::Fault::Stall { ms: 5000 }.always().limited_to("/v2/apps"));
        let url = format!("{}/v2/tasks/delete", world.sim().url());
        let ids = json!({"ids": [tasks[0]["id"]]}).to_string();
        let kill = tokio::spawn(reqwest::Client::new().post(url).body(ids).send());
        let dead = place(&tasks[0]);
        let gone = async || world.served(WEB).is_some_and(|served| !served.contains(&dead));
        let begun = tokio::time::Instant::now();
        eventually(gone).await;
        assert!(begun.elapsed() < Duration::from_millis(5000), "a read told of it");
        world.sim().clear_faults();
        drop(kill.await);
        world.until_served(WEB, 3).await;
        world.end().await;
    });
}

#[test]
fn a_restart_disturbs_nothing_and_a_crash_neither() {
    run(async {
        let mut world = World::serving(3).await;
        for turn in 0..4 {
            match turn % 2 {
                0 => world.stop().await,
                _ => world.kill(),
            }
            world.start().await;
            eventually(async || world.agent().view.borrow().ready).await;
            pass(300).await;
        }
        assert_eq!(world.fewest(WEB), 3);
        let tasks = world.tasks("/web").await;
        let path = format!("/v2/apps/web/tasks/{}", tasks[0]["id"].as_str().unwrap());
        world.send("DELETE", &path, &Value::Null).await;
        eventually(async || {
            let served = world.served(WEB).unwrap();
            served.len() == 3 && !served.contains(&place(&tasks[0]))
        })
        .await;
        world.end().await;
    });
}

#[test]
fn a_rolling_upgrade_always_leaves_somebody_to_serve() {
    run(async {
        let world = World::serving(4).await;
        let old: Vec<_> = world.tasks("/web").await.iter().map(place).collect();
        world
            .send(
                "PUT",
                "/v2/apps/web",
                &json!({"env": {"RELEASE": "2", "SIM_STOP_DELAY_MS": "1500"}, "upgradeStrategy":
            {"minimumHealthCapacity": 1.0, "maximumOverCapacity": 0.5}}),
            )
            .await;
        eventually(async || {
            let served = world.served(WEB).unwrap();
            served.len() == 4 && served.iter().all(|server| !old.contains(server))
        })
        .await;
        // Old ones are told of at once and new ones by a read, but never too many before it.
        assert!(world.fewest(WEB) >= 2);
        world.end().await;
    });
}

#[test]
fn what_somebody_does_to_the_kernel_is_undone() {
    run(async {
        let world = World::serving(2).await;
        type Damage = fn(&mut vip::Observed);
        let damages: [Damage; 4] = [
            |state| state.services.clear(),
            |state| {
                state.link = vip::Link::Missing;
                state.addresses.clear();
            },
            |state| state.addresses.clear(),
            |state| {
                let services = state.services.values_mut();
                let servers = services.flat_map(|service| service.servers.values_mut());
                servers.for_each(|server| server.settings.weight = 0);
            },
        ];
        let whole = |state: &vip::Observed| {
            state.link == vip::Link::Up
                && state.addresses.contains_key(&vip(WEB).address)
                && weights(state, WEB).is_some_and(|all| all.values().sum::<u32>() == 2)
        };
        for damage in damages {
            world.kernel.with_kernel(|kernel| damage(&mut kernel.state));
            assert!(!whole(&world.kernel.current_state()));
            eventually(async || whole(&world.kernel.current_state())).await;
        }
        world.end().await;
    });
}

#[test]
fn an_agent_that_is_held_changes_nothing_and_catches_up() {
    run(async {
        let mut world = World::serving(2).await;
        let ask =
            async |world: &World, request: fn(tokio::sync::oneshot::Sender<()>) -> Request| {
                let (done, is_done) = tokio::sync::oneshot::channel();
                world.agent().requests.send(request(done)).await.unwrap();
                is_done.await.unwrap();
            };
        let hold = || Hold { reason: "looking".into(), since: "now".into() };
        ask(&world, |done| {
            Request::Hold(Hold { reason: "looking".into(), since: "now".into() }, done)
        })
        .await;
        let before = world.kernel.current_state();
        world.send("PUT", "/v2/apps/web?force=true", &json!({"instances": 4})).await;
        eventually(async || world.agent().view.borrow().status.pending >= 2).await;
        assert_eq!(world.agent().view.borrow().status.mode, Mode::Held);
        // It is still so after a restart.
        world.hold = Some(hold());
        world.stop().await;
        world.start().await;
        eventually(async || world.agent().view.borrow().status.pending >= 2).await;
        assert_eq!(weights(&world.kernel.current_state(), WEB), weights(&before, WEB));
        ask(&world, Request::Release).await;
        world.until_served(WEB, 4).await;
        assert_eq!(world.agent().view.borrow().hold, None);
        world.end().await;
    });
}

#[test]
fn a_node_that_starts_without_marathon_has_its_vips_from_the_disk() {
    run(async {
        let mut world = World::serving(2).await;
        world.stop().await;
        // The node starts anew: its kernel is empty.
        world.kernel.with_kernel(|kernel| kernel.state = vip::Observed::default());
        world.sim().set_leader(None);
        world.start().await;
        world.until_served(WEB, 2).await;
        let view = world.agent().view.borrow().clone();
        assert!(!view.ready && view.sources["m0"].from_disk, "{view:?}");
        // Damage to the file costs only that.
        world.stop().await;
        let state = world.folder.path().join("state");
        let file = std::fs::read_dir(state).unwrap().next().unwrap().unwrap().path();
        std::fs::write(file, "vipd-known-1 7 00000000\n{").unwrap();
        world.start().await;
        pass(500).await;
        assert_eq!(world.fewest(WEB), 0, "the first entry is the empty kernel");
        assert_eq!(world.served(WEB).unwrap().len(), 2);
        world.sim().set_leader(Some(0));
        eventually(async || world.agent().view.borrow().ready).await;
        assert!(!world.agent().view.borrow().sources["m0"].from_disk);
        assert_eq!(world.fewest(WEB), 2);
        world.end().await;
    });
}

/// The fixture was written by vipd before the state file's type was split by kind of source.
#[test]
fn a_node_is_upgraded_while_marathon_does_not_answer() {
    run(async {
        let mut world = World::new().await;
        world.sim().set_leader(None);
        let state = world.folder.path().join("state");
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join("m0.known"), include_bytes!("fixtures/m0.known")).unwrap();
        world.start().await;
        world.until_served(WEB, 2).await;
        let served = world.served(WEB).unwrap();
        assert_eq!(served, ["10.1.0.11:31000", "10.1.0.12:31000"].map(|at| at.parse().unwrap()));
        let source = &world.agent().view.borrow().sources["m0"].clone();
        let read_at = source.read_at.unwrap().to_string();
        assert_eq!((source.from_disk, &*read_at), (true, "2026-11-29T06:13:32.375668763Z"));
        world.end().await;
    });
}

#[test]
fn what_is_on_disk_brings_back_no_server_that_was_taken_out_of_use_since() {
    run(async {
        let mut world = World::serving(3).await;
        world.stop().await;
        // As if an agent had written the file, heard of two tasks that end, and been killed.
        let servers = world.served(WEB).unwrap();
        world.kernel.with_kernel(|kernel| {
            let services = kernel.state.services.values_mut();
            for service in services {
                service.servers.get_mut(&servers[0]).unwrap().settings.weight = 0;
                service.servers.remove(&servers[1]);
            }
        });
        let left = weights(&world.kernel.current_state(), WEB);
        let _ = world.kernel.take_history();
        world.sim().set_leader(None);
        world.start().await;
        eventually(async || {
            let view = world.agent().view.borrow().clone();
            view.sources["m0"].error.is_some() && view.status.counters.readings > 1
        })
        .await;
        assert!(world.agent().view.borrow().sources["m0"].from_disk);
        for (at, state) in world.kernel.take_history() {
            assert_eq!(weights(&state, WEB), left, "at {at:?}");
        }
        // Marathon knows that all of them are well.
        world.sim().set_leader(Some(0));
        world.until_served(WEB, 3).await;
        world.end().await;
    });
}

#[test]
fn an_answer_that_is_not_believed_makes_what_is_known_no_newer() {
    run(async {
        let mut world = World::serving(2).await;
        let source = |world: &World| world.agent().view.borrow().sources["m0"].clone();
        // One answer has no apps, and those after it take a minute.
        let flash = |world: &World| {
            world.sim().inject_fault(marathon_sim::Fault::NoApps.times(1));
            let stall = marathon_sim::Fault::Stall { ms: 60_000 };
            world.sim().inject_fault(stall.always().limited_to("/v2/apps"));
        };
        let flashed = async |world: &World| {
            pass(10_000).await;
            let faults = world.send("GET", "/_sim/faults", &Value::Null).await;
            assert_eq!(faults.as_array().unwrap().len(), 1, "{faults}");
            world.sim().clear_faults();
        };
        let before = source(&world);
        flash(&world);
        // Whoever leads from now on is read anew.
        world.sim().set_leader(Some(0));
        flashed(&world).await;
        assert_eq!(source(&world).read_at, before.read_at);
        eventually(async || source(&world).read_at > before.read_at).await;
        // It is the same for what is from the disk.
        world.stop().await;
        flash(&world);
        world.start().await;
        eventually(async || source(&world).from_disk).await;
        let restored = source(&world);
        flashed(&world).await;
        assert!(source(&world).from_disk);
        assert_eq!(source(&world).read_at, restored.read_at);
        eventually(async || !source(&world).from_disk).await;
        assert_eq!(world.fewest(WEB), 2);
        world.end().await;
    });
}

#[test]
fn what_is_said_of_an_app_says_which_of_several_marathons_it_is_from() {
    run(async {
        let mut world = World::with(&[&|_| {}, &|_| {}]).await;
        world.run_app_on(0, &app("/web", WEB, 1)).await;
        let mut bad = app("/web", WEB, 1);
        bad["container"]["portMappings"][0]["labels"]["VIP_1"] = json!("3.3.0.8");
        world.run_app_on(1, &bad).await;
        world.start().await;
        world.until_served(WEB, 2).await;
        let lines = || {
            let entries = world.agent().journal.entries_after(0);
            entries.into_iter().map(|entry| (entry.source.clone(), entry.line.clone()))
        };
        let is_said = |of: &str, part: &str| {
            lines().any(|(source, line)| {
                line.contains(part) && (source.is_none() || source.as_deref() == Some(of))
            })
        };
        eventually(async || is_said("m1", "refused: /web of m1 ")).await;
        for source in ["m0", "m1"] {
            eventually(async || is_said(source, &format!(" /web of {source} "))).await;
        }
        world.end().await;
    });
}

#[test]
fn two_marathons_share_a_vip_and_losing_one_takes_nothing_away() {
    run(async {
        let mut world = World::with(&[&|_| {}, &|_| {}]).await;
        world.run_app_on(0, &app("/web", WEB, 1)).await;
        world.run_app_on(1, &app("/web", WEB, 2)).await;
        world.run_app_on(1, &app("/db", DB, 1)).await;
        world.start().await;
        world.until_served(WEB, 3).await;
        world.until_served(DB, 1).await;
        let _ = world.kernel.take_history();
        world.sims[1].set_leader(None);
        world.send("PUT", "/v2/apps/web?force=true", &json!({"instances": 2})).await;
        world.until_served(WEB, 4).await;
        let lost = async || world.agent().view.borrow().status.lost.contains_key("m1");
        eventually(lost).await;
        assert!(world.fewest(WEB) >= 3);
        assert_eq!(world.served(DB).unwrap().len(), 1);
        world.sims[1].set_leader(Some(0));
        eventually(async || !lost().await).await;
        world.end().await;
    });
}
