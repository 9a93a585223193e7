//! The path MTU of the node's own clients, and how long what the kernel has learnt counts.

use std::net::IpAddr;

use vip::Condition::Healthy;
use vip::controller::Input;
use vip::nft::NftSupport;
use vip::{LOOPBACK_MTU, Way, Ways};

use crate::world::{World, app, seconds};

const MYSQL: &str = "3.3.0.6:3306";
const ON_1: &str = "10.1.0.5:31001";
const ON_2: &str = "10.2.0.5:31001";
const ON_V6: &str = "[fd09::5]:31001";

/// A node in whole mode, with the MTU of the way to each of two servers.
fn two_ways(mtus: [u32; 2]) -> World {
    let mut world = World::new();
    world.state().nft.v4.support = NftSupport::Nat;
    world.state().nft.v6.support = NftSupport::Nat;
    world.kernel.ways = ways(mtus);
    world.hear_all("m");
    world
}

fn ways(mtus: [u32; 2]) -> Ways {
    let servers = ["10.1.0.5", "10.2.0.5"].into_iter().zip(mtus);
    Ways { towards: servers.map(|(server, mtu)| way(server, mtu)).collect(), otherwise: None }
}

fn way(server: &str, mtu: u32) -> (IpAddr, Way) {
    (server.parse().unwrap(), Way { mtu: Some(mtu), ..Way::default() })
}

fn tell(world: &mut World, servers: &[&str]) {
    let tasks: Vec<_> = servers.iter().map(|server| (*server, *server, Healthy)).collect();
    let claims = app("/mysql", &[MYSQL], &tasks);
    world.app("/mysql", Some(claims));
    // Until those that leave are gone.
    world.pass(seconds(200));
}

fn mtu(world: &World) -> Option<u32> {
    world.kernel.state.addresses[&"3.3.0.6".parse::<IpAddr>().unwrap()].route.mtu
}

/// The kernel learns the MTU of a path to the VIP.
fn learn(world: &mut World, mtu: u32) {
    let address: IpAddr = "3.3.0.6".parse().unwrap();
    world.state().addresses.get_mut(&address).unwrap().learnt = Some(mtu);
    world.pass(seconds(31));
}

fn announce(world: &mut World) {
    world.hear(Input::KernelChanged);
    world.pass(seconds(1));
}

#[test]
fn the_narrowest_way_counts_as_long_as_its_server_serves() {
    let mut world = two_ways([1500, 1400]);
    tell(&mut world, &[ON_1]);
    assert_eq!(mtu(&world), Some(1500));
    tell(&mut world, &[ON_1, ON_2]);
    assert_eq!(mtu(&world), Some(1400));
    tell(&mut world, &[ON_1]);
    assert_eq!(mtu(&world), Some(1500));
    assert_eq!(world.kernel.state.addresses.len(), 1);
}

#[test]
fn servers_on_the_node_or_of_jumbo_size_leave_the_route_as_it_is() {
    for (way, expected) in [(None, None), (Some(65_536), None), (Some(9000), Some(9000))] {
        let mut world = two_ways([1500, 1500]);
        world.kernel.ways.towards.values_mut().for_each(|to| to.mtu = way);
        tell(&mut world, &[ON_1]);
        assert_eq!(mtu(&world), expected, "{way:?}");
    }
}

#[test]
fn no_mtu_is_less_than_the_least_of_its_family() {
    let mut world = two_ways([68, 68]);
    tell(&mut world, &[ON_1]);
    assert_eq!(mtu(&world), Some(552));
    world.kernel.ways.towards.extend([way("fd09::5", 68)]);
    let web = app("/web", &["[fd03::7]:80"], &[("w", ON_V6, Healthy)]);
    world.app("/web", Some(web));
    let bound = &world.kernel.state.addresses[&"fd03::7".parse::<IpAddr>().unwrap()];
    assert_eq!(bound.route.mtu, Some(1280));
}

#[test]
fn an_mtu_that_changes_or_is_taken_away_is_set_again() {
    let mut world = two_ways([1500, 1500]);
    tell(&mut world, &[ON_1]);
    world.kernel.ways = ways([1300, 1500]);
    announce(&mut world);
    assert_eq!(mtu(&world), Some(1300));
    let address: IpAddr = "3.3.0.6".parse().unwrap();
    world.state().addresses.get_mut(&address).unwrap().route.mtu = None;
    announce(&mut world);
    assert_eq!(mtu(&world), Some(1300));
    // The device alone has changed.
    world.kernel.ways = ways([1500, 1500]);
    world.state().node.mtus.insert("eth0".to_owned(), 1500);
    world.pass(seconds(31));
    assert_eq!(mtu(&world), Some(1500));
}

#[test]
fn what_the_kernel_has_learnt_counts_until_all_servers_of_that_time_are_gone() {
    let mut world = two_ways([1500, 1500]);
    tell(&mut world, &[ON_1]);
    learn(&mut world, 1300);
    assert_eq!(mtu(&world), Some(1300));
    // The kernel has forgotten it.
    let plans = world.plans.len();
    world.pass(seconds(1800));
    assert_eq!((mtu(&world), world.plans.len()), (Some(1300), plans));
    tell(&mut world, &[ON_1, ON_2]);
    assert_eq!(mtu(&world), Some(1300));
    tell(&mut world, &[ON_2]);
    assert_eq!(mtu(&world), Some(1500));
    tell(&mut world, &[ON_1]);
    assert_eq!(mtu(&world), Some(1500), "it starts anew");
}

#[test]
fn what_was_learnt_on_the_way_to_a_server_itself_counts_for_this_server() {
    let mut world = two_ways([1500, 1500]);
    tell(&mut world, &[ON_1, ON_2]);
    let learnt = |world: &mut World, mtu| {
        let server = "10.1.0.5".parse().unwrap();
        world.kernel.ways.towards.get_mut(&server).unwrap().learnt = mtu;
        announce(world);
    };
    learnt(&mut world, Some(1350));
    assert_eq!(mtu(&world), Some(1350));
    learnt(&mut world, None);
    assert_eq!(mtu(&world), Some(1350), "the kernel forgets it");
    tell(&mut world, &[ON_2]);
    assert_eq!(mtu(&world), Some(1500));
}

#[test]
fn what_the_kernel_has_learnt_lapses_after_an_hour() {
    let mut world = two_ways([1500, 1500]);
    tell(&mut world, &[ON_1]);
    learn(&mut world, 1300);
    world.pass(seconds(3500));
    assert_eq!(mtu(&world), Some(1300));
    // Within the next comparison of everything.
    world.pass(seconds(700));
    assert_eq!(mtu(&world), Some(1500));
    learn(&mut world, 1300);
    assert_eq!(mtu(&world), Some(1300), "it is learnt again");
}

#[test]
fn what_was_learnt_on_another_way_no_longer_counts() {
    let mut world = two_ways([1500, 1500]);
    tell(&mut world, &[ON_1]);
    learn(&mut world, 1300);
    world.kernel.ways = ways([1450, 1500]);
    announce(&mut world);
    assert_eq!(mtu(&world), Some(1450));
    learn(&mut world, 1300);
    let server: IpAddr = "10.1.0.5".parse().unwrap();
    world.kernel.ways.towards.get_mut(&server).unwrap().source = Some([10, 1, 0, 1].into());
    announce(&mut world);
    assert_eq!(mtu(&world), Some(1450));
}

#[test]
fn what_is_narrower_than_any_path_in_use_is_not_taken_over() {
    let mut world = two_ways([1500, 1500]);
    tell(&mut world, &[ON_1]);
    for (learnt, expected) in [(552, 1500), (1279, 1500), (1280, 1280)] {
        learn(&mut world, learnt);
        assert_eq!(mtu(&world), Some(expected), "{learnt}");
    }
}

#[test]
fn an_agent_that_starts_anew_takes_the_mtu_of_the_ways() {
    for (before, after) in [(1500, 9000), (9000, 1500)] {
        let mut world = two_ways([before, before]);
        tell(&mut world, &[ON_1]);
        learn(&mut world, 1300);
        world.kernel.ways = ways([after, after]);
        world.restart();
        world.hear_all("m");
        assert_eq!(mtu(&world), Some(after));
    }
}

#[test]
fn a_vip_without_a_server_keeps_its_route() {
    let mut world = two_ways([1500, 1500]);
    tell(&mut world, &[ON_1]);
    let plans = world.plans.len();
    tell(&mut world, &[]);
    assert_eq!(mtu(&world), Some(1500));
    tell(&mut world, &[ON_1]);
    assert_eq!(mtu(&world), Some(1500));
    let routes = world.plans[plans..].iter().flat_map(|plan| &plan.ops);
    assert_eq!(routes.filter(|op| op.name() == "set-route").count(), 0);
}

#[test]
fn a_server_without_any_way_leaves_the_route_as_it_is() {
    let mut world = two_ways([1500, 1400]);
    tell(&mut world, &[ON_1, ON_2]);
    let plans = world.plans.len();
    let no_way = |world: &mut World, server: &str| {
        let server: IpAddr = server.parse().unwrap();
        world.kernel.ways.towards.get_mut(&server).unwrap().mtu = None;
        announce(world);
    };
    no_way(&mut world, "10.2.0.5");
    assert_eq!(mtu(&world), Some(1400), "one has none");
    no_way(&mut world, "10.1.0.5");
    assert_eq!(mtu(&world), Some(1400), "none has one");
    world.kernel.ways = ways([1500, 1400]);
    announce(&mut world);
    assert_eq!((mtu(&world), world.plans.len()), (Some(1400), plans), "nothing has changed");
    no_way(&mut world, "10.1.0.5");
    world.kernel.ways.towards.extend([way("10.2.0.5", 1300)]);
    announce(&mut world);
    assert_eq!(mtu(&world), Some(1300), "a narrower one counts all the same");
    // Both are on this node.
    world.kernel.ways = ways([LOOPBACK_MTU, LOOPBACK_MTU]);
    announce(&mut world);
    assert_eq!(mtu(&world), None);
}

#[test]
fn what_was_learnt_outlasts_a_moment_without_a_way() {
    let mut world = two_ways([1500, 1500]);
    tell(&mut world, &[ON_1]);
    learn(&mut world, 1300);
    let before = world.kernel.ways.clone();
    world.kernel.ways.towards.clear();
    announce(&mut world);
    world.kernel.ways = before;
    announce(&mut world);
    assert_eq!(mtu(&world), Some(1300));
}

#[test]
fn routes_that_change_all_the_time_keep_nobody_waiting() {
    let mut world = two_ways([1500, 1500]);
    tell(&mut world, &[ON_1]);
    // Each answer takes so long that the next reading is due by then.
    let (questions, end) = (world.questions, world.now + seconds(60));
    let web = app("/web", &["3.3.0.7:80"], &[("w", ON_1, Healthy)]);
    let input = world.app_input("m", "/web", Some(web));
    world.say(input);
    while world.now < end {
        world.now += seconds(1);
        let mtu = u32::try_from(world.now.as_secs()).unwrap();
        world.state().node.mtus.insert("eth0".to_owned(), mtu);
        world.say(Input::KernelChanged);
        world.answer();
        if world.job.is_none() {
            world.say(Input::Tick);
        }
    }
    assert!(world.bound("3.3.0.7"), "it is planned for all the same");
    let questions = world.questions - questions;
    assert!((2..=12).contains(&questions), "{questions} questions");
}
