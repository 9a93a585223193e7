//! Relays that have missed something of Marathon and can't read it, while its events come.

use marathon::TaskState;
use marathon::events::{Change, Event, Subject};
use relay::{Record, Scope};

use super::{Relay, World, relays};
use crate::sources::marathon::messages::Message;

impl World {
    /// Has an agent follow one of these relays for a while; then its stream breaks, and these are behind.
    /// Returns the relay.
    fn break_behind(relays: impl Into<Vec<Relay>>, behind: &[usize]) -> (Self, usize) {
        let mut world = Self::new(relays, None);
        let relay = world.serve();
        world.live(62);
        for place in behind {
            let place = (relay + place) % world.relays.len();
            world.relays[place].status.behind = true;
        }
        world.told.clear();
        world.cut();
        (world, relay)
    }

    fn cut(&mut self) {
        self.step(|follower, now, orders| follower.on_end("reset", now, orders));
    }

    /// Lets time go by at relays that serve whoever connects. The source asks for a new stream when its
    /// own one has ended. Returns how often the agent has gone to a relay, and the seconds until the
    /// source had a stream again.
    pub(super) fn roam(&mut self, seconds: u64) -> (usize, Option<u64>) {
        let (before, start, mut opened_at) = (self.connects, self.now, None);
        while self.now.as_secs() < start.as_secs() + seconds {
            match self.connected {
                Some(_) if self.served < self.connects => {
                    self.serve();
                }
                Some(_) => self.beat(),
                None => {}
            }
            self.answer_probes();
            let told = std::mem::take(&mut self.told);
            if told.iter().any(|told| matches!(told, Message::Ended { .. })) {
                self.want_all();
            }
            if told.iter().any(|told| matches!(told, Message::Opened { .. })) {
                opened_at.get_or_insert((self.now - start).as_secs());
            }
            self.pass(1);
        }
        (self.connects - before, opened_at)
    }

    /// Tells whether bad news of the relay reaches the source.
    fn hears_bad_news(&mut self) -> bool {
        self.told.clear();
        let relay = self.connected.expect("a connection");
        let of = Subject { workload: "/web".into(), id: "web.1".into(), version: None };
        let event = Event { at: None, change: Change::State { of, state: TaskState::Killing } };
        let published = self.relays[relay].feed.publish(&Record::Event(event), Scope::Vips);
        self.receive(&published.segment);
        self.take_told().contains(&"event".to_owned())
    }
}

#[test]
fn one_relay_that_stays_behind_serves_an_agent_again_and_has_its_bad_news_heard() {
    let (mut world, _) = World::break_behind([relays().into_iter().next().unwrap()], &[0]);
    let (connects, opened_at) = world.roam(600);
    assert_eq!((connects, opened_at), (0, Some(30)));
    assert!(world.hears_bad_news());
    world.want_all();
    assert!(world.take_told()[1].starts_with("read: "), "it knows all that it ever told");
}

#[test]
fn an_agent_stays_at_one_of_two_relays_that_stay_behind() {
    let (mut world, relay) = World::break_behind(relays(), &[0, 1]);
    let (connects, opened_at) = world.roam(600);
    assert_eq!((connects, opened_at), (1, Some(60)), "each has its time to catch up");
    assert_eq!(world.connected, Some(1 - relay));
    assert!(world.hears_bad_news());
    world.want_all();
    let told = world.take_told();
    assert!(told[1].contains("not read") && told[1].contains("missed something"), "{told:?}");
    // Another break begins no other round.
    world.cut();
    let (_, opened_at) = world.roam(40);
    assert_eq!(opened_at, Some(30));
}

#[test]
fn an_agent_follows_the_relay_of_two_that_is_not_behind() {
    let (mut world, relay) = World::break_behind(relays(), &[0]);
    let (connects, opened_at) = world.roam(600);
    assert_eq!((connects, opened_at), (1, Some(30)));
    assert_eq!(world.connected, Some(1 - relay));
}

#[test]
fn an_agent_leaves_its_last_resort_for_a_relay_that_is_not_behind() {
    let (mut world, relay) = World::break_behind(relays(), &[0, 1]);
    world.roam(100);
    world.relays[relay].status.behind = false;
    let (connects, _) = world.roam(20);
    assert_eq!((connects, world.connected), (1, Some(relay)));
    assert!(world.hears_bad_news());
    assert_eq!(world.roam(100), (0, None), "it stays");
}

#[test]
fn a_last_resort_that_has_caught_up_is_as_good_as_any() {
    let (mut world, relay) = World::break_behind(relays(), &[0, 1]);
    world.roam(100);
    world.relays.iter_mut().for_each(|relay| relay.status.behind = false);
    world.told.clear();
    world.beat();
    assert!(world.take_told().contains(&"read everything".to_owned()));
    assert_eq!(world.roam(100), (0, None));
    assert_eq!(world.connected, Some(1 - relay));
}

/// As when a proxy cuts Marathon's events off again and again.
#[test]
fn a_short_gap_at_a_last_resort_ends_no_stream() {
    let (mut world, _) = World::break_behind(relays(), &[0, 1]);
    world.roam(100);
    let relay = world.connected.unwrap();
    for seconds in [4, 20] {
        world.told.clear();
        world.relays[relay].status.stream_error = Some("reset".to_owned());
        world.live(seconds);
        let is_ended = world.take_told().iter().any(|told| told.starts_with("ended"));
        assert_eq!(is_ended, seconds == 20, "{seconds} s");
        world.relays[relay].status.stream_error = None;
        world.live(4);
    }
}
