//! Which relay is followed, and what is believed of it.

use marathon::TaskState;
use marathon::events::{Change, Event, Subject, Touched};
use marathon::watch::Action;
use relay::{Record, Scope};

use super::{EARLY, LATE, Relay, World, relays, web};

#[test]
fn the_source_gets_its_stream_and_its_answers_from_the_relay() {
    let mut world = World::new(relays(), None);
    assert_eq!(world.take_told(), [""; 0]);
    let relay = world.serve();
    assert_eq!(world.take_told(), ["opened", "read: 3 tasks"]);
    let event =
        Event { at: None, change: Change::Removed(Touched { kind: None, id: "/web".into() }) };
    let feed = &mut world.relays[relay].feed;
    let published = [
        feed.publish(&Record::Event(event), Scope::Vips),
        feed.replace(&web(2), Scope::Vips).unwrap(),
    ];
    let removed = feed.remove(&web(0).key()).unwrap();
    for published in published.iter().chain([&removed]) {
        world.receive(&published.segment);
    }
    world.beat();
    assert_eq!(world.take_told(), ["event", "told: 2 tasks", "told: gone", "bytes"]);
}

#[test]
fn a_relay_that_falls_silent_gives_way_to_the_next_one() {
    let mut world = World::new(relays(), None);
    let first = world.serve();
    world.take_told();
    world.pass(5);
    assert_eq!(world.take_told(), [""; 0]);
    world.pass(2);
    let told = world.take_told();
    assert!(told[0].contains("it has said nothing for 6 s"), "{told:?}");
    let second = world.serve();
    assert_ne!(first, second);
    world.want_all();
    assert_eq!(world.take_told(), ["opened", "read everything", "read: 3 tasks"]);
}

/// A task of the first relay's has died, and the second one doesn't know yet.
#[test]
fn a_relay_that_lags_is_not_believed_until_it_has_caught_up() {
    let mut world = World::new(relays(), None);
    world.lose_a_relay_that_knew_more();
    world.want_all();
    let second = world.serve();
    assert_eq!(world.take_told(), [""; 0], "it would bring the dead task back");
    world.beat();
    assert_eq!(world.take_told(), [""; 0]);
    world.relays[second].status.latest_event = Some(LATE.parse().unwrap());
    let caught_up = world.relays[second].feed.replace(&web(2), Scope::Vips).unwrap();
    world.receive(&caught_up.segment);
    world.beat();
    assert_eq!(world.take_told(), ["opened", "read: 2 tasks"]);
}

#[test]
fn a_relay_that_lags_and_hears_no_marathon_is_left() {
    let mut world = World::new(relays(), None);
    let first = world.lose_a_relay_that_knew_more();
    let second = 1 - first;
    world.relays[second].status.stream_error = Some("connection refused".to_owned());
    assert_eq!(world.serve(), second);
    for _ in 0..5 {
        world.pass(2);
        if world.connected == Some(second) {
            world.beat();
        }
    }
    assert_ne!(world.connected, Some(second));
}

/// Marathon has another leader, whose clock is behind.
#[test]
fn a_relay_with_an_older_event_that_hears_marathon_is_believed_after_10_seconds() {
    let mut world = World::new([Relay::new("a", 3, LATE), Relay::new("b", 3, LATE)], None);
    let first = world.serve();
    world.relays[1 - first].status.latest_event = Some(EARLY.parse().unwrap());
    world.step(|follower, now, orders| follower.on_end("reset", now, orders));
    world.take_told();
    world.want_all();
    world.serve();
    for _ in 0..4 {
        world.pass(2);
        world.beat();
        assert_eq!(world.take_told(), [""; 0]);
    }
    world.pass(2);
    world.beat();
    let told = world.take_told();
    assert_eq!(told[..2], ["opened", "read: 3 tasks"], "{told:?}");
}

/// As when there is no leader.
#[test]
fn an_agent_stays_where_it_is_while_no_relay_hears_marathon() {
    let mut world = World::new(relays(), None);
    let relay = world.serve();
    world.take_told();
    for relay in &mut world.relays {
        relay.status.stream_error = Some("connection refused".to_owned());
    }
    assert_eq!(world.live(4), 0);
    assert_eq!(world.take_told(), [""; 0], "it may be a short gap");
    assert_eq!(world.live(300), 0);
    let told = world.take_told();
    assert!(told[0].contains("it hears no events of Marathon"), "{told:?}");
    world.want_all();
    assert!(world.take_told()[0].starts_with("not read: relay http://"));
    world.relays[relay].status.stream_error = None;
    assert_eq!(world.live(300), 0);
    assert_eq!(world.take_told()[0], "opened");
}

#[test]
fn an_agent_goes_once_to_a_relay_that_hears_marathon() {
    let mut world = World::new(relays(), None);
    let relay = world.serve();
    world.relays[relay].status.silent_ms = Some(30_000);
    assert_eq!(world.live(300), 1);
    assert_eq!(world.connected, Some(1 - relay));
}

#[test]
fn a_relay_whose_snapshot_does_not_begin_is_left() {
    let mut world = World::new(relays(), None);
    world.pass(0);
    let relay = world.connected.unwrap();
    let hello = world.start(relay).remove(0);
    world.receive(&hello);
    for _ in 0..29 {
        world.pass(2);
        world.step(|follower, now, _| follower.on_bytes(now));
    }
    assert_eq!(world.connected, Some(relay));
    world.pass(2);
    assert_ne!(world.connected, Some(relay));
}

#[test]
fn a_relay_whose_snapshot_has_no_end_is_left() {
    let mut world = World::new(relays(), None);
    world.pass(0);
    let relay = world.connected.unwrap();
    let first = world.start(relay);
    let (hello, app) = (&first[0], &first[1]);
    world.receive(hello);
    for _ in 0..35 {
        world.receive(app);
        world.pass(5);
    }
    assert_eq!(world.connected, Some(relay));
    world.receive(app);
    world.pass(5);
    assert_ne!(world.connected, Some(relay));
}

/// What the mirror has is older than the event, and would refute it.
#[test]
fn a_read_waits_for_what_the_relay_reads_after_bad_news() {
    let mut world = World::new(relays(), None);
    let relay = world.serve();
    world.take_told();
    let of = Subject { workload: "/web".into(), id: "web.1".into(), version: None };
    let event = Event { at: None, change: Change::State { of, state: TaskState::Killing } };
    let ask = |world: &mut World| {
        let published =
            world.relays[relay].feed.publish(&Record::Event(event.clone()), Scope::Vips);
        world.receive(&published.segment);
        let read = Action::Read(web(0).key());
        world.step(|follower, now, orders| follower.on_request(read, now, orders));
        world.take_told()
    };
    assert_eq!(ask(&mut world), ["event"]);
    let record = world.relays[relay].feed.replace(&web(2), Scope::Vips).unwrap();
    world.receive(&record.segment);
    let told = world.take_told();
    assert!(told[0] == "told: 2 tasks" && told[1].starts_with("Read {"), "{told:?}");
    assert_eq!(ask(&mut world), ["event"]);
    world.pass(4);
    let told = world.take_told();
    assert!(told[0].contains("has not read it since"), "{told:?}");
}

#[test]
fn a_read_of_everything_says_nothing_of_tasks_with_bad_news_since() {
    let mut world = World::new(relays(), None);
    let relay = world.serve();
    world.take_told();
    let of = Subject { workload: "/web".into(), id: "web.1".into(), version: None };
    let event = Event { at: None, change: Change::State { of, state: TaskState::Killing } };
    let published = world.relays[relay].feed.publish(&Record::Event(event), Scope::Vips);
    world.receive(&published.segment);
    let read = |world: &mut World| {
        world.step(|follower, now, orders| {
            follower.on_request(Action::ReadEverything, now, orders);
        });
        world.take_told()
    };
    assert_eq!(read(&mut world), ["event", "read: no tasks are known"]);
    let record = world.relays[relay].feed.confirm(&web(0).key()).unwrap();
    world.receive(&record.segment);
    assert_eq!(read(&mut world), ["told: 3 tasks", "read: 3 tasks"]);
}

#[test]
fn an_event_shows_that_a_relay_has_caught_up() {
    let mut world = World::new(relays(), None);
    world.lose_a_relay_that_knew_more();
    world.want_all();
    let second = world.serve();
    assert_eq!(world.take_told(), [""; 0]);
    let event = Event { at: Some(LATE.parse().unwrap()), change: Change::Other };
    let published = world.relays[second].feed.publish(&Record::Event(event), Scope::Vips);
    world.receive(&published.segment);
    assert_eq!(world.take_told(), ["opened", "read: 3 tasks"]);
}

#[test]
fn a_loss_that_is_accepted_during_a_snapshot_is_accepted_after_it() {
    let mut world = World::new(relays(), None);
    world.pass(0);
    let relay = world.connected.unwrap();
    let snapshot = world.start(relay);
    let accepted = world.relays[relay].feed.publish(&Record::Accepted, Scope::Vips);
    world.receive(&snapshot[0]);
    world.receive(&accepted.segment);
    for segment in &snapshot[1..] {
        world.receive(segment);
    }
    assert_eq!(world.take_told(), ["opened", "read: 3 tasks", "Accepted"]);
}

/// What an answer lacks is judged as a whole: change by change, no loss would look large.
#[test]
fn the_changes_of_one_read_of_everything_are_read_as_a_whole() {
    let mut world = World::new(relays(), None);
    let relay = world.serve();
    world.take_told();
    let feed = &mut world.relays[relay].feed;
    let published = [
        feed.publish(&Record::WholeBegins, Scope::Vips),
        feed.replace(&web(0), Scope::Vips).unwrap(),
        feed.publish(&Record::WholeEnds, Scope::Vips),
        feed.replace(&web(1), Scope::Vips).unwrap(),
    ];
    for published in &published {
        world.receive(&published.segment);
    }
    assert_eq!(world.take_told(), ["read everything", "told: 1 tasks"]);
}

/// A part of it would be judged as if it were all.
#[test]
fn a_read_amid_the_changes_of_one_read_of_everything_waits_for_their_end() {
    let mut world = World::new(relays(), None);
    let relay = world.serve();
    world.take_told();
    let feed = &mut world.relays[relay].feed;
    let begins = feed.publish(&Record::WholeBegins, Scope::Vips);
    let changed = feed.replace(&web(2), Scope::Vips).unwrap();
    let ends = feed.publish(&Record::WholeEnds, Scope::Vips);
    world.receive(&begins.segment);
    world.step(|follower, now, orders| {
        follower.on_request(Action::ReadEverything, now, orders);
    });
    world.receive(&changed.segment);
    assert_eq!(world.take_told(), [""; 0]);
    world.receive(&ends.segment);
    assert_eq!(world.take_told(), ["read: 2 tasks"]);
}

/// It would wait for up to a minute after reads that failed.
#[test]
fn a_source_whose_reads_failed_reads_at_once_from_a_relay_that_comes() {
    let mut world = World::new(relays(), None);
    world.pass(15);
    let told = world.take_told();
    assert!(told[0].starts_with("not read"), "{told:?}");
    world.pass(10);
    world.serve();
    assert_eq!(world.take_told(), ["opened", "read everything"]);
}

#[test]
fn a_source_whose_reads_failed_reads_at_once_when_its_relay_can_read_again() {
    let mut world = World::new(relays(), None);
    let relay = world.serve();
    world.take_told();
    world.relays[relay].status.read_error = Some("status 503".to_owned());
    world.beat();
    world.step(|follower, now, orders| {
        follower.on_request(Action::ReadEverything, now, orders);
    });
    let told = world.take_told();
    assert!(told[1].starts_with("not read"), "{told:?}");
    world.relays[relay].status.read_error = None;
    world.beat();
    world.beat();
    assert_eq!(world.take_told(), ["bytes", "read everything", "bytes"]);
}

#[test]
fn reads_that_fail_at_a_relay_keep_no_bad_news_from_its_agents() {
    let mut world = World::new(relays(), None);
    let relay = world.serve();
    world.take_told();
    world.relays[relay].status.read_error = Some("status 503".to_owned());
    world.beat();
    let event =
        Event { at: None, change: Change::Removed(Touched { kind: None, id: "/web".into() }) };
    let published = world.relays[relay].feed.publish(&Record::Event(event), Scope::Vips);
    world.receive(&published.segment);
    assert_eq!(world.take_told(), ["bytes", "event"]);
    world.step(|follower, now, orders| {
        follower.on_request(Action::ReadEverything, now, orders);
    });
    assert!(world.take_told()[0].contains("it can't read Marathon: status 503"));
}

/// It was cut off before the event of which the last one told, and doesn't know yet.
#[test]
fn a_relay_that_has_heard_nothing_since_is_not_believed_after_10_seconds() {
    let mut world = World::new(relays(), None);
    world.lose_a_relay_that_knew_more();
    world.want_all();
    let second = world.serve();
    for seconds in 1..8 {
        world.pass(2);
        world.relays[second].status.silent_ms = Some(2000 * seconds + 500);
        world.beat();
        let told = world.take_told();
        // A read that waits fails after 10 s.
        assert!(told.iter().all(|told| told.starts_with("not read")), "{told:?}");
    }
}

#[test]
fn an_agent_goes_home_only_once_its_own_relay_is_ready() {
    let mut world = World::new(relays(), None);
    let first = world.serve();
    world.step(|follower, now, orders| follower.on_end("reset", now, orders));
    let second = world.serve();
    for _ in 0..700 {
        world.pass(2);
        world.beat();
    }
    assert_eq!((world.connected, &world.probed[..1]), (Some(second), &[first][..]));
    world.step(|follower, now, orders| follower.on_probe(first, false, now, orders));
    assert_eq!(world.connected, Some(second));
    world.step(|follower, now, orders| follower.on_probe(first, true, now, orders));
    assert_eq!(world.connected, Some(first));
}

#[test]
fn a_stream_that_breaks_after_a_while_is_opened_once_more_at_the_same_relay() {
    let mut world = World::new(relays(), None);
    let first = world.serve();
    for _ in 0..31 {
        world.pass(2);
        world.beat();
    }
    world.step(|follower, now, orders| follower.on_end("reset", now, orders));
    assert_eq!(world.connected, Some(first));
    world.step(|follower, now, orders| follower.on_end("refused", now, orders));
    world.pass(0);
    assert_eq!(world.connected, Some(1 - first));
}
