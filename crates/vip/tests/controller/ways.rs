//! The source of the node's own connections, and when the kernel is asked for it.

use std::net::Ipv4Addr;

use vip::Condition::Healthy;
use vip::TableSettings;
use vip::controller::{Config, Input};
use vip::nft::NftSupport;

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

fn way(server: &str, source: &str) -> (std::net::IpAddr, Option<Ipv4Addr>) {
    (server.parse().unwrap(), Some(source.parse().unwrap()))
}

fn tell(world: &mut World, server: &str) {
    let claims = app("/mysql", &[MYSQL], &[("a", server, Healthy)]);
    world.app("/mysql", Some(claims));
}

fn source(world: &World) -> Option<String> {
    let bound = world.kernel.state.addresses.get(&"3.3.0.6".parse().unwrap())?;
    Some(bound.source.map_or("none".to_owned(), |source| source.to_string()))
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
    let sources: Vec<_> = bound.values().map(|bound| bound.source.unwrap().to_string()).collect();
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
fn nothing_is_asked_where_nftables_translates_or_an_address_is_configured() {
    let mut world = two_networks();
    world.state().nft.v4.support = NftSupport::Nat;
    world.hear(Input::KernelChanged);
    world.pass(seconds(1));
    tell(&mut world, ON_1);
    assert_eq!((source(&world).as_deref(), world.questions), (Some("none"), 0));

    let table = TableSettings { source: Some([10, 2, 0, 9].into()), ..TableSettings::default() };
    let sources = ["m".into()].into();
    let mut world = give_addresses(World::with(Config { table, sources, ..Config::default() }));
    tell(&mut world, ON_1);
    assert_eq!((source(&world).as_deref(), world.questions), (Some("10.2.0.9"), 0));
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
