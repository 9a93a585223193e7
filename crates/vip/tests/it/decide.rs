//! How claims join, and what their owners are told.

use std::collections::BTreeSet;
use std::sync::Arc;

use vip::label::Scheduling;
use vip::policy::Reservation;
use vip::{Claim, ClusterFacts, Condition, NodeFacts, Observed, Policy, Verdict};

use crate::build::{claim, decide, task, vip};

fn healthy(name: &str, at: &str) -> vip::Candidate {
    task(name, at, Condition::Healthy)
}

#[test]
fn apps_with_one_vip_share_it() {
    let desired = decide(
        vec![
            claim("3.3.0.6:80", "/green", vec![healthy("g", "10.0.0.2:80")]),
            claim("3.3.0.6:80", "/blue", vec![healthy("b", "10.0.0.1:80")]),
        ],
        &Observed::default(),
    );
    let service = &desired.services[&vip("3.3.0.6:80")];
    assert_eq!(service.apps, ["/blue", "/green"].map(Arc::from));
    assert_eq!(service.selection.members.len(), 2);
    assert!(desired.reports.iter().all(|report| report.verdict == Verdict::Obeyed));
}

#[test]
fn the_lowest_app_ids_options_win_and_the_other_is_told() {
    let mut blue = claim("3.3.0.6:80", "/blue", vec![healthy("b", "10.0.0.1:80")]);
    let mut green = claim("3.3.0.6:80", "/green", vec![healthy("g", "10.0.0.2:80")]);
    blue.options.scheduler = Scheduling::Rr;
    green.options.weight = 7;
    let desired = decide(vec![green, blue], &Observed::default());
    let service = &desired.services[&vip("3.3.0.6:80")];
    assert_eq!(service.options.scheduler, Scheduling::Rr);
    assert_eq!(service.selection.members[&"10.0.0.2:80".parse().unwrap()].weight, 7);
    let told: Vec<_> = desired.reports.iter().filter(|r| r.verdict != Verdict::Obeyed).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].to_string().contains("/blue"), "{}", told[0]);
}

#[test]
fn an_app_of_another_source_is_told_with_its_source() {
    for (source, words) in
        [("main", "shares this VIP with /web,"), ("other", "shares this VIP with /web of main,")]
    {
        let mut first = claim("3.3.0.6:80", "/web", vec![]);
        let mut second = claim("3.3.0.6:80", "/web2", vec![]);
        (first.source, second.source) = ("main".into(), source.into());
        first.options.scheduler = Scheduling::Rr;
        let reports = decide(vec![second, first], &Observed::default()).reports;
        let told = reports.iter().find(|report| report.verdict != Verdict::Obeyed).unwrap();
        assert!(told.to_string().contains(words), "{told}");
    }
}

#[test]
fn tcp_and_udp_of_one_port_are_two_services() {
    let desired = decide(
        vec![claim("3.3.0.6:53/tcp", "/dns", vec![]), claim("3.3.0.6:53/udp", "/dns", vec![])],
        &Observed::default(),
    );
    assert_eq!(desired.services.len(), 2);
}

#[test]
fn a_refused_claim_costs_another_app_on_the_same_vip_nothing() {
    let policy = Policy {
        owner: [("3.3.0.0/16".parse().unwrap(), Reservation::AnySource("/shop".to_owned()))].into(),
        ..Policy::default()
    };
    let desired = vip::decide(
        vec![
            claim("3.3.0.6:80", "/intruder", vec![healthy("i", "10.0.0.9:80")]),
            claim("3.3.0.6:80", "/shop/web", vec![healthy("w", "10.0.0.1:80")]),
            claim("127.0.0.1:80", "/shop/web", vec![]),
        ],
        &Observed::default(),
        &BTreeSet::new(),
        &policy,
        &ClusterFacts::default(),
    );
    assert_eq!(desired.services.len(), 1);
    let service = &desired.services[&vip("3.3.0.6:80")];
    assert_eq!(service.apps, ["/shop/web"].map(Arc::from));
    assert_eq!(service.selection.members.len(), 1);
    let refused = desired.reports.iter().filter(|report| !report.verdict.is_ok()).count();
    assert_eq!(refused, 2);
}

#[test]
fn an_address_of_this_node_is_refused_with_app_and_reason() {
    let node = NodeFacts { own: ["10.0.0.1".parse().unwrap()].into(), ..NodeFacts::default() };
    let observed = Observed { node, ..Observed::default() };
    let claim = Claim { source: "m".into(), ..claim("10.0.0.1:80", "/a", vec![]) };
    let desired = decide(vec![claim], &observed);
    assert!(desired.services.is_empty());
    assert_eq!(
        desired.reports[0].to_string(),
        "/a of m port 0 VIP_0=\"10.0.0.1:80\": 10.0.0.1 is an address of this node: binding it as a \
         VIP would cut the node off"
    );
}

#[test]
fn an_earlier_versions_claim_counts_silently_and_its_options_dont_win() {
    let mut old = claim("3.3.0.6:80", "/a", vec![healthy("old", "10.0.0.1:80")]);
    old.superseded = true;
    old.options.scheduler = Scheduling::Rr;
    let new = claim("3.3.0.6:80", "/a", vec![healthy("new", "10.0.0.2:80")]);
    let desired = decide(vec![old, new], &Observed::default());
    let service = &desired.services[&vip("3.3.0.6:80")];
    assert_eq!(service.options.scheduler, Scheduling::Wlc);
    assert_eq!((service.apps.len(), service.selection.members.len()), (1, 2));
    assert_eq!(desired.reports.len(), 1);
}

#[test]
fn a_vip_without_tasks_stays_empty() {
    let desired = decide(vec![claim("3.3.0.6:80", "/a", vec![])], &Observed::default());
    assert!(desired.services[&vip("3.3.0.6:80")].selection.members.is_empty());
}

#[test]
fn a_vip_is_suspended_only_if_all_of_its_apps_are() {
    let suspended = |apps: &[(&str, bool)]| {
        let claims = apps.iter().map(|(app, suspended)| Claim {
            suspended: *suspended,
            ..claim("3.3.0.6:80", app, vec![])
        });
        decide(claims.collect(), &Observed::default()).services[&vip("3.3.0.6:80")].suspended
    };
    assert!(suspended(&[("/a", true)]) && suspended(&[("/a", true), ("/b", true)]));
    assert!(!suspended(&[("/a", false)]) && !suspended(&[("/a", true), ("/b", false)]));
}
