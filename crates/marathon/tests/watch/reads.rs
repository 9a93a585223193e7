//! What is read and when.

use std::sync::Arc;

use std::time::Duration;

use marathon::watch::{Input, ReadOutcome};

use crate::common::{Watch, app, at, task, up};

fn posted(watch: &mut Watch, app: &str) {
    watch.event("api_post_event", &format!(r#"{{"appDefinition":{{"id":"{app}"}}}}"#));
}

#[test]
fn a_burst_is_one_read_after_200_ms_of_quiet() {
    let mut watch = Watch::started(&[]);
    for _ in 0..5 {
        posted(&mut watch, "/db");
        watch.after(150);
    }
    assert_eq!(watch.asked(), [""; 0]);
    watch.after(60);
    assert_eq!(watch.asked(), ["app /db"]);
}

#[test]
fn a_burst_without_an_end_is_read_after_2_s() {
    let mut watch = Watch::started(&[]);
    for _ in 0..21 {
        posted(&mut watch, "/db");
        watch.after(100);
    }
    assert_eq!(watch.asked(), ["app /db"]);
}

#[test]
fn few_changes_are_read_one_by_one_and_many_as_everything() {
    for (changes, all) in [(10, false), (11, true), (5000, true)] {
        let mut watch = Watch::started(&[]);
        watch.live(10);
        for change in 0..changes {
            posted(&mut watch, &format!("/{change}"));
        }
        watch.after(300);
        let asked = watch.asked();
        assert_eq!(asked == ["all"], all, "{changes}");
        assert_eq!(asked.len(), if all { 1 } else { changes });
    }
}

#[test]
fn a_change_is_read_once_where_the_read_shows_it() {
    let mut watch = Watch::started(&[app("/db", &[up("a", 1)])]);
    watch.status("b", "RUNNING");
    watch.after(300);
    assert_eq!(watch.asked(), ["app /db"]);
    assert_eq!(watch.tasks("/db"), "a up", "good news only through a read");
    watch.read(&app("/db", &[up("a", 1), up("b", 2)]));
    watch.live(20);
    assert_eq!(watch.asked(), [""; 0]);
    assert_eq!(watch.tasks("/db"), "a up, b up");
}

#[test]
fn a_change_is_read_twice_where_the_api_lags_behind_and_never_more() {
    let mut watch = Watch::started(&[app("/db", &[up("a", 1)])]);
    for (task, status) in [("b", "RUNNING"), ("a", "KILLED")] {
        watch.status(task, status);
        watch.after(300);
        assert_eq!(watch.asked(), ["app /db"]);
        watch.read(&app("/db", &[up("a", 1)]));
        watch.after(1000);
        assert_eq!(watch.asked(), [""; 0]);
        watch.after(1000);
        assert_eq!(watch.asked(), ["app /db"]);
        watch.read(&app("/db", &[up("a", 1)]));
        watch.live(20);
        if status == "KILLED" {
            assert_eq!(watch.asked(), ["app /db"], "who is right, the event or the reads?");
            watch.read(&app("/db", &[up("a", 1)]));
            watch.live(20);
        }
        assert_eq!(watch.asked(), [""; 0]);
    }
}

#[test]
fn an_event_that_says_what_is_known_asks_for_nothing() {
    let down = task("b", "RUNNING", &format!(r#"{{"alive":false,"lastFailure":"{}"}}"#, at(9)));
    let killing = task("c", "KILLING", "");
    let mut watch = Watch::started(&[app("/db", &[up("a", 1), down, killing])]);
    watch.status("a", "RUNNING");
    watch.health("a", true, 3);
    watch.health("b", false, 9);
    watch.status("c", "KILLING");
    watch.status("d", "STAGING");
    watch.status("e", "FAILED");
    watch.event(
        "instance_health_changed_event",
        r#"{"runSpecId":"/db","instanceId":"a","healthy":null}"#,
    );
    watch.event("framework_message_event", "{}");
    watch.live(20);
    assert_eq!(watch.asked(), [""; 0]);
}

#[test]
fn an_event_during_a_read_is_read_after_it() {
    let mut watch = Watch::started(&[app("/db", &[])]);
    posted(&mut watch, "/db");
    watch.after(300);
    posted(&mut watch, "/db");
    watch.after(3000);
    assert_eq!(watch.asked(), ["app /db"], "one read of an app at a time");
    watch.read(&app("/db", &[]));
    assert_eq!(watch.asked(), ["app /db"]);
}

#[test]
fn a_read_under_way_does_not_bring_back_a_task_that_ended_since() {
    let mut watch = Watch::started(&[app("/db", &[up("a", 1)])]);
    posted(&mut watch, "/db");
    watch.after(300);
    watch.status("b", "KILLED");
    watch.read(&app("/db", &[up("a", 1), up("b", 1)]));
    watch.after(300);
    assert_eq!(watch.asked(), ["app /db", "app /db"]);
}

#[test]
fn groups_and_events_that_cannot_be_read_have_everything_read() {
    for (event, data) in
        [("group_change_success", r#"{"groupId":"/g"}"#), ("status_update_event", "{")]
    {
        let mut watch = Watch::started(&[]);
        watch.live(10);
        for _ in 0..5 {
            watch.event(event, data);
        }
        watch.after(300);
        assert_eq!(watch.asked(), ["all"], "{event}");
        for _ in 0..10 {
            watch.event(event, data);
        }
        watch.read_everything(&[]);
        watch.after(1500);
        assert_eq!(watch.asked(), [""; 0], "not more often than each 2 s");
        watch.after(1500);
        assert_eq!(watch.asked(), ["all"]);
    }
}

#[test]
fn a_change_of_one_app_is_not_taken_for_one_of_its_whole_group() {
    let group = |watch: &mut Watch, id: &str| {
        watch.event("group_change_success", &format!(r#"{{"groupId":"{id}"}}"#));
    };
    let ids = ["/db", "/g/db", "/g/h/db"];
    let apps: Vec<_> = ids.iter().map(|id| app(id, &[])).collect();
    for (id, of) in ids.iter().zip(["/", "/g", "/g/h"]) {
        for group_first in [true, false] {
            let mut watch = Watch::started(&apps);
            watch.live(10);
            if group_first {
                group(&mut watch, of);
                watch.after(100);
                posted(&mut watch, id);
            } else {
                posted(&mut watch, id);
                watch.after(100);
                group(&mut watch, of);
            }
            watch.after(400);
            assert_eq!(watch.asked(), [format!("app {id}")]);
            watch.read(&app(id, &[]));
            watch.live(20);
            assert_eq!(watch.asked(), [""; 0]);
        }
    }
    let mut removed = Watch::started(&apps);
    removed.live(10);
    removed.event("app_terminated_event", r#"{"appId":"/g/db"}"#);
    group(&mut removed, "/g");
    removed.after(400);
    assert_eq!(removed.asked(), ["app /g/db"]);
}

#[test]
fn one_app_explains_one_change_of_its_own_group_at_its_time() {
    let story: [(&[&str], u64, &[&str]); 4] = [
        (&["/g", "/g"], 0, &["/g/db"]),
        (&["/g"], 0, &["/other/db"]),
        (&["/"], 0, &["/g/db"]),
        (&["/g"], 300, &["/g/db"]),
    ];
    for (groups, apart, apps) in story {
        let mut watch = Watch::started(&[]);
        watch.live(10);
        for group in groups {
            watch.event("group_change_success", &format!(r#"{{"groupId":"{group}"}}"#));
        }
        watch.after(apart);
        apps.iter().for_each(|app| posted(&mut watch, app));
        watch.after(400);
        assert!(watch.asked().contains(&"all".to_owned()), "{groups:?} {apps:?}");
    }
    let mut many = Watch::started(&[]);
    many.live(10);
    for _ in 0..65 {
        many.event("group_change_success", r#"{"groupId":"/g"}"#);
    }
    for _ in 0..64 {
        posted(&mut many, "/g/db");
    }
    many.after(400);
    assert!(many.asked().contains(&"all".to_owned()));
}

#[test]
fn an_agent_makes_no_more_reads_than_its_share() {
    for (agents, apps) in [(100, 10), (1000, 3)] {
        let mut watch = Watch::new(1, Some(agents), 7);
        watch.opened();
        watch.live(70);
        watch.read_everything(&[app("/0", &[])]);
        watch.live(60);
        watch.asked();
        let mut reads = 0;
        for _ in 0..600 {
            for number in 0..apps {
                posted(&mut watch, &format!("/{number}"));
            }
            watch.after(200);
            watch.live(1);
            for asked in watch.asked() {
                reads += 1;
                match asked.strip_prefix("app ") {
                    Some(id) => watch.read(&app(id, &[])),
                    None => watch.read_everything(&[app("/0", &[])]),
                }
            }
        }
        let share = 720 * 100 / agents;
        assert!(reads <= share + 2 && reads >= share / 2, "{reads} of {share}");
    }
}

#[test]
fn everything_is_read_about_every_300_s_or_one_second_for_each_agent() {
    for (agents, least, most) in [(1, 210, 390), (1000, 700, 1300)] {
        let mut watch = Watch::new(1, Some(agents), u64::from(agents));
        watch.opened();
        watch.live(20);
        assert_eq!(watch.asked(), ["open 0", "all"]);
        watch.read_everything(&[app("/db", &[])]);
        watch.live(least - 1);
        assert_eq!(watch.asked(), [""; 0]);
        watch.live(most - least + 2);
        assert_eq!(watch.asked(), ["all"]);
    }
}

#[test]
fn a_thousand_agents_spread_the_reads_of_one_event_over_ten_seconds() {
    let mut due = Vec::new();
    for seed in 0..1000 {
        let mut watch = Watch::new(1, Some(1000), seed);
        watch.opened();
        watch.live(15);
        watch.read_everything(&[app("/db", &[])]);
        watch.asked();
        let begun = watch.now;
        posted(&mut watch, "/db");
        while watch.asked().is_empty() {
            watch.after(500);
        }
        due.push((watch.now - begun).as_secs());
    }
    let busiest = (0..12).map(|second| due.iter().filter(|due| **due == second).count()).max();
    assert!(busiest.unwrap() < 150, "{busiest:?} in a second");
}

#[test]
fn a_failed_read_changes_nothing_and_is_tried_again_less_and_less_often() {
    let mut watch = Watch::started(&[app("/db", &[up("a", 1)])]);
    posted(&mut watch, "/db");
    watch.after(300);
    assert_eq!(watch.asked(), ["app /db"]);
    watch.answer("/db", ReadOutcome::Failed);
    let mut reads = 0;
    for _ in 0..300 {
        posted(&mut watch, "/db");
        watch.live(1);
        for action in watch.asked() {
            assert_eq!(action, "all", "after a failure one read at a time is tried");
            reads += 1;
            watch.fail_everything();
        }
    }
    assert!((7..15).contains(&reads), "{reads}");
    assert_eq!(watch.tasks("/db"), "a up");
    watch.live(60);
    assert_eq!(watch.asked(), ["all"]);
    watch.read_everything(&[app("/db", &[])]);
    assert_eq!(watch.tasks("/db"), "");
}

#[test]
fn an_answer_without_tasks_is_a_failure() {
    let mut watch = Watch::started(&[app("/db", &[up("a", 1)])]);
    posted(&mut watch, "/db");
    watch.after(300);
    let mut workload = crate::common::snapshot(&[app("/db", &[])]).workloads.remove(0);
    Arc::make_mut(&mut workload).tasks_known = false;
    watch.answer("/db", ReadOutcome::Found(workload));
    assert_eq!(watch.tasks("/db"), "a up");
    watch.after(1000);
    assert_eq!(watch.asked(), ["app /db", "all"]);
}

#[test]
fn answers_that_nobody_asked_for_are_ignored() {
    let mut watch = Watch::started(&[app("/db", &[up("a", 1)])]);
    watch.read_everything(&[]);
    watch.read(&app("/db", &[]));
    watch.answer("/db", ReadOutcome::Missing);
    watch.answer("/db", ReadOutcome::Failed);
    watch.fail_everything();
    assert_eq!(watch.tasks("/db"), "a up");
    watch.after(2000);
    assert_eq!(watch.asked(), [""; 0]);
}

#[test]
fn a_day_without_events_costs_one_read_in_300_s() {
    let mut watch = Watch::started(&[]);
    let begun = watch.now;
    let mut reads = 0;
    while watch.now - begun < Duration::from_secs(86_400) {
        watch.live(10);
        for action in watch.asked() {
            assert_eq!(action, "all");
            reads += 1;
            watch.read_everything(&[]);
        }
    }
    assert!((250..330).contains(&reads), "{reads}");
}

#[test]
fn an_event_of_an_id_that_no_app_can_have_costs_nothing() {
    let mut watch = Watch::started(&[app("/db", &[up("a", 1)])]);
    for id in ["", "/", "//", "/a//b", "/a b", "/..", "/a?b", "/\\u0000", "/\\u202e", "*"] {
        for (kind, data) in [
            ("status_update_event", r#""taskId":"t","taskStatus":"TASK_RUNNING","appId""#),
            ("health_status_changed_event", r#""taskId":"t","alive":false,"appId""#),
            ("app_terminated_event", r#""appId""#),
        ] {
            watch.event(kind, &format!(r#"{{{data}:"{id}"}}"#));
        }
        watch.event("api_post_event", &format!(r#"{{"appDefinition":{{"id":"{id}"}}}}"#));
        watch.live(5);
        assert_eq!(watch.asked(), [""; 0], "{id:?}");
    }
}

#[test]
fn an_event_ends_the_wait_after_reads_that_failed() {
    let mut watch = Watch::started(&[app("/db", &[up("a", 1)])]);
    posted(&mut watch, "/db");
    watch.after(300);
    watch.answer("/db", ReadOutcome::Failed);
    for _ in 0..8 {
        while !watch.asked().contains(&"all".to_owned()) {
            watch.live(1);
        }
        watch.fail_everything();
    }
    watch.live(10);
    assert_eq!(watch.asked(), [""; 0], "it is tried less and less");
    posted(&mut watch, "/db");
    watch.after(300);
    assert_eq!(watch.asked(), ["all"]);
    watch.fail_everything();
    for _ in 0..19 {
        posted(&mut watch, "/db");
        watch.after(100);
        assert_eq!(watch.asked(), [""; 0], "not more often than every 2 s");
    }
}

/// It costs Marathon nothing, and every moment that it waits is one with old servers.
#[test]
fn what_somebody_else_has_read_as_a_whole_is_read_at_once() {
    let mut watch = Watch::started(&[app("/db", &[up("a", 1)])]);
    let told = |watch: &mut Watch| {
        let stream = watch.stream.unwrap();
        watch.on(Input::ToldAll { stream });
        watch.asked()
    };
    assert_eq!(told(&mut watch), ["all"], "right after the last read");
    assert_eq!(told(&mut watch), [""; 0], "one read at a time");
    watch.read_everything(&[app("/db", &[up("a", 1)])]);
    assert_eq!(watch.asked(), ["all"], "the last one began before it was told");
    for _ in 0..3 {
        watch.fail_everything();
        assert_eq!(told(&mut watch), ["all"], "after a read that failed");
    }
}
