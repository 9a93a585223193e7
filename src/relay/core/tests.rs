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
    // It has begun by then.
    let second = Duration::from_secs(2);
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

/// Has a relay tick until it asks for a read of everything, and answers that at once. Returns the time.
fn read_everything(core: &mut RelayCore, answer: Snapshot) -> (Duration, Vec<String>) {
    let mut now = core.wake_at();
    while !core.tick(now).actions.contains(&Action::ReadEverything) {
        now = core.wake_at();
    }
    let answer = Message::ReadEverything { answer: Ok(answer), leader: None };
    (now, texts(&hear(core, answer, now)))
}

/// Has a relay tick until it opens the stream.
fn open_again(core: &mut RelayCore) -> (Duration, StreamId) {
    loop {
        let now = core.wake_at();
        let actions = core.tick(now).actions;
        let opened = actions.into_iter().find_map(|action| match action {
            Action::Open { stream, .. } => Some(stream),
            _ => None,
        });
        if let Some(stream) = opened {
            return (now, stream);
        }
    }
}

/// As when a proxy refuses the stream, or cuts it off.
#[test]
fn a_relay_without_events_tells_how_old_its_last_poll_is_and_is_never_caught_up() {
    let (mut core, stream) = relay_that_read(one_app(3));
    // A read has begun before the stream ends, and may lack what came in between.
    let mut begun = core.wake_at();
    while !core.tick(begun).actions.contains(&Action::ReadEverything) {
        begun = core.wake_at();
    }
    hear(&mut core, Message::Ended { stream, why: "status 403".to_owned() }, begun);
    let answer = Message::ReadEverything { answer: Ok(one_app(3)), leader: None };
    hear(&mut core, answer, begun);
    assert_eq!((core.status(begun).behind, core.status(begun).polled_ms), (true, None));
    let (at, _) = read_everything(&mut core, one_app(2));
    let second = Duration::from_secs(1);
    let status = core.status(at + second);
    assert_eq!((status.behind, status.polled_ms, status.is_polled()), (true, Some(1000), true));
    assert!(!core.status(at + 90 * second).is_polled());
    let why = core.unready_reason(at).unwrap();
    assert!(why.contains("events don't come: status 403"), "{why}");
    let (at, stream) = open_again(&mut core);
    hear(&mut core, Message::Opened { stream, leader: None, relay: None }, at);
    assert_eq!(core.status(at).polled_ms, None);
}

#[test]
fn a_snapshot_has_what_was_announced_within_a_minute() {
    let (mut core, stream) = relay_that_read(one_app(3));
    let touched = |id: &str| marathon::events::Touched { kind: None, id: id.into() };
    let at = Duration::from_secs;
    for (second, id) in [(10, "/db"), (20, "/unknown"), (30, "/db")] {
        let event = Event { at: None, change: Change::Removed(touched(id)) };
        hear(&mut core, Message::Event { stream, event }, at(second));
    }
    // News is no part of it: the snapshot tells what became of it.
    hear(&mut core, killed(stream, "status_update_event"), at(31));
    let mut announced = |second| {
        let start = core.start_stream(None, Scope::Vips, at(second)).unwrap();
        let text = start.announced.map(|it| String::from_utf8(it.text().to_vec()).unwrap());
        text.map_or(0, |text| text.matches("event: event").count())
    };
    assert_eq!([70, 71, 90, 91].map(&mut announced), [2, 1, 1, 0]);
    let position = core.position();
    let start = core.start_stream(Some(&position), Scope::Vips, at(40)).unwrap();
    assert!(start.is_resumed && start.announced.is_none());
}

/// What happened while there was no stream is known after a read that began later, and not before.
#[test]
fn a_relay_whose_stream_is_opened_again_is_behind_until_it_has_read_everything() {
    let (mut core, stream) = relay_that_read(one_app(3));
    let (at, _) = read_everything(&mut core, one_app(3));
    assert_eq!((core.status(at).behind, core.unready_reason(at)), (false, None));
    let event = |second: &str| Event {
        at: Some(format!("2026-01-01T00:00:{second}Z").parse().unwrap()),
        change: Change::Other,
    };
    hear(&mut core, Message::Event { stream, event: event("01") }, at);
    let known = core.status(at).latest_event;
    assert!(known.is_some());
    let told = texts(&hear(&mut core, Message::Ended { stream, why: "reset".to_owned() }, at));
    assert!(told[0].contains(r#""behind":true"#), "what happens from now on is missed: {told:?}");
    assert!(core.status(at).behind);
    let (at, stream) = open_again(&mut core);
    let told = texts(&hear(&mut core, Message::Opened { stream, leader: None, relay: None }, at));
    assert!(told[0].contains(r#""behind":true"#), "{told:?}");
    hear(&mut core, Message::Event { stream, event: event("09") }, at);
    let status = core.status(at);
    assert_eq!((status.latest_event, status.behind), (known, true));
    let why = core.unready_reason(at).unwrap();
    assert!(why.contains("not read since"), "{why}");
    let (at, told) = read_everything(&mut core, one_app(1));
    let last = told.last().unwrap();
    assert!(last.starts_with("event: heartbeat") && !last.contains("behind"), "{told:?}");
    assert!(told.iter().any(|text| text.starts_with("event: workload")), "{told:?}");
    let status = core.status(at);
    assert!(status.latest_event > known && !status.behind, "{status:?}");
}

#[test]
fn a_relay_that_can_not_read_for_half_a_minute_is_not_ready_though_it_hears() {
    let (mut core, stream) = relay_that_read(one_app(1));
    let (begun, _) = read_everything(&mut core, one_app(1));
    let failed = || ReadError::Relay("status 500".to_owned());
    let key = one_app(1).workloads[0].key();
    hear(&mut core, Message::Read { key: key.clone(), answer: Err(failed()), leader: None }, begun);
    let late = begun + Duration::from_secs(30);
    hear(&mut core, Message::Bytes { stream }, late);
    let why = core.unready_reason(late).unwrap();
    assert_eq!(why, "Marathon can't be read: status 500");
    assert!(core.status(late).is_unread());
    assert_eq!(core.unready_reason(late - Duration::from_secs(1)), None, "it may be a short gap");
    let all = Message::ReadEverything { answer: Err(failed()), leader: None };
    hear(&mut core, all, late);
    let one = Message::Read { key, answer: Ok(None), leader: None };
    hear(&mut core, one, late);
    assert!(core.unready_reason(late).is_some(), "the answer with everything is too long");
    let all = Message::ReadEverything { answer: Ok(one_app(1)), leader: None };
    hear(&mut core, all, late);
    assert_eq!(core.unready_reason(late), None);
}

#[test]
fn the_log_gets_each_change_once_and_the_condition_is_shared_while_nothing_changes() {
    let (mut core, stream) = relay_that_read(one_app(1));
    let (was, is) = core.take_condition_change().unwrap();
    assert_eq!(was, Condition::default());
    assert!(is.is_complete && is.is_streaming && !is.is_caught_up, "{is:?}");
    let (at, _) = read_everything(&mut core, one_app(1));
    let (before, is) = core.take_condition_change().unwrap();
    assert!(!before.is_caught_up && is.is_caught_up, "{is:?}");
    assert!(Arc::ptr_eq(&before.left_out, &is.left_out));
    hear(&mut core, killed(stream, "status_update_event"), at);
    assert_eq!(core.take_condition_change(), None);
    hear(&mut core, Message::Ended { stream, why: "reset".to_owned() }, at);
    let (_, is) = core.take_condition_change().unwrap();
    assert_eq!(is.stream_error.as_deref(), Some("reset"));
    assert_eq!(core.take_condition_change(), None);
}

/// The clocks of two leaders differ.
#[test]
fn the_latest_event_begins_anew_with_another_leader() {
    let mut progress = progress::Progress::default();
    let epoch = marathon::Timestamp::UNIX_EPOCH;
    let at = |second| epoch.checked_add(Duration::from_secs(second)).ok();
    let (one, two) = (Arc::<str>::from("m1"), Arc::<str>::from("m2"));
    let catch_up = |progress: &mut progress::Progress| {
        progress.note_reading(Duration::ZERO);
        progress.note_read(true);
    };
    progress.note_opened(Some(Arc::clone(&one)));
    catch_up(&mut progress);
    progress.note_event(at(100), Some(&one));
    assert_eq!(progress.latest_event(), at(100));
    progress.note_new_leader();
    progress.note_event(at(101), Some(&two));
    assert_eq!(progress.latest_event(), None, "of the stream of the first leader");
    progress.note_opened(Some(Arc::clone(&two)));
    progress.note_event(at(50), Some(&two));
    assert_eq!(progress.latest_event(), None, "something may be missed");
    catch_up(&mut progress);
    assert_eq!(progress.latest_event(), at(50));
}
