//! Plans of which something is refused or in the way: what goes on, what stays.

use std::collections::BTreeSet;
use vip::label::Scheduling;
use vip::plan::{OpError, OpResult};
use vip::{Observed, Op, Plan, Scope};

use crate::build::{add_foreign, applied, bind, claim, decide, healthy, mysql, plan, text};

/// Runs a plan on a kernel that refuses some operations with ENOENT.
fn refused(plan: Plan, refuses: impl Fn(&Op) -> bool) -> Vec<String> {
    let error = || Err(OpError::new(2, "ENOENT"));
    let outcome =
        plan.run(|ops| ops.iter().map(|op| if refuses(op) { error() } else { Ok(()) }).collect());
    let done = outcome.results().filter(|(_, result)| **result == OpResult::Done);
    done.map(|(op, _)| op.to_string()).collect()
}

#[test]
fn a_neighbours_refused_service_keeps_no_address_unbound() {
    let ours = || mysql(vec![healthy("a", "10.0.0.1:1")]);
    let mut observed = applied(vec![ours()]);
    observed.link = vip::Link::Missing;
    observed.addresses.clear();
    let desired = decide(vec![ours(), claim("3.3.0.6:81", "/neighbour", vec![])], &observed);
    let done = refused(plan(&observed, &desired), |op| matches!(op, Op::AddService { .. }));
    let forgotten = "forget-flows 3.3.0.6:3306/tcp";
    assert_eq!(done, ["create-link", "bind 3.3.0.6", forgotten]);
}

#[test]
fn a_refused_scheduler_does_not_freeze_the_servers() {
    let observed =
        applied(vec![mysql(vec![healthy("a", "10.0.0.1:1"), healthy("b", "10.0.0.2:2")])]);
    let mut changed = mysql(vec![healthy("b", "10.0.0.2:2"), healthy("c", "10.0.0.3:3")]);
    changed.options.scheduler = Scheduling::Twos;
    let plan = plan(&observed, &decide(vec![changed], &observed));
    let done = refused(plan, |op| matches!(op, Op::SetService { .. }));
    assert_eq!(
        done,
        [
            "add-server 10.0.0.3:3 of 3.3.0.6:3306/tcp",
            "delete-server 10.0.0.1:1 of 3.3.0.6:3306/tcp",
        ]
    );
}

#[test]
fn a_server_the_kernel_refuses_keeps_no_dead_one_while_another_serves() {
    let observed =
        applied(vec![mysql(vec![healthy("a", "10.0.0.1:1"), healthy("b", "10.0.0.2:2")])]);
    let changed = mysql(vec![healthy("b", "10.0.0.2:2"), healthy("c", "10.0.0.3:3")]);
    let plan = plan(&observed, &decide(vec![changed], &observed));
    let done = refused(plan, |op| matches!(op, Op::AddServer { .. }));
    assert_eq!(done, ["delete-server 10.0.0.1:1 of 3.3.0.6:3306/tcp"]);
}

#[test]
fn somebody_elses_service_beside_ours_on_one_address_disturbs_nothing() {
    let ours = |server| vec![mysql(vec![healthy("a", server)])];
    let mut observed = applied(ours("10.0.0.1:1"));
    add_foreign(&mut observed, "3.3.0.6:443", &[]);
    observed.link = vip::Link::Missing;
    observed.addresses.clear();
    let desired = decide(ours("10.0.0.2:2"), &observed);
    let plan = plan(&observed, &desired);
    assert!(plan.conflicts.is_empty());
    let names: Vec<_> = plan.ops.iter().map(Op::name).collect();
    assert_eq!(names, ["create-link", "add-server", "bind", "forget-flows", "delete-server"]);
}

#[test]
fn an_address_that_somebody_elses_service_is_on_is_never_unbound() {
    let mut observed = Observed::default();
    bind(&mut observed, "10.96.0.1");
    bind(&mut observed, "3.3.0.6");
    add_foreign(&mut observed, "10.96.0.1:443", &[]);
    let nothing = decide(vec![], &observed);
    for plan in [plan(&observed, &nothing), Plan::cleanup(&observed)] {
        let ops: Vec<_> = plan.ops.iter().map(ToString::to_string).collect();
        assert_eq!(ops, ["unbind 3.3.0.6"]);
    }
}

#[test]
fn servers_that_may_be_unknown_tasks_are_not_removed() {
    let observed = applied(vec![
        mysql(vec![healthy("a", "10.0.0.1:1"), healthy("b", "10.0.0.2:2")]),
        claim("4.4.0.7:80", "/web", vec![healthy("w", "10.0.0.1:3"), healthy("x", "10.0.0.9:4")]),
        claim("5.5.0.8:80", "/gone", vec![]),
    ]);
    let mut gappy = mysql(vec![healthy("b", "10.0.0.2:2")]);
    gappy.incomplete = true;
    let mut desired = decide(vec![gappy, claim("4.4.0.7:80", "/web", vec![])], &observed);
    desired.uncertain = ["10.0.0.1".parse().unwrap()].into();
    let plan = Plan::new(&observed, &desired, Scope::Servers, "node1");
    let ops: Vec<_> = plan.ops.iter().map(ToString::to_string).collect();
    assert_eq!(ops, ["delete-server 10.0.0.9:4 of 4.4.0.7:80/tcp"]);
}

/// Only the agent's own addresses may be those of a task with unknown ports.
#[test]
fn servers_in_the_network_of_an_agent_with_unknown_tasks_are_removed() {
    let mut observed =
        applied(vec![claim("4.4.0.7:80", "/web", vec![healthy("w", "172.17.0.2:80")])]);
    observed.node.own = ["10.0.0.1".parse().unwrap()].into();
    observed.node.connected = ["172.17.0.0/16".parse().unwrap()].into();
    let mut desired = decide(vec![claim("4.4.0.7:80", "/web", vec![])], &observed);
    desired.uncertain = ["10.0.0.1".parse().unwrap()].into();
    let plan = Plan::new(&observed, &desired, Scope::Servers, "node1");
    let ops: Vec<_> = plan.ops.iter().map(ToString::to_string).collect();
    assert_eq!(ops, ["delete-server 172.17.0.2:80 of 4.4.0.7:80/tcp"]);
}

#[test]
fn a_vip_that_policy_refuses_now_says_so_when_it_goes() {
    let claims = || vec![mysql(vec![healthy("a", "10.0.0.1:1")])];
    let observed = applied(claims());
    let policy = vip::Policy { allow: vec!["9.0.0.0/8".parse().unwrap()], ..Default::default() };
    let desired =
        vip::decide(claims(), &observed, &BTreeSet::new(), &policy, &vip::ClusterFacts::default());
    let text = text(&plan(&observed, &desired), &desired);
    assert!(text.starts_with("- 3.3.0.6:3306/tcp  /mysql port 0 VIP_0"), "{text}");
    assert!(text.contains("outside vip.allow"), "{text}");
}

#[test]
fn servers_one_vip_gains_do_not_hide_those_another_loses() {
    let servers = |n: u16| (0..n).map(|n| healthy("t", &format!("10.0.0.1:{}", 1 + n))).collect();
    let observed = applied(vec![mysql(servers(10)), claim("4.4.0.7:80", "/web", servers(2))]);
    let claims = vec![mysql(servers(1)), claim("4.4.0.7:80", "/web", servers(40))];
    assert!(plan(&observed, &decide(claims, &observed)).losses().is_suspicious());
}

#[test]
fn flows_from_before_a_vip_was_served_are_forgotten_last() {
    let claims = || {
        vec![
            claim("3.3.0.6:53/udp", "/dns", vec![healthy("dns.1", "10.0.0.1:31001")]),
            mysql(vec![healthy("mysql.1", "10.0.0.2:31002")]),
        ]
    };
    let empty = Observed::default();
    let desired = decide(claims(), &empty);
    let first = plan(&empty, &desired);
    let names: Vec<_> = first.ops.iter().map(Op::name).collect();
    let expected = ["create-link", "add-service", "add-service", "add-server", "add-server"];
    assert_eq!(names, [&expected[..], &["bind", "forget-flows", "forget-flows"]].concat());
    let mut observed = first.applied_to(&empty);
    assert_eq!(plan(&observed, &desired).ops, []);

    observed.addresses.clear();
    insta::assert_snapshot!(text(&plan(&observed, &desired), &desired), @r"
    ~ 3.3.0.6:53/udp  /dns
        ~ flows from before it was served and guarded are forgotten
    ~ 3.3.0.6:3306/tcp  /mysql
        ~ flows from before it was served and guarded are forgotten
      interface
        + 3.3.0.6
    1 address to bind
    ");
}
