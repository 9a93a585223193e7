//! A table of which no source claims much: that is doubted.

use std::net::SocketAddr;

use vip::Condition::Healthy;
use vip::controller::{Facts, Input};

use crate::world::{World, app, seconds};

#[test]
fn while_the_table_is_doubted_what_nobody_claims_stays_and_what_is_replaced_goes() {
    let web = |task: &str, at: &str| app("/web", &["3.3.0.6:80"], &[(task, at, Healthy)]);
    let mut world = World::settled(&[
        ("/web", web("a", "10.0.0.1:1")),
        ("/db", app("/db", &["3.3.0.7:80"], &[("d", "10.0.0.1:2", Healthy)])),
        ("/api", app("/api", &["3.3.0.8:80"], &[("p", "10.0.0.1:3", Healthy)])),
    ]);
    let doubted = |doubted| Input::Facts(Facts { doubted, ..Facts::default() });
    world.restart();
    world.hear(doubted(true));
    let told = [("/web", web("b", "10.0.0.2:1")), ("/api", app("/api", &["3.3.0.8:80"], &[]))];
    let told = told.into_iter().map(|(name, claims)| (name.into(), claims));
    world.truth.insert("m".into(), told.collect());
    world.hear_all("m");
    world.pass(seconds(300));
    assert_eq!(world.weights("3.3.0.6:80"), Some(vec![("10.0.0.2:1".into(), 1)]));
    assert_eq!(world.weights("3.3.0.7:80"), Some(vec![("10.0.0.1:2".into(), 1)]));
    assert_eq!(world.weights("3.3.0.8:80"), Some(vec![("10.0.0.1:3".into(), 1)]));
    let losses = world.controller.unclaimed_losses(&world.kernel.state.servers_in_use());
    assert_eq!((losses.services, losses.of_services), (1, 3));
    assert_eq!((losses.servers, losses.of_servers), (2, 3));
    world.hear(doubted(false));
    world.pass(seconds(300));
    assert_eq!(world.weights("3.3.0.7:80"), None);
    assert_eq!(world.weights("3.3.0.8:80"), Some(vec![]));
}

const WEB: &str = "3.3.0.6:80";
const DB: &str = "3.3.0.7:80";
const API: &str = "3.3.0.8:80";
const D: &str = "10.0.0.1:2";
const E: &str = "10.0.0.2:2";
const P: &str = "10.0.0.1:3";

/// One that has started anew, and whose source lists /web and, without a task, /api.
fn restarted() -> World {
    let web = app("/web", &[WEB], &[("a", "10.0.0.1:1", Healthy)]);
    let mut world = World::settled(&[
        ("/web", web.clone()),
        ("/db", app("/db", &[DB], &[("d", D, Healthy), ("e", E, Healthy)])),
        ("/api", app("/api", &[API], &[("p", P, Healthy)])),
    ]);
    world.restart();
    world.hear(doubt(&[]));
    let told = [("/web".into(), web), ("/api".into(), app("/api", &[API], &[]))];
    world.truth.insert("m".into(), told.into());
    world.hear_all("m");
    world
}

/// The table is doubted, and these places belong to tasks that are listed.
fn doubt(taken: &[&str]) -> Input {
    let taken = taken.iter().map(|at| at.parse::<SocketAddr>().unwrap()).collect();
    Input::Facts(Facts { doubted: true, taken, ..Facts::default() })
}

#[test]
fn a_vip_that_was_claimed_in_this_run_and_then_deleted_is_no_matter_of_doubt() {
    let mut world = restarted();
    let mut ended = app("/web", &[WEB], &[("a", "10.0.0.1:1", Healthy)]);
    ended.claims[0].candidates.clear();
    ended.alive.clear();
    world.app("/web", Some(ended));
    world.app("/web", None);
    assert_eq!(world.weights(WEB), None);
    world.pass(seconds(300));
    assert!(!world.bound("3.3.0.6") && world.bound("3.3.0.7"));
    assert_eq!(world.weights(DB), Some(vec![(D.into(), 1), (E.into(), 1)]));
    let losses = world.controller.unclaimed_losses(&world.kernel.state.servers_in_use());
    assert_eq!((losses.services, losses.of_services), (1, 2));
}

#[test]
fn in_doubt_a_server_whose_place_belongs_to_a_listed_task_goes_at_once() {
    let mut world = restarted();
    world.hear(doubt(&[D]));
    assert_eq!(world.weights(DB), Some(vec![(E.into(), 1)]));
    assert_eq!(world.weights(API), Some(vec![(P.into(), 1)]));
    world.hear(doubt(&[D, P]));
    assert_eq!(world.weights(API), Some(vec![]));
    // Nothing of it is left.
    world.hear(doubt(&[D, P, E]));
    assert_eq!(world.weights(DB), None);
    world.pass(seconds(300));
    assert!(!world.bound("3.3.0.7") && world.bound("3.3.0.8") && world.bound("3.3.0.6"));
}

#[test]
fn while_tasks_are_unknown_a_service_stays_though_its_places_are_taken() {
    let mut world = restarted();
    let taken = [D, E].map(|at| at.parse::<SocketAddr>().unwrap()).into();
    world.hear(Input::Facts(Facts { doubted: true, gaps: true, taken, ..Facts::default() }));
    assert_eq!(world.weights(DB), Some(vec![]));
}
