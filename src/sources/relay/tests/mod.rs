//! A follower with the feeds of relays, and a clock of its own.

mod breaks;
mod cut_off;
mod following;
mod gaps;
mod resort;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use marathon::events::sse::Decoder;
use marathon::events::{Change, Event};
use marathon::watch::{Action, StreamId};
use marathon::{Document, Records, Timestamp, Workload};
use relay::{Epoch, Feed, MarathonStatus, Position, Record, Scope, Segment};

use super::super::marathon::messages::Message;
use super::follower::Follower;
use super::link::is_heard;
use super::orders::{Now, Order};

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
    snapshot.workloads.into_iter().next().unwrap()
}

/// A follower of relays, mostly two. The source wants the stream and a read of everything.
struct World {
    follower: Follower,
    relays: Vec<Relay>,
    now: Duration,
    decoder: Decoder,
    /// The relay that the follower is connected to.
    connected: Option<usize>,
    /// After which it wants to go on.
    position: Option<Position>,
    /// How often it has connected.
    connects: usize,
    /// The number of the last connection that was served.
    served: usize,
    streams: u64,
    told: Vec<Message>,
    asked: Vec<Action>,
    probed: Vec<usize>,
}

impl World {
    fn new(relays: impl Into<Vec<Relay>>, agents: Option<u32>) -> Self {
        let relays = relays.into();
        let names = ["http://a", "http://b"].map(str::to_owned);
        let names = names.into_iter().take(relays.len()).collect();
        let start = Now { at: Duration::ZERO, second: 0 };
        let mut world = Self {
            follower: Follower::new(names, "node1", agents, start),
            relays,
            now: Duration::ZERO,
            decoder: Decoder::default(),
            connected: None,
            position: None,
            connects: 0,
            served: 0,
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
        let now = Now { at: self.now, second: self.now.as_secs() };
        act(&mut self.follower, now, &mut orders);
        for order in orders {
            match order {
                Order::Connect { relay, position } => {
                    self.position = position;
                    self.connected = Some(relay);
                    self.connects += 1;
                    self.decoder = Decoder::default();
                }
                Order::Disconnect => self.connected = None,
                Order::Tell(message) => self.told.push(message),
                Order::Ask(action) => self.asked.push(action),
                Order::Probe { relay } => self.probed.push(relay),
            }
        }
    }

    fn want_stream(&mut self) {
        self.streams += 1;
        let stream = StreamId::default();
        self.step(|follower, now, orders| {
            follower.on_request(Action::Open { stream, url: 0 }, now, orders);
        });
    }

    fn want_all(&mut self) {
        self.want_stream();
        self.step(|follower, now, orders| {
            follower.on_request(Action::ReadEverything, now, orders);
        });
    }

    /// Lets time go by, with ticks when they are due.
    fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            let now = Now { at: self.now, second: self.now.as_secs() };
            let due = self.follower.wake_at(now).max(self.now);
            if due > end {
                break;
            }
            self.now = due.max(self.now + Duration::from_millis(1));
            self.step(Follower::tick);
        }
        self.now = end;
        let now = Now { at: self.now, second: self.now.as_secs() };
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
        self.served = self.connects;
        for segment in self.start(relay) {
            self.receive(&segment);
        }
        relay
    }

    /// Returns the first segments of a relay's stream.
    fn start(&mut self, relay: usize) -> Vec<Segment> {
        let status = self.relays[relay].status.clone();
        let first = self.relays[relay].feed.start_stream(None, Scope::Vips, status).unwrap();
        first.all().cloned().collect()
    }

    fn beat(&mut self) {
        let relay = self.connected.expect("a connection");
        let segment = self.relays[relay].heartbeat();
        self.receive(&segment);
    }

    /// Lets time go by at relays that beat and answer. Returns how often the follower has gone to
    /// another one.
    fn live(&mut self, seconds: u64) -> usize {
        let before = self.connects;
        for _ in 0..seconds / 2 {
            self.pass(2);
            self.beat();
            self.answer_probes();
        }
        self.connects - before
    }

    /// Tells the follower which relays are ready. One that it goes to serves it.
    fn answer_probes(&mut self) {
        for relay in std::mem::take(&mut self.probed) {
            let connects = self.connects;
            let status = &self.relays[relay].status;
            let is_ready = is_heard(status) && !status.behind;
            self.step(|follower, now, orders| follower.on_probe(relay, is_ready, now, orders));
            if self.connects > connects {
                self.serve();
            }
        }
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
            Message::ReadEverything { answer: Ok(all), .. } if !all.workloads[0].tasks_known => {
                "read: no tasks are known".to_owned()
            }
            Message::ReadEverything { answer: Ok(all), .. } => {
                format!("read: {} tasks", all.workloads[0].instances.len())
            }
            Message::ReadEverything { answer: Err(why), .. } => format!("not read: {why}"),
            Message::Told { workload: Some(workload), .. } => {
                format!("told: {} tasks", workload.instances.len())
            }
            Message::Told { workload: None, .. } => "told: gone".to_owned(),
            Message::ToldAll { .. } => "read everything".to_owned(),
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
