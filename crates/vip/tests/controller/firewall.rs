//! The node's own firewall changes while the controller is at work.

use std::sync::Arc;

use vip::controller::{Config, Input};
use vip::firewall::{Backend, Base, Chain, ChainPlace, Families, Fate, Hook, OwnRules};
use vip::{Firewall, TableSettings};

use crate::world::{World, app, seconds};

fn input() -> ChainPlace {
    ChainPlace {
        backend: Backend::Nftables,
        families: Families::V4,
        table: "filter".into(),
        chain: "INPUT".into(),
    }
}

/// Somebody loads a firewall that drops everything.
fn close(world: &mut World) {
    let chain = Chain { base: Some(Base { hook: Hook::Input, drops: true }), rules: Vec::new() };
    let firewall = Firewall { chains: [(input(), chain)].into(), ..Firewall::default() };
    world.kernel.state.firewall = Arc::new(firewall);
}

fn is_let_in(world: &World) -> bool {
    let prefix = "3.0.0.0/8".parse().unwrap();
    world.kernel.state.firewall.chain_fate(&input(), &prefix, OwnRules::All) == Fate::Passes
}

#[test]
fn vips_are_let_in_whenever_the_firewall_is_loaded_anew() {
    let web = app("/web", &["3.3.0.6:80"], &[("a", "10.0.0.1:31001", vip::Condition::Healthy)]);
    let let_in = vec!["3.0.0.0/8".parse().unwrap()];
    let sources = ["m".into()].into();
    let table = TableSettings { let_in, ..TableSettings::default() };
    let mut world = World::with(Config { table, sources, ..Config::default() });
    world.app("/web", Some(web));
    world.hear_all("m");
    for _ in 0..3 {
        close(&mut world);
        assert!(!is_let_in(&world));
        world.hear(Input::KernelChanged);
        world.pass(seconds(1));
        assert!(is_let_in(&world), "as the kernel announces it");
        close(&mut world);
        world.pass(seconds(31));
        assert!(is_let_in(&world), "at the next reading at the latest");
    }
    let plans = world.plans.len();
    world.pass(seconds(600));
    assert_eq!(world.plans.len(), plans, "then there is nothing to do");
}

#[test]
fn a_firewall_is_left_alone_without_the_wish() {
    let web = app("/web", &["3.3.0.6:80"], &[("a", "10.0.0.1:31001", vip::Condition::Healthy)]);
    let mut world = World::settled(&[("/web", web)]);
    close(&mut world);
    let before = world.kernel.state.firewall.clone();
    world.hear(Input::KernelChanged);
    world.pass(seconds(600));
    assert_eq!(world.kernel.state.firewall, before);
}
