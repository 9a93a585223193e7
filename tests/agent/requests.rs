//! What one agent asks of Marathon: every node of a cluster asks the same.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{World, app, eventually, pass, run};

const WEB: &str = "3.3.0.6:80";

/// The requests since this was asked last, counted by what they begin with.
fn asked<const N: usize>(world: &World, beginnings: [&str; N]) -> [usize; N] {
    let asked = world.sim().take_requests();
    beginnings.map(|begin| asked.iter().filter(|request| request.starts_with(begin)).count())
}

const STREAMS: &str = "GET /v2/events";
const EVERYTHING: &str = "GET /v2/apps?";
const PODS: &str = "GET /v2/pods/::status";
const WEB_ALONE: &str = "GET /v2/apps/web?embed";
const ANY: &str = "GET ";

#[test]
fn at_rest_it_is_one_stream_and_one_read_of_everything_in_300_s() {
    run(async {
        let mut world = World::new().await;
        world.run_app(&app("/web", WEB, 2)).await;
        let _ = world.sim().take_requests();
        world.start().await;
        world.until_served(WEB, 2).await;
        pass(1000).await;
        // `GET /v2/info` tells which events to ask for.
        assert_eq!(asked(&world, [STREAMS, EVERYTHING, PODS, ANY]), [1, 1, 1, 4]);
        pass(1_200_000).await;
        let [streams, everything, pods, any] = asked(&world, [STREAMS, EVERYTHING, PODS, ANY]);
        assert_eq!((streams, pods, any), (0, everything, 2 * everything));
        // 30 % more or less than 300 s lie between them.
        assert!((3..=5).contains(&everything), "{everything} reads of everything in 1200 s");
        world.end().await;
    });
}

#[test]
fn a_change_costs_two_reads_of_one_app_at_most() {
    run(async {
        let world = World::serving(2).await;
        pass(5000).await;
        for instances in [3, 4, 3, 2] {
            let _ = world.sim().take_requests();
            world.send("PUT", "/v2/apps/web?force=true", &json!({"instances": instances})).await;
            world.until_served(WEB, instances).await;
            pass(8000).await;
            let [web, everything, any] = asked(&world, [WEB_ALONE, EVERYTHING, ANY]);
            assert!((1..=2).contains(&web), "{web} reads for {instances} instances");
            assert_eq!((everything, any), (0, web));
        }
        // What says nothing new costs nothing.
        world.sim().inject_fault(marathon_sim::Fault::Doubled.always());
        let _ = world.sim().take_requests();
        world.send("PUT", "/v2/apps/web?force=true", &json!({"instances": 3})).await;
        world.until_served(WEB, 3).await;
        pass(8000).await;
        let [web, any] = asked(&world, [WEB_ALONE, ANY]);
        assert!(web <= 2 && any == web, "{web} reads with events that come twice");
        world.end().await;
    });
}

#[test]
fn a_storm_of_changes_of_many_apps_is_read_at_once() {
    run(async {
        let mut world = World::new().await;
        world.start().await;
        eventually(async || world.agent().view.borrow().ready).await;
        pass(5000).await;
        let _ = world.sim().take_requests();
        let apps = 40;
        for number in 0..apps {
            let app = app(&format!("/app{number}"), &format!("3.3.1.{number}:80"), 1);
            world.send("PUT", &format!("/v2/apps/app{number}"), &app).await;
        }
        eventually(async || world.kernel.current_state().our_services().count() == apps).await;
        eventually(async || {
            let state = world.kernel.current_state();
            state.our_services().all(|(_, service)| !service.servers.is_empty())
        })
        .await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let [everything, any] = asked(&world, [EVERYTHING, "GET /v2/"]);
        assert!(any <= 2 * everything + 20, "{any} reads, {everything} of everything");
        assert!(everything <= 8, "{everything} reads of everything");
        let answer = world.send("GET", "/v2/apps", &Value::Null).await;
        assert_eq!(answer["apps"].as_array().unwrap().len(), apps);
        world.end().await;
    });
}

#[test]
fn what_is_decided_in_portions_is_no_reason_to_read_everything_twice() {
    run(async {
        let mut world = World::new().await;
        world.portion = 2;
        let at = |number| format!("3.3.1.{number}:80");
        for number in 1..=8 {
            world.run_app(&app(&format!("/app{number}"), &at(number), 1)).await;
        }
        world.start().await;
        for number in 1..=8 {
            world.until_served(&at(number), 1).await;
        }
        // It begins with nothing on disk, and with something to do in the first portion.
        world.stop().await;
        std::fs::remove_dir_all(world.folder.path().join("state")).unwrap();
        world.kernel.with_kernel(|kernel| kernel.state.services.pop_first());
        let _ = world.sim().take_requests();
        world.start().await;
        world.until_served(&at(1), 1).await;
        pass(5_000).await;
        assert_eq!(asked(&world, [EVERYTHING]), [1]);
        world.end().await;
    });
}

#[test]
fn a_server_that_marathon_depends_on_is_no_vip() {
    run(async {
        let zookeeper = |config: &mut marathon_sim::Config| {
            config.zookeeper = "zk://user:secret@10.0.0.77:2181,10.0.0.78:2181/marathon".into();
        };
        let mut world = World::with(&[&zookeeper]).await;
        for (id, at) in [("/one", "10.0.0.77:80"), ("/two", "10.0.0.78:80"), ("/web", WEB)] {
            world.run_app(&app(id, at, 1)).await;
        }
        world.start().await;
        world.until_served(WEB, 1).await;
        pass(60_000).await;
        for (_, state) in world.kernel.take_history() {
            let bound: Vec<_> = state.addresses.keys().map(ToString::to_string).collect();
            assert!(bound.is_empty() || bound == ["3.3.0.6"], "{bound:?}");
        }
        world.end().await;
    });
}
