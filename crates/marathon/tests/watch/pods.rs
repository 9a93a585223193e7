//! Pods: instances are listed, and events name instances or containers.

use marathon::watch::{Input, ReadOutcome};
use marathon::{Document, Health, Kind, Records, Snapshot, TaskState, WorkloadKey};

use crate::common::{Watch, app, at, up};

const INSTANCE: &str = "p.instance-488b3441-7bb5-11e9-b931-8ae30e1b1bb7";

/// A pod with so many health-checked containers, each with a VIP.
fn pods(containers: usize, started: u64) -> Snapshot {
    let name = |index: usize| char::from(b'a' + u8::try_from(index).unwrap());
    let all = |one: &dyn Fn(char) -> String| {
        (0..containers).map(|index| one(name(index))).collect::<Vec<_>>().join(",")
    };
    let spec = all(&|name| {
        format!(
            r#"{{"name":"{name}","healthCheck":{{}},"endpoints":[{{"name":"e","hostPort":0,
            "protocol":["tcp"],"labels":{{"VIP_0":"3.3.0.6:80"}}}}]}}"#
        )
    });
    let status = all(&|name| {
        format!(
            r#"{{"name":"{name}","status":"TASK_RUNNING","statusSince":"{}",
            "endpoints":[{{"name":"e","allocatedHostPort":7,"healthy":true}}]}}"#,
            at(started)
        )
    });
    let body = format!(
        r#"[{{"id":"/p","spec":{{"id":"/p","containers":[{spec}]}},"status":"STABLE",
        "instances":[{{"id":"{INSTANCE}","status":"STABLE","agentHostname":"h","containers":[{status}]}},
            {{"id":"other","status":"STABLE","agentHostname":"h","containers":[{status}]}}]}}]"#
    );
    let apps = Document::parse_apps(br#"{"apps":[]}"#).unwrap();
    apps.merge(Document::parse_pods(body.as_bytes()).unwrap()).to_snapshot(&Records::default())
}

fn key() -> WorkloadKey {
    WorkloadKey { kind: Kind::Pod, id: "/p".into() }
}

fn started(containers: usize) -> Watch {
    let mut watch = Watch::started(&[]);
    watch.event("group_change_success", r#"{"groupId":"/"}"#);
    watch.live(3);
    let answer = Some(pods(containers, 0));
    watch.on(Input::ReadEverything { answer, leader: None });
    watch.asked();
    watch
}

/// Kind of event, instance or task, what it says, and the second it happened.
fn tell(watch: &mut Watch, event: &str, said: &str, moment: u64) {
    let data = format!(r#"{{"runSpecId":"/p","appId":"/p","timestamp":"{}",{said}}}"#, at(moment));
    watch.event(event, &data);
}

fn first(watch: &Watch) -> (TaskState, Health, Vec<Health>) {
    let instances = &watch.state.get(&key()).unwrap().instances;
    let instance = instances.iter().find(|instance| &*instance.id == INSTANCE).unwrap();
    (instance.state.clone(), instance.health, instance.port_health.to_vec())
}

#[test]
fn the_end_of_an_instance_acts_at_once_and_the_end_of_a_container_is_read() {
    let mut watch = started(1);
    let container = format!(r#""taskId":"{INSTANCE}.a","taskStatus":"TASK_FINISHED""#);
    tell(&mut watch, "status_update_event", &container, 9);
    watch.after(300);
    assert_eq!(first(&watch).0, TaskState::Running);
    let instance = format!(r#""instanceId":"{INSTANCE}","condition":"Killing""#);
    tell(&mut watch, "instance_changed_event", &instance, 9);
    assert_eq!(first(&watch).0, TaskState::Killing);
    watch.after(300);
    assert_eq!(watch.asked(), ["pod /p"]);
}

#[test]
fn an_instance_that_was_started_again_is_not_over() {
    let instance = format!(r#""instanceId":"{INSTANCE}","condition":"Failed""#);
    let mut late = started(1);
    tell(&mut late, "instance_changed_event", &instance, 0);
    assert_eq!(first(&late).0, TaskState::Running, "it started since");

    let mut again = started(1);
    tell(&mut again, "instance_changed_event", &instance, 9);
    assert!(first(&again).0.is_terminal());
    again.after(300);
    let read = pods(1, 10).workloads.remove(0);
    again.on(Input::Read { key: key(), answer: ReadOutcome::Found(read), leader: None });
    assert_eq!(first(&again).0, TaskState::Running);
}

#[test]
fn an_unhealthy_instance_is_down_where_it_is_clear_which_container_is_meant() {
    let said = format!(r#""instanceId":"{INSTANCE}","healthy":false"#);
    let mut one = started(1);
    tell(&mut one, "instance_health_changed_event", &said, 9);
    assert_eq!(first(&one), (TaskState::Running, Health::Down, vec![Health::Down]));
    let mut two = started(2);
    tell(&mut two, "instance_health_changed_event", &said, 9);
    assert_eq!(first(&two).1, Health::Up);
    two.after(300);
    assert_eq!(two.asked(), ["pod /p"]);
}

#[test]
fn a_new_pod_is_read_as_a_pod_and_a_deleted_one_goes() {
    let mut watch = Watch::started(&[]);
    watch.event("pod_created_event", r#"{"uri":"/v2/pods/p"}"#);
    tell(&mut watch, "instance_changed_event", r#""instanceId":"x","condition":"Running""#, 1);
    watch.after(300);
    assert_eq!(watch.asked(), ["pod /p"]);
    let read = pods(1, 0).workloads.remove(0);
    watch.on(Input::Read { key: key(), answer: ReadOutcome::Found(read), leader: None });
    assert!(watch.state.get(&key()).is_some());
    watch.live(5);
    watch.asked();
    watch.event("pod_deleted_event", r#"{"uri":"/v2/pods/p"}"#);
    watch.on(Input::Tick);
    while watch.asked().is_empty() {
        watch.live(1);
    }
    watch.on(Input::Read { key: key(), answer: ReadOutcome::Missing, leader: None });
    assert!(watch.state.get(&key()).is_none());
}

/// Whether the app and the pod of the id `/p` are known.
fn known(watch: &Watch) -> (bool, bool) {
    let app = WorkloadKey { kind: Kind::App, id: "/p".into() };
    (watch.state.get(&app).is_some(), watch.state.get(&key()).is_some())
}

fn as_app() -> String {
    crate::common::app("/p", &[crate::common::up("t", 1)])
}

/// Answers what is asked of `/p`: there is only the app, or only the pod.
fn settle(watch: &mut Watch, is_app: bool) {
    for _ in 0..100 {
        watch.after(100);
        watch.on(Input::Bytes { stream: watch.stream.unwrap() });
        for asked in watch.asked() {
            match (asked.as_str(), is_app) {
                ("app /p", true) => watch.read(&as_app()),
                ("pod /p", false) => {
                    let read = pods(1, 0).workloads.remove(0);
                    let answer = ReadOutcome::Found(read);
                    watch.on(Input::Read { key: key(), answer, leader: None });
                }
                ("app /p", false) => watch.answer("/p", ReadOutcome::Missing),
                ("pod /p", true) => {
                    let answer = ReadOutcome::Missing;
                    watch.on(Input::Read { key: key(), answer, leader: None });
                }
                ("all", true) => watch.read_everything(&[as_app()]),
                ("all", false) => {
                    let answer = Some(pods(1, 0));
                    watch.on(Input::ReadEverything { answer, leader: None });
                }
                (other, _) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn an_app_and_a_pod_follow_each_other_whatever_events_tell_of_it() {
    let events: [(&str, &str); 6] = [
        ("app_terminated_event", r#"{"appId":"/p"}"#),
        ("pod_deleted_event", r#"{"uri":"/v2/pods/p"}"#),
        ("pod_created_event", r#"{"uri":"/v2/pods/p"}"#),
        ("api_post_event", r#"{"appDefinition":{"id":"/p"}}"#),
        ("status_update_event", r#"{"appId":"/p","taskId":"new","taskStatus":"TASK_RUNNING"}"#),
        ("group_change_success", r#"{"groupId":"/"}"#),
    ];
    for is_app in [false, true] {
        for first in 0..events.len() {
            for second in 0..events.len() {
                for gap in [0, 100, 3000] {
                    let mut watch = match is_app {
                        true => started(1),
                        false => Watch::started(&[as_app()]),
                    };
                    assert_eq!(known(&watch), (!is_app, is_app));
                    for (kind, data) in [events[first], events[second]] {
                        watch.event(kind, data);
                        watch.after(gap);
                    }
                    let told = [events[first], events[second]];
                    settle(&mut watch, is_app);
                    let posted = if is_app { "api_post_event" } else { "pod_created_event" };
                    let telling = [posted, "status_update_event"];
                    // What no event tells is for the next read of everything.
                    if told.iter().any(|(kind, _)| telling.contains(kind)) {
                        assert_eq!(known(&watch), (is_app, !is_app), "{told:?} {gap}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_pod_that_an_app_has_replaced_goes_with_the_read_that_does_not_find_it() {
    let mut watch = started(1);
    watch.event("api_post_event", r#"{"appDefinition":{"id":"/p"}}"#);
    watch.after(300);
    assert_eq!(watch.asked(), ["app /p"]);
    watch.read(&app("/p", &[up("q.1", 1)]));
    assert!(watch.state.get(&key()).is_some());
    watch.live(3);
    assert_eq!(watch.asked(), ["pod /p"]);
    watch.no_pod("/p");
    assert!(watch.state.get(&key()).is_none());
    assert_eq!(watch.tasks("/p"), "q.1 up");
    // Nothing else has to be read for that.
    watch.live(5);
    assert_eq!(watch.asked(), [""; 0]);
}
