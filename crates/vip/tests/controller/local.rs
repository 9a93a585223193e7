//! Real servers on the node itself.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use node::Kernel;
use vip::controller::{AppClaims, Input, ReadFailure};
use vip::liveness::{Evidence, HostVerdict, Silence};
use vip::{Condition, NodeFacts, Protocol};

use crate::world::{Job, World, app, seconds};

const WEB: &str = "3.3.0.6:80";
const HOST: &str = "10.0.0.1:31001";
const CONTAINER: &str = "172.17.0.2:80";

/// The app with a container on this node that has a host port.
fn web(condition: Condition) -> AppClaims {
    let mut claims = app("/web", &[WEB], &[("a", HOST, condition)]);
    let container: SocketAddr = CONTAINER.parse().unwrap();
    let reach = claims.claims[0].candidates[0].reach.as_mut().unwrap();
    reach.behind = Some(container.into());
    claims
}

/// A node with a bridge, on which this listens.
fn node(listening: &[&str]) -> NodeFacts {
    let sockets = listening.iter().map(|at| (Protocol::Tcp, at.parse().unwrap()));
    NodeFacts {
        own: ["10.0.0.1".parse().unwrap()].into(),
        connected: ["172.17.0.0/16".parse().unwrap()].into(),
        listening: Some(Arc::new(sockets.collect::<BTreeSet<_>>())),
        ..NodeFacts::default()
    }
}

fn world(listening: &[&str]) -> World {
    let mut world = World::settled(&[]);
    world.state().node = node(listening);
    world.pass(seconds(60));
    world
}

#[test]
fn a_new_container_is_looked_at_before_the_way_to_it_is_chosen() {
    let mut world = world(&[]);
    // Its proxy came after the last reading.
    world.state().node = node(&[HOST]);
    let input = world.app_input("m", "/web", Some(web(Condition::Healthy)));
    world.say(input);
    assert!(matches!(world.job, Some(Job::Observe)), "{:?}", world.job);
    world.work();
    assert_eq!(world.weights(WEB), Some(vec![(HOST.into(), 1)]));
    // What is known needs no look.
    let readings = world.readings;
    world.app("/web", Some(web(Condition::Unhealthy)));
    assert_eq!(world.readings, readings);
}

#[test]
fn a_reading_that_began_before_a_container_did_says_nothing_about_it() {
    // The agent's first reading, and one of those that follow.
    for mut world in [World::new(), world(&[])] {
        world.state().node = node(&[]);
        world.now = world.wake.unwrap_or(world.now);
        world.say(Input::Tick);
        assert!(matches!(world.job, Some(Job::Observe)), "{:?}", world.job);
        let old = world.kernel.observe();
        // Now it starts, and its proxy before it.
        world.state().node = node(&[HOST]);
        let input = world.app_input("m", "/web", Some(web(Condition::Healthy)));
        world.say(input);
        world.job = None;
        world.say(Input::Observed(old.map_err(|error| ReadFailure(error.to_string()))));
        world.work();
        world.hear_all("m");
        assert_eq!(world.weights(WEB), Some(vec![(HOST.into(), 1)]));
    }
}

#[test]
fn a_container_without_proxy_is_reached_by_its_own_address() {
    let mut world = world(&["10.0.0.1:22"]);
    world.app("/web", Some(web(Condition::Healthy)));
    assert_eq!(world.weights(WEB), Some(vec![(CONTAINER.into(), 1)]));
    let plans = world.plans.len();
    world.pass(seconds(300));
    assert_eq!(world.plans.len(), plans, "nothing changes by itself");
}

#[test]
fn a_proxy_that_ends_before_its_container_moves_nothing() {
    let mut world = world(&[HOST]);
    world.app("/web", Some(web(Condition::Healthy)));
    world.set_active(WEB, HOST, 1);
    world.state().node = node(&[]);
    world.app("/web", Some(web(Condition::Killing)));
    world.hear(Input::KernelChanged);
    world.pass(seconds(40));
    assert_eq!(world.weights(WEB), Some(vec![(HOST.into(), 0)]));
}

#[test]
fn a_server_whose_proxy_is_gone_is_reached_otherwise_and_keeps_its_verdict() {
    let mut world = world(&[HOST]);
    world.app("/web", Some(web(Condition::Healthy)));
    world.state().node = node(&[]);
    world.app("/web", Some(web(Condition::Unknown { settled: false })));
    world.pass(seconds(40));
    assert_eq!(world.weight(WEB, CONTAINER), Some(1));
    assert!(world.weight(WEB, HOST).is_none_or(|weight| weight == 0));
}

/// Nobody probes it: an agent that starts again finds its weight 0, and could wait for nothing.
#[test]
fn a_verdict_about_a_host_says_nothing_about_a_container_on_this_node() {
    let mut world = world(&[]);
    let mut claims = web(Condition::Healthy);
    let other = app("/web", &[WEB], &[("b", "10.0.0.2:31002", Condition::Healthy)]);
    claims.claims[0].candidates.extend(other.claims[0].candidates.clone());
    world.app("/web", Some(claims.clone()));
    let both = [(CONTAINER, Some(1)), ("10.0.0.2:31002", Some(1))];
    let weights = |world: &World| both.map(|(server, _)| (server, world.weight(WEB, server)));
    assert_eq!(weights(&world), both);
    for silence in [Silence::Suspected, Silence::Dead] {
        let host = "172.17.0.2".parse().unwrap();
        let evidence =
            Evidence { silent_for: seconds(1), echoes: 3, connects: 1, others_answering: 1 };
        let verdict = HostVerdict { host, silence: Some(silence), evidence };
        world.hear(Input::Verdicts(vec![verdict]));
        world.app("/web", Some(claims.clone()));
        assert_eq!(weights(&world), both, "{silence:?}");
    }
    // It serves, so that nothing spares another one whose host has lost its power.
    let host = "10.0.0.2".parse().unwrap();
    let evidence = Evidence { silent_for: seconds(1), echoes: 3, connects: 1, others_answering: 1 };
    let verdict = HostVerdict { host, silence: Some(Silence::Suspected), evidence };
    world.hear(Input::Verdicts(vec![verdict]));
    assert_eq!(weights(&world), [both[0], ("10.0.0.2:31002", Some(0))]);
}
