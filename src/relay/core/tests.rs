//! What a relay passes on, and in which order.

use marathon::events::sse::Frame;
use marathon::watch::StreamId;
use marathon::{Document, Records, Snapshot};

use super::*;
use crate::sources::marathon::messages::ReadError;

/// Has a relay take in a message. Returns what it publishes.
fn hear(core: &mut RelayCore, message: Message, now: Duration) -> Vec<Published> {
    let mut told = Vec::new();
    let step = core.on_message(message, now, &mut |ahead| told.extend(ahead));
    told.extend(step.published);
    told
}

#[test]
fn trouble_and_its_end_are_told_at_once_and_ahead_of_what_was_read() {
    let mut core = RelayCore::new(Epoch::new("relay", 1), NonZeroUsize::MIN, 3, 7);
    let answer = |answer| Message::ReadEverything { answer, leader: None };
    let mut told = |message, second| {
        let told = hear(&mut core, message, Duration::from_secs(second));
        told.iter().map(|each| each.segment.text().clone()).collect::<Vec<_>>()
    };
    let failed = ReadError::Relay("nobody answers".to_owned());
    let first = told(answer(Err(failed)), 1);
    assert!(first[0].starts_with(b"event: heartbeat"), "{first:?}");
    let read = told(answer(Ok(Snapshot::default())), 2);
    assert!(read[0].starts_with(b"event: heartbeat"), "{read:?}");
    let again = told(answer(Ok(Snapshot::default())), 3);
    assert!(!again.iter().any(|text| text.starts_with(b"event: heartbeat")), "{again:?}");
}

/// An agent whose stream ends after a record goes on after its number.
#[test]
fn no_record_has_a_higher_number_than_those_after_it() {
    let mut core = RelayCore::new(Epoch::new("relay", 1), NonZeroUsize::MIN, 3, 7);
    while !core.tick(core.wake_at()).actions.contains(&Action::ReadEverything) {}
    let answer = Message::ReadEverything { answer: Ok(one_app(1)), leader: Some("m".into()) };
    let now = core.wake_at();
    let told = hear(&mut core, answer, now);
    assert!(told.len() > 2, "the leader, and the app: {told:?}");
    let mut last = 0;
    for each in &told {
        let text = String::from_utf8_lossy(each.segment.text());
        let number = text.split("\"number\":").nth(1).unwrap().split([',', '}']).next().unwrap();
        assert_eq!(number.parse(), Ok(each.number), "{text}");
        assert!(each.number >= last, "{told:?}");
        last = each.number;
    }
}

/// Makes an answer with the app `/db`, which has a VIP and the tasks `db.instance-0` and so on.
fn one_app(tasks: usize) -> Snapshot {
    let task = |task| {
        format!(
            r#"{{"id":"db.instance-{task}","appId":"/db","host":"10.0.0.1","ports":[1],
                "state":"TASK_RUNNING","startedAt":"2026-01-01T00:00:00Z",
                "version":"2026-01-01T00:00:00Z"}}"#
        )
    };
    let all: Vec<_> = (0..tasks).map(task).collect();
    let apps = format!(
        r#"{{"apps":[{{"id":"/db","version":"2026-01-01T00:00:00Z","tasks":[{}],
            "portDefinitions":[{{"port":1,"labels":{{"VIP_0":"3.3.0.6:80"}}}}]}}]}}"#,
        all.join(",")
    );
    let apps = Document::parse_apps(apps.as_bytes()).unwrap();
    apps.merge(Document::parse_pods(b"[]").unwrap()).to_snapshot(&Records::default())
}

/// A relay that has read this answer, and its stream.
fn relay_that_read(answer: Snapshot) -> (RelayCore, StreamId) {
    let mut core = RelayCore::new(Epoch::new("relay", 1), NonZeroUsize::MIN, 3, 7);
    let mut actions = core.tick(core.wake_at()).actions;
    while !actions.contains(&Action::ReadEverything) {
        actions.extend(core.tick(core.wake_at()).actions);
    }
    let second = Duration::from_secs(1);
    hear(&mut core, Message::ReadEverything { answer: Ok(answer), leader: None }, second);
    let stream = actions.iter().find_map(|action| match action {
        Action::Open { stream, .. } => Some(*stream),
        _ => None,
    });
    let stream = stream.unwrap();
    hear(&mut core, Message::Opened { stream, leader: None, relay: None }, second);
    assert_eq!(core.count(Scope::Vips), 1);
    (core, stream)
}

/// The event that the first task is killed.
fn killed(stream: StreamId, name: &str) -> Message {
    let frame = Frame {
        event: Some(name.to_owned()),
        data: r#"{"taskId":"db.instance-0","appId":"/db","taskStatus":"TASK_KILLED",
            "instanceId":"db.instance-0","runSpecId":"/db","condition":"Killed",
            "timestamp":"2026-01-01T00:00:05Z","version":"2026-01-01T00:00:00Z"}"#
            .to_owned(),
    };
    Message::Event { stream, event: Event::parse(&frame) }
}

fn texts(told: &[Published]) -> Vec<String> {
    let text = |each: &Published| String::from_utf8(each.segment.text().to_vec()).unwrap();
    told.iter().map(text).collect()
}

#[test]
fn a_reading_that_refutes_bad_news_is_told_though_it_changes_nothing() {
    let all = one_app(1);
    let db = all.workloads[0].clone();
    let (mut core, stream) = relay_that_read(all);
    let at = Duration::from_secs;
    let told = hear(&mut core, killed(stream, "status_update_event"), at(2));
    assert_eq!(texts(&told).len(), 1, "the event alone");
    let key = WorkloadKey { kind: Kind::App, id: "/db".into() };
    let answer = Message::Read { key, answer: Ok(Some(db)), leader: None };
    let told = texts(&hear(&mut core, answer, at(3)));
    assert!(told.iter().any(|text| text.starts_with("event: workload")), "{told:?}");
}

/// The record of an app with thousands of tasks takes a while.
#[test]
fn bad_news_goes_out_before_a_long_record_is_encoded() {
    for (tasks, alone) in [(FEW, false), (FEW + 1, true)] {
        let (mut core, stream) = relay_that_read(one_app(tasks));
        let mut ahead = Vec::new();
        let event = killed(stream, "status_update_event");
        let now = Duration::from_secs(2);
        let step = core.on_message(event, now, &mut |told| ahead.extend(texts(&told)));
        let rest = texts(&step.published);
        let begins = |texts: &[String]| -> Vec<String> {
            texts.iter().map(|text| text.lines().next().unwrap().to_owned()).collect()
        };
        let (event, record) = ("event: event".to_owned(), "event: workload".to_owned());
        let expected = match alone {
            true => (vec![event], vec![record]),
            false => (vec![], vec![event, record]),
        };
        assert_eq!((begins(&ahead), begins(&rest)), expected, "{tasks} tasks");
    }
}

/// Marathon sends an event of the task and one of its instance. The end of the only task waits for
/// a read, that of one among three doesn't.
#[test]
fn bad_news_that_comes_twice_is_passed_on_once() {
    for tasks in [1, 3] {
        let (mut core, stream) = relay_that_read(one_app(tasks));
        let mut told = Vec::new();
        for name in ["status_update_event", "instance_changed_event", "status_update_event"] {
            let event = killed(stream, name);
            told.extend(texts(&hear(&mut core, event, Duration::from_secs(2))));
        }
        let events = told.iter().filter(|text| text.starts_with("event: event"));
        assert_eq!(events.count(), 1, "{tasks} tasks: {told:?}");
    }
}
