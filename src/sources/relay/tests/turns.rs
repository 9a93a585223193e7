//! Agents spread: over the relays, and over time where there is none.

use std::time::Duration;

use marathon::watch::Action;

use super::super::follower::Follower;
use super::super::orders::{Now, Order};
use super::{World, relays};

#[test]
fn without_a_relay_reads_fail_after_10_seconds_and_go_to_marathon_after_30_to_150() {
    let mut world = World::new(relays(), Some(100));
    world.follower.restore_hosts(1);
    world.pass(9);
    assert_eq!(world.take_told(), [""; 0]);
    world.pass(2);
    assert!(world.take_told()[0].starts_with("not read: relay http://"));
    world.pass(18);
    world.want_all();
    assert_eq!(world.asked, []);
    world.pass(125);
    world.want_all();
    assert_eq!(world.asked, [Action::ReadEverything]);
}

/// It serves nobody until then.
#[test]
fn an_agent_that_knows_nothing_reads_marathon_after_10_to_30_seconds() {
    for number in 0..100 {
        let start = Now { at: Duration::ZERO, second: 0 };
        let node = format!("node{number}");
        let follower = Follower::new(vec!["http://a".into()], &node, Some(100), start);
        let may_read =
            |second| follower.may_read_marathon(Now { at: Duration::from_secs(second), second });
        assert!(!may_read(9) && may_read(30), "{node}");
    }
}

/// Nobody has a table then, and nobody knows that of the others.
#[test]
fn a_cluster_that_starts_as_a_whole_without_relays_takes_turns_from_the_first_minute() {
    let start = Now { at: Duration::ZERO, second: 0 };
    let new = |number| {
        Follower::new(vec!["http://a".into()], &format!("node{number}"), Some(1000), start)
    };
    let mut waiting: Vec<_> = (0..1000).map(new).collect();
    for second in 0..11 * 60 {
        let before = waiting.len();
        let now = Now { at: Duration::from_secs(second), second };
        waiting.retain(|follower| !follower.may_read_marathon(now));
        let reading = before - waiting.len();
        assert!(reading <= 20, "{reading} in second {second}");
        let all = 1000 - waiting.len() as u64;
        assert!(all <= 200 + 100 * second / 60, "{all} by second {second}");
    }
    assert_eq!(waiting.len(), 0, "each has a turn");
}

/// Of 5,000 agents without a relay about 100 read Marathon in the same minute.
#[test]
fn agents_without_a_relay_take_turns() {
    let mut followers: Vec<_> = (0..5000)
        .map(|number| {
            let start = Now { at: Duration::ZERO, second: 0 };
            Follower::new(vec!["http://a".into()], &format!("node{number}"), Some(5000), start)
        })
        .collect();
    let mut asked = 0;
    for minute in 3..53 {
        let asking = ask_all(&mut followers, 60 * minute);
        assert!((60..=140).contains(&asking), "{asking}");
        asked += asking;
    }
    assert_eq!(asked, 5000, "each has a turn");
}

/// Has all agents want to read at a second, and counts those that ask Marathon.
fn ask_all(followers: &mut [Follower], second: u64) -> usize {
    let now = Now { at: Duration::from_secs(second), second };
    let asks = |follower: &mut Follower| {
        let mut orders = Vec::new();
        follower.on_request(Action::ReadEverything, now, &mut orders);
        orders.iter().any(|order| matches!(order, Order::Ask(_)))
    };
    followers.iter_mut().map(asks).filter(|asks| *asks).count()
}

/// A hundred whole answers in one second are more than Marathon writes.
#[test]
fn agents_without_a_relay_dont_all_read_as_a_minute_begins() {
    let start = Now { at: Duration::ZERO, second: 0 };
    let new = |number| {
        Follower::new(vec!["http://a".into()], &format!("node{number}"), Some(5000), start)
    };
    let mut waiting: Vec<_> = (0..5000).map(new).collect();
    for second in 180..300 {
        let (reading, waits): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|follower| {
            let now = Now { at: Duration::from_secs(second), second };
            follower.may_read_marathon(now)
        });
        waiting = waits;
        // Those whose minute has begun already read at first.
        let most = if second == 180 { 140 } else { 10 };
        assert!(reading.len() <= most, "{} in second {second}", reading.len());
    }
}

/// Nothing else tells an agent that has just started how many share Marathon with it.
#[test]
fn the_hosts_that_an_earlier_run_knew_size_the_turns_until_a_relay_tells() {
    for (restored, has_turn) in [(0, false), (100, true), (101, false)] {
        let start = Now { at: Duration::ZERO, second: 0 };
        let mut follower = Follower::new(vec!["http://a".into()], "node1", None, start);
        follower.restore_hosts(restored);
        assert_eq!(has_each_turn(&follower, 180), has_turn, "{restored}");
    }
    let mut world = World::new(relays(), None);
    world.follower.restore_hosts(100);
    // Agents run on hosts without tasks of VIPs, too.
    world.relays.iter_mut().for_each(|relay| relay.status.hosts = Some(5000));
    world.serve();
    world.step(|follower, now, orders| follower.on_end("reset", now, orders));
    assert!(!has_each_turn(&world.follower, 180));
}

/// Tells whether an agent may read Marathon in each of 50 minutes.
fn has_each_turn(follower: &Follower, from: u64) -> bool {
    (0..50)
        .map(|minute| from + 60 * minute)
        .all(|second| follower.may_read_marathon(Now { at: Duration::from_secs(second), second }))
}

#[test]
fn agents_spread_over_the_relays_and_each_has_its_own() {
    let names = || vec!["http://a".to_owned(), "http://b".to_owned(), "http://c".to_owned()];
    let mut counts = [0; 3];
    for node in 0..3000 {
        let start = Now { at: Duration::ZERO, second: 0 };
        let mut follower = Follower::new(names(), &format!("node{node}"), None, start);
        let mut orders = Vec::new();
        follower.tick(start, &mut orders);
        let Some(Order::Connect { relay, position: None }) = orders.first() else { panic!() };
        counts[*relay] += 1;
    }
    assert!(counts.iter().all(|count| (900..=1100).contains(count)), "{counts:?}");
}
