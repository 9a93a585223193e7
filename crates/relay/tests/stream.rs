//! A receiver knows what the sender knows, whenever it comes and however often it goes.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::collections::BTreeMap;
use std::sync::Arc;

use marathon::events::sse::{Decoder, Frame};
use marathon::events::{Change as Announced, Event, Touched};
use marathon::{Document, Kind, Records, Workload, WorkloadKey};
use proptest::prelude::*;
use relay::{
    Change, Epoch, Feed, MarathonStatus, Mirror, Position, Published, Record, Scope, Segment,
    StreamError,
};

/// A change at the sender.
#[derive(Debug, Clone)]
enum Step {
    Replace { app: u8, tasks: u8, has_vips: bool },
    Remove { app: u8 },
    Announce { app: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..5_u8, 0..4_u8, any::<bool>())
            .prop_map(|(app, tasks, has_vips)| Step::Replace { app, tasks, has_vips }),
        1 => (0..5_u8).prop_map(|app| Step::Remove { app }),
        1 => (0..5_u8).prop_map(|app| Step::Announce { app }),
    ];
    prop::collection::vec(step, 0..40)
}

fn key(app: u8) -> WorkloadKey {
    WorkloadKey { kind: Kind::App, id: format!("/app-{app}").into() }
}

fn workload(app: u8, tasks: u8, has_vips: bool) -> Arc<Workload> {
    let label = if has_vips { r#"{"VIP_0":"3.3.0.6:80"}"# } else { "{}" };
    let task = |task| {
        format!(
            r#"{{"id":"app-{app}.{task}","appId":"/app-{app}","state":"TASK_RUNNING",
                "host":"h{task}","ports":[3100{task}]}}"#
        )
    };
    let tasks: Vec<_> = (0..tasks).map(task).collect();
    let json = format!(
        r#"{{"id":"/app-{app}","portDefinitions":[{{"port":0,"labels":{label}}}],
            "tasks":[{}]}}"#,
        tasks.join(",")
    );
    let snapshot = Document::parse(json.as_bytes()).unwrap().to_snapshot(&Records::default());
    snapshot.workloads.into_iter().next().unwrap()
}

fn take(step: &Step, feed: &mut Feed) -> Option<Published> {
    match *step {
        Step::Replace { app, tasks, has_vips } => {
            let scope = if has_vips { Scope::Vips } else { Scope::All };
            feed.replace(&workload(app, tasks, has_vips), scope)
        }
        Step::Remove { app } => feed.remove(&key(app)),
        Step::Announce { app } => {
            let touched = Touched { kind: Some(Kind::App), id: key(app).id.to_string() };
            let event = Event { at: None, change: Announced::Removed(touched) };
            Some(feed.publish(&Record::Event(event), Scope::Vips))
        }
    }
}

/// A receiver, with the decoder of its stream.
struct Receiver {
    mirror: Mirror,
    decoder: Decoder,
}

/// The decoder of an agent.
fn decoder() -> Decoder {
    Decoder::new(caps::WORKLOAD_MEMORY)
}

impl Receiver {
    fn new() -> Self {
        Self { mirror: Mirror::default(), decoder: decoder() }
    }

    fn open(&mut self, feed: &mut Feed, scope: Scope) -> Vec<Change> {
        self.mirror.begin_stream();
        self.decoder = decoder();
        let position = self.mirror.position().cloned();
        let status = MarathonStatus::default();
        let first = feed.start_stream(position.as_ref(), scope, status).unwrap();
        first.all().flat_map(|segment| self.push(segment)).collect()
    }

    fn push(&mut self, segment: &Segment) -> Vec<Change> {
        let frames = self.decoder.push_bytes(segment.text());
        frames.iter().map(|frame| self.mirror.apply(frame).unwrap()).collect()
    }

    fn known(&self) -> BTreeMap<WorkloadKey, Workload> {
        let workloads = self.mirror.workloads();
        workloads.map(|workload| (workload.key(), Workload::clone(workload))).collect()
    }
}

fn feed() -> Feed {
    let mut feed = Feed::new(Epoch::new("a", 1));
    feed.set_complete();
    feed
}

/// Returns what a receiver of this scope has to know after these steps.
fn expected(steps: &[Step], scope: Scope) -> BTreeMap<WorkloadKey, Workload> {
    let mut known: BTreeMap<WorkloadKey, (Workload, bool)> = BTreeMap::new();
    for step in steps {
        match *step {
            Step::Replace { app, tasks, has_vips } => {
                let had = known.get(&key(app)).is_some_and(|(_, had)| *had);
                let workload = Workload::clone(&workload(app, tasks, has_vips));
                known.insert(key(app), (workload, had || has_vips));
            }
            Step::Remove { app } => drop(known.remove(&key(app))),
            Step::Announce { .. } => {}
        }
    }
    let is_told = |had: bool| had || scope == Scope::All;
    known
        .into_iter()
        .filter(|(_, (_, had))| is_told(*had))
        .map(|(key, (workload, _))| (key, workload))
        .collect()
}

proptest! {
    #[test]
    fn a_receiver_knows_what_the_sender_knows_whenever_it_comes_and_goes(
        steps in steps(),
        comes in any::<prop::sample::Index>(),
        goes in any::<prop::sample::Index>(),
        away in 0..10_usize,
        all in any::<bool>(),
    ) {
        let scope = if all { Scope::All } else { Scope::Vips };
        let (comes, goes) = (comes.index(steps.len() + 1), goes.index(steps.len() + 1));
        let mut feed = feed();
        let mut receiver = Receiver::new();
        let mut is_open = false;
        for (number, step) in steps.iter().enumerate() {
            let is_away = number < comes || (goes..goes + away).contains(&number);
            if is_open && is_away {
                is_open = false;
            } else if !is_open && !is_away {
                let changes = receiver.open(&mut feed, scope);
                let is_start = |change: &Change| matches!(change, Change::Whole(_) | Change::Resumed);
                prop_assert!(changes.iter().any(is_start));
                is_open = true;
            }
            let published = take(step, &mut feed);
            let is_told = |published: &Published| scope.includes(published.scope);
            if let Some(published) = published.filter(is_told)
                && is_open
            {
                receiver.push(&published.segment);
            }
            if is_open {
                prop_assert_eq!(receiver.known(), expected(&steps[..=number], scope));
            }
        }
        let mut newcomer = Receiver::new();
        newcomer.open(&mut feed, scope);
        prop_assert_eq!(newcomer.known(), expected(&steps, scope));
        if !is_open {
            receiver.open(&mut feed, scope);
        }
        prop_assert_eq!(receiver.known(), newcomer.known());
    }

    #[test]
    fn nothing_that_comes_makes_a_receiver_panic(
        frames in prop::collection::vec(
            ("[a-z]{0,9}|workload|removed|hello|complete", ".{0,60}"),
            0..20,
        ),
    ) {
        let mut mirror = Mirror::default();
        for (event, data) in frames {
            let _ = mirror.apply(&Frame { event: Some(event), data });
        }
    }
}

#[test]
fn a_receiver_gets_what_it_has_missed_and_no_more() {
    let mut feed = feed();
    let mut receiver = Receiver::new();
    take(&Step::Replace { app: 1, tasks: 1, has_vips: true }, &mut feed);
    receiver.open(&mut feed, Scope::Vips);
    take(&Step::Replace { app: 2, tasks: 1, has_vips: true }, &mut feed);
    take(&Step::Remove { app: 1 }, &mut feed);
    let changes = receiver.open(&mut feed, Scope::Vips);
    let heartbeat = Change::Heartbeat(MarathonStatus::default());
    let [second, first] = [2, 1].map(|app| Change::Workload(key(app)));
    assert_eq!(changes, [Change::Resumed, second, first, heartbeat]);
}

#[test]
fn a_receiver_of_another_epoch_or_of_forgotten_records_gets_everything() {
    let mut feed = feed();
    take(&Step::Replace { app: 1, tasks: 1, has_vips: true }, &mut feed);
    let elsewhere = Position { epoch: Epoch::new("b", 1), number: 1 };
    let ahead = Position { number: 99_999, ..feed.position() };
    let before = feed.position();
    for number in 0..=caps::RELAY_RECENT {
        let tasks = u8::try_from(number % 2).unwrap();
        take(&Step::Replace { app: 2, tasks, has_vips: true }, &mut feed);
    }
    for position in [None, Some(elsewhere), Some(ahead), Some(before)] {
        let status = MarathonStatus::default();
        let first = feed.start_stream(position.as_ref(), Scope::Vips, status).unwrap();
        assert_eq!(first.all().count(), 4, "{position:?}: hello, two apps, complete");
    }
    let last = feed.position();
    let status = MarathonStatus::default();
    let start = feed.start_stream(Some(&last), Scope::Vips, status).unwrap();
    assert!(start.is_resumed && start.all().count() == 2);
}

#[test]
fn a_relay_that_has_not_read_everything_has_no_stream() {
    let mut feed = Feed::new(Epoch::new("a", 1));
    assert!(feed.start_stream(None, Scope::Vips, MarathonStatus::default()).is_none());
}

#[test]
fn a_snapshot_that_breaks_off_changes_nothing() {
    let mut feed = feed();
    take(&Step::Replace { app: 1, tasks: 1, has_vips: true }, &mut feed);
    let mut receiver = Receiver::new();
    receiver.open(&mut feed, Scope::Vips);
    let before = (receiver.known(), receiver.mirror.position().cloned());
    let mut other = Feed::new(Epoch::new("b", 7));
    other.set_complete();
    let step = Step::Replace { app: 2, tasks: 2, has_vips: true };
    take(&step, &mut other);
    receiver.mirror.begin_stream();
    let status = MarathonStatus::default();
    let first = other.start_stream(before.1.as_ref(), Scope::Vips, status).unwrap();
    for segment in [&first.hello].into_iter().chain(&*first.segments) {
        receiver.push(segment);
    }
    assert_eq!((receiver.known(), receiver.mirror.position().cloned()), before);
    receiver.push(&first.end);
    assert_eq!(receiver.known(), expected(&[step], Scope::Vips));
}

/// Returns the app as a receiver holds it.
fn held(receiver: &Receiver) -> Arc<Workload> {
    Arc::clone(receiver.mirror.get(&key(1)).unwrap())
}

#[test]
fn what_has_not_changed_stays_in_memory_where_it_is() {
    let replace = |tasks: u8, feed: &mut Feed| {
        take(&Step::Replace { app: 1, tasks, has_vips: true }, feed).unwrap()
    };
    let mut feed = feed();
    replace(2, &mut feed);
    let mut receiver = Receiver::new();
    receiver.open(&mut feed, Scope::Vips);
    let first = held(&receiver);
    let changed = replace(3, &mut feed);
    receiver.push(&changed.segment);
    let second = held(&receiver);
    assert!(Arc::ptr_eq(&first.spec, &second.spec) && Arc::ptr_eq(&first.id, &second.id));
    assert_eq!(second.instances.len(), 3);
    for (before, after) in first.instances.iter().zip(&second.instances) {
        assert!(Arc::ptr_eq(&before.id, &after.id));
        let hosts = [before, after].map(|instance| instance.host.as_ref().unwrap());
        assert!(Arc::ptr_eq(hosts[0], hosts[1]));
    }
    let mut other = Feed::new(Epoch::new("b", 7));
    other.set_complete();
    replace(3, &mut other);
    let changes = receiver.open(&mut other, Scope::Vips);
    assert!(matches!(changes[..], [.., Change::Whole(_)]));
    assert!(Arc::ptr_eq(&second, &held(&receiver)), "another relay tells the same");
}

fn frame(event: &str, data: String) -> Frame {
    Frame { event: Some(event.to_owned()), data }
}

/// Applies ever more apps with long records, until the stream ends. Returns the bytes that were taken.
fn flood(mirror: &mut Mirror) -> usize {
    let (mut taken, filler) = (0, "x".repeat(4 << 20));
    for number in 0..200 {
        let mut app = Workload::clone(&workload(1, 1, true));
        app.id = format!("/app-{number}").into();
        let json = serde_json::to_string(&app).unwrap();
        // A field of a later release.
        let data = format!(r#"{{"number":{number},"more":"{filler}","body":{json}}}"#);
        let length = data.len();
        match mirror.apply(&frame("workload", data)) {
            Ok(_) => taken += length,
            Err(StreamError::Capped { .. }) => return taken,
            Err(error) => panic!("{error}"),
        }
    }
    taken
}

#[test]
fn a_receiver_takes_no_more_from_a_relay_than_from_a_marathon() {
    let hello = r#"{"number":1,"body":{"schema":1,"epoch":"a-1"}}"#.to_owned();
    let mut mirror = Mirror::default();
    mirror.apply(&frame("hello", hello.clone())).unwrap();
    assert!(flood(&mut mirror) <= caps::ANSWER, "in a snapshot");
    let mut mirror = Mirror::default();
    mirror.apply(&frame("hello", hello)).unwrap();
    mirror.apply(&frame("complete", r#"{"number":1,"body":{}}"#.to_owned())).unwrap();
    let taken = flood(&mut mirror);
    assert!(taken <= caps::ANSWER, "change by change: {taken}");
    // What goes makes room.
    let removed =
        frame("removed", r#"{"number":3,"body":{"kind":"App","id":"/app-0"}}"#.to_owned());
    mirror.apply(&removed).unwrap();
    let app = serde_json::to_string(&*workload(3, 1, true)).unwrap();
    mirror.apply(&frame("workload", format!(r#"{{"number":4,"body":{app}}}"#))).unwrap();
}

/// One tenant's apps are within every cap, and all of them more than a receiver takes.
#[test]
fn a_relay_tells_only_that_there_is_what_receivers_would_not_take() {
    let mut feed = feed();
    feed.replace(&workload(0, 1, true), Scope::Vips).unwrap();
    let large = |app: usize, instances: usize| {
        let mut large = Workload::clone(&workload(1, 1, true));
        large.id = format!("/large-{app:02}").into();
        large.instances = vec![large.instances[0].clone(); instances];
        Arc::new(large)
    };
    let length = |workload: &Workload| serde_json::to_string(workload).unwrap().len();
    let instances = (12 << 20) * 100 / length(&large(0, 100));
    for app in 0..6 {
        feed.replace(&large(app, instances), Scope::Vips).unwrap();
    }
    let left_out = |feed: &Feed| -> Vec<String> {
        feed.left_out().keys().map(|key| key.id.to_string()).collect()
    };
    let expected: Vec<String> = vec!["/large-04".into(), "/large-05".into()];
    assert_eq!(left_out(&feed), expected);
    let mut receiver = Receiver::new();
    let changes = receiver.open(&mut feed, Scope::Vips);
    assert!(matches!(changes.last(), Some(Change::Whole(_))), "{:?}", changes.last());
    let known = receiver.known();
    assert_eq!(known.len(), 7, "nothing is gone for its absence");
    let untold = known.values().filter(|workload| !workload.tasks_known);
    assert_eq!(untold.map(|workload| workload.id.to_string()).collect::<Vec<_>>(), expected);
    // It is told once, and what is listed may change all the same.
    let shared = Arc::clone(feed.left_out());
    assert!(feed.replace(&large(4, instances), Scope::Vips).is_none());
    feed.replace(&workload(0, 2, true), Scope::Vips).unwrap();
    feed.replace(&workload(0, 2, true), Scope::Vips);
    assert!(Arc::ptr_eq(&shared, feed.left_out()), "copied, though nothing has changed");
    assert_eq!(feed.fitting(), []);
    // What goes makes room.
    feed.remove(&large(1, 1).key()).unwrap();
    assert_eq!(feed.fitting().len(), 2);
    for key in feed.fitting() {
        let app = key.id.trim_start_matches("/large-").parse().unwrap();
        feed.replace(&large(app, instances), Scope::Vips);
    }
    assert_eq!(left_out(&feed), expected[1..]);
    receiver.open(&mut feed, Scope::Vips);
    let known = receiver.known();
    assert_eq!(known.values().filter(|workload| !workload.tasks_known).count(), 1);
    // One that grew and is as before again is not left out.
    feed.replace(&large(0, 2 * instances), Scope::Vips).unwrap();
    feed.replace(&large(0, instances), Scope::Vips);
    assert_eq!(left_out(&feed), expected[1..]);
}

#[test]
fn a_record_that_a_relay_may_not_send_ends_the_stream() {
    let hello = |schema: u32| {
        frame("hello", format!(r#"{{"number":1,"body":{{"schema":{schema},"epoch":"a-1"}}}}"#))
    };
    let status = frame("heartbeat", r#"{"number":1,"body":{}}"#.to_owned());
    let error = Mirror::default().apply(&status).unwrap_err();
    assert!(matches!(error, StreamError::OutOfTurn("heartbeat")), "{error}");
    let error = Mirror::default().apply(&hello(2)).unwrap_err();
    assert!(matches!(error, StreamError::Schema(2)), "{error}");
    let mut mirror = Mirror::default();
    mirror.apply(&hello(1)).unwrap();
    assert!(matches!(mirror.apply(&hello(1)), Err(StreamError::OutOfTurn("hello"))));
    let mut bad = Workload::clone(&workload(1, 1, true));
    bad.id = "/../etc".into();
    let mut labelled = Workload::clone(&workload(1, 1, true));
    let labels = (0..=caps::LABELS).map(|number| (number.to_string(), "x"));
    Arc::make_mut(&mut labelled.spec).labels = labels.collect();
    for bad in [bad, labelled] {
        let json = serde_json::to_string(&bad).unwrap();
        let workload = frame("workload", format!(r#"{{"number":2,"body":{json}}}"#));
        let error = mirror.apply(&workload).unwrap_err();
        assert!(matches!(error, StreamError::Capped { .. }), "{error}");
    }
}
