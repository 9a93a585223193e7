//! One app beyond a cap is named, and costs no other app anything.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its own documents should stop")]

use marathon::{Document, Kind, Records, Snapshot, Workload};
use vip::{LabelReport, Verdict};
use vipd::sources::hosts::Hosts;
use vipd::sources::marathon::claims::{WorkloadClaims, claim_workload};
use vipd::sources::marathon::translate::{Naming, translate_workload};
use vipd::sources::resolve::resolve_hosts;

const TASK: &str =
    r#"{"id":"t","host":"10.0.0.1","startedAt":"2026-01-01T00:00:00Z","ports":[31000]}"#;

/// Reads an answer with this app before and after two honest ones.
fn read_between_others(app: &str) -> Snapshot {
    let honest = |id: &str, vip: &str| {
        format!(
            r#"{{"id":"{id}","portDefinitions":[{{"labels":{{"VIP_0":"{vip}"}}}}],"tasks":[{TASK}]}}"#
        )
    };
    let (before, after) = (honest("/before", "3.3.0.1:80"), honest("/after", "3.3.0.2:80"));
    let text = format!(r#"{{"apps":[{before},{app},{after}]}}"#);
    let snapshot = Document::parse_apps(text.as_bytes()).unwrap().to_snapshot(&Records::default());
    for id in ["/before", "/after"] {
        let claims = claims_of(find(&snapshot, id)).app.claims;
        assert_eq!(claims.len(), 1, "{id}");
        assert!(claims[0].candidates[0].reach.is_ok(), "{id}: {claims:?}");
    }
    snapshot
}

fn find<'a>(snapshot: &'a Snapshot, id: &str) -> &'a Workload {
    snapshot.workloads.iter().find(|workload| &*workload.id == id).unwrap()
}

fn claims_of(workload: &Workload) -> WorkloadClaims {
    let hosts: Hosts = resolve_hosts(["10.0.0.1"], std::time::Duration::ZERO);
    claim_workload(workload, &hosts, &|_| None, Naming::default())
}

fn reports_on(workload: &Workload) -> Vec<LabelReport> {
    translate_workload(workload, &Hosts::new(), &|_| None, Naming::default()).reports
}

fn labels(count: usize, label: impl Fn(usize) -> (String, String)) -> String {
    let labels: Vec<_> = (0..count)
        .map(|n| {
            let (key, value) = label(n);
            format!(r#""{key}":"{value}""#)
        })
        .collect();
    labels.join(",")
}

#[track_caller]
fn assert_capped(report: &LabelReport, words: &str) {
    assert_eq!(&*report.place.app, "/one");
    let Verdict::Refused(why) = &report.verdict else { panic!("{report:?}") };
    assert!(why.to_string().contains(words), "{why}");
}

#[test]
fn an_app_with_many_options_and_many_ports_takes_no_longer_than_both() {
    let options = labels(16_000, |n| (format!("IPVS_{n}"), String::from("x")));
    let ports = vec![r#"{"labels":{"a":"b"}}"#; 25_000].join(",");
    let snapshot = read_between_others(&format!(
        r#"{{"id":"/one","labels":{{{options}}},"portDefinitions":[{ports}],"tasks":[]}}"#
    ));
    // Each port with each option would take hours.
    assert!(claims_of(find(&snapshot, "/one")).app.claims.is_empty());
}

#[test]
fn an_app_with_many_vips_keeps_all_of_them_while_it_is_upgraded() {
    let ports = |first: usize| {
        let port = |n: usize| format!(r#"{{"labels":{{"VIP_0":"3.4.0.1:{}"}}}}"#, first + n);
        (0..200).map(port).collect::<Vec<_>>().join(",")
    };
    let hosts = vec!["31000"; 200].join(",");
    let task = format!(
        r#"{{"id":"t","host":"10.0.0.1","startedAt":"2026-01-01T00:00:00Z","ports":[{hosts}],"version":"2026-01-01T00:00:00.000Z"}}"#
    );
    let text = format!(
        r#"{{"apps":[{{"id":"/one","portDefinitions":[{}],"tasks":[{task}],"version":"2026-01-02T00:00:00.000Z","versionInfo":{{"lastConfigChangeAt":"2026-01-02T00:00:00.000Z","lastScalingAt":"2026-01-02T00:00:00.000Z"}}}}]}}"#,
        ports(1000)
    );
    let old = format!(
        r#"{{"id":"/one","portDefinitions":[{}],"version":"2026-01-01T00:00:00.000Z"}}"#,
        ports(1000)
    );
    let mut records = Records::default();
    let document = Document::parse_apps(text.as_bytes()).unwrap();
    let wanted = document.to_snapshot(&records).missing_versions();
    let old = Document::parse_version(Kind::App, old.as_bytes()).unwrap();
    for key in wanted {
        records.insert(key, old.clone());
    }
    let claims = claims_of(find(&document.to_snapshot(&records), "/one")).app.claims;
    assert_eq!(claims.iter().filter(|claim| claim.superseded).count(), 200);
}

#[test]
fn an_app_with_very_many_labels() {
    let many = labels(349_530, |_| (String::new(), String::new()));
    let snapshot = read_between_others(&format!(
        r#"{{"id":"/one","labels":{{{many}}},"tasks":[],"portDefinitions":[{{"labels":{{"VIP_0":"3.3.0.3:80"}}}}]}}"#
    ));
    let one = find(&snapshot, "/one");
    assert_eq!(one.spec.labels.len(), caps::LABELS);
    assert_eq!(claims_of(one).app.claims.len(), 1, "what is read counts");
    let reason = &snapshot.findings[0];
    assert_eq!(reason.path, "$.apps[1].labels");
    assert!(reason.reason.contains("labels are read"), "{reason}");
}

#[test]
fn an_app_with_exactly_as_many_labels_as_are_read_has_nothing_to_report() {
    for (more, reports) in [(0, 0), (1, 1)] {
        let many = labels(caps::LABELS + more, |n| (format!("l{n}"), String::new()));
        let snapshot =
            read_between_others(&format!(r#"{{"id":"/one","tasks":[],"labels":{{{many}}}}}"#));
        let one = find(&snapshot, "/one");
        assert_eq!(reports_on(one).len(), reports, "{more}");
        assert_eq!(snapshot.findings.len(), reports, "{more}");
    }
}

#[test]
fn an_app_with_very_long_labels() {
    let long = labels(200, |n| (format!("VIP_{n}"), format!("3.3.0.3:80{}", "0".repeat(100_000))));
    let snapshot = read_between_others(&format!(
        r#"{{"id":"/one","tasks":[],"portDefinitions":[{{"labels":{{{long}}}}}]}}"#
    ));
    let one = find(&snapshot, "/one");
    let lengths = one.spec.ports[0].labels.iter().map(|(key, value)| key.len() + value.len());
    assert!(lengths.max().unwrap() <= 2 * caps::TEXT);
    assert_eq!(claims_of(one).app.claims, [], "what is cut off is no address");
}

#[test]
fn an_app_with_very_many_vips() {
    let port = |n: usize| {
        let labels = labels(64, |label| {
            (format!("VIP_{label}"), format!("3.{}.{}.{label}:80", n / 250, n % 250))
        });
        format!(r#"{{"labels":{{{labels}}}}}"#)
    };
    let ports: Vec<_> = (0..800).map(port).collect();
    let ports = ports.join(",");
    let snapshot =
        read_between_others(&format!(r#"{{"id":"/one","tasks":[],"portDefinitions":[{ports}]}}"#));
    let WorkloadClaims { app, .. } = claims_of(find(&snapshot, "/one"));
    assert_eq!(app.claims.len(), caps::WORKLOAD_VIPS);
}

#[test]
fn an_app_with_very_many_real_servers() {
    let vips = labels(64, |n| (format!("VIP_{n}"), format!("3.3.1.{n}:80")));
    let tasks: Vec<_> =
        (0..5000).map(|n| TASK.replacen(r#""t""#, &format!(r#""t{n}""#), 1)).collect();
    let tasks = tasks.join(",");
    let snapshot = read_between_others(&format!(
        r#"{{"id":"/one","tasks":[{tasks}],"portDefinitions":[{{"labels":{{{vips}}}}}]}}"#
    ));
    let WorkloadClaims { app, .. } = claims_of(find(&snapshot, "/one"));
    assert_eq!(app.claims.len(), caps::WORKLOAD_SERVERS / 5000);
}

#[test]
fn tasks_times_ports() {
    let ports = vec!["{}"; 20_000].join(",");
    let numbers = vec!["1"; 20_000].join(",");
    let tasks: Vec<_> = (0..201)
        .map(|n| {
            format!(
                r#"{{"id":"t{n}","host":"10.0.0.1","startedAt":"2026-01-01T00:00:00Z","ports":[{numbers}]}}"#
            )
        })
        .collect();
    let tasks = tasks.join(",");
    let snapshot = read_between_others(&format!(
        r#"{{"id":"/one","portDefinitions":[{ports}],"tasks":[{tasks}]}}"#
    ));
    let endpoints = find(&snapshot, "/one").instances.iter().map(|each| each.endpoints.len());
    assert!(endpoints.sum::<usize>() <= caps::WORKLOAD_ENDPOINTS);
}

#[test]
fn an_app_that_takes_too_much_memory() {
    for list in ["tasks", "portDefinitions", "healthChecks", "networks"] {
        let many = vec!["{}"; 1_000_000].join(",");
        let snapshot = read_between_others(&format!(
            r#"{{"version":"2026-01-01T00:00:00Z","{list}":[{many}],"id":"/one"}}"#
        ));
        let one = find(&snapshot, "/one");
        assert!(!one.tasks_known && one.instances.is_empty(), "{list}");
        let told = snapshot.findings.iter().filter(|finding| finding.path == "$.apps[1]");
        let told: Vec<_> = told.map(|finding| finding.reason.as_str()).collect();
        let expected = "app /one takes far more memory than any real one: left out";
        assert_eq!(told, [expected], "{list}");
    }
}

#[test]
fn an_app_with_very_many_refused_labels() {
    let odd = labels(20_000, |n| (format!("VIP_x{n}"), String::new()));
    let snapshot = read_between_others(&format!(
        r#"{{"id":"/one","tasks":[],"portDefinitions":[{{"labels":{{{odd}}}}}]}}"#
    ));
    let one = find(&snapshot, "/one");
    let translation = vipd::sources::marathon::translate::translate_workload(
        one,
        &Hosts::new(),
        &|_| None,
        Naming::default(),
    );
    assert_capped(&translation.reports[0], "labels of this object are read");
    // Each of these is news the first time, and none is the second time. This takes no time: it took
    // minutes when each was compared with each.
    let reports = translation.reports;
    assert_eq!(vip::label::changed_reports(&[], &reports).len(), reports.len());
    assert_eq!(vip::label::changed_reports(&reports, &reports).len(), 0);
}

#[test]
fn more_apps_than_any_marathon_can_run() {
    let answer = |count: usize| {
        let apps: Vec<_> = (0..count).map(|n| format!(r#"{{"id":"/a{n}","tasks":[]}}"#)).collect();
        Document::parse_apps(format!(r#"{{"apps":[{}]}}"#, apps.join(",")).as_bytes())
    };
    assert_eq!(answer(caps::WORKLOADS).unwrap().to_snapshot(&Records::default()).findings, []);
    let error = answer(caps::WORKLOADS + 1).unwrap_err();
    assert!(error.to_string().contains("more than 25000 apps and pods"), "{error}");
}

fn translate(
    workload: &Workload,
    framework: &str,
) -> vipd::sources::marathon::translate::Translation {
    let naming = Naming { framework: Some(framework), zone_len: 23, task_zone: None };
    translate_workload(workload, &Hosts::new(), &|_| None, naming)
}

#[test]
fn an_app_with_very_many_names() {
    let port = |n: usize| {
        let labels = labels(25, |label| (format!("VIP_{label}"), format!("/name-{n}-{label}:80")));
        format!(r#"{{"labels":{{{labels}}}}}"#)
    };
    let ports: Vec<_> = (0..800).map(port).collect();
    let ports = ports.join(",");
    let snapshot =
        read_between_others(&format!(r#"{{"id":"/one","tasks":[],"portDefinitions":[{ports}]}}"#));
    let translation = translate(find(&snapshot, "/one"), "marathon");
    assert_eq!(translation.named.len(), caps::WORKLOAD_VIPS);
    assert_capped(&translation.reports[0], "VIPs already, and more are not served");
}

#[test]
fn names_that_dns_cannot_carry_are_refused_and_others_of_the_app_are_not() {
    let long = vec!["a".repeat(63); 4].join(".");
    let labels =
        [("VIP_0", "3.3.0.3:80"), ("VIP_1", "/web:80"), ("VIP_2", &*format!("/{long}:80"))];
    let labels = labels.map(|(key, value)| format!(r#""{key}":"{value}""#)).join(",");
    let snapshot = read_between_others(&format!(
        r#"{{"id":"/one","tasks":[],"portDefinitions":[{{"labels":{{{labels}}}}}]}}"#
    ));
    let one = find(&snapshot, "/one");
    for (framework, expected, words) in [
        ("/dev/marathon", Some("web.devmarathon"), "a DNS name of 291 characters with its zone"),
        ("My Marathon_2", Some("web.mymarathon-2"), "253 are allowed: choose a shorter name"),
        ("/_/", None, "the framework's name \"/_/\" gives no DNS name"),
    ] {
        let translation = translate(one, framework);
        assert_eq!(translation.claims.len(), 1, "{framework}");
        let names: Vec<_> = translation.named.iter().map(|claim| claim.name.as_str()).collect();
        assert_eq!(names, Vec::from_iter(expected), "{framework}");
        let reasons: Vec<_> =
            translation.reports.iter().filter_map(|report| report.verdict.reason()).collect();
        assert!(reasons.iter().any(|reason| reason.contains(words)), "{framework}: {reasons:?}");
    }
}
