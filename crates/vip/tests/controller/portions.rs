//! A large change comes in portions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use vip::Condition::Healthy;
use vip::controller::{AppClaims, Config, Input};
use vip::nft::{NftSupport, TableState};
use vip::plan::OpKind;
use vip::{AppId, Op};

use crate::world::{Job, World, app, vip};

/// So many apps, with a VIP and a real server each.
fn apps(count: usize) -> BTreeMap<AppId, AppClaims> {
    let one = |number: usize| {
        let (vip, server) = (at(number), format!("10.0.0.1:{}", 31_000 + number));
        (
            AppId::from(&*format!("/app{number}")),
            app("/app", &[&vip], &[("task", &server, Healthy)]),
        )
    };
    (0..count).map(one).collect()
}

fn at(number: usize) -> String {
    format!("3.3.{}.{}:80", number / 250, number % 250 + 1)
}

/// One that heard of so many apps and has read an empty kernel. The kernel's next answer is open.
fn begun(count: usize) -> World {
    let mut world = World::new();
    world.say(Input::Tick);
    world.truth.insert("m".into(), apps(count));
    world.say_all("m");
    world.answer();
    world
}

#[test]
fn a_large_table_is_filled_in_plans_of_so_many_addresses() {
    let mut world = begun(600);
    world.work();
    assert_eq!(world.kernel.state.services.len(), 600);
    let sizes = world.plans.iter().map(|plan| plan.changed_addresses().count());
    assert_eq!(sizes.collect::<Vec<_>>(), [256, 256, 88]);
    let changed: BTreeSet<_> = world.plans.iter().flat_map(vip::Plan::changed_addresses).collect();
    assert_eq!(changed.len(), 600, "none of them twice");
    assert_eq!(world.readings, 1, "the kernel is read again");
    assert_eq!(world.status.unapplied_since, None);
}

#[test]
fn it_is_not_done_before_the_last_portion_is() {
    let mut world = begun(600);
    let since = world.now;
    world.answer();
    world.now += Duration::from_secs(1);
    world.answer();
    assert!(matches!(world.job, Some(Job::Apply(_))));
    assert_eq!(world.status.unapplied_since, Some(since));
}

#[test]
fn what_is_heard_meanwhile_comes_with_the_next_portion_that_has_it() {
    let mut world = begun(600);
    let news = app("/app", &[&at(599)], &[("other", "10.0.0.2:31000", Healthy)]);
    let input = world.app_input("m", "/app599", Some(news));
    world.say(input);
    world.work();
    assert_eq!(world.weights(&at(599)), Some(vec![("10.0.0.2:31000".into(), 1)]));
    assert_eq!(world.plans.len(), 3);
}

#[test]
fn a_refused_portion_holds_up_none_of_the_others() {
    let mut world = begun(600);
    world.kernel.refuse_nth(300, 12);
    world.work();
    assert!(world.kernel.state.services.len() > 500);
    world.kernel.clear_faults();
    world.pass(Config::default().sync_period);
    assert_eq!(world.kernel.state.services.len(), 600);
    assert!(world.status.failing.is_empty());
}

#[test]
fn those_that_wait_for_longest_come_first() {
    let mut world = begun(300);
    world.now += Duration::from_secs(1);
    let first = app("/first", &["3.2.0.1:80"], &[("task", "10.0.0.1:30000", Healthy)]);
    let input = world.app_input("m", "/first", Some(first));
    world.say(input);
    world.work();
    let of = |address: &str| {
        let address = vip(address).address;
        world.plans.iter().position(|plan| plan.changed_addresses().any(|each| each == address))
    };
    assert_eq!((of(&at(0)), of(&at(299)), of("3.2.0.1:80")), (Some(0), Some(1), Some(1)));
}

/// `nft flush table` takes the rules and leaves the sets: nothing but the rules is to be restored.
#[test]
fn flows_of_all_vips_are_forgotten_with_restored_rules() {
    let mut world = World::new();
    world.state().nft.v4.support = NftSupport::Nat;
    world.say(Input::Tick);
    world.truth.insert("m".into(), apps(300));
    world.say_all("m");
    world.work();
    let is_whole = |world: &World| {
        matches!(world.kernel.state.nft.v4.state, TableState::Whole(_))
            && world.kernel.state.nft.v4.vips.len() == 300
    };
    assert!(is_whole(&world));
    world.plans.clear();
    world.state().nft.v4.state = TableState::Damaged;
    world.pass(Config::default().sync_period);
    assert!(is_whole(&world));
    let ops = world.plans.iter().flat_map(|plan| &plan.ops);
    let forgotten = ops.filter_map(|op| match op {
        Op::ForgetFlows { vip, .. } => Some(vip),
        _ => None,
    });
    let forgotten: Vec<_> = forgotten.collect();
    assert_eq!(forgotten.len(), 300, "each once");
    assert_eq!(forgotten.into_iter().collect::<BTreeSet<_>>().len(), 300);
}

#[test]
fn what_is_held_back_is_shown_whole() {
    let mut world = World::new();
    world.hear(Input::Hold);
    world.truth.insert("m".into(), apps(600));
    world.hear_all("m");
    let bound =
        world.controller.withheld_entries().filter(|entry| entry.op == OpKind::Bind).count();
    assert_eq!((bound, world.plans.len()), (600, 0));
    world.hear(Input::Release);
    assert_eq!(world.kernel.state.services.len(), 600);
}
