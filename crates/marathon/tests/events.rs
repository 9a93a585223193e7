//! Frames in, events out.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use marathon::events::sse::Frame;
use marathon::events::{Change, Event, Subject, Touched};
use marathon::{Kind, TaskState};

fn parse(event: &str, data: &str) -> Event {
    Event::parse(&Frame { event: Some(event.to_owned()), data: data.to_owned() })
}

fn subject(id: &str, version: Option<&str>) -> Subject {
    let version = version.map(|version| version.parse().unwrap());
    Subject { workload: "/db".to_owned(), id: id.to_owned(), version }
}

fn touched(kind: Option<Kind>, id: &str) -> Touched {
    Touched { kind, id: id.to_owned() }
}

const V: &str = "2020-01-02T03:04:05.678Z";

#[test]
fn every_generations_field_names_are_read() {
    let ended = |name: &str| TaskState::Terminal(name.to_owned());
    let state = |of, state| Change::State { of, state };
    for (event, data, expected) in [
        (
            "status_update_event",
            r#"{"taskId":"db.1","taskStatus":"TASK_KILLED","appId":"/db","version":"2020-01-02T03:04:05.678Z"}"#,
            state(subject("db.1", Some(V)), ended("TASK_KILLED")),
        ),
        (
            "instance_changed_event",
            r#"{"instanceId":"db.marathon-1","condition":"Killing","runSpecId":"/db","runSpecVersion":"2020-01-02T03:04:05.678Z"}"#,
            state(subject("db.marathon-1", Some(V)), TaskState::Killing),
        ),
        (
            "instance_changed_event",
            r#"{"instanceId":"i","condition":"UnreachableInactive","runSpecId":"db"}"#,
            state(subject("i", None), TaskState::Unreachable),
        ),
        (
            "instance_changed_event",
            r#"{"instanceId":"i","condition":"Failed","runSpecId":"/db"}"#,
            state(subject("i", None), ended("TASK_FAILED")),
        ),
        (
            "unknown_instance_terminated_event",
            r#"{"instanceId":"i","condition":"Killed","runSpecId":"/db"}"#,
            state(subject("i", None), ended("TASK_UNKNOWN")),
        ),
        (
            "health_status_changed_event",
            r#"{"appId":"/db","taskId":"db.1","alive":false}"#,
            Change::Health { of: subject("db.1", None), healthy: Some(false) },
        ),
        (
            "health_status_changed_event",
            r#"{"appId":"/db","instanceId":"i","version":"2020-01-02T03:04:05.678Z","alive":true}"#,
            Change::Health { of: subject("i", Some(V)), healthy: Some(true) },
        ),
        (
            "instance_health_changed_event",
            r#"{"runSpecId":"/db","instanceId":"i","healthy":null}"#,
            Change::Health { of: subject("i", None), healthy: None },
        ),
    ] {
        assert_eq!(parse(event, data).change, expected, "{event} {data}");
    }
}

#[test]
fn an_event_names_the_workloads_it_touches() {
    let app = |id| touched(Some(Kind::App), id);
    let pod = |id| touched(Some(Kind::Pod), id);
    for (event, data, expected) in [
        (
            "api_post_event",
            r#"{"uri":"/v2/apps/db","appDefinition":{"id":"/db"}}"#,
            Change::Posted(app("/db")),
        ),
        ("app_terminated_event", r#"{"appId":"/db"}"#, Change::Removed(app("/db"))),
        (
            "pod_created_event",
            r#"{"uri":"http://m:8080/x/v2/pods/g/p?force=true"}"#,
            Change::Posted(pod("/g/p")),
        ),
        ("pod_updated_event", r#"{"uri":"/v2/pods//g/p::status"}"#, Change::Posted(pod("/g/p"))),
        ("pod_deleted_event", r#"{"uri":"/v2/pods/g/p"}"#, Change::Removed(pod("/g/p"))),
        ("pod_created_event", r#"{"uri":"/v2/pods"}"#, Change::Unreadable),
        (
            "unhealthy_instance_kill_event",
            r#"{"appId":"/db","instanceId":"i"}"#,
            Change::Touched(vec![touched(None, "/db")]),
        ),
        (
            "group_change_success",
            r#"{"groupId":"/g","version":"x"}"#,
            Change::Group("/g".to_owned()),
        ),
        (
            "deployment_success",
            r#"{"id":"x","plan":{"steps":[{"actions":[{"action":"ScaleApplication","app":"/db"}]},{"actions":[{"pod":"/p"}]}]}}"#,
            Change::Touched(vec![app("/db"), pod("/p")]),
        ),
        (
            "deployment_step_success",
            r#"{"plan":{},"currentStep":{"actions":[{"type":"x","app":"/db"}]}}"#,
            Change::Touched(vec![app("/db")]),
        ),
        ("deployment_failed", r#"{"id":"x"}"#, Change::Unreadable),
    ] {
        assert_eq!(parse(event, data).change, expected, "{event} {data}");
    }
}

#[test]
fn a_deployment_names_each_app_once_however_many_it_has() {
    for count in [17, 40, 1000] {
        let action = |n: usize| format!(r#"{{"action":"StopApplication","app":"/g/{n:04}"}}"#);
        let actions = (0..count).map(action).collect::<Vec<_>>().join(",");
        let step = format!(r#"{{"actions":[{actions}]}}"#);
        let data = format!(r#"{{"plan":{{"steps":[{step}]}},"currentStep":{step}}}"#);
        let app = |n: usize| touched(Some(Kind::App), &format!("/g/{n:04}"));
        let apps = (0..count).map(app).collect();
        assert_eq!(parse("deployment_info", &data).change, Change::Touched(apps));
    }
}

#[test]
fn what_is_not_known_does_not_matter_and_what_matters_is_not_lost() {
    for (event, data, expected) in [
        ("event_stream_attached", "{}", Change::Other),
        ("framework_message_event", "", Change::Other),
        ("invented_later", "[1", Change::Other),
        ("failed_health_check_event", r#"{"appId":"/db"}"#, Change::Other),
        ("status_update_event", r#"{"taskId":"#, Change::Unreadable),
        ("status_update_event", "3", Change::Unreadable),
        (
            "status_update_event",
            r#"{"taskId":7,"appId":"/db","taskStatus":"TASK_RUNNING"}"#,
            Change::Unreadable,
        ),
    ] {
        assert_eq!(parse(event, data).change, expected, "{event} {data}");
    }
}

#[test]
fn without_an_event_line_the_data_says_the_kind() {
    let frame = |data: &str| Frame { event: None, data: data.to_owned() };
    let event = Event::parse(&frame(
        r#"{"eventType":"app_terminated_event","appId":"/db","timestamp":"2020-01-02T03:04:05.67Z"}"#,
    ));
    assert_eq!(event.change, Change::Removed(touched(Some(Kind::App), "/db")));
    assert_eq!(event.at, Some("2020-01-02T03:04:05.670Z".parse().unwrap()));
    assert_eq!(Event::parse(&frame("hello")).change, Change::Other);
}
