//! An agent that follows relays instead of Marathon.

use std::time::Duration;

use marathon_sim::Fault;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use vipd::report::agent::AgentReport;
use vipd::sources::SourceView;

use crate::site::{self, Site};
use crate::world::{RunningRelay, World, app, eventually, pass, place, run, vip};

const WEB: &str = "3.3.0.6:80";

/// One Marathon with this many relays and an app `/web` with three tasks, in the kernel.
async fn serving(relays: usize) -> World {
    serving_tasks(relays, 3).await
}

async fn serving_tasks(relays: usize, tasks: usize) -> World {
    start_serving(World::new().await, relays, tasks).await
}

async fn start_serving(mut world: World, relays: usize, tasks: usize) -> World {
    world.run_app(&app("/web", WEB, tasks)).await;
    for _ in 0..relays {
        world.start_relay(None).await;
    }
    world.start().await;
    world.until_served(WEB, tasks).await;
    let _ = world.kernel.take_history();
    world
}

/// Has Marathon kill tasks. It may take a while to say that it does.
fn kill_tasks(world: &World, tasks: &[Value]) -> JoinHandle<()> {
    let url = format!("{}/v2/tasks/delete", world.sim().url());
    let ids = json!({ "ids": tasks.iter().map(|task| &task["id"]).collect::<Vec<_>>() });
    let kill = reqwest::Client::new().post(url).body(ids.to_string()).send();
    tokio::spawn(async { drop(kill.await) })
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
        let stall = Fault::Stall { ms: 5000 };
        world.sim().inject_fault(stall.always().limited_to("/v2/apps"));
        let kill = kill_tasks(&world, &tasks[..1]);
        let dead = place(&tasks[0]);
        let begun = Instant::now();
        eventually(async || world.served(WEB).is_some_and(|served| !served.contains(&dead))).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "a read told of it");
        world.sim().clear_faults();
        drop(kill.await);
        world.until_served(WEB, 3).await;
        world.end().await;
    });
}

/// How many servers were left, and since when in milliseconds.
type Ends = Vec<(usize, u128)>;

/// Has tasks end, and follows how many servers an agent behind so many relays has for a while. The relays
/// may die half a second after the begin.
async fn watch_servers(
    world: World,
    length: Duration,
    relays_die: bool,
    end: impl AsyncFnOnce(&World),
) -> Ends {
    let begun = Instant::now();
    end(&world).await;
    let mut seen = Ends::new();
    while begun.elapsed() < length {
        let left = world.served(WEB).map_or(0, |served| served.len());
        if seen.last().is_none_or(|(last, _)| *last != left) {
            seen.push((left, begun.elapsed().as_millis()));
        }
        if relays_die && begun.elapsed() > Duration::from_millis(500) {
            world.relays.iter().for_each(RunningRelay::kill);
        }
        pass(10).await;
    }
    world.sim().clear_faults();
    world.end().await;
    seen
}

/// Sockets are real, so the times aren't exact: the clock goes on while a busy machine serves them.
fn assert_like(seen: &Ends, expected: &Ends, case: &str) {
    let is_like = |(seen, expected): (&(usize, u128), &(usize, u128))| {
        seen.0 == expected.0 && seen.1.abs_diff(expected.1) <= 1000
    };
    let alike = seen.len() == expected.len() && seen.iter().zip(expected).all(is_like);
    assert!(alike, "{case}: {seen:?} instead of {expected:?}");
}

/// The last server, or more than half of them, don't go before a read says so, or until 2 s have passed.
#[test]
fn news_that_waits_takes_effect_behind_a_relay_when_it_does_without_one() {
    let slow = Fault::Stall { ms: 1000 };
    let (silent, stale) = (Fault::Stall { ms: 30_000 }, Fault::Lag { ms: 20_000 });
    let cases = [1, 4].map(|tasks| [slow, silent, stale].map(|fault| (tasks, fault)));
    for (tasks, fault) in cases.into_iter().flatten() {
        let mut expected = None;
        // Relays that die can tell of no read.
        let ways = [(0, false), (1, false), (2, true)];
        for (relays, they_die) in ways.into_iter().take(if fault == silent { 3 } else { 2 }) {
            run(async {
                let world = serving_tasks(relays, tasks).await;
                let length = Duration::from_secs(12);
                let seen = watch_servers(world, length, they_die, async |world| {
                    let mut killed = world.tasks("/web").await;
                    killed.truncate(tasks.div_ceil(2) + 1);
                    world.sim().inject_fault(fault.always().limited_to("/v2/apps"));
                    kill_tasks(world, &killed);
                })
                .await;
                let case = format!("{tasks} tasks, {fault:?}, {relays} relays");
                assert_like(&seen, expected.get_or_insert_with(|| seen.clone()), &case);
            });
        }
    }
}

#[test]
fn a_doubt_lasts_as_long_behind_a_relay_as_without_one() {
    let mut expected = None;
    for relays in [0, 1] {
        run(async {
            let mut world = World::new().await;
            world.doubt = Duration::from_secs(30);
            let world = start_serving(world, relays, 3).await;
            let seen = watch_servers(world, Duration::from_secs(60), false, async |world| {
                world.sim().inject_fault(Fault::Wiped.always());
                world.sim().set_leader(Some(0));
            })
            .await;
            assert_like(
                &seen,
                expected.get_or_insert_with(|| seen.clone()),
                &format!("{relays} relays"),
            );
        });
    }
}

#[test]
fn a_relay_that_dies_costs_nothing_and_another_one_takes_over() {
    run(async {
        let world = serving(2).await;
        for killed in 0..2 {
            let followed = source(&world).relay.expect("it follows one");
            assert!(followed.starts_with("http://127.0.0.1:"), "{followed}");
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
fn an_agent_names_the_relay_that_it_follows() {
    site::run(async {
        let site = Site::new(serving(1).await).await;
        let relay = source(&site.world).relay.unwrap();
        let (_, metrics) = site.get("/metrics").await;
        let series = format!("vipd_source_relay{{source=\"m0\",relay=\"{relay}\"}} 1");
        assert!(metrics.contains(&series), "{series}: {metrics}");
        let report = site.json("/v1/status").await;
        assert_eq!(report["sources"]["m0"]["relay"], *relay);
        let report: AgentReport = serde_json::from_value(report).unwrap();
        let line = format!("marathon m0: events are coming through relay {relay}; 1 apps and pods");
        assert!(report.to_lines().iter().any(|it| it.text.starts_with(&line)), "{report:?}");
        site.end().await;
    });
}

#[test]
fn an_agent_without_any_relay_keeps_what_it_knows_and_reads_marathon_itself_after_a_while() {
    run(async {
        let world = serving(2).await;
        world.relays.iter().for_each(RunningRelay::kill);
        pass(25_000).await;
        assert_eq!(source(&world).relay, None);
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
        world.sim().inject_fault(Fault::Wiped.always());
        world.sim().set_leader(Some(0));
        eventually(async || source(&world).doubt.is_some()).await;
        pass(60_000).await;
        assert_eq!(world.fewest(WEB), 3);
        world.end().await;
    });
}
