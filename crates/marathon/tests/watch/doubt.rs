//! Doubt about answers that lack much of what was there.

use std::sync::Arc;
use std::time::Duration;

use marathon::watch::{Config, DEFAULT_DOUBT, Input, Loss, Place, ReadOutcome, State};
use marathon::{Coverage, Snapshot};

use crate::common::{Watch, app, key, snapshot, task, up};

const OLD: &str = "framework-1";

fn apps(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| app(id, &[])).collect()
}

/// An app with one task for each of these names, `/a` with `a.1` and so on.
fn running(id: &str, tasks: &[&str]) -> String {
    app(id, &tasks.iter().map(|task| up(task, 1)).collect::<Vec<_>>())
}

fn of_framework(apps: &[String], framework: Option<&str>) -> Snapshot {
    Snapshot { framework: framework.map(Arc::from), ..snapshot(apps) }
}

impl Watch {
    /// One that has read these apps of the old framework, and answers with others from now on.
    fn knowing(apps: &[String]) -> Self {
        let mut watch = Self::started(apps);
        watch.reread(apps, Some(OLD));
        assert!(watch.state.doubt().is_none());
        watch
    }

    /// Has everything read, and answers so.
    fn reread(&mut self, apps: &[String], framework: Option<&str>) {
        self.event("status_update_event", "{");
        self.live(4);
        assert_eq!(self.asked(), ["all"]);
        self.answer_all(apps, framework);
    }

    fn answer_all(&mut self, apps: &[String], framework: Option<&str>) {
        let answer = Some(of_framework(apps, framework));
        self.on(Input::ReadEverything { answer, leader: None });
    }

    /// Lets time pass, and answers each read of everything so. Returns the seconds since the start
    /// at which everything was read.
    fn answer_for(&mut self, seconds: u64, apps: &[String], framework: Option<&str>) -> Vec<u64> {
        let mut reads = Vec::new();
        for second in 1..=seconds {
            self.live(1);
            for asked in self.asked() {
                assert_eq!(asked, "all");
                self.answer_all(apps, framework);
                reads.push(second);
            }
        }
        reads
    }
}

#[test]
fn a_loss_of_more_than_half_is_doubted_and_what_is_listed_applies() {
    for (left, now, doubted) in [
        (&["/a", "/b"][..], &["/a", "/b"][..], false),
        (&["/a"], &["/a", "/b", "/c", "/d"], true),
        (&[], &["/a", "/b", "/c", "/d"], true),
        (&["/x", "/y"], &["/a", "/b", "/c", "/d", "/x", "/y"], true),
    ] {
        let mut watch = Watch::knowing(&apps(&["/a", "/b", "/c", "/d"]));
        let whole = watch.whole;
        watch.reread(&apps(left), Some(OLD));
        assert_eq!(watch.ids(), now, "{left:?}");
        assert_eq!(watch.state.doubt().is_some(), doubted, "{left:?}");
        // An answer that isn't believed makes nobody's knowledge newer.
        assert_eq!(watch.whole, whole + usize::from(!doubted));
    }
}

#[test]
fn a_loss_of_more_than_half_of_the_servers_is_doubted() {
    let all = [running("/a", &["a.1", "a.2", "a.3"]), running("/b", &["b.1"]), app("/c", &[])];
    for (left, doubted) in [
        (running("/a", &["a.1"]), false),
        (running("/a", &[]), true),
        // They were replaced.
        (running("/a", &["a.4"]), false),
        (app("/a", &[task("a.4", "STAGING", "")]), false),
    ] {
        let mut watch = Watch::knowing(&all);
        watch.reread(&[left.clone(), all[1].clone(), all[2].clone()], Some(OLD));
        assert_eq!(watch.state.doubt().is_some(), doubted, "{left}");
        if doubted {
            assert_eq!(watch.tasks("/a"), "a.1 up, a.2 up, a.3 up");
            let loss = watch.state.doubt().unwrap().loss;
            assert_eq!(loss, Loss { vips: 0, of_vips: 3, servers: 3, of_servers: 4 });
        }
    }
}

#[test]
fn everything_is_read_after_2_10_30_and_then_every_60_seconds() {
    let mut watch = Watch::knowing(&apps(&["/a", "/b", "/c"]));
    watch.reread(&[], Some("other"));
    let reads = watch.answer_for(280, &[], Some("other"));
    assert_eq!(reads, [2, 10, 30, 90, 150, 210, 270]);
    assert_eq!(watch.ids().len(), 3);
}

#[test]
fn answers_that_agree_are_believed_after_two_minutes_if_they_are_plausible_and_else_in_the_end() {
    let limit = DEFAULT_DOUBT.as_secs();
    let left = apps(&["/a"]);
    for (framework, left, believed_at) in [
        (Some(OLD), &left[..], 120),
        // The framework is another one.
        (Some("other"), &left, limit),
        (None, &left, limit),
        // No other app is listed.
        (Some(OLD), &[], limit),
    ] {
        let mut watch = Watch::knowing(&apps(&["/a", "/b", "/c", "/d"]));
        watch.reread(left, framework);
        let reads = watch.answer_for(believed_at - 1, left, framework);
        assert_eq!(watch.ids().len(), 4, "{framework:?} {left:?} {reads:?}");
        watch.answer_for(2, left, framework);
        assert_eq!(watch.ids().len(), left.len(), "{framework:?} {left:?}");
        assert!(watch.state.doubt().is_none());
    }
}

#[test]
fn answers_that_lose_more_than_before_do_not_agree() {
    let mut watch = Watch::knowing(&apps(&["/a", "/b", "/c", "/d", "/e"]));
    watch.reread(&apps(&["/a", "/b"]), Some(OLD));
    watch.answer_for(100, &apps(&["/a", "/b"]), Some(OLD));
    let reads = watch.answer_for(100, &apps(&["/b"]), Some(OLD));
    assert_eq!(reads, [20, 50]);
    assert_eq!(watch.ids().len(), 5, "it isn't two minutes since the last loss");
    watch.answer_for(41, &apps(&["/b"]), Some(OLD));
    assert_eq!(watch.ids(), ["/b"]);
}

#[test]
fn a_flash_of_nothing_changes_nothing_and_a_part_that_comes_back_ends_no_doubt() {
    let all = apps(&["/a", "/b", "/c"]);
    let mut watch = Watch::knowing(&all);
    watch.changed.clear();
    watch.reread(&[], Some("other"));
    watch.answer_for(2, &all[..2], Some("other"));
    assert!(watch.state.doubt().is_some());
    assert_eq!(watch.ids().len(), 3);
    watch.answer_for(8, &all, Some("other"));
    assert!(watch.state.doubt().is_none());
    assert!(watch.changed.is_empty());
}

#[test]
fn what_is_announced_is_believed_at_once_and_looked_at_again() {
    let deployed = |id: &str| {
        format!(
            r#"{{"plan":{{"steps":[{{"actions":[{{"action":"StopApplication","app":"{id}"}}]}}]}}}}"#
        )
    };
    for event in ["app_terminated_event", "deployment_success"] {
        let mut watch = Watch::knowing(&apps(&["/a", "/b", "/c"]));
        for id in ["/b", "/c"] {
            match event {
                "app_terminated_event" => watch.event(event, &format!(r#"{{"appId":"{id}"}}"#)),
                _ => watch.event(event, &deployed(id)),
            }
        }
        watch.event("status_update_event", "{");
        watch.live(4);
        watch.asked();
        watch.answer_all(&apps(&["/a"]), Some(OLD));
        assert_eq!(watch.ids(), ["/a"], "{event}");
        let reads = watch.answer_for(200, &apps(&["/a"]), Some(OLD));
        assert_eq!(reads, (1..=12).map(|n| 10 * n).collect::<Vec<_>>(), "{event}");
    }
}

#[test]
fn an_announcement_is_over_once_a_read_shows_it() {
    let mut watch = Watch::knowing(&apps(&["/a", "/b"]));
    for id in ["/a", "/b"] {
        watch.event("api_post_event", &format!(r#"{{"appDefinition":{{"id":"{id}"}}}}"#));
    }
    watch.after(300);
    watch.read(&app("/a", &[]));
    watch.read(&app("/b", &[]));
    watch.live(10);
    watch.asked();
    watch.reread(&[], Some(OLD));
    assert!(watch.state.doubt().is_some());
}

#[test]
fn tasks_whose_end_was_announced_are_no_loss_and_stay_no_longer() {
    let all = [running("/db", &["t.1", "t.2", "t.3"]), app("/b", &[]), app("/c", &[])];
    let mut watch = Watch::knowing(&all);
    watch.status("t.1", "KILLED");
    watch.status("t.2", "KILLED");
    watch.after(300);
    watch.asked();
    watch.answer("/db", ReadOutcome::Failed);
    watch.live(3);
    watch.asked();
    watch.answer_all(&[running("/db", &["t.3"]), all[1].clone(), all[2].clone()], Some(OLD));
    assert!(watch.state.doubt().is_none());
    assert_eq!(watch.tasks("/db"), "t.3 up");
}

#[test]
fn while_in_doubt_what_an_event_ends_goes() {
    let all = [running("/db", &["t.1", "t.2", "t.3", "t.4"]), running("/b", &["b.1"])];
    let mut watch = Watch::knowing(&all);
    watch.reread(&[], Some("other"));
    assert_eq!(watch.tasks("/db"), "t.1 up, t.2 up, t.3 up, t.4 up");
    watch.status("t.1", "FAILED");
    assert_eq!(watch.tasks("/db"), "t.1 over, t.2 up, t.3 up, t.4 up");
    watch.event("app_terminated_event", r#"{"appId":"/b"}"#);
    watch.after(300);
    for asked in watch.asked() {
        watch.answer(asked.split_once(' ').unwrap().1, ReadOutcome::Missing);
    }
    assert_eq!(watch.ids(), ["/db"]);
    watch.answer_for(10, &[], Some("other"));
    assert_eq!(watch.tasks("/db"), "t.1 over, t.2 up, t.3 up, t.4 up");
}

#[test]
fn while_in_doubt_tasks_that_serve_replace_those_that_are_no_longer_listed() {
    let all = [running("/a", &["a.1", "a.2"]), running("/b", &["b.1"]), running("/c", &["c.1"])];
    let mut watch = Watch::knowing(&all);
    let staging = app("/a", &[task("a.3", "STAGING", "")]);
    watch.reread(&[staging], Some("other"));
    assert_eq!(watch.tasks("/a"), "a.1 up, a.2 up, a.3 else");
    watch.answer_for(2, &[running("/a", &["a.3"])], Some("other"));
    assert!(watch.state.doubt().is_some());
    assert_eq!(watch.tasks("/a"), "a.3 up");
    assert_eq!((watch.tasks("/b"), watch.tasks("/c")), ("b.1 up".into(), "c.1 up".into()));
}

/// A task at the place of another one.
fn at_place_of(id: &str, other: &str) -> String {
    up(id, 1).replace(&format!("h-{id}"), &format!("h-{other}"))
}

#[test]
fn a_task_whose_place_belongs_to_another_one_goes_at_once_in_doubt_or_not() {
    let all = [running("/a", &["a.1", "a.2"]), running("/b", &["b.1"]), running("/c", &["c.1"])];
    for in_doubt in [false, true] {
        let mut watch = Watch::knowing(&all);
        if in_doubt {
            watch.reread(&[], Some("other"));
        }
        watch.event("api_post_event", r#"{"appDefinition":{"id":"/new"}}"#);
        watch.after(300);
        watch.read(&app("/new", &[at_place_of("new.1", "a.1")]));
        assert_eq!(watch.tasks("/a"), "a.2 up", "{in_doubt}");
        // Only those that stay in doubt go because of another Marathon.
        watch.on(Input::Taken([Place::Agent("h-b.1".into(), 1)].into()));
        assert_eq!(watch.tasks("/b"), if in_doubt { "" } else { "b.1 up" });
    }
    let mut watch = Watch::knowing(&all);
    watch.reread(&[app("/new", &[at_place_of("new.1", "a.1")])], Some("other"));
    assert_eq!((watch.tasks("/a"), watch.tasks("/b")), ("a.2 up".into(), "b.1 up".into()));
}

#[test]
fn a_read_of_one_app_that_loses_too_much_lets_a_read_of_everything_decide() {
    let all = [running("/db", &["t.1", "t.2"]), running("/b", &["b.1"])];
    let mut watch = Watch::knowing(&all);
    watch.status("t.9", "RUNNING");
    watch.after(300);
    watch.asked();
    watch.read(&running("/db", &[]));
    assert_eq!(watch.tasks("/db"), "t.1 up, t.2 up");
    watch.live(4);
    assert!(watch.asked().contains(&"all".to_owned()));
}

#[test]
fn what_was_accepted_goes_at_once_and_is_looked_at_again() {
    let all = [running("/a", &["a.1", "a.2"]), running("/b", &["b.1"]), app("/c", &[])];
    let mut watch = Watch::knowing(&all);
    let left = [running("/a", &[])];
    watch.reread(&left, Some("other"));
    watch.on(Input::Accept);
    assert_eq!(watch.ids(), ["/a"]);
    assert_eq!(watch.tasks("/a"), "");
    assert!(watch.state.doubt().is_none());
    assert_eq!(watch.answer_for(35, &left, Some("other")), [2, 12, 22, 32]);
}

#[test]
fn a_first_answer_is_doubted_against_what_an_earlier_run_knew() {
    for (framework, believed_at) in [(OLD, 120), ("other", 900)] {
        let mut watch = Watch::new(1, Some(1), 7);
        let known = snapshot(&apps(&["/a", "/b", "/c"])).workloads;
        assert_eq!(watch.state.restore(known).len(), 3);
        watch.state.restore_framework(OLD.into());
        watch.opened();
        watch.after(1000);
        assert!(watch.asked().contains(&"all".to_owned()));
        let left = apps(&["/a"]);
        watch.answer_all(&left, Some(framework));
        assert_eq!(watch.state.coverage(), Coverage { apps: true, pods: true });
        watch.answer_for(believed_at - 1, &left, Some(framework));
        assert_eq!(watch.ids().len(), 3, "{framework}");
        watch.answer_for(2, &left, Some(framework));
        assert_eq!(watch.ids(), ["/a"], "{framework}");
    }
}

#[test]
fn the_owner_may_doubt_what_no_answer_has_listed() {
    let all = apps(&["/a"]);
    let mut watch = Watch::knowing(&all);
    let loss = Loss { vips: 3, of_vips: 4, ..Loss::default() };
    watch.on(Input::Doubt(loss));
    assert_eq!(watch.answer_for(40, &all, Some(OLD)), [2, 10, 30]);
    assert_eq!(watch.state.doubt().unwrap().loss, loss);
    watch.on(Input::Trust);
    assert!(watch.state.doubt().is_none());
}

#[test]
fn nothing_is_doubted_if_the_configuration_says_so() {
    let config =
        Config { urls: 1.try_into().unwrap(), agents: None, seed: 7, doubt: Duration::ZERO };
    let mut state = State::new(&config, Duration::ZERO);
    let known = snapshot(&apps(&["/a", "/b", "/c"])).workloads;
    state.restore(known);
    let now = Duration::from_secs(3);
    state.handle_input(Input::Tick, now);
    let answer = Some(snapshot(&[]));
    state.handle_input(Input::ReadEverything { answer, leader: None }, now);
    assert_eq!(state.workloads().count(), 0);
    assert!(!state.workloads().any(|workload| workload.key() == key("/a")));
}

#[test]
fn news_of_apps_that_a_doubt_keeps_nothing_of_leads_to_no_more_reads_of_everything() {
    let mut known = apps(&["/a", "/b"]);
    known.push(format!(r#"{{"id":"/db","tasks":[{}]}}"#, up("n.1", 1)));
    let mut watch = Watch::knowing(&known);
    watch.reread(&[], Some(OLD));
    assert!(watch.state.doubt().is_some());
    watch.status("n.1", "FAILED");
    let mut reads = 0;
    for _ in 0..60 {
        watch.live(1);
        for asked in watch.asked() {
            if asked == "all" {
                watch.answer_all(&[], Some(OLD));
                reads += 1;
            } else {
                watch.answer("/db", ReadOutcome::Missing);
            }
        }
    }
    // After 2, 10 and 30 s.
    assert!(reads <= 4, "{reads} reads of everything");
}

#[test]
fn an_app_that_lost_its_label_keeps_no_task_whose_place_is_taken() {
    let mut watch = Watch::knowing(&[running("/w", &["w.1", "w.2"]), running("/v", &["v.1"])]);
    let bare = r#"{"id":"/w","tasks":[]}"#.to_owned();
    let other = app("/new", &[at_place_of("new.1", "w.1")]);
    watch.reread(&[bare, other], Some(OLD));
    assert!(watch.state.doubt().is_some());
    assert_eq!(watch.tasks("/w"), "w.2 up");
}

/// What the owner misses was listed by no read, and is no reason to doubt what one lists.
#[test]
fn an_app_without_its_label_is_obeyed_unless_a_read_is_doubted() {
    let known = [running("/w", &["w.1"]), running("/v", &["v.1"]), running("/u", &["u.1"])];
    let bare = r#"{"id":"/w","tasks":[]}"#.to_owned();
    let listed = [bare.clone(), known[1].clone(), known[2].clone()];
    let loss = Loss { vips: 3, of_vips: 4, ..Loss::default() };
    for alone in [true, false] {
        let mut watch = Watch::knowing(&known);
        watch.on(Input::Doubt(loss));
        if alone {
            let data = r#"{"appId":"/w","taskId":"w.9","taskStatus":"TASK_RUNNING"}"#;
            watch.event("status_update_event", data);
            watch.after(300);
            watch.read(&bare);
        } else {
            watch.live(2);
            watch.asked();
            watch.answer_all(&listed, Some(OLD));
        }
        assert_eq!(watch.tasks("/w"), "", "{alone}");
        assert!(watch.state.doubt().is_some_and(|doubt| !doubt.concerns(&key("/w"))));
        // All at once is another matter.
        let all = ["/u", "/v"].map(|id| format!(r#"{{"id":"{id}","tasks":[]}}"#));
        watch.live(8);
        watch.asked();
        watch.answer_all(&[bare.clone(), all[0].clone(), all[1].clone()], Some(OLD));
        assert_eq!((watch.tasks("/v"), watch.tasks("/u")), ("v.1 up".into(), "u.1 up".into()));
    }
}

#[test]
fn a_doubt_of_an_earlier_run_goes_on_and_a_later_one_begins_anew() {
    let known = apps(&["/a", "/b", "/c"]);
    let restored = |lasted: u64| {
        let mut watch = Watch::new(1, Some(1), 7);
        let known = snapshot(&known).workloads;
        watch.state.restore(known);
        watch.state.restore_doubt(Duration::from_secs(lasted));
        watch.opened();
        watch.after(1000);
        watch.asked();
        watch
    };
    // However long it has lasted, this run asks more than once.
    for (lasted, rest) in [(0, 900), (800, 100), (890, 10), (9999, 10)] {
        let mut watch = restored(lasted);
        watch.answer_all(&[], Some("other"));
        // A first answer without a VIP counts only if it isn't the first.
        assert!(watch.state.doubt().is_some());
        watch.answer_for(rest - 1, &[], Some("other"));
        assert_eq!(watch.ids().len(), 3, "{lasted}");
        watch.answer_for(2, &[], Some("other"));
        assert_eq!(watch.ids().len(), 0, "{lasted}");
    }
    // The owner's doubt follows the first answer that is believed.
    let mut watch = restored(800);
    watch.answer_all(&known, Some("other"));
    watch.on(Input::Doubt(Loss { vips: 3, of_vips: 4, ..Loss::default() }));
    watch.answer_for(99, &known, Some("other"));
    assert!(watch.state.doubt().is_some());
    watch.answer_for(2, &known, Some("other"));
    assert!(watch.state.doubt().is_none());
    // Another doubt is a new one.
    for in_between in [0, 1] {
        let mut watch = restored(800);
        for _ in 0..=in_between {
            watch.answer_all(&known, Some("other"));
            watch.reread(&known, Some("other"));
        }
        watch.reread(&[], Some("other"));
        watch.answer_for(898, &[], Some("other"));
        assert_eq!(watch.ids().len(), 3);
    }
}

#[test]
fn an_answer_that_says_nothing_of_what_is_kept_ends_no_doubt() {
    let mut watch = Watch::knowing(&apps(&["/a", "/b", "/c"]));
    watch.reread(&[], Some("other"));
    assert!(watch.state.doubt().is_some());
    watch.live(2);
    assert_eq!(watch.asked(), ["all"]);
    let silent = Snapshot { coverage: Coverage::default(), ..of_framework(&[], Some("other")) };
    watch.on(Input::ReadEverything { answer: Some(silent), leader: None });
    let doubt = watch.state.doubt().expect("it is still open");
    assert!(doubt.concerns(&key("/a")));
    watch.answer_for(8, &[], Some("other"));
    assert_eq!(watch.ids().len(), 3);
}
