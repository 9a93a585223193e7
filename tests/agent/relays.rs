//! An agent that follows relays instead of Marathon.

use std::time::Duration;

use serde_json::{Value, json};

use vipd::sources::SourceView;

use crate::world::{RunningRelay, World, app, eventually, pass, place, run, vip};

const WEB: &str = "3.3.0.6:80";

/// One Marathon with this many relays and an app `/web` with three tasks, in the kernel.
async fn serving(relays: usize) -> World {
    let mut world = World::new().await;
    world.run_app(&app("/web", WEB, 3)).await;
    for _ in 0..relays {
        world.start_relay(None).await;
    }
    world.start().await;
    world.until_served(WEB, 3).await;
    let _ = world.kernel.take_history();
    world
}

fn source(world: &World) -> SourceView {
    world.agent().view.borrow().sources["m0"].clone()
}

#[test]
fn an_app_comes_up_changes_and_goes_through_a_relay() {
    run(async {
        let mut world = World::new().await;
        world.start_relay(None).await;
        world.start().await;
        eventually(async || world.agent().view.borrow().ready).await;
        world.run_app(&app("/web", WEB, 2)).await;
        world.until_served(WEB, 2).await;
        let mut places: Vec<_> = world.tasks("/web").await.iter().map(place).collect();
        places.sort();
        assert_eq!(world.served(WEB).unwrap(), places);
        world.send("PUT", "/v2/apps/web?force=true", &json!({"instances": 3})).await;
        world.until_served(WEB, 3).await;
        world.send("DELETE", "/v2/apps/web?force=true", &Value::Null).await;
        eventually(async || world.kernel.current_state().service(&vip(WEB)).is_none()).await;
        world.end().await;
    });
}

#[test]
fn a_task_that_dies_is_gone_before_the_relay_has_read_anything() {
    run(async {
        let world = serving(1).await;
        let tasks = world.tasks("/web").await;
        let stall = marathon_sim::Fault::Stall { ms: 5000 };
        world.sim().inject_fault(stall.always().limited_to("/v2/apps"));
        let url = format!("{}/v2/tasks/delete", world.sim().url());
        let ids = json!({"ids": [tasks[0]["id"]]}).to_string();
        let kill = tokio::spawn(reqwest::Client::new().post(url).body(ids).send());
        let dead = place(&tasks[0]);
        let begun = tokio::time::Instant::now();
        eventually(async || world.served(WEB).is_some_and(|served| !served.contains(&dead))).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "a read told of it");
        world.sim().clear_faults();
        drop(kill.await);
        world.until_served(WEB, 3).await;
        world.end().await;
    });
}

#[test]
fn a_relay_that_dies_costs_nothing_and_another_one_takes_over() {
    run(async {
        let world = serving(2).await;
        for killed in 0..2 {
            world.relays[killed].kill();
            pass(20_000).await;
            assert_eq!(world.fewest(WEB), 3, "relay {killed} was killed");
            if killed == 0 {
                let instances = json!({"instances": 4});
                world.send("PUT", "/v2/apps/web?force=true", &instances).await;
                world.until_served(WEB, 4).await;
                world.send("PUT", "/v2/apps/web?force=true", &json!({"instances": 3})).await;
                world.until_served(WEB, 3).await;
                let _ = world.kernel.take_history();
            }
        }
        world.end().await;
    });
}

#[test]
fn an_agent_without_any_relay_keeps_what_it_knows_and_reads_marathon_itself_after_a_while() {
    run(async {
        let world = serving(2).await;
        world.relays.iter().for_each(RunningRelay::kill);
        pass(25_000).await;
        let why = source(&world).unheard.unwrap();
        assert!(why.contains("relay http://127.0.0.1:"), "{why}");
        assert_eq!(world.fewest(WEB), 3);
        world.send("PUT", "/v2/apps/web?force=true", &json!({"instances": 4})).await;
        world.until_served(WEB, 4).await;
        world.end().await;
    });
}

#[test]
fn an_agent_that_starts_without_any_relay_knows_from_its_state_file_how_many_read_marathon() {
    run(async {
        let mut world = serving(1).await;
        world.stop().await;
        world.relays[0].kill();
        world.start().await;
        pass(25_000).await;
        assert_eq!(world.fewest(WEB), 3);
        world.send("PUT", "/v2/apps/web?force=true", &json!({"instances": 4})).await;
        world.until_served(WEB, 4).await;
        world.end().await;
    });
}

#[test]
fn a_relay_that_wants_a_token_gets_the_right_one_or_nobody() {
    run(async {
        let mut world = World::new().await;
        world.relay_tokens = [Some("right"), Some("wrong")];
        world.run_app(&app("/web", WEB, 1)).await;
        world.start_relay(None).await;
        world.start().await;
        pass(15_000).await;
        let why = source(&world).error.unwrap();
        assert!(why.contains("401") && why.contains("relay-token-file"), "{why}");
        world.stop().await;
        world.relay_tokens[1] = Some("right");
        world.start().await;
        world.until_served(WEB, 1).await;
        world.end().await;
    });
}

#[test]
fn most_of_the_cluster_that_vanishes_behind_a_relay_is_doubted_as_without_one() {
    run(async {
        let world = serving(1).await;
        world.sim().inject_fault(marathon_sim::Fault::Wiped.always());
        world.sim().set_leader(Some(0));
        eventually(async || source(&world).doubt.is_some()).await;
        pass(60_000).await;
        assert_eq!(world.fewest(WEB), 3);
        world.end().await;
    });
}
