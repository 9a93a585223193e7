//! Bad news acts at once, if it is newer than what is known.

use std::time::Duration;

use marathon::watch::{Input, ReadOutcome};

use crate::common::{Watch, app, at, key, task, up};

fn ups(count: usize) -> Vec<String> {
    "abcdefghij".chars().take(count).map(|id| up(&id.to_string(), 10)).collect()
}

#[test]
fn an_ending_acts_at_once_and_is_confirmed() {
    for status in ["KILLED", "FAILED", "GONE"] {
        let mut watch = Watch::started(&[app("/db", &ups(3))]);
        watch.changed.clear();
        watch.status("a", status);
        assert_eq!(watch.tasks("/db"), "a over, b up, c up");
        assert!(watch.changed.contains(&key("/db")));
        watch.after(300);
        assert_eq!(watch.asked(), ["app /db"]);
    }
}

#[test]
fn the_end_of_the_last_one_waits_for_a_read_that_is_made_at_once() {
    for status in ["KILLED", "FAILED", "GONE"] {
        let mut watch = Watch::started(&[app("/db", &ups(1))]);
        watch.status("a", status);
        assert_eq!(watch.tasks("/db"), "a up");
        watch.after(20);
        assert_eq!(watch.asked(), ["app /db"]);
        let mut silent = watch;
        silent.after(1979);
        assert_eq!(silent.tasks("/db"), "a up");
        silent.after(1);
        assert_eq!(silent.tasks("/db"), "a over", "without an answer the event counts");

        let mut confirmed = Watch::started(&[app("/db", &ups(1))]);
        confirmed.status("a", status);
        confirmed.after(20);
        confirmed.read(&app("/db", &[]));
        assert_eq!(confirmed.tasks("/db"), "");
    }
}

#[test]
fn other_news_does_not_put_off_the_read_that_bad_news_waits_for() {
    let mut watch = Watch::started(&[app("/db", &ups(3))]);
    watch.status("a", "KILLED");
    watch.status("b", "KILLED");
    assert_eq!(watch.tasks("/db"), "a over, b up, c up");
    for id in ["x", "y", "z"] {
        watch.status(id, "RUNNING");
        watch.after(4);
    }
    watch.after(10);
    assert_eq!(watch.asked(), ["app /db"]);
}

#[test]
fn a_task_that_is_being_killed_is_told_at_once_where_enough_others_serve() {
    let mut watch = Watch::started(&[app("/db", &ups(2))]);
    watch.status("a", "KILLING");
    assert_eq!(watch.tasks("/db"), "a killing, b up");
    // The other one waits for a read that may tell of a new version.
    watch.status("b", "KILLING");
    assert_eq!(watch.tasks("/db"), "a killing, b up");
    watch.after(300);
    let killing = |id: &str| task(id, "KILLING", "");
    watch.read(&app("/db", &[killing("a"), killing("b"), up("c", 11)]));
    assert_eq!(watch.tasks("/db"), "a killing, b killing, c up");
}

#[test]
fn the_last_one_that_is_being_killed_waits_for_its_read_but_not_for_long() {
    let mut watch = Watch::started(&[app("/db", &ups(1))]);
    watch.status("a", "KILLING");
    assert_eq!(watch.tasks("/db"), "a up");
    watch.after(300);
    assert_eq!(watch.asked(), ["app /db"]);
    watch.after(1700);
    assert_eq!(watch.tasks("/db"), "a killing");
    watch.status("a", "KILLED");
    assert_eq!(watch.tasks("/db"), "a over");
}

#[test]
fn one_that_is_not_ready_yet_stands_in_for_nobody() {
    let ready = |ready: bool| {
        let results = format!(
            r#""healthChecks":[{{}}],"readinessChecks":[{{"name":"r"}}],"deployments":[{{"id":"d"}}],
               "readinessCheckResults":[{{"taskId":"a","ready":true}},
               {{"taskId":"b","ready":true}},{{"taskId":"c","ready":{ready}}},
               {{"taskId":"d","ready":{ready}}}]"#
        );
        app("/db", &ups(4)).replace(r#""healthChecks":[{}]"#, &results)
    };
    for (is_ready, told) in
        [(false, "a killing, b up, c up, d up"), (true, "a killing, b killing, c up, d up")]
    {
        let mut watch = Watch::started(&[ready(is_ready)]);
        watch.status("a", "KILLING");
        watch.status("b", "KILLING");
        assert_eq!(watch.tasks("/db"), told);
    }
}

#[test]
fn one_that_waits_and_ends_waits_no_longer() {
    let mut watch = Watch::started(&[app("/db", &ups(1))]);
    watch.status("a", "KILLING");
    watch.after(1000);
    watch.status("a", "KILLED");
    assert_eq!(watch.tasks("/db"), "a up");
    watch.after(1000);
    assert_eq!(watch.tasks("/db"), "a over");
    watch.after(5000);
    assert_eq!(watch.tasks("/db"), "a over");
}

#[test]
fn an_ending_stands_whatever_late_reads_and_events_say() {
    let mut watch = Watch::started(&[app("/db", &ups(2))]);
    watch.status("a", "KILLED");
    watch.status("a", "KILLING");
    watch.status("a", "RUNNING");
    watch.health("a", true, 99);
    assert_eq!(watch.tasks("/db"), "a over, b up");
    watch.after(300);
    watch.read(&app("/db", &ups(2)));
    assert_eq!(watch.tasks("/db"), "a over, b up");
}

#[test]
fn an_unreachable_task_is_only_read_again() {
    let mut watch = Watch::started(&[app("/db", &ups(2))]);
    watch.status("a", "UNREACHABLE");
    assert_eq!(watch.tasks("/db"), "a up, b up");
    watch.after(300);
    assert_eq!(watch.asked(), ["app /db"]);
}

#[test]
fn an_unhealthy_task_is_down_at_once_if_the_event_is_newer_than_its_last_success() {
    for (moment, word) in [(11, "down"), (10, "up"), (9, "up")] {
        let mut watch = Watch::started(&[app("/db", &ups(3))]);
        watch.health("a", false, moment);
        assert_eq!(watch.tasks("/db"), format!("a {word}, b up, c up"), "{moment}");
    }
}

#[test]
fn an_unhealthy_task_comes_back_through_a_read_that_knows_better() {
    let lagging = || app("/db", &ups(3));
    let better = || app("/db", &[up("a", 12), up("b", 10), up("c", 10)]);
    let mut watch = Watch::started(&[lagging()]);
    watch.health("a", false, 11);
    watch.after(300);
    watch.read(&lagging());
    assert_eq!(watch.tasks("/db"), "a down, b up, c up", "the read lags behind the event");
    watch.after(2000);
    assert_eq!(watch.asked(), ["app /db", "app /db"]);
    watch.read(&lagging());
    assert_eq!(watch.tasks("/db"), "a up, b up, c up", "the second read doesn't");
    watch.health("a", false, 11);
    watch.after(300);
    watch.read(&better());
    assert_eq!(watch.tasks("/db"), "a up, b up, c up", "it succeeded after the event");
}

#[test]
fn answers_from_right_after_an_event_are_not_the_last_word_on_it() {
    let lagging = || app("/db", &ups(3));
    let everything_is_due = {
        let mut watch = Watch::started(&[lagging()]);
        let start = watch.now;
        while watch.asked().is_empty() {
            watch.after(10);
            watch.on(Input::Bytes { stream: watch.stream.unwrap() });
        }
        u64::try_from((watch.now - start).as_millis()).unwrap()
    };
    let mut watch = Watch::started(&[lagging()]);
    for left in (600..everything_is_due).rev().step_by(10) {
        watch.after(10);
        watch.on(Input::Bytes { stream: watch.stream.unwrap() });
        assert_eq!(watch.asked(), [""; 0], "{left} ms");
    }
    watch.health("a", false, 11);
    watch.after(300);
    assert_eq!(watch.asked(), ["app /db"]);
    watch.read(&lagging());
    watch.after(400);
    assert_eq!(watch.asked(), ["all"]);
    watch.read_everything(&[lagging()]);
    assert_eq!(watch.tasks("/db"), "a down, b up, c up");
    watch.after(2000);
    assert_eq!(watch.asked(), ["app /db"]);
    watch.read(&lagging());
    assert_eq!(watch.tasks("/db"), "a up, b up, c up");
}

#[test]
fn a_task_that_was_ill_for_a_moment_comes_back_with_the_read() {
    let never_dated = |alive: bool| task("a", "RUNNING", &format!(r#"{{"alive":{alive}}}"#));
    let now = |alive| app("/db", &[never_dated(alive), up("b", 10), up("c", 10)]);
    let mut watch = Watch::started(&[now(true)]);
    watch.health("a", false, 11);
    assert_eq!(watch.tasks("/db"), "a down, b up, c up");
    watch.after(100);
    watch.health("a", true, 12);
    assert_eq!(watch.tasks("/db"), "a down, b up, c up", "good news is for a read to show");
    watch.after(300);
    watch.read(&now(true));
    assert_eq!(watch.tasks("/db"), "a up, b up, c up");
}

#[test]
fn the_last_server_stays_if_it_is_well_again_before_anything_was_done() {
    let mut watch = Watch::started(&[app("/db", &ups(1))]);
    watch.health("a", false, 11);
    watch.health("a", true, 12);
    watch.live(10);
    assert_eq!(watch.tasks("/db"), "a up", "no read was answered");
    watch.health("a", false, 11);
    watch.live(10);
    assert_eq!(watch.tasks("/db"), "a down", "that was said last");
}

#[test]
fn any_number_of_tasks_comes_back_through_a_read_that_knows_better() {
    let id = |index: usize| format!("t{index:03}");
    let ups: Vec<_> = (0..400).map(|index| up(&id(index), 10)).collect();
    let mut watch = Watch::started(&[app("/db", &ups)]);
    for index in 0..100 {
        watch.health(&id(index), false, 11);
    }
    watch.after(300);
    // All but the last few may be ill: what is read is seen to show that.
    let ill = format!(r#"{{"alive":false,"lastFailure":"{}"}}"#, at(11));
    let now: Vec<_> = (0..400)
        .map(|index| match index {
            0..90 => task(&id(index), "RUNNING", &ill),
            _ => up(&id(index), 10),
        })
        .collect();
    watch.read(&app("/db", &now));
    watch.after(2000);
    assert_eq!(watch.asked(), ["app /db", "app /db"]);
    watch.read(&app("/db", &now));
    assert_eq!(watch.tasks("/db").matches(" down").count(), 90);
}

#[test]
fn an_event_of_an_earlier_version_is_not_acted_upon() {
    let mut watch = Watch::started(&[app("/db", &ups(2))]);
    let data = r#"{"appId":"/db","taskId":"a","taskStatus":"TASK_KILLED","version":"2019-01-01T00:00:00.000Z"}"#;
    watch.event("status_update_event", data);
    assert_eq!(watch.tasks("/db"), "a up, b up");
    watch.after(300);
    assert_eq!(watch.asked(), ["app /db"]);
}

#[test]
fn the_last_server_waits_for_the_read_and_no_longer_than_2_s() {
    let mut answered = Watch::started(&[app("/db", &ups(1))]);
    answered.health("a", false, 11);
    assert_eq!(answered.tasks("/db"), "a up");
    answered.after(300);
    answered.read(&app("/db", &[up("a", 12)]));
    answered.live(5);
    assert_eq!(answered.tasks("/db"), "a up");

    let mut silent = Watch::started(&[app("/db", &ups(1))]);
    silent.health("a", false, 11);
    silent.after(1999);
    assert_eq!(silent.tasks("/db"), "a up");
    silent.changed.clear();
    silent.after(1);
    assert_eq!(silent.tasks("/db"), "a down");
    assert!(silent.changed.contains(&key("/db")));
}

#[test]
fn the_last_server_waits_for_the_read_where_a_thousand_agents_spread_theirs() {
    let mut longest = 0;
    for seed in 0..50 {
        let mut watch = Watch::new(1, Some(1000), seed);
        watch.opened();
        watch.live(15);
        watch.read_everything(&[app("/db", &ups(1))]);
        watch.asked();
        watch.health("a", false, 11);
        let told = watch.now;
        while watch.asked().is_empty() {
            assert_eq!(watch.tasks("/db"), "a up", "the read comes first");
            watch.after(100);
        }
        let asked = watch.now;
        let mut silent = 0;
        while watch.tasks("/db") == "a up" {
            watch.after(100);
            silent += 100;
        }
        assert!(watch.now >= told + Duration::from_secs(2), "2 s at least");
        assert!(silent <= 2000 && watch.now - told <= Duration::from_secs(12));
        longest = longest.max((asked - told).as_secs());
    }
    assert!(longest > 2, "{longest}");
}

#[test]
fn bad_health_does_not_wait_for_a_read_that_is_not_due() {
    let mut watch = Watch::new(1, Some(1000), 7);
    watch.opened();
    watch.live(15);
    watch.read_everything(&[app("/db", &ups(1))]);
    watch.event("api_post_event", r#"{"appDefinition":{"id":"/db"}}"#);
    watch.live(12);
    // A failure: the next try is some back-off away, and nobody knows what it will say.
    for _ in 0..8 {
        watch.answer("/db", ReadOutcome::Failed);
        watch.fail_everything();
        watch.live(30);
    }
    watch.fail_everything();
    watch.health("a", false, 11);
    watch.live(2);
    assert_eq!(watch.tasks("/db"), "a down");
}

#[test]
fn a_read_that_began_before_the_event_does_not_answer_it() {
    let mut watch = Watch::started(&[app("/db", &ups(1))]);
    watch.event("api_post_event", r#"{"appDefinition":{"id":"/db"}}"#);
    watch.after(300);
    watch.health("a", false, 11);
    watch.read(&app("/db", &ups(1)));
    watch.after(2000);
    assert_eq!(watch.tasks("/db"), "a down");
}

#[test]
fn no_more_than_half_of_the_servers_go_within_10_s_on_the_word_of_events() {
    let mut watch = Watch::started(&[app("/db", &ups(4))]);
    for id in ["a", "b", "c", "d"] {
        watch.health(id, false, 11);
    }
    assert_eq!(watch.tasks("/db"), "a down, b down, c up, d up");
    watch.after(2000);
    assert_eq!(watch.tasks("/db"), "a down, b down, c down, d down");

    let mut slow = Watch::started(&[app("/db", &ups(4))]);
    for id in ["a", "b", "c"] {
        slow.health(id, false, 11);
        slow.live(10);
    }
    assert_eq!(slow.tasks("/db"), "a down, b down, c down, d up");
}

#[test]
fn a_health_that_is_forgotten_stays_what_it_was() {
    let down = format!(r#"{{"alive":false,"lastFailure":"{}"}}"#, at(9));
    let mut watch = Watch::started(&[app("/db", &[up("a", 1), task("b", "RUNNING", &down)])]);
    let forgotten = ["a", "b", "new"].map(|id| task(id, "RUNNING", ""));
    watch.event("group_change_success", r#"{"groupId":"/"}"#);
    watch.live(5);
    watch.changed.clear();
    watch.read_everything(&[app("/db", &forgotten)]);
    assert_eq!(watch.tasks("/db"), "a up, b down, new unknown");
}

#[test]
fn instance_ids_of_events_are_joined_with_task_ids() {
    let uuid = "488b3441-7bb5-11e9-b931-8ae30e1b1bb7";
    for (task_id, instance) in [
        (format!("db.{uuid}"), format!("db.marathon-{uuid}")),
        (format!("db.instance-{uuid}._app.1"), format!("db.instance-{uuid}")),
    ] {
        for (moment, word) in [(1, "over"), (0, "up")] {
            let mut watch = Watch::started(&[app("/db", &[up(&task_id, 10), up("z", 10)])]);
            let data = format!(
                r#"{{"runSpecId":"/db","instanceId":"{instance}","condition":"Failed","timestamp":"{}"}}"#,
                at(moment)
            );
            watch.event("instance_changed_event", &data);
            assert_eq!(
                watch.tasks("/db"),
                format!("{task_id} {word}, z up"),
                "started at 0, said at {moment}"
            );
        }
        let mut other = Watch::started(&[app("/db", &[up(&task_id, 10)])]);
        other.status(&format!("db.instance-{uuid}._app.2"), "FAILED");
        assert_eq!(other.tasks("/db"), format!("{task_id} up"), "another task of the instance");
    }
}

#[test]
fn a_read_that_says_the_same_changes_nothing() {
    let mut watch = Watch::started(&[app("/db", &[up("a", 1), up("b", 1)]), app("/web", &[])]);
    watch.event("group_change_success", r#"{"groupId":"/"}"#);
    watch.live(5);
    watch.changed.clear();
    watch.read_everything(&[app("/web", &[]), app("/db", &[up("b", 9), up("a", 8)])]);
    assert!(watch.changed.is_empty(), "{:?}", watch.changed);
}
