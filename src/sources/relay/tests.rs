//! A follower with the feeds of relays, and a clock of its own.

use std::sync::Arc;
use std::time::Duration;

use marathon::events::sse::Decoder;
use marathon::events::{Change, Event, Touched};
use marathon::watch::{Action, StreamId};
use marathon::{Document, Records, Timestamp, Workload};
use relay::{Epoch, Feed, MarathonStatus, Record, Scope, Segment};

use super::super::marathon::messages::Message;
use super::follower::{Follower, Now, Order};

/// A relay, as far as it answers.
struct Relay {
    feed: Feed,
    status: MarathonStatus,
}

impl Relay {
    fn new(name: &str, tasks: usize, latest_event: &str) -> Self {
        let mut feed = Feed::new(Epoch::new(name, 1));
        feed.replace(&web(tasks), Scope::Vips);
        feed.set_complete();
        let latest_event: Timestamp = latest_event.parse().unwrap();
        let status = MarathonStatus {
            leader: Some("m1:8080".into()),
            latest_event: Some(latest_event),
            silent_ms: Some(100),
            ..MarathonStatus::default()
        };
        Self { feed, status }
    }

    fn heartbeat(&mut self) -> Segment {
        self.feed.encode_passing(&Record::Heartbeat(self.status.clone()))
    }
}

fn web(tasks: usize) -> Arc<Workload> {
    let task = |task| {
        format!(
            r#"{{"id":"web.{task}","appId":"/web","state":"TASK_RUNNING","host":"h{task}",
                "ports":[31000]}}"#
        )
    };
    let tasks: Vec<_> = (0..tasks).map(task).collect();
    let json = format!(
        r#"{{"id":"/web","portDefinitions":[{{"port":0,"labels":{{"VIP_0":"3.3.0.6:80"}}}}],
            "tasks":[{}]}}"#,
        tasks.join(",")
    );
    let snapshot = Document::parse(json.as_bytes()).unwrap().to_snapshot(&Records::default());
    Arc::new(snapshot.workloads.into_iter().next().unwrap())
}

/// A follower of two relays. The source wants the stream and a read of everything.
struct World {
    follower: Follower,
    relays: [Relay; 2],
    now: Duration,
    minute: u64,
    decoder: Decoder,
    /// The relay that the follower is connected to.
    connected: Option<usize>,
    streams: u64,
    told: Vec<Message>,
    asked: Vec<Action>,
    probed: Vec<usize>,
}

impl World {
    fn new(relays: [Relay; 2], agents: Option<u32>) -> Self {
        let names = vec!["http://a".to_owned(), "http://b".to_owned()];
        let start = Now { at: Duration::ZERO, minute: 0 };
        let mut world = Self {
            follower: Follower::new(names, "node1", agents, start),
            relays,
            now: Duration::ZERO,
            minute: 0,
            decoder: Decoder::default(),
            connected: None,
            streams: 0,
            told: Vec::new(),
            asked: Vec::new(),
            probed: Vec::new(),
        };
        world.want_all();
        world
    }

    fn step(&mut self, act: impl FnOnce(&mut Follower, Now, &mut Vec<Order>)) {
        let mut orders = Vec::new();
        let now = Now { at: self.now, minute: self.minute };
        act(&mut self.follower, now, &mut orders);
        for order in orders {
            match order {
                Order::Connect { relay, .. } => {
                    self.connected = Some(relay);
                    self.decoder = Decoder::default();
                }
                Order::Disconnect => self.connected = None,
                Order::Tell(message) => self.told.push(message),
                Order::Ask(action) => self.asked.push(action),
                Order::Probe { relay } => self.probed.push(relay),
            }
        }
    }

    fn want_all(&mut self) {
        self.streams += 1;
        let stream = StreamId::default();
        self.step(|follower, now, orders| {
            follower.on_request(Action::Open { stream, url: 0 }, now, orders);
        });
        self.step(|follower, now, orders| {
            follower.on_request(Action::ReadEverything, now, orders);
        });
    }

    /// Lets time go by, with ticks when they are due.
    fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            let now = Now { at: self.now, minute: self.minute };
            let due = self.follower.wake_at(now).max(self.now);
            if due > end {
                break;
            }
            self.now = due.max(self.now + Duration::from_millis(1));
            self.minute = self.now.as_secs() / 60;
            self.step(Follower::tick);
        }
        self.now = end;
        let now = Now { at: self.now, minute: self.minute };
        assert!(self.follower.wake_at(now) > self.now, "it would spin");
    }

    fn receive(&mut self, segment: &Segment) {
        for frame in self.decoder.push_bytes(segment.text()) {
            self.step(|follower, now, orders| follower.on_frame(&frame, now, orders));
        }
    }

    /// Has the connected relay send its snapshot.
    fn serve(&mut self) -> usize {
        self.pass(0);
        let relay = self.connected.expect("a connection");
        let status = self.relays[relay].status.clone();
        let first = self.relays[relay].feed.start_stream(None, Scope::Vips, status).unwrap();
        let first = first.segments;
        for segment in &first {
            self.receive(segment);
        }
        relay
    }

    fn beat(&mut self) {
        let relay = self.connected.expect("a connection");
        let segment = self.relays[relay].heartbeat();
        self.receive(&segment);
    }

    /// Has a relay serve, tell of a late event and break off. Returns it.
    fn lose_a_relay_that_knew_more(&mut self) -> usize {
        let relay = self.serve();
        let event = Event { at: Some(LATE.parse().unwrap()), change: Change::Other };
        let published = self.relays[relay].feed.publish(&Record::Event(event), Scope::Vips);
        self.receive(&published.segment);
        self.step(|follower, now, orders| follower.on_end("reset", now, orders));
        self.take_told();
        relay
    }

    /// Takes what the source was told, in words.
    fn take_told(&mut self) -> Vec<String> {
        let told = std::mem::take(&mut self.told);
        let told = told.into_iter().filter(|message| !matches!(message, Message::Servers(_)));
        let words = told.map(|message| match message {
            Message::Opened { .. } => "opened".to_owned(),
            Message::Ended { why, .. } => format!("ended: {why}"),
            Message::ReadEverything { answer: Ok(all), .. } => {
                format!("read: {} tasks", all.workloads[0].instances.len())
            }
            Message::ReadEverything { answer: Err(why), .. } => format!("not read: {why}"),
            Message::Told { workload: Some(workload), .. } => {
                format!("told: {} tasks", workload.instances.len())
            }
            Message::Told { workload: None, .. } => "told: gone".to_owned(),
            Message::Event { event, .. } if event.change == Change::Unreadable => {
                "read everything".to_owned()
            }
            Message::Event { .. } => "event".to_owned(),
            Message::Bytes { .. } => "bytes".to_owned(),
            other => format!("{other:?}"),
        });
        words.collect()
    }
}

const EARLY: &str = "2026-01-01T00:00:00Z";
const LATE: &str = "2026-01-01T00:00:05Z";

fn relays() -> [Relay; 2] {
    [Relay::new("a", 3, EARLY), Relay::new("b", 3, EARLY)]
}

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
    assert_eq!(world.take_told(), ["opened", "read: 3 tasks"]);
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

#[test]
fn a_relay_that_loses_marathon_gives_way_once_and_then_the_stream_ends() {
    let mut world = World::new(relays(), None);
    for _ in 0..2 {
        let relay = world.serve();
        world.want_all();
        world.take_told();
        world.relays[relay].status.silent_ms = Some(30_000);
        world.beat();
        let told = world.take_told();
        assert!(told[0].contains("it has heard nothing of Marathon for 30 s"), "{told:?}");
    }
    assert!(world.connected.is_some(), "the other one hears nothing either");
    world.want_all();
    let told = world.take_told();
    assert!(told[0].starts_with("not read: relay http://"), "{told:?}");
}

#[test]
fn without_a_relay_reads_fail_after_10_seconds_and_go_to_marathon_after_30_to_150() {
    let mut world = World::new(relays(), Some(100));
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

/// Of 5,000 agents without a relay about 100 read Marathon in the same minute.
#[test]
fn agents_without_a_relay_take_turns() {
    let mut followers: Vec<_> = (0..5000)
        .map(|number| {
            let start = Now { at: Duration::ZERO, minute: 0 };
            Follower::new(vec!["http://a".into()], &format!("node{number}"), Some(5000), start)
        })
        .collect();
    let mut asked = 0;
    for minute in 3..53 {
        let now = Now { at: Duration::from_secs(60 * minute), minute };
        let asks = |follower: &mut Follower| {
            let mut orders = Vec::new();
            follower.on_request(Action::ReadEverything, now, &mut orders);
            orders.iter().any(|order| matches!(order, Order::Ask(_)))
        };
        let asking = followers.iter_mut().map(asks).filter(|asks| *asks).count();
        assert!((60..=140).contains(&asking), "{asking}");
        asked += asking;
    }
    assert_eq!(asked, 5000, "each has a turn");
}

#[test]
fn agents_spread_over_the_relays_and_each_has_its_own() {
    let names = || vec!["http://a".to_owned(), "http://b".to_owned(), "http://c".to_owned()];
    let mut counts = [0; 3];
    for node in 0..3000 {
        let start = Now { at: Duration::ZERO, minute: 0 };
        let mut follower = Follower::new(names(), &format!("node{node}"), None, start);
        let mut orders = Vec::new();
        follower.tick(start, &mut orders);
        let Some(Order::Connect { relay, position: None }) = orders.first() else { panic!() };
        counts[*relay] += 1;
    }
    assert!(counts.iter().all(|count| (900..=1100).contains(count)), "{counts:?}");
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
    world.step(|follower, now, orders| follower.on_probe(false, now, orders));
    assert_eq!(world.connected, Some(second));
    world.step(|follower, now, orders| follower.on_probe(true, now, orders));
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
