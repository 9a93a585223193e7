//! What a read may take away.

use marathon::watch::ReadOutcome;
use marathon::{Document, InstanceSpec, Kind, Records, TaskState};

use crate::common::{Watch, app, at, key, up};

fn apps(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| app(id, &[])).collect()
}

fn re_read(watch: &mut Watch) {
    watch.event("status_update_event", "{");
    watch.live(4);
    assert_eq!(watch.asked(), ["all"]);
}

#[test]
fn a_flash_of_nothing_changes_nothing() {
    let mut watch = Watch::started(&apps(&["/a", "/b"]));
    re_read(&mut watch);
    watch.changed.clear();
    watch.read_everything(&[]);
    watch.after(2000);
    watch.read_everything(&apps(&["/a", "/b"]));
    assert!(watch.changed.is_empty());
}

#[test]
fn labels_that_vanish_count_as_taken_away_and_workloads_without_vips_do_not() {
    let plain = |id: &str| format!(r#"{{"id":"{id}","tasks":[]}}"#);
    let mut watch = Watch::started(&[app("/a", &[]), plain("/b"), plain("/c"), plain("/d")]);
    re_read(&mut watch);
    watch.read_everything(&apps(&["/a"]));
    assert_eq!(watch.ids(), ["/a"]);
    watch.asked();
    re_read(&mut watch);
    watch.read_everything(&[plain("/a")]);
    watch.after(2000);
    assert_eq!(watch.asked(), ["all"]);
    assert_eq!(watch.state.workloads().next().unwrap().spec.ports.len(), 1);
}

#[test]
fn what_is_announced_is_believed_at_once() {
    let mut watch = Watch::started(&apps(&["/a", "/g/b", "/g/h/c", "/gx"]));
    watch.event("app_terminated_event", r#"{"appId":"/a"}"#);
    watch.event("group_change_success", r#"{"groupId":"/g"}"#);
    watch.live(4);
    assert_eq!(watch.asked(), ["app /a", "all"]);
    watch.read_everything(&apps(&["/gx"]));
    assert_eq!(watch.ids(), ["/gx"]);
}

#[test]
fn an_announced_app_goes_when_marathon_does_not_know_it_any_more() {
    let mut watch = Watch::started(&apps(&["/a", "/b"]));
    watch.event("app_terminated_event", r#"{"appId":"/a"}"#);
    assert_eq!(watch.ids(), ["/a", "/b"]);
    watch.after(300);
    watch.changed.clear();
    watch.answer("/a", ReadOutcome::Missing);
    assert_eq!(watch.ids(), ["/b"]);
    assert!(watch.changed.contains(&key("/a")));
    watch.live(20);
    assert_eq!(watch.asked(), ["app /a"]);
}

#[test]
fn an_app_that_is_missing_unannounced_is_looked_for_in_everything() {
    let mut watch = Watch::started(&apps(&["/a", "/b"]));
    watch.live(10);
    watch.event("api_post_event", r#"{"appDefinition":{"id":"/a"}}"#);
    watch.after(300);
    watch.answer("/a", ReadOutcome::Missing);
    assert_eq!(watch.ids(), ["/a", "/b"]);
    watch.after(300);
    assert_eq!(watch.asked(), ["app /a", "all"]);
    watch.read_everything(&apps(&["/b"]));
    assert_eq!(watch.ids(), ["/b"]);
}

#[test]
fn an_old_read_of_everything_does_not_undo_a_newer_read_of_one() {
    let mut watch = Watch::started(&apps(&["/a"]));
    re_read(&mut watch);
    watch.event("status_update_event", "{");
    watch.live(1);
    watch.event("api_post_event", r#"{"appDefinition":{"id":"/new"}}"#);
    watch.after(1000);
    assert_eq!(watch.asked(), ["app /new"]);
    watch.read(&app("/new", &[up("n", 1)]));
    watch.event("api_post_event", r#"{"appDefinition":{"id":"/a"}}"#);
    watch.after(300);
    watch.read(&app("/a", &[up("a", 1)]));
    watch.read_everything(&apps(&["/a"]));
    assert_eq!(watch.ids(), ["/a", "/new"]);
    assert_eq!(watch.tasks("/new"), "n up");
    assert_eq!(watch.tasks("/a"), "a up");
}

#[test]
fn an_answer_that_lost_an_app_deletes_none() {
    let mut watch = Watch::started(&apps(&["/a", "/b"]));
    re_read(&mut watch);
    let mut snapshot = crate::common::snapshot(&[app("/a", &[up("t", 1)])]);
    snapshot.coverage.apps = false;
    watch.on(marathon::watch::Input::ReadEverything { answer: Some(snapshot), leader: None });
    assert_eq!(watch.ids(), ["/a", "/b"]);
    assert_eq!(watch.tasks("/a"), "t up");
}

#[test]
fn absence_says_something_only_after_everything_was_read() {
    let mut watch = Watch::new(1, Some(1), 7);
    watch.ended();
    watch.fail_everything();
    assert!(!watch.state.coverage().apps);
    watch.after(2000);
    watch.read_everything(&apps(&["/a"]));
    assert!(watch.state.coverage().apps && watch.state.coverage().pods);
}

#[test]
fn a_first_answer_without_any_vip_is_read_again_before_it_says_that_there_is_none() {
    let plain = || vec![r#"{"id":"/plain","tasks":[]}"#.to_owned()];
    for (second, left) in [(vec![], &[][..]), (plain(), &["/plain"]), (apps(&["/a"]), &["/a"])] {
        let mut watch = Watch::new(1, Some(1), 7);
        watch.opened();
        watch.after(1000);
        watch.read_everything(&plain());
        assert!(!watch.state.coverage().apps && !watch.state.coverage().pods);
        watch.asked();
        watch.after(1999);
        assert_eq!(watch.asked(), [""; 0]);
        watch.after(1);
        assert_eq!(watch.asked(), ["all"]);
        watch.read_everything(&second);
        assert!(watch.state.coverage().apps && watch.state.coverage().pods);
        assert_eq!(watch.ids(), left);
        watch.live(60);
        assert_eq!(watch.asked(), [""; 0]);
    }
}

#[test]
fn a_task_of_an_older_version_stays_as_it_was_until_its_record_is_read() {
    let mut watch = Watch::started(&[app("/db", &[up("a", 1)])]);
    let before = watch.state.get(&key("/db")).unwrap().instances[0].clone();
    // The new version has two ports.
    let new = app("/db", &[up("a", 2)]).replacen(&at(0), &at(60), 1).replace(
        r#""portDefinitions":["#,
        r#""portDefinitions":[{"labels":{"VIP_1":"3.3.0.7:1"}},"#,
    );
    watch.event("api_post_event", r#"{"appDefinition":{"id":"/db"}}"#);
    watch.after(300);
    watch.read(&new);
    let workload = watch.state.get(&key("/db")).unwrap();
    assert_eq!(workload.spec.ports.len(), 2);
    let kept = &workload.instances[0];
    assert_eq!(kept.endpoints, before.endpoints);
    assert!(matches!(&kept.spec, InstanceSpec::Older(spec) if spec.ports.len() == 1));
    watch.after(2000);
    assert_eq!(watch.asked(), ["app /db", "app /db"], "the record is asked for once more");
    let mut records = Records::default();
    let unread = Document::parse(new.as_bytes()).unwrap();
    for version in unread.to_snapshot(&records).missing_versions() {
        let spec = Document::parse_version(Kind::App, app("/db", &[]).as_bytes()).unwrap();
        records.insert(version, spec);
    }
    let workload = unread.to_snapshot(&records).workloads.remove(0);
    watch.answer("/db", ReadOutcome::Found(workload));
    let read = &watch.state.get(&key("/db")).unwrap().instances[0];
    assert!(matches!(&read.spec, InstanceSpec::Older(spec) if spec.ports.len() == 1));
    watch.live(20);
    assert_eq!(watch.asked(), [""; 0]);
}

#[test]
fn a_task_out_of_reach_keeps_the_ports_that_marathon_blanks() {
    let mut watch = Watch::started(&[app("/a", &[up("a.1", 1), up("a.2", 1)])]);
    let before = watch.state.get(&key("/a")).unwrap().instances[0].clone();
    let blank = r#"{"id":"a.1","state":"TASK_UNREACHABLE","host":"h-a.1","ports":[]}"#.to_owned();
    watch.event("status_update_event", "{");
    watch.live(4);
    watch.read_everything(&[app("/a", &[blank, up("a.2", 1)])]);
    let after = &watch.state.get(&key("/a")).unwrap().instances[0];
    assert_eq!(after.state, TaskState::Unreachable);
    assert_eq!(after.endpoints, before.endpoints);
    assert_eq!((after.version, &after.spec), (before.version, &before.spec));
}

/// A definition with a part of a type that nobody expects, which may have cost it its VIPs.
fn damaged(tasks: &[String]) -> String {
    app("/db", tasks).replace(r#"[{"labels""#, r#"[7,{"lables""#)
}

#[test]
fn what_was_known_stays_until_a_definition_can_be_read_as_a_whole() {
    let other = || app("/b", &[up("b.1", 1)]);
    // So many that the loss of /db is no matter of doubt.
    let many = || app("/c", &["c.1", "c.2", "c.3", "c.4", "c.5"].map(|id| up(id, 1)));
    for alone in [true, false] {
        let mut watch =
            Watch::started(&[app("/db", &[up("t.1", 1), up("t.2", 1)]), other(), many()]);
        let read = |watch: &mut Watch, db: String| {
            watch.status("t.9", "RUNNING");
            match alone {
                true => {
                    watch.live(10);
                    // A read of one that failed is followed by one of everything.
                    match watch.asked().contains(&"app /db".to_owned()) {
                        true => watch.read(&db),
                        false => watch.read_everything(&[db, other(), many()]),
                    }
                }
                false => {
                    watch.event("status_update_event", "{");
                    watch.live(10);
                    watch.read_everything(&[db, app("/b", &[up("b.1", 1), up("b.2", 1)]), many()]);
                    assert_eq!(watch.tasks("/b"), "b.1 up, b.2 up");
                }
            }
        };
        let labels = |watch: &Watch| {
            let ports = &watch.state.get(&key("/db")).unwrap().spec.ports;
            ports.iter().map(|port| port.labels.iter().count()).collect::<Vec<_>>()
        };
        read(&mut watch, damaged(&[up("t.3", 1)]));
        assert_eq!((watch.tasks("/db"), labels(&watch)), ("t.1 up, t.2 up".into(), vec![1]));
        // Events go on working.
        watch.status("t.1", "KILLED");
        assert_eq!(watch.tasks("/db"), "t.1 over, t.2 up");
        read(&mut watch, app("/db", &[up("t.3", 1)]));
        assert_eq!((watch.tasks("/db"), labels(&watch)), ("t.3 up".into(), vec![1]), "{alone}");
    }
}

#[test]
fn where_nothing_is_known_a_damaged_definition_is_better_than_none() {
    let mut watch = Watch::started(&[damaged(&[up("t.1", 1)])]);
    assert_eq!(watch.tasks("/db"), "t.1 up");
    assert!(watch.state.get(&key("/db")).unwrap().damaged);
    // It replaces its like, and is replaced by what can be read.
    for whole in [false, true] {
        watch.status("t.9", "RUNNING");
        watch.live(10);
        let tasks = [up("t.2", 1)];
        watch.read(&if whole { app("/db", &tasks) } else { damaged(&tasks) });
        assert_eq!(watch.tasks("/db"), "t.2 up");
        assert_eq!(watch.state.get(&key("/db")).unwrap().damaged, !whole);
    }
}

/// It may still load what it knows, and its first answer is no event.
#[test]
fn a_new_leader_that_shows_no_vip_is_asked_again_soon() {
    let mut watch = Watch::new(1, Some(1), 7);
    for (leader, expected) in [("a:8080", vec![]), ("b:8080", vec!["all"])] {
        watch.leader = Some(leader.to_owned());
        watch.opened();
        watch.live(1);
        watch.read_everything(&[]);
        watch.live(3);
        watch.read_everything(&[]);
        watch.asked();
        watch.live(13);
        assert_eq!(watch.asked(), expected, "{leader}");
        if leader == "a:8080" {
            watch.ended();
            watch.after(2000);
        }
    }
    watch.read_everything(&apps(&["/a"]));
    assert_eq!(watch.ids(), ["/a"]);
}
