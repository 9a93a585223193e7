//! The JSON that older versions answered and printed is still there, field for field. A new field is
//! not compared with it: assert its value here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use node::Kernel;
use serde_json::Value;
use testkit::FakeKernel;
use vip::label::{Options, Scheduling, ValueError};
use vip::plan::Conflict;
use vip::{
    Desired, DesiredService, Ending, LabelPlace, LabelReport, LeftOut, Local, Member, Observed,
    Plan, Protocol, Scope, Selection, Stats, Verdict, Vip, VipState, Why,
};

use super::explanation::Explanation;
use super::status::{Comparison, Layout, StatusReport};
use super::vips::{VipFacts, VipReport};

/// A node with a VIP in each state, as a command or an agent knows it.
struct Scenario {
    desired: Desired,
    observed: Observed,
    conflicts: Vec<Conflict>,
    versions: BTreeMap<Arc<str>, String>,
    drains: BTreeMap<(Vip, SocketAddr), Duration>,
}

fn vip(address: &str, port: u16, protocol: Protocol) -> Vip {
    Vip { address: address.parse().unwrap(), port: port.try_into().unwrap(), protocol }
}

fn member(app: &str, task: &str, weight: u32, why: Why) -> Member {
    Member {
        weight,
        source: "m".into(),
        app: app.into(),
        task: task.into(),
        why,
        local: None,
        silent: None,
    }
}

fn left_out(app: &str, task: &str, why: Why) -> LeftOut {
    LeftOut { source: "m".into(), app: app.into(), task: task.into(), why }
}

fn service(apps: &[&str], members: Vec<(&str, Member)>, left_out: Vec<LeftOut>) -> DesiredService {
    let members = members.into_iter().map(|(at, member)| (at.parse().unwrap(), member)).collect();
    DesiredService {
        options: Options::default(),
        apps: apps.iter().map(|app| Arc::from(*app)).collect(),
        incomplete: false,
        suspended: false,
        selection: Selection { members, left_out, ..Selection::default() },
    }
}

/// Puts these services into a kernel.
fn kernel(services: Vec<(Vip, DesiredService)>) -> FakeKernel {
    let mut kernel = FakeKernel::default();
    let desired = Desired { services: services.into_iter().collect(), ..Desired::default() };
    let observed = kernel.observe().unwrap();
    assert!(kernel.apply_plan(Plan::new(&observed, &desired, Scope::Complete, "n")).is_success());
    kernel
}

impl Scenario {
    fn new() -> Self {
        let tcp = |address| vip(address, 80, Protocol::Tcp);
        let (web, dns, empty) = (tcp("3.3.0.1"), vip("fd01::2", 53, Protocol::Udp), tcp("3.3.0.3"));
        let (foreign, sick, changed) = (tcp("3.3.0.4"), tcp("3.3.0.5"), tcp("3.3.0.6"));
        let (unwanted, unbound) = (tcp("4.4.0.7"), tcp("4.4.0.8"));
        let healthy = |task| member("/web", task, 1, Why::Healthy);
        let mut here = healthy("web.3");
        here.local = Some(Box::new(Local::Listens));
        let mut web_service = service(
            &["/shop", "/web"],
            vec![
                ("10.0.0.1:31001", healthy("web.1")),
                ("10.0.0.2:31002", member("/web", "web.2", 0, Why::Draining)),
                ("10.0.0.3:31003", here),
                ("10.0.0.4:31004", member("/shop", "shop.1", 0, Why::Unhealthy)),
            ],
            vec![
                left_out("/web", "web.4", Why::Starting),
                left_out("/web", "web.5", Why::Terminal(Ending::Killed)),
            ],
        );
        web_service.options.scheduler = Scheduling::Rr;
        web_service.options.persistence = Some(300);
        let mut gone = web_service.clone();
        gone.selection.left_out.remove(0);
        let sick_service = service(
            &["/sick"],
            vec![("10.0.0.1:31005", member("/sick", "sick.1", 1, Why::FailOpen))],
            vec![],
        );
        let changed_service =
            service(&["/changed"], vec![("10.0.0.1:31006", healthy("changed.1"))], vec![]);
        let mut kernel = kernel(vec![
            (web, gone),
            (empty, service(&["/empty"], vec![], vec![])),
            (sick, sick_service.clone()),
            (changed, service(&["/changed"], vec![("10.0.0.9:31006", healthy("x"))], vec![])),
            (unwanted, service(&["/old"], vec![("10.0.0.1:31007", healthy("old.1"))], vec![])),
            (unbound, service(&["/old"], vec![("10.0.0.1:31008", healthy("old.2"))], vec![])),
        ]);
        kernel.state.addresses.remove(&unbound.address);
        let mut counted = Stats::default();
        (counted.connections, counted.in_packets, counted.out_packets) = (21, 105, 84);
        (counted.in_bytes, counted.out_bytes) = (9000, 80000);
        (counted.connections_per_second, counted.in_packets_per_second) = (2, 10);
        counted.out_packets_per_second = 8;
        (counted.in_bytes_per_second, counted.out_bytes_per_second) = (900, 8000);
        let held = kernel.state.services.get_mut(&web.into()).unwrap();
        held.stats = counted;
        let server = held.servers.get_mut(&"10.0.0.1:31001".parse().unwrap()).unwrap();
        (server.active, server.inactive, server.stats) = (7, 3, Some(Box::new(counted)));
        let mut others = kernel.state.services[&sick.into()].clone();
        others.settings.flags = nl_ipvs::ServiceFlags::NONE;
        kernel.state.services.insert(foreign.into(), others);

        let place = |app: &str, key: &str| LabelPlace {
            app: app.into(),
            port: Some(0),
            path: "$.apps[0].portDefinitions[0].labels".into(),
            key: key.into(),
            occurrence: 0,
            value: "x".into(),
        };
        let report = |app, key, vip, verdict| LabelReport {
            source: None,
            place: place(app, key),
            vip,
            name: None,
            verdict,
        };
        let desired = Desired {
            services: [
                (web, web_service),
                (dns, service(&["/dns"], vec![("[fd02::1]:53", healthy("dns.1"))], vec![])),
                (empty, service(&["/empty"], vec![], vec![left_out("/empty", "", Why::Port0)])),
                (foreign, service(&["/foreign"], vec![("10.0.0.1:1", healthy("f.1"))], vec![])),
                (sick, sick_service),
                (changed, changed_service),
            ]
            .into(),
            reports: vec![
                report("/web", "VIP_0", Some(web), Verdict::Obeyed),
                report("/web", "VIP_1", None, Verdict::refused(ValueError::MissingPort)),
            ],
            ..Desired::default()
        };
        let observed = kernel.state.clone();
        let conflicts = Plan::new(&observed, &desired, Scope::Complete, "n").conflicts;
        assert_eq!(conflicts.len(), 1);
        let drains = [((web, "10.0.0.2:31002".parse().unwrap()), Duration::from_secs(40))].into();
        let versions = [("web.1".into(), "2026-11-23T04:00:00.000Z".to_owned())].into();
        Self { desired, observed, conflicts, versions, drains }
    }
}

/// Asserts that `now` has every field that `before` had, with the same value. Problems are
/// sentences: they may be worded otherwise, and there may be more of them.
fn assert_kept(before: &Value, now: &Value, path: &str) {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            for (key, value) in before {
                let path = format!("{path}.{key}");
                let now = now.get(key).unwrap_or_else(|| panic!("{path} is gone"));
                assert_kept(value, now, &path);
            }
        }
        (Value::Array(before), Value::Array(now)) if path.ends_with("].problems") => {
            assert!(before.len() <= now.len(), "{path}: {before:?}, {now:?}");
        }
        (Value::Array(before), Value::Array(now)) => {
            assert_eq!(before.len(), now.len(), "{path}");
            for (index, (before, now)) in before.iter().zip(now).enumerate() {
                assert_kept(before, now, &format!("{path}[{index}]"));
            }
        }
        _ => assert_eq!(before, now, "{path}"),
    }
}

fn assert_as_recorded(recorded: &str, now: &impl serde::Serialize) {
    let recorded = serde_json::from_str(recorded).unwrap();
    assert_kept(&recorded, &serde_json::to_value(now).unwrap(), "$");
}

impl Scenario {
    fn facts(&self) -> VipFacts<'_> {
        VipFacts {
            names: None,
            desired: Some(&self.desired),
            observed: Some(&self.observed),
            has_counters: true,
            conflicts: &self.conflicts,
            versions: Some(&self.versions),
            states: None,
            drains: Some(&self.drains),
        }
    }
}

#[test]
fn the_vips_of_the_api_keep_their_fields() {
    let scenario = Scenario::new();
    let vips = scenario.facts().report_wanted();
    assert_as_recorded(include_str!("recorded/vips.json"), &vips);
    let unread = VipFacts { has_counters: false, ..scenario.facts() }.report_wanted();
    assert_as_recorded(include_str!("recorded/vips-unread.json"), &unread);
    let text = serde_json::to_string(&vips).unwrap();
    assert_eq!(serde_json::from_str::<Vec<VipReport>>(&text).unwrap(), vips);
}

#[test]
fn status_keeps_its_fields() {
    let scenario = Scenario::new();
    let observed = &scenario.observed;
    let plan = Plan::new(observed, &scenario.desired, Scope::Complete, "n");
    let facts = VipFacts { drains: None, ..scenario.facts() };
    let findings = ["a finding".to_owned()];
    let comparison = Comparison { facts, plan: &plan, findings: &findings };
    let compared = StatusReport::new(observed, Some(comparison), None);
    assert_as_recorded(include_str!("recorded/status.json"), &compared);
    let alone = StatusReport::new(observed, None, None);
    assert_as_recorded(include_str!("recorded/status-alone.json"), &alone);
    assert!(compared.has_trouble() && alone.has_trouble());
}

/// On a packaged node nobody names a source: the agent tells who serves what.
#[test]
fn status_names_app_task_and_health_by_what_the_agent_tells() {
    let scenario = Scenario::new();
    let vips = || scenario.facts().report_wanted();
    let read = StatusReport::from_agent(vips(), Ok(&scenario.observed), None);
    let text = |report: &StatusReport, layout| {
        report.to_lines(layout).iter().map(|line| format!("{line}\n")).collect::<String>()
    };
    insta::assert_snapshot!(text(&read, Layout::default()), @r"
      data path: reduced: no nftables (not tried yet)
    ~ 3.3.0.1:80/tcp  degraded  rr persistent 300 s  21 connections, 2/s, 900 B/s in, 8000 B/s out  /shop, /web
          10.0.0.1:31001  masq weight 1  7 active, 3 inactive, 2/s  /web web.1 (healthy)
          10.0.0.2:31002  masq weight 0  0 active, 0 inactive, 0/s  /web web.2 (out of use, and kept until its connections have ended)
          10.0.0.3:31003  masq weight 1  0 active, 0 inactive, 0/s  /web web.3 (healthy; on this node, by its host port, where something listens)
          10.0.0.4:31004  masq weight 0  0 active, 0 inactive, 0/s  /shop shop.1 (unhealthy)
          left out: web.4 of /web: not running yet
    ! 3.3.0.3:80/tcp  refusing  wlc  0 connections, 0/s, 0 B/s in, 0 B/s out  /empty
          left out:  of /empty: its port is 0
        ! no task is ready to serve: clients are refused
    ! 3.3.0.4:80/tcp  conflict  wlc  0 connections, 0/s, 0 B/s in, 0 B/s out  /foreign
          10.0.0.1:1  weight 1, not in the kernel yet  0 active, 0 inactive, 0/s  /web f.1 (healthy)
        ! 3.3.0.4:80/tcp is a virtual service that vipd did not create; left alone. Find out which program owns it (keepalived, docker, kube-proxy?), or take it over with `vipd adopt 3.3.0.4:80/tcp`
        ! its address is not bound on this node
    ~ 3.3.0.5:80/tcp  degraded  wlc  0 connections, 0/s, 0 B/s in, 0 B/s out  /sick
          10.0.0.1:31005  masq weight 1  0 active, 0 inactive, 0/s  /sick sick.1 (unhealthy, and kept because no server is healthy (fail open))
        ! no task is healthy: unhealthy ones are used (fail open)
    ~ 3.3.0.6:80/tcp  unapplied  wlc  0 connections, 0/s, 0 B/s in, 0 B/s out  /changed
          10.0.0.1:31006  weight 1, not in the kernel yet  0 active, 0 inactive, 0/s  /web changed.1 (healthy)
          10.0.0.9:31006  masq weight 1  0 active, 0 inactive, 0/s
        ! the kernel does not hold it as wanted yet
    ~ [fd01::2]:53/udp  unapplied  wlc  0 connections, 0/s, 0 B/s in, 0 B/s out  /dns
          [fd02::1]:53  weight 1, not in the kernel yet  0 active, 0 inactive, 0/s  /web dns.1 (healthy)
        ! the kernel does not hold it as wanted yet
      4.4.0.7:80/tcp  serving  wlc  0 connections, 0/s, 0 B/s in, 0 B/s out
          10.0.0.1:31007  masq weight 1  0 active, 0 inactive, 0/s
        ! the agent knows no app that claims it
    ~ 4.4.0.8:80/tcp  unapplied  wlc  0 connections, 0/s, 0 B/s in, 0 B/s out
          10.0.0.1:31008  masq weight 1  0 active, 0 inactive, 0/s
        ! its address is not bound on this node
        ! the agent knows no app that claims it
    ");
    insta::assert_snapshot!(read.summary_line(), @"VIPs: 8 (1 refusing, 1 conflict, 3 unapplied, 2 degraded, 1 serving); real servers: 11 (9 serving); interface: up; connections are forgotten after: tcp 0 s, after a FIN 0 s, udp 0 s");
    let unread = StatusReport::from_agent(vips(), Err("no right".to_owned()), None);
    let said = text(&unread, Layout::default());
    assert!(said.contains("the kernel was read by the agent only (no right)"), "{said}");
    assert!(said.contains("/web web.1 (healthy)") && !said.contains("4.4.0.7"), "{said}");
    let json = serde_json::to_value(&read).unwrap();
    let web = json["vips"].as_array().unwrap().iter().find(|vip| vip["vip"] == "3.3.0.1:80/tcp");
    assert_eq!(web.unwrap()["servers"][0]["task"], "web.1");
    assert_eq!(read.to_summary_json()["states"]["unapplied"], 3);
}

#[test]
fn many_vips_are_a_row_each_unless_their_servers_are_asked_for() {
    let scenario = Scenario::new();
    let vips = || scenario.facts().report_wanted().into_iter().cycle().take(500).collect();
    let report = StatusReport::from_agent(vips(), Err("no right".to_owned()), None);
    let layout = Layout { servers: false, width: Some(80) };
    let lines = report.to_lines(layout);
    // What is said of the kernel, and the heading.
    assert_eq!(lines.len(), 500 + 2);
    assert!(lines[2].text.starts_with("refusing"), "{}", lines[2]);
    assert!(report.to_lines(Layout { servers: true, ..layout }).len() > 1000);
}

#[test]
fn of_several_marathons_each_app_and_label_says_which_it_is_from() {
    let mut scenario = Scenario::new();
    scenario.desired.several_sources = true;
    for report in &mut scenario.desired.reports {
        report.source = Some("m".into());
    }
    let explanation = Explanation::find("/web", &scenario.facts()).unwrap();
    let lines = explanation.to_lines("yet").into_iter();
    let text: Vec<_> = lines.map(|line| line.to_string()).collect();
    for part in ["web.1 of /web of m (version", "web.4 of /web of m is no", "! /web of m port 0"] {
        assert!(text.iter().any(|line| line.contains(part)), "{part}: {text:#?}");
    }
    let sources = |vips: Vec<VipReport>| {
        let tasks = vips.into_iter().flat_map(|vip| vip.backend.into_iter().chain(vip.left_out));
        tasks.map(|task| task.source).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(sources(scenario.facts().report_wanted()), [Some("m".to_owned())].into());
    scenario.desired.several_sources = false;
    assert_eq!(sources(scenario.facts().report_wanted()), [None].into());
}

#[test]
fn an_explanation_keeps_its_fields_and_text() {
    let scenario = Scenario::new();
    let find = |name: &str| Explanation::find(name, &scenario.facts()).unwrap();
    let names = ["/web", "3.3.0.4:80", "[fd01::2]:53/udp", "/empty", "/changed"];
    let explanations: BTreeMap<_, _> = names.into_iter().map(|name| (name, find(name))).collect();
    assert_as_recorded(include_str!("recorded/explain.json"), &explanations);
    for explanation in explanations.into_values() {
        let text = serde_json::to_string(&explanation).unwrap();
        assert_eq!(serde_json::from_str::<Explanation>(&text).unwrap(), explanation);
    }
    let lines = names.map(|name| find(name).to_lines("yet").into_iter()).into_iter().flatten();
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    insta::assert_snapshot!(text, @r#"
      3.3.0.1:80/tcp  /shop, /web
          web.1 of /web (version 2026-11-23T04:00:00.000Z) is the real server 10.0.0.1:31001 with weight 1: healthy
          web.2 of /web is the real server 10.0.0.2:31002 with weight 0: out of use, and kept until its connections have ended; it goes in 40 s at the latest
          web.3 of /web is the real server 10.0.0.3:31003 with weight 1: healthy; on this node, by its host port, where something listens
          shop.1 of /shop is the real server 10.0.0.4:31004 with weight 0: unhealthy
          web.4 of /web is no real server: not running yet
          web.5 of /web is no real server: task killed
    ! /web port 0 VIP_1="x": no port: write ADDRESS:PORT, such as 3.3.0.6:3306
      3.3.0.4:80/tcp  /foreign
        ! 3.3.0.4:80/tcp is a virtual service that vipd did not create; left alone. Find out which program owns it (keepalived, docker, kube-proxy?), or take it over with `vipd adopt 3.3.0.4:80/tcp`
          f.1 of /web is the real server 10.0.0.1:1 with weight 1: healthy (not in the kernel yet)
      [fd01::2]:53/udp  /dns
          dns.1 of /web is the real server [fd02::1]:53 with weight 1: healthy (not in the kernel yet)
      3.3.0.3:80/tcp  /empty
          a task that isn't known is no real server: its port is 0
      3.3.0.6:80/tcp  /changed
          changed.1 of /web is the real server 10.0.0.1:31006 with weight 1: healthy (not in the kernel yet)
    "#);
}

#[test]
fn an_explanation_is_found_by_task_server_and_group() {
    let scenario = Scenario::new();
    let lines = |name: &str| {
        let lines = Explanation::find(name, &scenario.facts()).unwrap().to_lines("yet");
        lines.iter().map(|line| line.text.clone()).collect::<Vec<_>>()
    };
    for name in ["web.2", "10.0.0.2", "10.0.0.2:31002"] {
        let lines = lines(name);
        assert_eq!(lines.len(), 2, "{name}: {lines:?}");
        assert!(lines[1].starts_with("web.2 of /web is the real server"), "{lines:?}");
    }
    assert!(lines("web.4")[1].ends_with("is no real server: not running yet"));
    // The host of real servers of several VIPs.
    assert_eq!(lines("10.0.0.1").iter().filter(|line| line.contains("10.0.0.1:")).count(), 4);
    assert!(lines("/").iter().any(|line| line.starts_with("dns.1")), "{:?}", lines("/"));
    let unknown = |name: &str| Explanation::find(name, &scenario.facts()).unwrap_err().to_string();
    assert!(unknown("/wbe").ends_with("did you mean /web?"), "{}", unknown("/wbe"));
    assert!(unknown("/we").contains("did you mean"), "the path of a group is whole");
    assert!(unknown("web.9").contains("\"web.9\""));
}

#[test]
fn a_suspended_vip_is_shown_as_such_and_is_no_trouble() {
    let at = vip("3.3.0.9", 80, Protocol::Tcp);
    let dying = left_out("/off", "off.1", Why::Killing);
    let suspended = DesiredService { suspended: true, ..service(&["/off"], vec![], vec![dying]) };
    let observed = kernel(vec![(at, suspended.clone())]).state.clone();
    let desired = Desired { services: [(at, suspended)].into(), ..Desired::default() };
    let plan = Plan::new(&observed, &desired, Scope::Complete, "n");
    let facts =
        VipFacts { desired: Some(&desired), observed: Some(&observed), ..VipFacts::default() };
    let comparison = Comparison { facts, plan: &plan, findings: &[] };
    let status = StatusReport::new(&observed, Some(comparison), None);
    assert!(!status.has_trouble());
    let text = |lines: Vec<vip::Line>| lines.iter().map(|line| format!("{line}\n")).collect();
    let layout = Layout { servers: true, width: None };
    let status: String = text(status.to_lines(layout));
    let explained: String = text(Explanation::find("/off", &facts).unwrap().to_lines("yet"));
    for said in [status, explained] {
        assert!(said.contains("suspended: scaled to 0 instances"), "{said}");
        assert!(!said.contains('!'), "{said}");
    }
    let [report] = &facts.report_wanted()[..] else { panic!("one VIP") };
    assert_eq!((report.summary.state, &*report.summary.problems), (VipState::Suspended, &[][..]));
}

#[test]
fn a_suspended_vip_that_still_serves_is_not_applied() {
    let at = vip("3.3.0.9", 80, Protocol::Tcp);
    let held = |weight| {
        let member = member("/off", "off.1", weight, Why::Healthy);
        kernel(vec![(at, service(&["/off"], vec![("10.0.0.1:31001", member)], vec![]))])
    };
    let suspended = DesiredService { suspended: true, ..service(&["/off"], vec![], vec![]) };
    let desired = Desired { services: [(at, suspended)].into(), ..Desired::default() };
    for (weight, state) in [(1, VipState::Unapplied), (0, VipState::Suspended)] {
        let observed = held(weight).state.clone();
        let facts =
            VipFacts { desired: Some(&desired), observed: Some(&observed), ..VipFacts::default() };
        assert_eq!(facts.report_wanted()[0].summary.state, state, "weight {weight}");
    }
}

#[test]
fn a_vip_that_no_app_claims_any_more_drains_and_is_no_trouble() {
    let at = vip("3.3.0.9", 80, Protocol::Tcp);
    let member = member("/gone", "gone.1", 0, Why::Draining);
    let drains = service(&[], vec![("10.0.0.1:31001", member)], vec![]);
    let drains = DesiredService { suspended: true, ..drains };
    let observed = kernel(vec![(at, drains.clone())]).state.clone();
    let desired = Desired { services: [(at, drains)].into(), ..Desired::default() };
    let facts =
        VipFacts { desired: Some(&desired), observed: Some(&observed), ..VipFacts::default() };
    assert_eq!(facts.report_wanted()[0].summary.state, VipState::Suspended);
    let said = Explanation::find("3.3.0.9:80", &facts).unwrap().to_lines("yet");
    assert!(said.iter().any(|line| line.text.starts_with("no app claims it")), "{said:?}");
}
