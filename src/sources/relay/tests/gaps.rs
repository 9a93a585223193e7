//! Relays that have missed something, can't read, or have another leader.

use marathon::events::{Change, Event};
use relay::{Record, Scope};

use super::{LATE, World, relays};

/// Its events come again, and it has not read what it missed.
#[test]
fn a_relay_with_a_gap_behind_it_is_not_believed_until_it_has_read() {
    let mut world = World::new(relays(), None);
    world.lose_a_relay_that_knew_more();
    world.want_all();
    let second = world.serve();
    let status = &mut world.relays[second].status;
    (status.latest_event, status.behind) = (Some(LATE.parse().unwrap()), true);
    for _ in 0..7 {
        world.pass(2);
        world.beat();
        let event = Event { at: Some(LATE.parse().unwrap()), change: Change::Other };
        let published = world.relays[second].feed.publish(&Record::Event(event), Scope::Vips);
        world.receive(&published.segment);
        let told = world.take_told();
        // A read that waits fails after 10 s.
        assert!(told.iter().all(|told| told.starts_with("not read")), "{told:?}");
    }
    world.relays[second].status.behind = false;
    world.beat();
    assert_eq!(world.take_told(), ["opened", "read everything"]);
}

#[test]
fn a_relay_that_never_reads_what_it_has_missed_is_left() {
    let mut world = World::new(relays(), None);
    world.lose_a_relay_that_knew_more();
    let second = world.serve();
    world.relays[second].status.behind = true;
    for _ in 0..15 {
        world.beat();
        assert_eq!(world.connected, Some(second));
        world.pass(2);
    }
    assert_ne!(world.connected, Some(second));
}

/// An agent that has nothing to lose does better with what it gets than without.
#[test]
fn a_relay_with_a_gap_behind_it_serves_an_agent_that_comes_first() {
    let mut world = World::new(relays(), None);
    world.relays.iter_mut().for_each(|relay| relay.status.behind = true);
    world.serve();
    assert_eq!(world.take_told(), ["opened", "read: 3 tasks"]);
}

/// Its table is of an earlier run, and newer than what the relay has read.
#[test]
fn a_relay_with_a_gap_behind_it_is_not_believed_at_once_by_an_agent_that_starts_again() {
    let mut world = World::new(relays(), None);
    world.follower.restore_hosts(3);
    world.relays.iter_mut().for_each(|relay| relay.status.behind = true);
    let first = world.serve();
    for _ in 0..15 {
        world.beat();
        assert_eq!(world.connected, Some(first));
        world.pass(2);
    }
    let told = world.take_told();
    assert!(told.iter().all(|told| told.starts_with("not read")), "{told:?}");
    world.relays[1 - first].status.behind = false;
    assert_eq!(world.serve(), 1 - first);
    assert_eq!(world.take_told(), ["opened", "read everything"]);
}

#[test]
fn an_agent_that_starts_again_believes_a_relay_that_has_caught_up_at_once() {
    let mut world = World::new(relays(), None);
    world.follower.restore_hosts(3);
    world.serve();
    assert_eq!(world.take_told(), ["opened", "read: 3 tasks"]);
}

#[test]
fn an_agent_that_comes_first_leaves_a_relay_with_a_gap_behind_it_for_one_that_is_ready() {
    let mut world = World::new(relays(), None);
    world.pass(0);
    let first = world.connected.unwrap();
    world.relays[first].status.behind = true;
    world.serve();
    assert_eq!(world.take_told(), ["opened", "read: 3 tasks"]);
    assert_eq!((world.live(4), world.live(30)), (0, 1), "it may be a short gap");
    assert_eq!(world.connected, Some(1 - first));
}

/// Such as a gap in a relay's events, after which it reads everything.
#[test]
fn no_agent_leaves_a_relay_that_it_has_followed_for_a_short_gap() {
    let mut world = World::new(relays(), None);
    let relay = world.serve();
    world.relays[relay].status.behind = true;
    assert_eq!(world.live(300), 0, "all that the agent knows is of this relay");
}

/// Marathon's events come, and its answers are too long.
#[test]
fn an_agent_goes_once_to_a_relay_that_can_read_marathon() {
    let mut world = World::new(relays(), None);
    let relay = world.serve();
    world.take_told();
    let status = &mut world.relays[relay].status;
    (status.read_error, status.unread_ms) = (Some("too long".to_owned()), Some(10_000));
    assert_eq!(world.live(20), 0, "it may be a short gap");
    world.relays[relay].status.unread_ms = Some(30_000);
    world.live(4);
    assert!(world.take_told().iter().all(|told| told == "bytes"), "events pass on");
    assert_eq!(world.live(300), 1);
    assert_eq!(world.connected, Some(1 - relay));
    let told = world.take_told();
    assert!(told.iter().any(|told| told.contains("it can't read Marathon: too long")), "{told:?}");
}

/// The second relay's leader has a clock that is behind, or knows nothing of what the first relay's told.
#[test]
fn a_relay_with_another_leader_is_believed_only_once_it_must_know_as_much() {
    let mut world = World::new(relays(), None);
    world.lose_a_relay_that_knew_more();
    world.want_all();
    let second = world.serve();
    let status = &mut world.relays[second].status;
    status.leader = Some("m2:8080".into());
    status.latest_event = Some("2026-01-01T00:00:09Z".parse().unwrap());
    world.beat();
    assert_eq!(world.take_told(), [""; 0]);
    for _ in 0..5 {
        world.pass(2);
        world.beat();
    }
    let told = world.take_told();
    assert!(told.contains(&"opened".to_owned()), "{told:?}");
}

/// The new leader's clock is behind the last one's.
#[test]
fn the_latest_event_is_that_of_the_leader_of_now() {
    let mut world = World::new(relays(), None);
    let first = world.serve();
    world.relays[first].status.leader = Some("m2:8080".into());
    world.relays[first].status.latest_event = Some("2025-12-31T00:00:00Z".parse().unwrap());
    world.beat();
    world.step(|follower, now, orders| follower.on_end("reset", now, orders));
    world.want_all();
    world.take_told();
    let latest = world.relays[first].status.latest_event;
    let status = &mut world.relays[1 - first].status;
    (status.leader, status.latest_event) = (Some("m2:8080".into()), latest);
    world.serve();
    assert_eq!(world.take_told(), ["opened", "read: 3 tasks"]);
}
