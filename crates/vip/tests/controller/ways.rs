//! The source of the node's own connections, and when the kernel is asked for it.

use std::net::IpAddr;

use vip::Condition::Healthy;
use vip::controller::{Config, Input};
use vip::nft::NftSupport;
use vip::{TableSettings, Way};

use crate::world::{World, app, seconds};

const MYSQL: &str = "3.3.0.6:3306";
const ON_1: &str = "10.1.0.5:31001";
const ON_2: &str = "10.2.0.5:31001";

/// A node with an address in each of two networks, and the router in the second.
fn two_networks() -> World {
    give_addresses(World::new())
}

fn give_addresses(mut world: World) -> World {
    let own = ["10.1.0.1", "10.2.0.1", "10.2.0.9"];
    world.state().node.own = own.iter().map(|own| own.parse().unwrap()).collect();
    world.kernel.ways.towards = [way("10.1.0.5", "10.1.0.1"), way("10.2.0.5", "10.2.0.1")].into();
    world.kernel.ways.otherwise = Some([10, 2, 0, 1].into());
    world.hear_all("m");
    world
}

fn way(server: &str, source: &str) -> (IpAddr, Way) {
    let way = Way { source: Some(source.parse().unwrap()), ..Way::default() };
    (server.parse().unwrap(), way)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn tell(world: &mut World, server: &str) {
    let claims = app("/mysql", &[MYSQL], &[("a", server, Healthy)]);
    world.app("/mysql", Some(claims));
}

fn source(world: &World) -> Option<String> {
    let bound = world.kernel.state.addresses.get(&"3.3.0.6".parse().unwrap())?;
    Some(bound.route.source.map_or("none".to_owned(), |source| source.to_string()))
}

#[test]
fn an_address_is_bound_with_the_source_of_the_way_to_its_server() {
    for (server, expected) in [(ON_1, "10.1.0.1"), (ON_2, "10.2.0.1"), ("9.9.9.9:80", "10.2.0.1")] {
        let mut world = two_networks();
        tell(&mut world, server);
        assert_eq!(source(&world).as_deref(), Some(expected), "{server}");
        assert_eq!(world.questions, 1);
        assert_eq!(world.plans.len(), 1, "{server}: it is never bound with another one first");
    }
}

#[test]
fn each_address_has_the_way_to_its_own_servers() {
    let mut world = two_networks();
    tell(&mut world, ON_1);
    let web = app("/web", &["3.3.0.7:80"], &[("w", ON_2, Healthy)]);
    world.app("/web", Some(web));
    let bound = &world.kernel.state.addresses;
    let sources: Vec<_> =
        bound.values().map(|bound| bound.route.source.unwrap().to_string()).collect();
    assert_eq!(sources, ["10.1.0.1", "10.2.0.1"]);
}

#[test]
fn a_server_that_moves_takes_the_source_along() {
    let mut world = two_networks();
    tell(&mut world, ON_1);
    tell(&mut world, ON_2);
    assert_eq!(source(&world).as_deref(), Some("10.1.0.1"), "while the old server drains");
    world.pass(seconds(200));
    assert_eq!(source(&world).as_deref(), Some("10.2.0.1"));
}

#[test]
fn a_route_that_changes_is_followed_once_the_kernel_announces_it() {
    let mut world = two_networks();
    tell(&mut world, ON_1);
    let questions = world.questions;
    world.pass(seconds(60));
    assert_eq!(world.questions, questions, "nothing has changed");
    world.kernel.ways.towards.extend([way("10.1.0.5", "10.2.0.1")]);
    world.hear(Input::KernelChanged);
    world.pass(seconds(1));
    assert_eq!(source(&world).as_deref(), Some("10.2.0.1"));
}

#[test]
fn no_route_names_a_source_where_nftables_translates_and_a_configured_one_counts() {
    let mut world = two_networks();
    world.state().nft.v4.support = NftSupport::Nat;
    world.hear(Input::KernelChanged);
    world.pass(seconds(1));
    tell(&mut world, ON_1);
    assert_eq!((source(&world).as_deref(), world.questions), (Some("none"), 1));

    let configured = |at: [u8; 4]| {
        let table = TableSettings { source: Some(at.into()), ..TableSettings::default() };
        let sources = ["m".into()].into();
        let mut world = give_addresses(World::with(Config { table, sources, ..Config::default() }));
        tell(&mut world, ON_1);
        source(&world)
    };
    assert_eq!(configured([10, 2, 0, 9]).as_deref(), Some("10.2.0.9"));
    // One that the node lacks would get no replies.
    assert_eq!(configured([10, 2, 0, 77]).as_deref(), Some("10.1.0.1"));
}

#[test]
fn servers_get_the_source_that_the_route_names_where_nftables_translates() {
    let mut world = two_networks();
    world.state().nft.v4.support = NftSupport::Nat;
    world.state().node.names_sources = true;
    let named = |source: Option<&str>| Way {
        named: source.map(|source| source.parse().unwrap()),
        ..Way::default()
    };
    world.kernel.ways.towards = [(address("10.1.0.5"), named(Some("10.2.0.9")))].into();
    world.hear(Input::KernelChanged);
    world.pass(seconds(1));
    tell(&mut world, ON_1);
    let held = |world: &World| {
        let sources = world.kernel.state.nft.v4.sources.values();
        sources.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!((held(&world), world.questions), (vec!["10.2.0.9".to_owned()], 1));
    // It follows the routes, and masquerading chooses where they name none.
    world.kernel.ways.towards = [(address("10.1.0.5"), named(Some("10.2.0.1")))].into();
    world.hear(Input::KernelChanged);
    world.pass(seconds(1));
    assert_eq!(held(&world), ["10.2.0.1"]);
    tell(&mut world, ON_2);
    world.pass(seconds(200));
    assert_eq!(held(&world), [""; 0]);
}

#[test]
fn a_configured_address_is_that_of_all_servers_if_the_node_has_it() {
    let configured = |source: [u8; 4]| {
        let table = TableSettings { source: Some(source.into()), ..TableSettings::default() };
        let sources = ["m".into()].into();
        let mut world = give_addresses(World::with(Config { table, sources, ..Config::default() }));
        world.state().nft.v4.support = NftSupport::Nat;
        world.hear(Input::KernelChanged);
        world.pass(seconds(1));
        tell(&mut world, ON_1);
        let sources = world.kernel.state.nft.v4.sources.values();
        let sources = sources.map(ToString::to_string).collect::<Vec<_>>();
        // Probes come from there, too.
        let probes = world.controller.client_sources().own;
        assert_eq!(probes.as_ref().map(ToString::to_string), sources.first().cloned());
        sources
    };
    assert_eq!(configured([10, 2, 0, 9]), ["10.2.0.9"]);
    assert_eq!(configured([10, 2, 0, 77]), [""; 0]);
}

#[test]
fn a_kernel_that_does_not_tell_the_way_is_asked_again_ever_later() {
    let mut world = two_networks();
    world.no_ways = Some("no memory".to_owned());
    tell(&mut world, ON_1);
    world.pass(seconds(300));
    assert_eq!(source(&world), None, "nothing is bound without its source");
    assert!(world.questions < 30, "{} questions", world.questions);
    assert_eq!(world.status.unread.as_ref().unwrap().why, "no memory");
    world.no_ways = None;
    world.pass(seconds(31));
    assert_eq!(source(&world).as_deref(), Some("10.1.0.1"));
    assert_eq!(world.status.unread, None);
}

/// A claim of `/mysql` whose second server was killed.
fn lose_a_server(world: &mut World) {
    let tasks = [("a", ON_1, Healthy)];
    world.app("/mysql", Some(app("/mysql", &[MYSQL], &tasks)));
}

#[test]
fn a_kernel_that_tells_no_way_any_more_keeps_no_server_from_leaving() {
    let mut world = two_networks();
    let tasks = [("a", ON_1, Healthy), ("b", ON_2, Healthy)];
    world.app("/mysql", Some(app("/mysql", &[MYSQL], &tasks)));
    world.no_ways = Some("no memory".to_owned());
    let (questions, readings) = (world.questions, world.readings);
    world.state().node.mtus.insert("eth0".to_owned(), 1400);
    world.hear(Input::KernelChanged);
    world.pass(seconds(1));
    assert!(world.questions > questions, "it is asked");
    assert_eq!(world.status.unread.as_ref().unwrap().why, "no memory");
    lose_a_server(&mut world);
    assert_eq!(world.weights(MYSQL).unwrap().len(), 1, "at once");
    for _ in 0..300 {
        world.hear(Input::KernelChanged);
        world.pass(seconds(1));
    }
    assert!(world.questions - questions < 30, "{} questions", world.questions - questions);
    assert!(world.readings - readings > 100, "{} readings", world.readings - readings);
    world.no_ways = None;
    world.pass(seconds(31));
    assert_eq!(world.status.unread, None);
}

#[test]
fn only_those_with_an_unknown_server_wait_for_the_kernel() {
    let mut world = two_networks();
    let tasks = [("a", ON_1, Healthy), ("b", ON_2, Healthy)];
    world.app("/mysql", Some(app("/mysql", &[MYSQL], &tasks)));
    world.no_ways = Some("no memory".to_owned());
    let questions = world.questions;
    let web = app("/web", &["3.3.0.7:80"], &[("w", "10.1.0.9:80", Healthy)]);
    world.app("/web", Some(web));
    lose_a_server(&mut world);
    assert_eq!(world.weights(MYSQL).unwrap().len(), 1, "at once");
    world.pass(seconds(300));
    assert!(!world.bound("3.3.0.7"));
    assert!(world.questions - questions < 30, "{} questions", world.questions - questions);
    world.no_ways = None;
    world.pass(seconds(31));
    assert!(world.bound("3.3.0.7"));
}
