//! What a read doesn't say of a task and was known before.

use std::sync::Arc;

use marathon::watch::Input;
use marathon::{Instance, InstanceSpec, Unroutable, Workload};

use crate::common::{Watch, app, at, key, task, up};

fn instance(watch: &Watch) -> Instance {
    watch.state.get(&key("/db")).unwrap().instances[0].clone()
}

/// Has an event and a read of /db in which its only task is so.
fn read(watch: &mut Watch, app: &str) {
    watch.event("api_post_event", r#"{"appDefinition":{"id":"/db"}}"#);
    watch.after(300);
    watch.read(app);
}

fn blank(state: &str) -> String {
    format!(r#"{{"id":"a","state":"TASK_{state}","host":"h-a","ports":[]}}"#)
}

#[test]
fn a_running_task_without_its_ports_in_one_answer_keeps_them() {
    for missing in [
        blank("RUNNING"),
        task("a", "RUNNING", "").replace("[1]", "[]"),
        task("a", "RUNNING", "").replace("[1]", "[0]"),
        task("a", "KILLING", "").replace(r#""host":"h-a","#, ""),
    ] {
        let mut watch = Watch::started(&[app("/db", &[up("a", 1)])]);
        let before = instance(&watch);
        assert!(before.endpoints[0].is_ok());
        for _ in 0..2 {
            read(&mut watch, &app("/db", &[missing.as_str().to_owned()]));
            assert_eq!(instance(&watch).endpoints, before.endpoints, "{missing}");
            assert_eq!(instance(&watch).host, before.host);
            assert_eq!(instance(&watch).version, before.version);
        }
    }
}

#[test]
fn a_task_that_ended_or_was_started_anew_has_the_ports_of_the_answer_only() {
    let elsewhere = blank("RUNNING").replace("h-a", "h-b");
    let later = task("a", "RUNNING", "").replace("[1]", "[]");
    let later = later
        .replace(&format!(r#""startedAt":"{}""#, at(0)), &format!(r#""startedAt":"{}""#, at(9)));
    for another in [blank("FAILED"), blank("STAGING"), elsewhere, later] {
        let mut watch = Watch::started(&[app("/db", &[up("a", 1)])]);
        read(&mut watch, &app("/db", &[another.as_str().to_owned()]));
        assert!(instance(&watch).endpoints[0].is_err(), "{another}");
    }
}

#[test]
fn a_task_out_of_reach_keeps_the_ports_of_its_own_version() {
    let mut watch = Watch::started(&[app("/db", &[up("a", 1)])]);
    let before = instance(&watch);
    let new = app("/db", &[blank("UNREACHABLE")]).replacen(&at(0), &at(60), 1).replace(
        r#""portDefinitions":["#,
        r#""portDefinitions":[{"labels":{"VIP_1":"3.3.0.7:1"}},"#,
    );
    for _ in 0..2 {
        read(&mut watch, &new);
        let after = instance(&watch);
        assert_eq!(after.endpoints, before.endpoints);
        assert_eq!(after.health, before.health);
        assert!(matches!(&after.spec, InstanceSpec::Older(spec) if spec.ports.len() == 1));
    }
}

/// Its ports are those of its agent: beside another agent's name they would be somebody else's.
#[test]
fn a_task_of_a_version_that_is_not_known_keeps_its_ports_on_its_own_agent_only() {
    for (host, is_known) in [("h-a", true), ("h-b", false)] {
        let mut watch = Watch::started(&[app("/db", &[up("a", 1)])]);
        let before = instance(&watch);
        let moved = up("a", 1).replace("h-a", host);
        let new = app("/db", &[moved]).replacen(&at(0), &at(60), 1).replace(
            r#""portDefinitions":["#,
            r#""portDefinitions":[{"labels":{"VIP_1":"3.3.0.7:1"}},"#,
        );
        read(&mut watch, &new);
        let after = instance(&watch);
        assert_eq!(matches!(after.spec, InstanceSpec::Older(_)), is_known, "{host}");
        assert_eq!(after.endpoints == before.endpoints, is_known, "{host}");
    }
}

#[test]
fn ports_that_were_never_known_are_not_made_up() {
    let mut watch = Watch::started(&[app("/db", &[blank("UNREACHABLE")])]);
    read(&mut watch, &app("/db", &[blank("UNREACHABLE")]));
    assert_eq!(*instance(&watch).endpoints, [Err(Unroutable::Inactive)]);
    read(&mut watch, &app("/db", &[up("a", 1)]));
    assert!(instance(&watch).endpoints[0].is_ok());
}

#[test]
fn what_a_read_says_again_stays_in_the_memory_it_is_in() {
    let ids = |watch: &Watch| {
        let instances = &watch.state.get(&key("/db")).unwrap().instances;
        instances.iter().map(|instance| Arc::clone(&instance.id)).collect::<Vec<_>>()
    };
    let mut watch = Watch::started(&[app("/db", &[up("a", 1), up("b", 1)])]);
    let before = ids(&watch);
    let down = task("b", "RUNNING", &format!(r#"{{"alive":false,"lastFailure":"{}"}}"#, at(9)));
    read(&mut watch, &app("/db", &[up("a", 3), down.clone()]));
    assert_eq!(watch.tasks("/db"), "a up, b down");
    assert!(before.iter().zip(ids(&watch)).all(|(before, now)| Arc::ptr_eq(before, &now)));

    let workload = Arc::clone(watch.state.workloads().next().unwrap());
    watch.live(60);
    watch.asked();
    read(&mut watch, &app("/db", &[up("a", 4), down]));
    assert!(watch.asked().iter().any(|asked| asked.contains("/db")), "and was read again");
    assert!(Arc::ptr_eq(&workload, watch.state.workloads().next().unwrap()));
}

/// Returns /db as a relay believes it to be.
fn believed_elsewhere(tasks: &[String]) -> Arc<Workload> {
    let relay = Watch::started(&[app("/db", tasks)]);
    Arc::new(Workload::clone(relay.state.get(&key("/db")).unwrap()))
}

#[test]
fn a_workload_that_somebody_else_holds_is_in_memory_once() {
    let mut watch = Watch::started(&[app("/db", &[up("a", 1), up("b", 1)])]);
    let tell = |watch: &mut Watch, workload: &Arc<Workload>| {
        let (stream, workload) = (watch.stream.unwrap(), Some(Arc::clone(workload)));
        watch.after(300);
        watch.on(Input::Told { stream, key: key("/db"), workload });
    };
    let is_shared = |watch: &Watch, workload: &Arc<Workload>| {
        Arc::ptr_eq(watch.state.get(&key("/db")).unwrap(), workload)
    };
    let other = believed_elsewhere(&[up("a", 1), up("c", 1)]);
    tell(&mut watch, &other);
    assert_eq!(watch.tasks("/db"), "a up, c up");
    assert!(is_shared(&watch, &other), "changed");
    let same = Arc::new(Workload::clone(&other));
    watch.changed.clear();
    tell(&mut watch, &same);
    assert!(watch.changed.is_empty() && is_shared(&watch, &same), "the same");
    // What is believed from here on is another thing than what the relay has told.
    watch.status("c", "KILLED");
    assert_eq!(watch.tasks("/db"), "a up, c over");
    assert_eq!(other, same);
    assert!(!is_shared(&watch, &same));
}
