//! Which tasks are real servers: every rule of health, state and protocol.

use std::collections::BTreeMap;

use std::net::SocketAddr;

use vip::{
    Claim, Condition, Ending, LocalServers, NodeFacts, ObservedServer, Place, Reach, Selection, Vip,
};

use crate::build::{claim, server, task, vip};

/// On a node that none of the real servers is on.
fn select(
    vip: &Vip,
    claims: &[Claim],
    fail_open: bool,
    current: &BTreeMap<SocketAddr, ObservedServer>,
) -> Selection {
    let here = (&NodeFacts::default(), LocalServers::Auto);
    vip::select_servers(vip, claims, fail_open, current, here)
}

const A: &str = "10.0.0.1:31001";
const B: &str = "10.0.0.2:31002";

/// What becomes of task A with this condition and kernel weight, beside a healthy B.
fn beside_healthy(at: &str, condition: Condition, weight: Option<u32>) -> Option<u32> {
    let claims = [claim(at, "/a", vec![task("a", A, condition), task("b", B, Condition::Healthy)])];
    member(&select(&vip(at), &claims, true, &kernel(weight)), A)
}

/// What becomes of task A when it is the only one.
fn alone(at: &str, condition: Condition, weight: Option<u32>, fail_open: bool) -> Option<u32> {
    let claims = [claim(at, "/a", vec![task("a", A, condition)])];
    member(&select(&vip(at), &claims, fail_open, &kernel(weight)), A)
}

fn kernel(weight: Option<u32>) -> BTreeMap<std::net::SocketAddr, ObservedServer> {
    weight.map(|weight| (A.parse().unwrap(), server(weight))).into_iter().collect()
}

fn member(selection: &Selection, at: &str) -> Option<u32> {
    selection.members.get(&at.parse().unwrap()).map(|member| member.weight)
}

#[test]
fn what_is_only_remembered_changes_no_service_that_the_kernel_has() {
    use Condition::*;
    let remembered = |condition, current: &[(&str, u32)]| {
        let mut candidate = task("a", A, condition);
        candidate.remembered = true;
        let claims = [claim("3.3.0.6:80", "/a", vec![candidate])];
        let current = current.iter().map(|(at, weight)| (at.parse().unwrap(), server(*weight)));
        member(&select(&vip("3.3.0.6:80"), &claims, false, &current.collect()), A)
    };
    for condition in [Healthy, Unchecked, Unhealthy, Starting, Unreachable] {
        assert_eq!(remembered(condition, &[(A, 1)]), Some(1), "{condition:?} serves");
        assert_eq!(remembered(condition, &[(A, 0)]), Some(0), "{condition:?} is out of use");
        assert_eq!(remembered(condition, &[(B, 1)]), None, "{condition:?} was removed");
    }
    assert_eq!(remembered(Killing, &[(A, 1)]), Some(0), "what ends does not begin again");
    assert_eq!(remembered(Terminal(Ending::Killed), &[(A, 1)]), None);
    assert_eq!(remembered(Healthy, &[]), Some(1), "a node that was started anew");
}

#[test]
fn tcp_beside_a_healthy_server() {
    use Condition::*;
    let new = Unknown { settled: false };
    let old = Unknown { settled: true };
    for (condition, weight, expected) in [
        (Healthy, None, Some(1)),
        (Healthy, Some(0), Some(1)),
        (Unchecked, None, Some(1)),
        (Unhealthy, None, Some(0)),
        (Unhealthy, Some(1), Some(0)),
        // Not checked yet is not ready; known before stays as it was.
        (new, None, None),
        (new, Some(1), Some(1)),
        (new, Some(0), Some(0)),
        // After a leader change old tasks have no results: neither verdict is forgotten.
        (old, Some(1), Some(1)),
        (old, Some(0), Some(0)),
        // A check that was added later, or whose version is gone, never reports.
        (old, None, Some(1)),
        (NotReady, None, None),
        // Readiness starts anew at a leader change.
        (NotReady, Some(1), Some(1)),
        (NotReady, Some(0), None),
        (Starting, None, None),
        (Killing, None, Some(0)),
        (Killing, Some(1), Some(0)),
        (Unreachable, None, None),
        (Unreachable, Some(1), Some(0)),
        (Terminal(Ending::Killed), Some(1), None),
    ] {
        assert_eq!(
            beside_healthy("3.3.0.6:80", condition, weight),
            expected,
            "{condition:?} {weight:?}"
        );
    }
}

#[test]
fn udp_has_no_weight_0() {
    use Condition::*;
    for condition in [Unhealthy, Killing, Unreachable, Unknown { settled: false }] {
        let expected = (condition == Unknown { settled: false }).then_some(1);
        assert_eq!(beside_healthy("3.3.0.6:53/udp", condition, Some(1)), expected, "{condition:?}");
    }
}

#[test]
fn with_nobody_healthy_the_unhealthy_serve() {
    use Condition::*;
    for (condition, expected) in [
        (Unhealthy, Some(1)),
        (Unreachable, Some(1)),
        (Killing, Some(0)),
        (Terminal(Ending::Lost), None),
        (Starting, None),
    ] {
        assert_eq!(alone("3.3.0.6:80", condition, Some(1), true), expected, "{condition:?}");
    }
    assert_eq!(alone("3.3.0.6:80", Unhealthy, Some(1), false), Some(0));
    assert_eq!(alone("3.3.0.6:53/udp", Unhealthy, Some(1), true), Some(1));
    assert_eq!(alone("3.3.0.6:53/udp", Unhealthy, Some(1), false), None);
}

#[test]
fn a_vip_takes_servers_of_its_own_family_only() {
    let mut both = task("a", "10.0.0.1:80", Condition::Healthy);
    let addresses = ["fd01::1", "10.0.0.1", "10.0.0.9"].map(|each| each.parse().unwrap()).into();
    both.reach = Ok(Reach { place: Place { addresses, port: 80 }, behind: None });
    for (at, server) in [("3.3.0.6:80", "10.0.0.1:80"), ("[fd02::6]:80", "[fd01::1]:80")] {
        let selection =
            select(&vip(at), &[claim(at, "/a", vec![both.clone()])], true, &BTreeMap::new());
        assert_eq!(member(&selection, server), Some(1));
        assert_eq!(selection.members.len(), 1);
    }
    let v4_only = claim("[fd02::6]:80", "/a", vec![task("a", "10.0.0.1:80", Condition::Healthy)]);
    let selection = select(&vip("[fd02::6]:80"), &[v4_only], true, &BTreeMap::new());
    assert!(selection.members.is_empty());
    assert_eq!(selection.left_out[0].why.to_string(), "has no IPv6 address for this VIP");
}

#[test]
fn two_tasks_on_one_address_are_one_server_and_the_one_that_serves_wins() {
    let claims = [claim(
        "3.3.0.6:80",
        "/a",
        vec![task("old", A, Condition::Killing), task("new", A, Condition::Healthy)],
    )];
    let selection = select(&vip("3.3.0.6:80"), &claims, true, &BTreeMap::new());
    let member = &selection.members[&A.parse().unwrap()];
    assert_eq!((&*member.task, member.weight), ("new", 1));
    assert_eq!(selection.left_out[0].why.to_string(), "same address and port as task new");
}

#[test]
fn a_task_without_address_or_port_costs_the_others_nothing() {
    let mut lost = task("lost", A, Condition::Healthy);
    lost.reach = Err("its agent's name x doesn't resolve".into());
    let zero = task("zero", "10.0.0.3:0", Condition::Healthy);
    let multicast = task("multicast", "224.0.0.1:80", Condition::Healthy);
    let claims =
        [claim("3.3.0.6:80", "/a", vec![lost, zero, multicast, task("b", B, Condition::Healthy)])];
    let selection = select(&vip("3.3.0.6:80"), &claims, true, &BTreeMap::new());
    assert_eq!(member(&selection, B), Some(1));
    assert_eq!(selection.left_out.len(), 3);
}
