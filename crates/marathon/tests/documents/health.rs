//! What the results of health and readiness checks say, and the states of tasks.

use std::time::Duration;

use marathon::{Health, TaskState};

use crate::common::{only, snapshot};

fn app(rest: &str, task: &str) -> String {
    format!(
        r#"{{"id":"/x","version":"2020-01-02T00:00:00.000Z",{rest},
            "tasks":[{{"id":"x.1","version":"2020-01-02T00:00:00.000Z",{task}}}]}}"#
    )
}

#[test]
fn health_is_up_down_or_not_known() {
    const UP: &str = r#"{"alive":true,"lastSuccess":"2020-01-02T00:00:01.000Z"}"#;
    const DOWN: &str = r#"{"alive":false,"lastFailure":"2020-01-02T00:00:01.000Z"}"#;
    const FLAPPED: &str = r#"{"alive":false,"lastSuccess":"2020-01-02T00:00:01.000Z"}"#;
    const NEW: &str = r#"{"alive":false,"consecutiveFailures":0,"firstSuccess":null,
        "lastSuccess":null,"lastFailure":null,"lastFailureCause":null}"#;
    let cases: [(usize, &[&str], Health); 15] = [
        (0, &[], Health::NoChecks),
        (1, &[], Health::Unknown),
        (1, &[UP], Health::Up),
        (1, &[DOWN], Health::Down),
        (1, &[FLAPPED], Health::Down),
        (1, &[NEW], Health::Unknown),
        (1, &["null"], Health::Unknown),
        (1, &["{}"], Health::Unknown),
        (2, &[UP], Health::Unknown),
        (2, &[DOWN], Health::Down),
        (2, &[UP, UP], Health::Up),
        (2, &[UP, DOWN], Health::Down),
        (2, &[UP, NEW], Health::Unknown),
        (2, &[NEW, DOWN], Health::Down),
        (2, &[UP, "null"], Health::Unknown),
    ];
    for (checks, results, expected) in cases {
        let checks = vec!["{}"; checks].join(",");
        let results = results.join(",");
        let app = only(&app(
            &format!(r#""healthChecks":[{checks}]"#),
            &format!(r#""healthCheckResults":[{results}]"#),
        ));
        assert_eq!(app.instances[0].health, expected, "{checks} {results}");
        assert_eq!(app.instances[0].health_of(3), expected);
    }
}

#[test]
fn settling_is_the_longest_grace_period_and_interval() {
    let cases = [
        ("null", None),
        ("[]", None),
        ("[{}]", Some(360)),
        (r#"[{"gracePeriodSeconds":10,"intervalSeconds":5}]"#, Some(15)),
        (
            r#"[{"gracePeriodSeconds":10,"intervalSeconds":5},{"gracePeriodSeconds":0,"intervalSeconds":20}]"#,
            Some(20),
        ),
    ];
    for (checks, seconds) in cases {
        let app = only(&app(&format!(r#""healthChecks":{checks}"#), r#""host":null"#));
        assert_eq!(app.spec.settling, seconds.map(Duration::from_secs), "{checks}");
    }
    let endless = app(
        &format!(
            r#""healthChecks":[{{"gracePeriodSeconds":{0},"intervalSeconds":{0}}}]"#,
            u64::MAX
        ),
        r#""host":null"#,
    );
    assert_eq!(only(&endless).spec.settling, Some(Duration::MAX));
}

#[test]
fn states_are_told_by_name_and_in_old_generations_by_the_start() {
    let terminal = |name: &str| TaskState::Terminal(name.to_owned());
    let cases = [
        (r#""state":"TASK_STAGING""#, TaskState::Staging),
        (r#""state":"TASK_STARTING""#, TaskState::Starting),
        (r#""state":"TASK_RUNNING""#, TaskState::Running),
        (r#""state":"TASK_KILLING""#, TaskState::Killing),
        (r#""state":"TASK_UNREACHABLE""#, TaskState::Unreachable),
        (r#""state":"TASK_LOST""#, TaskState::Unreachable),
        (r#""state":"TASK_FAILED""#, terminal("TASK_FAILED")),
        (r#""state":"TASK_GONE_BY_OPERATOR""#, terminal("TASK_GONE_BY_OPERATOR")),
        (r#""state":"TASK_DANCING""#, TaskState::Other("TASK_DANCING".to_owned())),
        (r#""state":null,"startedAt":"2020-01-02T00:00:00Z""#, TaskState::Running),
        (r#""startedAt":null"#, TaskState::Staging),
    ];
    for (task, expected) in cases {
        assert_eq!(only(&app(r#""cmd":"x""#, task)).instances[0].state, expected, "{task}");
    }
}

#[test]
fn times_are_read_with_and_without_fractions() {
    for (time, expected) in [
        ("2017-02-03T23:06:03.940Z", Some("2017-02-03T23:06:03.94Z")),
        ("2017-02-03T23:06:03.48Z", Some("2017-02-03T23:06:03.48Z")),
        ("2017-02-03T23:06:03Z", Some("2017-02-03T23:06:03Z")),
        ("yesterday", None),
        ("", None),
    ] {
        let json = app(r#""cmd":"x""#, &format!(r#""startedAt":"{time}""#));
        let snapshot = snapshot(&json);
        let started = snapshot.workloads[0].instances[0].started;
        assert_eq!(started.map(|time| time.to_timestamp().to_string()).as_deref(), expected);
        assert_eq!(snapshot.findings.len(), usize::from(expected.is_none()));
    }
}

#[test]
fn readiness_counts_in_a_deployment_only_and_for_the_tasks_it_starts() {
    let ready = |deployments: &str, results: &str, version: &str| {
        let rest = format!(
            r#""readinessChecks":[{{"name":"r"}}],"deployments":{deployments},"readinessCheckResults":{results}"#
        );
        let version = format!(r#""version":"{version}""#);
        only(&app(&rest, &version)).instances[0].ready
    };
    const DEPLOYING: &str = r#"[{"id":"d"}]"#;
    const NO: &str = r#"[{"name":"r","taskId":"x.1","ready":false}]"#;
    const YES: &str = r#"[{"name":"r","taskId":"x.1","ready":true}]"#;
    const OTHER: &str = r#"[{"name":"r","taskId":"x.2","ready":true}]"#;
    const NEW: &str = "2020-01-02T00:00:00.000Z";
    const OLD: &str = "2020-01-01T00:00:00.000Z";
    let cases = [
        ("[]", NO, NEW, true),
        (DEPLOYING, NO, NEW, false),
        (DEPLOYING, YES, NEW, true),
        (DEPLOYING, OTHER, NEW, false),
        (DEPLOYING, OTHER, OLD, true),
        (DEPLOYING, "[]", NEW, true),
        (DEPLOYING, "null", NEW, true),
    ];
    for (deployments, results, version, expected) in cases {
        assert_eq!(ready(deployments, results, version), expected, "{deployments} {results}");
    }
}
