//! A VIP that serves stays when something new on the node or in the cluster speaks against it, also
//! over a restart of the node; one that never served is refused.

use std::net::IpAddr;

use vip::Condition::Healthy;
use vip::controller::{Facts, Input};
use vip::{ClusterFacts, NodeFacts, Verdict};

use crate::world::{World, app, seconds};

const WEB: &str = "3.3.0.6:80";

fn web() -> vip::controller::AppClaims {
    app("/web", &[WEB], &[("a", "10.0.0.1:31001", Healthy)])
}

fn address() -> IpAddr {
    [3, 3, 0, 6].into()
}

fn routed() -> NodeFacts {
    let routes = [("3.0.0.0/8".parse().unwrap(), "tun0".to_owned())];
    NodeFacts { routes: routes.into(), ..NodeFacts::default() }
}

fn note(world: &World) -> String {
    match &world.controller.desired().reports[0].verdict {
        Verdict::Noted(note) => note.clone(),
        verdict => panic!("{verdict:?}"),
    }
}

/// A node with a kernel that knows nothing yet.
fn rebooted(served: &[IpAddr], node: NodeFacts) -> World {
    let mut world = World::new();
    world.controller.restore_served(served.iter().copied());
    world.state().node = node;
    world.app("/web", Some(web()));
    world.hear_all("m");
    world
}

#[test]
fn what_serves_stays_whatever_appears() {
    let resolver = NodeFacts { resolvers: [address()].into(), ..NodeFacts::default() };
    // As for a routing daemon, which announces addresses of `lo`.
    let own = NodeFacts { own: [address()].into(), ..NodeFacts::default() };
    for node in [routed(), resolver, own] {
        let mut world = World::settled(&[("/web", web())]);
        let served = world.weights(WEB);
        assert_eq!(world.controller.served(), &[address()].into());
        world.state().node = node;
        world.pass(seconds(300));
        assert_eq!(world.weights(WEB), served);
        assert!(note(&world).contains("it serves already and stays"), "{}", note(&world));
        // A restart of the agent sees it in the kernel.
        world.restart();
        world.app("/web", Some(web()));
        world.hear_all("m");
        world.pass(seconds(300));
        assert_eq!(world.weights(WEB), served);
    }
    let mut world = World::settled(&[("/web", web())]);
    let served = world.weights(WEB);
    let cluster = ClusterFacts { tasks: [address()].into(), ..ClusterFacts::default() };
    world.hear(Input::Facts(Facts { cluster, ..Facts::default() }));
    world.pass(seconds(300));
    assert_eq!(world.weights(WEB), served);
}

#[test]
fn a_node_that_starts_again_decides_as_before() {
    assert!(rebooted(&[address()], routed()).weights(WEB).is_some());
    // Of another interface it is not to be taken away.
    let own = NodeFacts { own: [address()].into(), ..NodeFacts::default() };
    assert_eq!(rebooted(&[address()], own).weights(WEB), None);
    let world = rebooted(&[], routed());
    assert_eq!(world.weights(WEB), None);
    assert!(world.controller.served().is_empty());
}

#[test]
fn what_no_app_wants_when_all_is_known_is_forgotten() {
    let mut world = World::new();
    world.controller.restore_served([address()]);
    world.pass(seconds(30));
    assert_eq!(world.controller.served(), &[address()].into());
    world.hear_all("m");
    assert!(world.controller.served().is_empty());
    assert!(world.controller.take_served_changed());
}

#[test]
fn what_no_app_wants_any_more_is_new_when_it_comes_back() {
    let mut world = World::settled(&[("/web", web())]);
    world.app("/web", None);
    world.pass(seconds(1000));
    assert!(world.controller.served().is_empty());
    world.state().node = routed();
    world.pass(seconds(30));
    world.app("/web", Some(web()));
    assert_eq!(world.weights(WEB), None);
}

/// As when a pipeline deletes an app and deploys it anew.
#[test]
fn what_lingers_is_not_new_when_it_comes_back() {
    let mut world = World::settled(&[("/web", web())]);
    world.state().node = routed();
    world.pass(seconds(30));
    assert!(note(&world).contains("it serves already"), "{}", note(&world));
    world.app("/web", None);
    world.pass(seconds(20));
    assert_eq!(world.weights(WEB), None);
    assert!(world.state().addresses.contains_key(&address()), "it lingers");
    world.app("/web", Some(web()));
    assert!(world.weights(WEB).is_some());
    assert!(note(&world).contains("it serves already"), "{}", note(&world));
    // Over the end of a lingering, and of one that begins anew.
    world.app("/web", None);
    world.pass(seconds(200));
    assert!(world.controller.served().is_empty());
    world.app("/web", Some(web()));
    assert_eq!(world.weights(WEB), None);
}

#[test]
fn what_may_never_be_a_vip_goes_though_it_served() {
    let gateway = NodeFacts { gateways: [address()].into(), ..NodeFacts::default() };
    let group = NodeFacts { groups: [address()].into(), ..NodeFacts::default() };
    for node in [gateway, group] {
        let mut world = World::settled(&[("/web", web())]);
        world.state().node = node;
        world.pass(seconds(300));
        assert_eq!(world.weights(WEB), None);
        assert_eq!(rebooted(&[address()], world.state().node.clone()).weights(WEB), None);
    }
}
