//! Relays that hear no events of Marathon: whether it can be read by them, by the agent, or by nobody.

use marathon::watch::Action;

use super::{Relay, World, relays};

const REFUSED: &str = "status 403";

/// Has the relays hear no events from now on.
fn deafen(world: &mut World) {
    for Relay { status, .. } in &mut world.relays {
        (status.stream_error, status.behind) = (Some(REFUSED.to_owned()), true);
        status.silent_ms = Some(60_000);
    }
}

/// Has them hear events, and not have read since.
fn undeafen(world: &mut World) {
    for Relay { status, .. } in &mut world.relays {
        (status.stream_error, status.polled_ms, status.silent_ms) = (None, None, Some(100));
    }
}

/// Has them poll Marathon, as of so many seconds ago.
fn poll(world: &mut World, seconds: u64) {
    for Relay { status, .. } in &mut world.relays {
        status.polled_ms = Some(seconds * 1000);
    }
}

fn want_read(world: &mut World) -> Vec<String> {
    world.take_told();
    world.step(|follower, now, orders| follower.on_request(Action::ReadEverything, now, orders));
    world.take_told()
}

/// Makes an agent whose relays have become deaf, and which has read Marathon itself.
fn agent_that_read_marathon() -> World {
    let mut world = World::new(relays(), Some(100));
    world.serve();
    deafen(&mut world);
    world.live(154);
    want_read(&mut world);
    assert_eq!(world.asked, [Action::ReadEverything]);
    world
}

#[test]
fn an_agent_reads_marathon_by_turns_while_no_relay_hears_it() {
    let mut world = World::new(relays(), Some(100));
    world.serve();
    deafen(&mut world);
    world.live(28);
    let told = want_read(&mut world);
    assert!(told[0].contains("it hears no events of Marathon"), "{told:?}");
    assert_eq!(world.asked, []);
    world.live(126);
    assert_eq!(want_read(&mut world), [""; 0]);
    assert_eq!(world.asked, [Action::ReadEverything]);
}

/// It would stay empty.
#[test]
fn a_new_agent_reads_marathon_soon_while_no_relay_hears_it() {
    let mut world = World::new(relays(), Some(100));
    deafen(&mut world);
    world.serve();
    assert_eq!(world.asked, []);
    world.live(32);
    want_read(&mut world);
    assert_eq!(world.asked, [Action::ReadEverything]);
}

/// Its relay was deaf meanwhile: what it has read is older than what Marathon has told the agent.
#[test]
fn what_a_relay_read_before_the_agent_did_is_not_believed() {
    let mut world = agent_that_read_marathon();
    undeafen(&mut world);
    world.beat();
    world.want_stream();
    let told = want_read(&mut world);
    assert!(told[0].contains("it has missed something of Marathon"), "{told:?}");
    world.relays.iter_mut().for_each(|relay| relay.status.behind = false);
    world.beat();
    assert_eq!(world.take_told(), ["bytes", "read everything"]);
    assert_eq!(want_read(&mut world), ["read: 3 tasks"]);
}

/// As a source without relays polls Marathon where a proxy refuses its events.
#[test]
fn what_a_relay_polls_answers_the_reads_of_its_agents() {
    let mut world = World::new(relays(), Some(100));
    let relay = world.serve();
    deafen(&mut world);
    poll(&mut world, 30);
    world.live(300);
    assert_eq!(want_read(&mut world), ["read: 3 tasks"]);
    assert_eq!((world.connected, &world.asked), (Some(relay), &Vec::new()));
    world.relays[relay].status.read_error = Some("status 502".to_owned());
    world.beat();
    let told = want_read(&mut world);
    assert!(told[0].starts_with("not read: "), "{told:?}");
    world.relays[relay].status.read_error = None;
    poll(&mut world, 90);
    world.beat();
    let told = want_read(&mut world);
    assert!(told[0].starts_with("not read: "), "it is too old: {told:?}");
}

#[test]
fn what_a_relay_polls_fills_a_new_agent() {
    let mut world = World::new(relays(), None);
    deafen(&mut world);
    poll(&mut world, 5);
    world.serve();
    assert_eq!(world.take_told(), ["read: 3 tasks"]);
}

#[test]
fn what_a_relay_polled_before_the_agent_read_marathon_is_not_believed() {
    let mut world = agent_that_read_marathon();
    for (seconds, polled, is_answered) in [(30, 20, false), (30, 5, false), (10, 1, true)] {
        world.live(seconds);
        poll(&mut world, polled);
        world.beat();
        let is_read = want_read(&mut world) == ["read: 3 tasks"];
        assert_eq!(is_read, is_answered, "{polled} s");
    }
}

/// Its table is of another relay, or of an earlier run.
#[test]
fn relays_that_poll_are_the_last_resort_of_an_agent_that_knows_something() {
    for is_new_run in [true, false] {
        let mut world = World::new(relays(), None);
        if is_new_run {
            world.follower.restore_hosts(3);
        } else {
            world.lose_a_relay_that_knew_more();
        }
        deafen(&mut world);
        poll(&mut world, 10);
        let (connects, _) = world.roam(90);
        assert!(connects <= 3, "{connects}");
        let answer = want_read(&mut world);
        assert_eq!(answer, ["read: 3 tasks"], "new run: {is_new_run}");
        assert_eq!(world.asked, []);
    }
}
