//! A policy that refuses most of what served before the start: what stays, for how long, and what goes
//! all the same.

use vip::Condition::{Healthy, Unhealthy};
use vip::controller::{AppClaims, Change, Config, Input};
use vip::{Policy, TableSettings, Verdict};

use crate::world::{World, app, seconds};

/// The VIP of each app, and its task.
const APPS: [(&str, &str, &str); 4] = [
    ("/a", "3.3.0.1:80", "10.0.0.1:31001"),
    ("/b", "3.3.0.2:80", "10.0.0.2:31002"),
    ("/c", "3.3.0.3:80", "10.0.0.3:31003"),
    ("/d", "4.4.0.4:80", "10.0.0.4:31004"),
];

fn claims() -> Vec<(&'static str, AppClaims)> {
    APPS.map(|(name, at, task)| (name, app(name, &[at], &[(name, task, Healthy)]))).into()
}

fn allow(prefix: &str) -> Policy {
    Policy { allow: vec![prefix.parse().unwrap()], ..Policy::default() }
}

/// One that served all apps, and starts again with a policy.
fn restarted(policy: Policy) -> World {
    let mut world = World::settled(&claims());
    assert_eq!(in_use(&world), 4);
    world.config.table.policy = policy;
    world.restart();
    world
}

/// A node that starts again, whose kernel is empty.
fn rebooted(policy: Policy) -> World {
    let table = TableSettings { policy, ..TableSettings::default() };
    let sources = ["m".into()].into();
    let mut world = World::with(Config { sources, table, ..Config::default() });
    let served = APPS.map(|(_, at, _)| at.parse::<std::net::SocketAddr>().unwrap().ip());
    world.controller.restore_served(served);
    world.hear(Input::Tick);
    world
}

fn hear(world: &mut World) {
    for (name, claims) in claims() {
        world.app(name, Some(claims));
        world.pass(seconds(1));
    }
    world.hear_all("m");
}

/// How many VIPs take new connections.
fn in_use(world: &World) -> usize {
    let takes = |at: &&str| {
        world.weights(at).is_some_and(|servers| servers.iter().any(|(_, weight)| *weight > 0))
    };
    APPS.iter().filter(|(_, at, _)| takes(at)).count()
}

#[test]
fn a_policy_that_refuses_most_of_what_served_takes_nothing_until_it_is_accepted() {
    for mut world in [restarted(allow("30.0.0.0/8")), rebooted(allow("30.0.0.0/8"))] {
        hear(&mut world);
        world.pass(seconds(3600));
        assert_eq!(in_use(&world), 4);
        assert!(world.plans.iter().all(|plan| !plan.losses().is_suspicious()), "{:?}", world.plans);
        let doubt = world.status.policy_doubt.clone().unwrap();
        assert_eq!((doubt.refused, doubt.of, &*doubt.app), (4, 4, "/a"));
        let Verdict::Noted(note) = &world.controller.desired().reports[0].verdict else {
            panic!("{:?}", world.controller.desired().reports)
        };
        assert!(note.contains("doubted") && note.contains("outside vip.allow"), "{note}");
        // They are served as ever.
        let moved = app("/a", &["3.3.0.1:80"], &[("a2", "10.0.0.9:31009", Healthy)]);
        world.app("/a", Some(moved));
        world.pass(seconds(300));
        assert_eq!(world.weight("3.3.0.1:80", "10.0.0.9:31009"), Some(1));
        assert_eq!(world.weight("3.3.0.1:80", "10.0.0.1:31001"), None);
        // What didn't serve gets no VIP.
        let other = app("/e", &["5.5.0.5:80"], &[("e", "10.0.0.5:31005", Healthy)]);
        world.app("/e", Some(other));
        world.pass(seconds(60));
        assert_eq!(world.weights("5.5.0.5:80"), None);
        world.hear(Input::AcceptPolicy);
        world.pass(seconds(600));
        assert_eq!((in_use(&world), &world.status.policy_doubt), (0, &None));
        assert!(APPS.iter().all(|(_, at, _)| world.weights(at).is_none()));
    }
}

#[test]
fn a_policy_that_refuses_half_of_what_served_is_in_force_once_all_is_read() {
    let mut world = restarted(Policy {
        allow: ["3.3.0.1/32", "4.4.0.0/16"].map(|prefix| prefix.parse().unwrap()).into(),
        ..Policy::default()
    });
    for (name, claims) in claims() {
        world.app(name, Some(claims));
        world.pass(seconds(60));
        assert_eq!((in_use(&world), &world.status.policy_doubt), (4, &None), "not all is read");
    }
    world.hear_all("m");
    world.pass(seconds(600));
    assert_eq!((in_use(&world), &world.status.policy_doubt), (2, &None));
    assert_eq!(world.weights("3.3.0.2:80"), None);
}

#[test]
fn a_first_start_doubts_no_policy() {
    let mut world = World::new();
    world.config.table.policy = allow("30.0.0.0/8");
    world.restart();
    hear(&mut world);
    world.pass(seconds(60));
    assert_eq!((in_use(&world), &world.status.policy_doubt), (0, &None));
}

#[test]
fn an_app_that_is_gone_goes_also_while_the_policy_is_doubted() {
    let mut world = restarted(allow("30.0.0.0/8"));
    hear(&mut world);
    world.app("/b", None);
    let sick = app("/c", &["3.3.0.3:80"], &[("/c", "10.0.0.3:31003", Unhealthy)]);
    world.app("/c", Some(sick));
    world.pass(seconds(600));
    assert_eq!(world.weights("3.3.0.2:80"), None);
    assert_eq!(in_use(&world), 3, "the unhealthy one fails open");
    assert!(world.status.policy_doubt.is_some());
}

/// A reservation keeps an app out of the VIP of another one, also before all is read.
#[test]
fn a_vip_of_an_app_that_may_have_it_is_never_shared_with_one_that_may_not() {
    let owner = ["3.0.0.0/8", "4.0.0.0/8"]
        .map(|prefix| (prefix.parse().unwrap(), vip::Reservation::AnySource("/x".into())));
    let mut policy = Policy { owner: owner.into(), ..Policy::default() };
    let own = vip::Reservation::AnySource("/a".into());
    policy.owner.insert("3.3.0.1/32".parse().unwrap(), own);
    let mut world = restarted(policy);
    let thief = app("/thief", &["3.3.0.1:80"], &[("t", "10.6.6.6:31666", Healthy)]);
    let mut apps: std::collections::BTreeMap<_, _> =
        claims().into_iter().map(|(name, claims)| (name.into(), Some(claims))).collect();
    apps.insert("/thief".into(), Some(thief));
    for (name, claims) in &apps {
        world.truth.get_mut("m").unwrap().insert(vip::AppId::clone(name), claims.clone().unwrap());
    }
    world.hear(Input::Claims { source: "m".into(), change: Change::Apps(apps) });
    world.pass(seconds(10));
    assert_eq!(world.weight("3.3.0.1:80", "10.6.6.6:31666"), None);
    world.hear_all("m");
    world.pass(seconds(300));
    let doubt = world.status.policy_doubt.clone().unwrap();
    assert_eq!((doubt.refused, doubt.of), (3, 4));
    assert_eq!((in_use(&world), world.weight("3.3.0.1:80", "10.6.6.6:31666")), (4, None));
}
