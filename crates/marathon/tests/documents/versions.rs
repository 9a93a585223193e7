//! Tasks of an earlier version run by the definition of that version.

use marathon::{Document, InstanceSpec, Kind, Records, Timestamp, VersionKey};

use crate::common::endpoints;

const OLD: &str = "2020-01-01T00:00:00.000Z";

/// An app whose new version has two ports, with tasks of different versions.
const APP: &str = r#"{"apps":[{"id":"/x","version":"2020-01-03T00:00:00.000Z",
    "versionInfo":{"lastScalingAt":"2020-01-03T00:00:00.000Z","lastConfigChangeAt":"2020-01-02T00:00:00.000Z"},
    "portDefinitions":[{"labels":{"VIP_0":"1.1.1.1:1"}},{"labels":{"VIP_0":"2.2.2.2:2"}}],
    "healthChecks":[{}],
    "tasks":[
      {"id":"scaled","host":"a","ports":[1,2],"startedAt":"2020-01-03T00:00:00Z","version":"2020-01-03T00:00:00.000Z","state":"TASK_RUNNING"},
      {"id":"current","host":"a","ports":[3,4],"startedAt":"2020-01-03T00:00:00Z","version":"2020-01-02T00:00:00Z","state":"TASK_RUNNING"},
      {"id":"old","host":"a","ports":[5],"startedAt":"2020-01-01T00:00:00Z","version":"2020-01-01T00:00:00.000Z","state":"TASK_RUNNING"},
      {"id":"dead","host":"a","ports":[6],"startedAt":"2020-01-01T00:00:00Z","version":"2019-12-31T00:00:00.000Z","state":"TASK_FAILED"}]}]}"#;

/// The definition of the old version: one port, no health checks.
const RECORD: &str = r#"{"id":"/x","version":"2020-01-01T00:00:00.000Z",
    "portDefinitions":[{"labels":{"VIP_0":"2.2.2.2:2"}}]}"#;

fn old_key() -> VersionKey {
    VersionKey { kind: Kind::App, id: "/x".into(), version: OLD.parse().unwrap() }
}

#[test]
fn a_task_of_an_earlier_configuration_is_not_joined_with_the_new_ports() {
    let snapshot = Document::parse(APP.as_bytes()).unwrap().to_snapshot(&Records::default());
    let [app] = &snapshot.workloads[..] else { panic!("one app") };
    let specs: Vec<_> = app.instances.iter().map(|instance| &instance.spec).collect();
    let unknown = |time: &str| InstanceSpec::Unknown(time.parse::<Timestamp>().unwrap());
    let expected = [
        InstanceSpec::Current,
        InstanceSpec::Current,
        unknown(OLD),
        unknown("2019-12-31T00:00:00Z"),
    ];
    assert_eq!(specs, expected.iter().collect::<Vec<_>>());
    assert_eq!(endpoints(&app.instances[1]), ["a:3", "a:4"]);
    assert_eq!(*app.instances[2].endpoints, []);
    assert_eq!(app.spec_of(&app.instances[2]), None);
    assert_eq!(snapshot.missing_versions(), [old_key()], "a finished task needs no record");
}

#[test]
fn with_its_version_record_a_task_has_the_ports_and_checks_of_that_version() {
    let mut records = Records::default();
    records.insert(old_key(), Document::parse_version(Kind::App, RECORD.as_bytes()).unwrap());
    let snapshot = Document::parse(APP.as_bytes()).unwrap().to_snapshot(&records);
    let app = &snapshot.workloads[0];
    let old = &app.instances[2];
    assert_eq!(endpoints(old), ["a:5"]);
    assert_eq!(app.spec_of(old).unwrap().ports[0].labels.get("VIP_0"), Some("2.2.2.2:2"));
    assert_eq!(old.health, marathon::Health::NoChecks);
    assert_eq!(snapshot.missing_versions(), []);
}

#[test]
fn a_record_that_marathon_no_longer_has_is_remembered_as_gone() {
    let mut records = Records::default();
    records.insert_gone(old_key());
    assert!(records.contains(&old_key()));
    let snapshot = Document::parse(APP.as_bytes()).unwrap().to_snapshot(&records);
    assert_eq!(snapshot.missing_versions(), []);
}

#[test]
fn a_definition_that_was_seen_is_known_when_it_is_an_earlier_one() {
    let before = r#"{"apps":[{"id":"/x","version":"2020-01-01T00:00:00.000Z",
        "portDefinitions":[{"labels":{"VIP_0":"2.2.2.2:2"}}],
        "tasks":[{"id":"old","host":"a","ports":[5],"startedAt":"2020-01-01T00:00:00Z",
            "version":"2020-01-01T00:00:00.000Z","state":"TASK_RUNNING"}]}]}"#;
    let mut records = Records::default();
    records.remember_current(&Document::parse(before.as_bytes()).unwrap().to_snapshot(&records));
    let snapshot = Document::parse(APP.as_bytes()).unwrap().to_snapshot(&records);
    let app = &snapshot.workloads[0];
    assert_eq!(endpoints(&app.instances[2]), ["a:5"]);
    assert_eq!(snapshot.missing_versions(), []);
    records.remember_current(&snapshot);
    let again = Document::parse(APP.as_bytes()).unwrap().to_snapshot(&records);
    assert_eq!(again, snapshot, "what runs by an earlier one says nothing of the newest");
}

#[test]
fn a_definition_that_was_seen_in_part_is_no_record() {
    let damaged = APP.replace(r#""healthChecks""#, r#""container":7,"healthChecks""#);
    let mut records = Records::default();
    let snapshot = Document::parse(damaged.as_bytes()).unwrap().to_snapshot(&records);
    records.remember_current(&snapshot);
    let version = |instance: usize| snapshot.workloads[0].instances[instance].version.unwrap();
    assert!(!records.contains(&VersionKey { version: version(0), ..old_key() }));
}

#[test]
fn a_record_that_is_gone_is_not_made_up_again() {
    let mut records = Records::default();
    records.insert_gone(old_key());
    let fits = APP.replace(r#""ports":[5]"#, r#""ports":[5,6]"#);
    let snapshot = Document::parse(fits.as_bytes()).unwrap().to_snapshot(&records);
    assert_eq!(snapshot.workloads[0].instances[2].spec, InstanceSpec::Current);
    records.remember_current(&snapshot);
    let again = Document::parse(APP.as_bytes()).unwrap().to_snapshot(&records);
    assert!(matches!(again.workloads[0].instances[2].spec, InstanceSpec::Gone(_)));
}

#[test]
fn without_its_record_a_task_runs_by_the_definition_as_it_stands_if_that_fits() {
    for (ports, fits) in [("[7]", true), ("[7,8]", false), ("[]", false)] {
        let app = format!(
            r#"{{"id":"/x","version":"2020-01-03T00:00:00.000Z","portDefinitions":[{{}}],"tasks":[
                {{"id":"1","version":"2020-01-01T00:00:00.000Z","host":"h","ports":{ports}}}]}}"#
        );
        let document = Document::parse(app.as_bytes()).unwrap();
        let mut records = Records::default();
        for key in document.to_snapshot(&records).missing_versions() {
            records.insert_gone(key);
        }
        let snapshot = document.to_snapshot(&records);
        let task = &snapshot.workloads[0].instances[0];
        assert_eq!(task.spec == InstanceSpec::Current, fits, "{ports}");
        assert_eq!(matches!(task.spec, InstanceSpec::Gone(_)), !fits, "{ports}");
        assert_eq!(task.endpoints.iter().filter(|endpoint| endpoint.is_ok()).count() == 1, fits);
    }
}

#[test]
fn records_that_nothing_runs_by_are_forgotten() {
    let mut records = Records::default();
    let unused = VersionKey { version: Timestamp::UNIX_EPOCH, ..old_key() };
    records.insert_gone(old_key());
    records.insert_gone(unused.clone());
    let snapshot = Document::parse(APP.as_bytes()).unwrap().to_snapshot(&records);
    records.retain_used(&snapshot);
    assert!(records.contains(&old_key()) && !records.contains(&unused));
}

/// The key of a version of an app.
fn key_of(app: usize, version: &str) -> VersionKey {
    let (id, version) = (format!("/{app}").into(), version.parse().unwrap());
    VersionKey { kind: Kind::App, id, version }
}

const NEW: &str = "2020-01-03T00:00:00.000Z";
const NEWER: &str = "2020-01-04T00:00:00.000Z";

/// The definition of an app that takes as much memory as one can, without the closing brace.
fn large_app(app: usize, version: &str) -> String {
    let labels: Vec<_> = (0..16_000).map(|label| format!(r#""{label}":"""#)).collect();
    format!(r#"{{"id":"/{app}","version":"{version}","labels":{{{}}}"#, labels.join(","))
}

#[test]
fn what_every_answer_brings_takes_no_room_from_records_that_were_read() {
    let apps = 50;
    let answer = |of_first: &str| {
        let app = |app: usize| {
            let version = if app == 0 { of_first } else { NEW };
            let tasks = [OLD, NEW, NEWER].map(|version| {
                format!(r#"{{"id":"{app}.{version}","startedAt":"{OLD}","version":"{version}"}}"#)
            });
            format!(r#"{},"tasks":[{}]}}"#, large_app(app, version), tasks.join(","))
        };
        let documents = (0..apps).map(|n| Document::parse(app(n).as_bytes()).unwrap());
        documents.reduce(Document::merge).unwrap().to_snapshot(&Records::default())
    };
    let record = |app| {
        let record = format!("{}}}", large_app(app, OLD));
        Document::parse_version(Kind::App, record.as_bytes()).unwrap()
    };
    let known = |records: &Records, version| {
        (0..apps).filter(|app| records.contains(&key_of(*app, version))).count()
    };
    let mut records = Records::default();
    records.remember_current(&answer(NEW));
    let most = known(&records, NEW);
    assert!(most < apps, "all of them fit");
    // The first one is the definition of before from now on, and no answer brings it.
    records.remember_current(&answer(NEWER));
    (0..apps).for_each(|app| records.insert(key_of(app, OLD), record(app)));
    assert_eq!((known(&records, OLD), known(&records, NEW)), (most - 1, 1));
    assert!(records.contains(&key_of(0, NEW)));
    records.remember_current(&answer(NEWER));
    records.retain_used(&answer(NEWER));
    assert_eq!((known(&records, OLD), known(&records, NEW)), (most - 1, 1));
    records.insert_gone(key_of(0, OLD));
    records.remember_current(&answer(NEWER));
    assert_eq!(known(&records, NEW) + known(&records, NEWER), 2, "there is room for one more");
}

#[test]
fn a_record_of_something_else_is_refused() {
    for body in [
        "",
        "[]",
        "3",
        r#"{"message":"no"}"#,
        r#"{"id":"/p","containers":[]}"#,
        r#"{"apps":[]}"#,
        r#"{"id":"/x","portDefinitions":[7]}"#,
    ] {
        assert!(Document::parse_version(Kind::App, body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn without_version_info_the_version_of_the_app_is_the_one_that_counts() {
    let json = r#"{"id":"/x","version":"2020-01-02T00:00:00.000Z","tasks":[
        {"id":"same","version":"2020-01-02T00:00:00.000Z"},
        {"id":"older","version":"2020-01-01T00:00:00.000Z"}]}"#;
    let snapshot = Document::parse(json.as_bytes()).unwrap().to_snapshot(&Records::default());
    let [same, older] = &snapshot.workloads[0].instances[..] else { panic!("two tasks") };
    assert_eq!(same.spec, InstanceSpec::Current);
    assert!(matches!(older.spec, InstanceSpec::Unknown(_)));
}

/// A leader whose clock was set back gives the new definition an earlier version than the old one.
#[test]
fn a_task_of_a_version_after_the_current_one_runs_by_its_own_definition() {
    let ahead = "2020-01-05T00:00:00.000Z";
    let app = APP.replace(OLD, ahead).replace("2020-01-01T00:00:00Z", ahead);
    let key = VersionKey { version: ahead.parse().unwrap(), ..old_key() };
    let document = Document::parse(app.as_bytes()).unwrap();
    let unread = document.to_snapshot(&Records::default());
    assert_eq!(unread.missing_versions(), std::slice::from_ref(&key));
    assert_eq!(*unread.workloads[0].instances[2].endpoints, []);
    let mut records = Records::default();
    records.insert(key, Document::parse_version(Kind::App, RECORD.as_bytes()).unwrap());
    assert_eq!(endpoints(&document.to_snapshot(&records).workloads[0].instances[2]), ["a:5"]);
}

/// The new definition may have been scaled since, when the clock was past the old version again.
#[test]
fn a_task_of_a_version_among_the_current_ones_runs_by_its_record_if_that_differs() {
    let among = "2020-01-02T12:00:00.000Z";
    let app = APP.replace(OLD, among);
    let document = Document::parse(app.as_bytes()).unwrap();
    let scaled = document.to_snapshot(&Records::default());
    assert_eq!(scaled.missing_versions(), [], "it is a version that was only scaled");
    assert_eq!(scaled.workloads[0].instances[2].spec, InstanceSpec::Current);
    let key = VersionKey { version: among.parse().unwrap(), ..old_key() };
    let mut records = Records::default();
    records.insert(key, Document::parse_version(Kind::App, RECORD.as_bytes()).unwrap());
    assert_eq!(endpoints(&document.to_snapshot(&records).workloads[0].instances[2]), ["a:5"]);
}
