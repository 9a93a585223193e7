//! Streams that break, and what becomes of what came meanwhile.

use std::time::Duration;

use marathon::events::{Change, Event, Touched};
use relay::{Record, Scope};

use super::{LATE, World, relays, web};

/// The loss was not there yet when somebody accepted what the last answer lacked.
#[test]
fn an_acceptance_does_not_hold_for_what_goes_after_it() {
    let mut world = World::new(relays(), None);
    world.lose_a_relay_that_knew_more();
    world.want_all();
    let second = world.serve();
    let feed = &mut world.relays[second].feed;
    let accepted = feed.publish(&Record::Accepted, Scope::Vips);
    let lost = feed.replace(&web(1), Scope::Vips).unwrap();
    world.receive(&accepted.segment);
    world.receive(&lost.segment);
    world.relays[second].status.latest_event = Some(LATE.parse().unwrap());
    world.beat();
    assert_eq!(world.take_told(), ["opened", "read: 1 tasks"]);
}

/// By then it was said of a read that has failed, or that Marathon itself has answered.
#[test]
fn an_acceptance_does_not_outlive_the_stream_that_it_came_with() {
    let mut world = World::new(relays(), None);
    world.serve();
    world.step(|follower, now, orders| follower.on_end("reset", now, orders));
    world.take_told();
    let second = world.serve();
    let accepted = world.relays[second].feed.publish(&Record::Accepted, Scope::Vips);
    world.step(|follower, now, orders| follower.on_end("reset", now, orders));
    world.pass(5);
    let first = world.connected.unwrap();
    let snapshot = world.start(first);
    world.receive(&snapshot[0]);
    world.receive(&accepted.segment);
    snapshot[1..].iter().for_each(|segment| world.receive(segment));
    // Nobody has asked for a read, and the relay goes.
    world.step(|follower, now, orders| follower.on_end("reset", now, orders));
    world.pass(5);
    world.serve();
    world.want_all();
    let told = world.take_told();
    assert!(!told.contains(&"Accepted".to_owned()), "{told:?}");
}

/// Its stream was ended, as when Marathon has another leader, and it has not asked for a new one yet.
#[test]
fn a_source_reads_at_once_what_came_while_it_had_no_stream() {
    let touched = Touched { kind: None, id: "/web".into() };
    let event = Event { at: None, change: Change::Removed(touched) };
    for (has_event, expected) in [
        (true, vec!["opened", "event", "read everything"]),
        (false, vec!["opened", "read everything"]),
    ] {
        let mut world = World::new(relays(), None);
        let relay = world.serve();
        world.relays[relay].status.leader = Some("m2:8080".into());
        world.beat();
        world.take_told();
        let feed = &mut world.relays[relay].feed;
        let published = match has_event {
            true => feed.publish(&Record::Event(event.clone()), Scope::Vips),
            false => feed.replace(&web(2), Scope::Vips).unwrap(),
        };
        world.receive(&published.segment);
        assert_eq!(world.take_told(), [""; 0]);
        world.want_stream();
        assert_eq!(world.take_told(), expected);
    }
}

/// They explain what the agent finds no more. Old ones explain nothing.
#[test]
fn what_was_announced_in_a_break_is_told_when_the_stream_goes_on() {
    for (seconds, expected) in [
        (3, vec!["opened", "event", "event", "read everything"]),
        (70, vec!["opened", "read everything"]),
    ] {
        let mut world = World::new(relays(), None);
        let relay = world.serve();
        world.live(62);
        world.step(|follower, now, orders| follower.on_end("reset", now, orders));
        world.take_told();
        let position = world.position.clone();
        let touched = || Touched { kind: None, id: "/web".into() };
        for change in [Change::Touched(vec![touched()]), Change::Other, Change::Removed(touched())]
        {
            let event = Event { at: None, change };
            world.relays[relay].feed.publish(&Record::Event(event), Scope::Vips);
        }
        let status = world.relays[relay].status.clone();
        let feed = &mut world.relays[relay].feed;
        let start = feed.start_stream(position.as_ref(), Scope::Vips, status).unwrap();
        assert!(start.is_resumed);
        let segments: Vec<_> = start.all().cloned().collect();
        segments.iter().for_each(|segment| world.receive(segment));
        world.beat();
        world.live(seconds);
        world.take_told();
        world.want_stream();
        assert_eq!(world.take_told(), expected, "{seconds} s");
    }
}

/// It gets a snapshot, and nobody tells it once more why the apps have gone that it lacks.
#[test]
fn what_was_announced_while_an_agent_changed_relays_is_told_by_the_new_one() {
    let mut world = World::new(relays(), None);
    let first = world.serve();
    world.step(|follower, now, orders| follower.on_end("reset", now, orders));
    world.take_told();
    let feed = &mut world.relays[1 - first].feed;
    for change in [
        Change::Touched(vec![Touched { kind: None, id: "/web".into() }]),
        Change::Removed(Touched { kind: None, id: "/web".into() }),
    ] {
        let published = feed.publish(&Record::Event(Event { at: None, change }), Scope::Vips);
        feed.note_announced(&published, Duration::ZERO);
    }
    world.want_stream();
    assert_eq!(world.serve(), 1 - first);
    assert_eq!(world.take_told(), ["opened", "event", "event", "read everything"]);
}

/// Such as those of relays behind a proxy that cuts them off.
#[test]
fn streams_that_break_after_their_snapshots_are_not_opened_without_a_pause() {
    let mut world = World::new(relays(), None);
    for _ in 0..2 {
        world.serve();
        world.step(|follower, now, orders| follower.on_end("reset", now, orders));
    }
    world.pass(0);
    assert_eq!(world.connected, None, "both have failed");
    world.pass(4);
    world.serve();
    world.live(62);
    world.step(|follower, now, orders| follower.on_end("reset", now, orders));
    world.step(|follower, now, orders| follower.on_end("refused", now, orders));
    world.pass(0);
    assert!(world.connected.is_some(), "it has worked for a while");
}
