//! When the stream is opened, where, and when it is given up.

use crate::common::{Watch, app};

#[test]
fn everything_is_read_after_the_stream_is_open() {
    let mut watch = Watch::new(1, Some(1), 7);
    assert_eq!(watch.asked(), ["open 0"]);
    watch.after(1000);
    assert_eq!(watch.asked(), [""; 0]);
    watch.opened();
    watch.after(500);
    assert_eq!(watch.asked(), ["all"]);
    assert!(watch.state.is_streaming());
}

#[test]
fn a_slow_or_failed_stream_does_not_keep_everything_from_being_read() {
    let mut slow = Watch::new(1, Some(1), 7);
    slow.after(2000);
    assert_eq!(slow.asked(), ["open 0", "all"]);
    let mut failed = Watch::new(1, Some(1), 7);
    failed.ended();
    assert_eq!(failed.asked(), ["open 0", "all"]);
}

#[test]
fn a_read_that_began_before_the_stream_was_open_is_followed_by_another() {
    let mut watch = Watch::new(1, Some(1), 7);
    watch.after(2000);
    watch.opened();
    watch.after(1000);
    watch.read_everything(&[app("/db", &[])]);
    watch.after(100);
    assert_eq!(watch.asked(), ["open 0", "all", "all"]);

    let mut after_failure = Watch::new(1, Some(1), 7);
    after_failure.after(2000);
    after_failure.fail_everything();
    after_failure.after(2000);
    assert_eq!(after_failure.asked(), ["open 0", "all", "all"]);
    after_failure.opened();
    after_failure.read_everything(&[app("/db", &[])]);
    after_failure.after(1000);
    assert_eq!(after_failure.asked(), ["all"]);
}

#[test]
fn a_stream_without_bytes_for_35_seconds_is_dead() {
    let mut watch = Watch::started(&[]);
    watch.live(60);
    assert_eq!(watch.asked(), [""; 0]);
    watch.after(34_999);
    assert_eq!(watch.asked(), [""; 0]);
    watch.after(1);
    assert_eq!(watch.asked(), ["close"]);
    watch.after(1000);
    assert_eq!(watch.asked(), ["open 0"]);
    watch.after(35_000);
    assert!(watch.asked().contains(&"close".to_owned()), "one that never opens is dead too");
}

#[test]
fn a_stream_that_ends_at_once_is_opened_at_the_next_url_and_others_at_the_same() {
    let mut watch = Watch::new(3, Some(1), 7);
    watch.opened();
    watch.ended();
    watch.after(1000);
    assert_eq!(watch.asked(), ["open 0", "all", "open 1"]);
    watch.opened();
    watch.read_everything(&[]);
    watch.live(20);
    watch.ended();
    watch.after(3000);
    let asked = watch.asked();
    assert_eq!(
        asked.iter().filter(|action| action.starts_with("open")).collect::<Vec<_>>(),
        ["open 1"]
    );
    for next in ["open 2", "open 0"] {
        watch.ended();
        watch.after(10_000);
        assert!(watch.asked().contains(&next.to_owned()), "{next}");
    }
}

#[test]
fn a_stream_that_never_opens_is_tried_less_and_less() {
    let mut watch = Watch::new(1, Some(1), 7);
    watch.asked();
    for most in [1, 2, 4, 8, 16, 32, 60, 60] {
        watch.ended();
        let ended = watch.now;
        while watch.asked().iter().all(|action| action != "open 0") {
            watch.after(100);
        }
        let (delay, most) = ((watch.now - ended).as_secs_f32(), most as f32 + 0.2);
        assert!(delay <= most && delay >= most / 2.0 - 0.2, "{delay} of {most}");
    }
}

#[test]
fn streams_that_end_soon_are_opened_less_and_less_but_within_seconds() {
    let mut watch = Watch::new(1, Some(1), 7);
    watch.ended();
    watch.asked();
    watch.read_everything(&[]);
    let mut delays = Vec::new();
    for lived in [0, 0, 0, 0, 0, 0, 30, 90, 0] {
        let ended = watch.now;
        while watch.asked().iter().all(|action| action != "open 0") {
            watch.after(100);
            if watch.now - ended > std::time::Duration::from_secs(100) {
                panic!("never opened again");
            }
        }
        delays.push((watch.now - ended).as_secs_f32());
        watch.opened();
        watch.live(lived);
        watch.ended();
    }
    for (delay, most) in delays.iter().zip([1, 2, 4, 5, 5, 5, 5, 5, 1]) {
        let most = most as f32 + 0.2;
        assert!(*delay <= most && *delay >= most / 2.0 - 0.2, "{delay} of {most}: {delays:?}");
    }
}

#[test]
fn another_leader_in_an_answer_ends_the_stream_and_forgets_nothing() {
    let mut watch = Watch::new(1, Some(1), 7);
    watch.leader = Some("http://a:8080".to_owned());
    watch.opened();
    watch.after(500);
    watch.read_everything(&[app("/db", &[])]);
    assert_eq!(watch.asked(), ["open 0", "all"]);
    watch.event("api_post_event", r#"{"appDefinition":{"id":"/db"}}"#);
    watch.after(300);
    watch.leader = Some("http://b:8080".to_owned());
    watch.read(&app("/db", &[]));
    assert_eq!(watch.asked(), ["app /db", "close"]);
    assert_eq!(watch.ids(), ["/db"]);
    watch.after(1000);
    assert_eq!(watch.asked(), ["open 0"]);
    watch.opened();
    watch.after(500);
    assert_eq!(watch.asked(), ["all"], "what happened in between is read");
}

#[test]
fn what_comes_from_a_stream_that_was_given_up_is_ignored() {
    let mut watch = Watch::started(&[app("/db", &[])]);
    let old = watch.stream.unwrap();
    watch.ended();
    watch.after(1000);
    watch.opened();
    watch.after(1000);
    watch.read_everything(&[app("/db", &[])]);
    watch.asked();
    let current = watch.stream.replace(old);
    watch.event("group_change_success", r#"{"groupId":"/"}"#);
    watch.ended();
    watch.opened();
    watch.stream = current;
    assert!(watch.state.is_streaming());
    watch.live(20);
    assert_eq!(watch.asked(), [""; 0]);
}

#[test]
fn where_there_is_no_stream_everything_is_read_more_often() {
    let mut watch = Watch::new(1, Some(1), 7);
    watch.ended();
    for _ in 0..600 {
        let asked = watch.asked();
        if asked.contains(&"all".to_owned()) {
            watch.read_everything(&[app("/db", &[])]);
        }
        if asked.contains(&"open 0".to_owned()) {
            watch.ended();
        }
        watch.after(1000);
    }
    assert_eq!(watch.ids(), ["/db"]);
    let mut reads = 0;
    for _ in 0..600 {
        for action in watch.asked() {
            match action.as_str() {
                "all" => {
                    reads += 1;
                    watch.read_everything(&[app("/db", &[])]);
                }
                _ => watch.ended(),
            }
        }
        watch.after(1000);
    }
    assert!((15..=29).contains(&reads), "{reads} reads in 600 s, about one in 30 s");
}
