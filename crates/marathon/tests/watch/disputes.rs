//! What is believed where events and reads contradict each other, and where clocks do.

use std::time::Duration;

use marathon::watch::Input;

use crate::common::{Watch, app, at, key, task, up};

fn ups(count: usize) -> Vec<String> {
    "abcdefghij".chars().take(count).map(|id| up(&id.to_string(), 10)).collect()
}

/// Lets time go by in which every read of /db has this answer, and returns how many there were.
fn answered(watch: &mut Watch, millis: u64, answer: &str) -> usize {
    let mut reads = 0;
    for _ in 0..millis / 100 {
        watch.after(100);
        watch.on(Input::Bytes { stream: watch.stream.unwrap() });
        for asked in watch.asked() {
            assert_eq!(asked, "app /db");
            watch.read(answer);
            reads += 1;
        }
    }
    reads
}

#[test]
fn an_end_that_every_read_contradicts_is_not_believed_for_long() {
    let truth = app("/db", &ups(3));
    for status in ["FAILED", "KILLED", "KILLING"] {
        let mut watch = Watch::started(std::slice::from_ref(&truth));
        for id in ["a", "b", "c"] {
            watch.status(id, status);
        }
        let word = if status == "KILLING" { "killing" } else { "over" };
        assert_eq!(watch.tasks("/db"), format!("a {word}, b up, c up"));
        let reads = answered(&mut watch, 7900, &truth);
        assert_eq!(watch.tasks("/db"), format!("a {word}, b up, c up"), "the API may lag");
        let reads = reads + answered(&mut watch, 1000, &truth);
        assert_eq!(watch.tasks("/db"), "a up, b up, c up");
        assert!(reads <= 4, "{reads} reads");
        assert_eq!(answered(&mut watch, 60_000, &truth), 0);
    }
}

#[test]
fn an_end_that_the_api_shows_late_counts_when_it_does() {
    let (before, after) = (app("/db", &ups(1)), app("/db", &[]));
    let mut watch = Watch::started(std::slice::from_ref(&before));
    watch.status("a", "FAILED");
    answered(&mut watch, 5000, &before);
    assert_eq!(watch.tasks("/db"), "a up", "it is the last one");
    answered(&mut watch, 4000, &after);
    assert_eq!(watch.tasks("/db"), "");
}

/// A resident task of a Marathon before 1.4.7 is started again under its id.
#[test]
fn a_task_that_was_started_again_under_its_id_is_back_with_the_read() {
    let again = |state: &str, staged: u64, started: Option<u64>| {
        let started = started.map_or("null".to_owned(), |second| format!("{:?}", at(second)));
        let task = task("a", state, "");
        let times = format!(r#""stagedAt":"{}","startedAt":{started}"#, at(staged));
        app("/db", &[task.replace(&format!(r#""startedAt":"{}""#, at(0)), &times)])
    };
    let mut watch = Watch::started(&[app("/db", &ups(1))]);
    let failed = format!(
        r#"{{"appId":"/db","taskId":"a","taskStatus":"TASK_FAILED","timestamp":"{}"}}"#,
        at(20)
    );
    watch.event("status_update_event", &failed);
    watch.after(20);
    let reserved = r#"{"id":"a","host":"h-a","state":"TASK_FAILED"}"#;
    watch.read(&app("/db", &[reserved.to_owned()]));
    assert_eq!(watch.tasks("/db"), "a over");
    // It doesn't keep the health of its last run.
    for (answer, word) in
        [(again("STAGING", 22, None), "a else"), (again("RUNNING", 22, Some(23)), "a unknown")]
    {
        watch.status("a", "RUNNING");
        watch.after(2500);
        assert!(watch.asked().contains(&"app /db".to_owned()));
        watch.read(&answer);
        assert_eq!(watch.tasks("/db"), word);
    }
}

#[test]
fn a_task_that_came_back_and_failed_again_is_over() {
    let told = |status: &str, second: u64| {
        format!(
            r#"{{"appId":"/db","taskId":"a","taskStatus":"TASK_{status}","timestamp":"{}"}}"#,
            at(second)
        )
    };
    let again = task("a", "RUNNING", "")
        .replace(&format!(r#""startedAt":"{}""#, at(0)), &format!(r#""startedAt":"{}""#, at(22)));
    let mut watch = Watch::started(&[app("/db", &ups(3))]);
    for (status, second) in [("FAILED", 20), ("RUNNING", 22), ("FAILED", 24)] {
        watch.event("status_update_event", &told(status, second));
    }
    watch.after(300);
    watch.read(&app("/db", &[again, up("b", 10), up("c", 10)]));
    assert_eq!(watch.tasks("/db"), "a over, b up, c up");
}

#[test]
fn the_last_ones_that_serve_because_none_is_healthy_wait_too() {
    let down = format!(r#"{{"alive":false,"lastFailure":"{}"}}"#, at(9));
    let ill = |id: &str| task(id, "RUNNING", &down);
    let mut watch = Watch::started(&[app("/db", &[ill("a"), ill("b"), ill("c")])]);
    for id in ["a", "b", "c"] {
        watch.status(id, "FAILED");
    }
    assert_eq!(watch.tasks("/db"), "a over, b down, c down");
    let mut idle = Watch::started(&[app("/db", &[ill("a"), ill("b"), up("c", 10)])]);
    for id in ["a", "b", "c"] {
        idle.status(id, "FAILED");
    }
    assert_eq!(idle.tasks("/db"), "a over, b over, c up", "a and b take no traffic");
}

/// Marathon's clock may have been set back.
#[test]
fn news_that_looks_old_is_not_acted_upon_and_leads_to_one_read() {
    let down =
        format!(r#"{{"alive":false,"lastSuccess":"{}","lastFailure":"{}"}}"#, at(60), at(10));
    let ups = |first: String| app("/db", &[first, up("b", 60), up("c", 60)]);
    for (said, answer, then) in [
        (r#""alive":false"#, ups(task("a", "RUNNING", &down)), "a down, b up, c up"),
        (r#""alive":false"#, ups(up("a", 60)), "a up, b up, c up"),
        (r#""taskStatus":"TASK_FAILED""#, ups(task("a", "FAILED", "")), "a over, b up, c up"),
    ] {
        let started = |app: &str| {
            app.replace(
                "\"startedAt\":\"2020-01-01T00:00:00",
                "\"startedAt\":\"2020-01-01T00:00:50",
            )
        };
        let mut watch = Watch::started(&[started(&ups(up("a", 60)))]);
        let kind = match said.contains("alive") {
            true => "health_status_changed_event",
            false => "status_update_event",
        };
        let data = format!(r#"{{"appId":"/db","taskId":"a",{said},"timestamp":"{}"}}"#, at(20));
        watch.event(kind, &data);
        assert_eq!(watch.tasks("/db"), "a up, b up, c up");
        watch.after(300);
        assert_eq!(watch.asked(), ["app /db"]);
        watch.read(&started(&answer));
        assert_eq!(watch.tasks("/db"), then);
        watch.live(20);
        assert_eq!(watch.asked(), [""; 0]);
    }
}

#[test]
fn a_silent_task_has_been_running_since_it_was_first_seen_whatever_its_start_says() {
    let silent = |id: &str| task(id, "RUNNING", "");
    let mut watch = Watch::started(&[app("/db", &[up("old", 90), silent("a")])]);
    let run_time = |watch: &Watch, id: &str| watch.state.run_time(&key("/db"), id, watch.now);
    // At the start the others tell how long it has been.
    assert!(run_time(&watch, "a").unwrap() >= Duration::from_secs(90));
    watch.live(5);
    watch.status("b", "RUNNING");
    watch.after(300);
    watch.read(&app("/db", &[up("old", 3600), silent("a"), silent("b")]));
    assert!(run_time(&watch, "b").unwrap() < Duration::from_secs(1));
    assert_eq!(run_time(&watch, "old"), None);
    watch.live(5);
    assert!(run_time(&watch, "b").unwrap() >= Duration::from_secs(5));
}
