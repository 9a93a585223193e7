//! What Marathon gets from thousands of agents behind relays, and what becomes of the agents when
//! relays go: a model of the real decisions, `RelayCore`, `Follower` and the watch, in virtual time.
//! docs/scale.md says what came of it.

mod agent;
#[allow(dead_code, reason = "the model without relays needs more of it")]
#[path = "../../../crates/marathon/tests/fleet/cluster.rs"]
mod cluster;
mod marathon;
mod network;
mod sim_relay;
mod world;

use std::time::Duration;

use proptest::prelude::*;
use serde::Serialize;

use cluster::{Cluster, Tell};
use sim_relay::Condition;
use world::World;

const SECOND: Duration = Duration::from_secs(1);
/// The length of a case.
const WATCHED: Duration = Duration::from_secs(300);
const RELAYS: usize = 3;
/// The app, and the task of it, whose end agents have to learn.
const MARKED: (usize, usize) = (0, 7);

/// What came of a case.
#[derive(Debug, Serialize)]
struct Outcome {
    /// Requests at Marathon by relays and by agents: all, and the most in a second.
    by_relays: [u64; 2],
    by_agents: [u64; 2],
    /// Bytes of Marathon's answers and events.
    bytes: [u64; 2],
    /// Seconds until half of the agents that lost their stream, and all of them, had one again.
    streams: Option<[f64; 2]>,
    /// The number of these agents, and of those that have none at the end.
    lost: [usize; 2],
    /// New streams to relays.
    connects: usize,
    /// Changes of apps at agents that no change at Marathon explains.
    touched: usize,
    /// The most agents that might read Marathon themselves at the same time.
    readers: usize,
    /// Seconds until half of the agents, and all of them, had learnt that a task has ended.
    learnt: Option<[f64; 2]>,
    /// Agents that have not.
    unaware: usize,
}

fn half_and_all(mut times: Vec<Duration>, from: Duration) -> Option<[f64; 2]> {
    times.sort();
    let since = |at: &Duration| at.saturating_sub(from).as_secs_f64();
    Some([since(times.get(times.len() / 2)?), since(times.last()?)])
}

/// App 0 has 20 tasks, a hundred others have two each.
fn started(agents: u32) -> World {
    let mut apps = [2; 101];
    apps[0] = 20;
    let world = World::new(agents, RELAYS, Cluster::new(&apps));
    let streaming = world.agents.iter().filter(|agent| agent.opened_at.is_some()).count();
    assert_eq!(streaming, world.agents.len(), "all have a stream");
    assert_eq!(world.astray(), 0);
    world
}

/// Has something happen, and counts what comes of it. A task ends in so many seconds, of which all
/// agents have to learn.
fn watch(
    world: &mut World,
    length: Duration,
    ends_in: Duration,
    happens: impl FnOnce(&mut World),
) -> Outcome {
    let begun = world.now;
    let had: Vec<_> = world.agents.iter().map(|agent| agent.opened_at).collect();
    let (app, task) = MARKED;
    world.mark(app, &format!("app{app:05}.0.{task:03}"));
    world.tell_in(u64::try_from(ends_in.as_millis()).unwrap(), Tell::Killed(app, task));
    world.reset();
    happens(world);
    while world.now < begun + length {
        world.run(10 * SECOND);
        world.count_readers();
    }
    let opened = world.agents.iter().map(|agent| agent.opened_at);
    let lost: Vec<_> = opened.zip(had).filter(|(now, had)| now != had).collect();
    let again: Vec<_> = lost.iter().filter_map(|(now, _)| *now).collect();
    let learnt = world.learnt();
    let (relays, agents) = (&world.marathon.from_relays, &world.marathon.from_agents);
    Outcome {
        by_relays: [relays.total(), relays.peak()],
        by_agents: [agents.total(), agents.peak()],
        bytes: [relays.bytes, agents.bytes],
        lost: [lost.len(), lost.len() - again.len()],
        streams: half_and_all(again, begun),
        connects: world.agents.iter().map(|agent| agent.connects).sum(),
        touched: world.agents.iter().map(|agent| agent.touched).sum(),
        readers: world.most_readers,
        unaware: world.agents.len() - learnt.len(),
        learnt: half_and_all(learnt, begun + ends_in),
    }
}

fn in_calm(agents: u32) -> Outcome {
    watch(&mut started(agents), WATCHED, SECOND, |_| {})
}

/// Rolling upgrades of 100 apps begin with one change of their group.
fn in_upgrades(agents: u32) -> Outcome {
    watch(&mut started(agents), WATCHED, SECOND, |world| {
        world.tell_in(2000, Tell::BeginAll(101));
        for app in 1..101 {
            for task in 0..2 {
                let at = 2000 + 37 * app as u64 + 8000 * task as u64;
                world.tell_in(at + 2000, Tell::Start(app, task));
                world.tell_in(at + 4500, Tell::Healthy(app, task));
                world.tell_in(at + 4600, Tell::Killing(app, task));
                world.tell_in(at + 7800, Tell::Killed(app, task));
            }
            world.tell_in(2000 + 37 * app as u64 + 16_000, Tell::Done(app));
        }
    })
}

/// A task ends while there is no leader; nobody says so but the next one's answers.
fn after_a_leader_change(agents: u32) -> Outcome {
    watch(&mut started(agents), WATCHED, 5 * SECOND, |world| world.change_leader(10 * SECOND))
}

fn after_a_kill(agents: u32, relays: &[usize], condition: Condition) -> Outcome {
    watch(&mut started(agents), WATCHED, SECOND, |world| {
        relays.iter().for_each(|relay| world.end_relay(*relay, condition));
    })
}

/// Until each of 5,000 agents has had a turn.
fn without_relays(agents: u32) -> Outcome {
    let length = WATCHED + agents.min(5000) * SECOND;
    watch(&mut started(agents), length, SECOND, |world| {
        (0..RELAYS).for_each(|relay| world.end_relay(relay, Condition::Killed));
    })
}

/// One relay hears nothing of Marathon any more, and its agents don't know yet.
fn after_a_partition(agents: u32) -> Outcome {
    watch(&mut started(agents), WATCHED, SECOND, |world| world.relays[0].is_cut = true)
}

type Case = (&'static str, fn(u32) -> Outcome);

const CASES: [Case; 7] = [
    ("calm", in_calm),
    ("upgrade", in_upgrades),
    ("leader", after_a_leader_change),
    ("killed", |agents| after_a_kill(agents, &[0], Condition::Killed)),
    ("silent", |agents| after_a_kill(agents, &[0], Condition::Silent)),
    ("none", without_relays),
    ("cut", after_a_partition),
];

/// `relays CASE AGENTS {OUTCOME}`: `cargo xtask bench --scale` makes the table of docs/scale.md of it.
fn print_table(agents: u32) {
    for (name, case) in CASES {
        let outcome = case(agents);
        println!("relays {name} {agents} {}", serde_json::to_string(&outcome).unwrap());
    }
}

#[test]
#[ignore = "takes a release build"]
fn table_of_1_000() {
    print_table(1000);
}

#[test]
#[ignore = "takes a release build, and two minutes"]
fn table_of_5_000() {
    print_table(5000);
}

#[test]
#[ignore = "takes a release build, and half an hour"]
fn table_of_20_000() {
    print_table(20_000);
}

/// What three readers cost, whatever the number of agents.
#[test]
fn marathon_gets_the_same_from_three_relays_with_few_agents_and_with_many() {
    for (name, case) in &CASES[..5] {
        let (few, many) = (case(10), case(60));
        assert_eq!(few.by_relays, many.by_relays, "{name}");
        assert_eq!((few.by_agents, many.by_agents), ([0; 2], [0; 2]), "{name}");
        assert_eq!(many.bytes[0], few.bytes[0], "{name}");
    }
}

#[test]
fn agents_of_a_relay_that_goes_have_a_stream_again_within_ten_seconds() {
    for condition in [Condition::Killed, Condition::Silent] {
        let outcome = after_a_kill(300, &[0], condition);
        let [lost, without] = outcome.lost;
        assert!((60..=140).contains(&lost) && without == 0, "{condition:?}: {outcome:?}");
        assert!(outcome.streams.unwrap()[1] <= 10.0, "{condition:?}: {outcome:?}");
        assert_eq!((outcome.touched, outcome.unaware), (0, 0), "{condition:?}: {outcome:?}");
    }
}

#[test]
fn agents_without_relays_touch_nothing_and_take_turns_at_marathon() {
    let outcome = without_relays(300);
    assert_eq!(outcome.lost, [300, 300]);
    assert_eq!((outcome.touched, outcome.unaware), (0, 0), "{outcome:?}");
    assert!((60..=140).contains(&outcome.readers), "{outcome:?}");
}

#[test]
fn agents_of_a_relay_that_hears_no_marathon_go_to_another_one() {
    let outcome = after_a_partition(300);
    assert_eq!((outcome.touched, outcome.unaware, outcome.lost[1]), (0, 0, 0), "{outcome:?}");
    assert!(outcome.learnt.unwrap()[1] <= 40.0, "{outcome:?}");
}

#[test]
fn a_leader_change_and_upgrades_reach_all_agents() {
    let outcome = after_a_leader_change(100);
    assert_eq!(outcome.connects, 0, "no relay is better than another");
    assert_eq!((outcome.touched, outcome.unaware, outcome.lost[1]), (0, 0, 0), "{outcome:?}");
    assert_eq!(in_upgrades(100).unaware, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// One relay has missed the end of a task and reads slowly after that; the other one is killed.
    #[test]
    fn an_agent_that_goes_to_a_relay_with_a_gap_shows_no_dead_server_again(
        opens_after in 0u32..12,
        reads_take in 0u32..25,
        other_event_in in 0u64..20_000,
        killed_after in 2u32..40,
    ) {
        let world = after_a_gap(opens_after, reads_take, other_event_in, killed_after);
        prop_assert_eq!(world.learnt().len(), 6);
        prop_assert_eq!(world.relapsed(), 0);
        prop_assert_eq!(world.astray(), 0);
    }
}

/// The relay that is left hears nothing yet, and does not say that it has missed something.
#[test]
fn an_agent_waits_at_a_relay_until_its_stream_is_open_again() {
    assert_eq!(after_a_gap(0, 0, 0, 2).relapsed(), 0);
}

/// Returns a world of six agents where a relay missed the end of a task, and the other one was killed.
fn after_a_gap(opens_after: u32, reads_take: u32, other_event_in: u64, killed_after: u32) -> World {
    let mut world = World::new(6, 2, Cluster::new(&[20, 2]));
    let (app, task) = MARKED;
    world.mark(app, &format!("app{app:05}.0.{task:03}"));
    world.cut_off(1, true);
    world.relays[1].reads_take = SECOND * reads_take;
    world.tell_in(1000, Tell::Killed(app, task));
    // What it hears later makes it look as if it knew more.
    world.tell_in(2000 + other_event_in, Tell::Healthy(1, 0));
    let begun = world.now;
    let mut events = [(2 + opens_after, 0), (killed_after, 1)];
    events.sort_unstable();
    for (second, what) in events {
        world.run((begun + SECOND * second).saturating_sub(world.now));
        match what {
            0 => world.cut_off(1, false),
            _ => world.end_relay(0, Condition::Killed),
        }
    }
    world.run(180 * SECOND);
    world
}
