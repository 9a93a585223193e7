//! A table of which no source claims much: that is doubted.

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
    let losses = world.controller.unclaimed_losses(world.controller.observed().unwrap());
    assert_eq!((losses.services, losses.of_services), (1, 3));
    assert_eq!((losses.servers, losses.of_servers), (2, 3));
    world.hear(doubted(false));
    world.pass(seconds(300));
    assert_eq!(world.weights("3.3.0.7:80"), None);
    assert_eq!(world.weights("3.3.0.8:80"), Some(vec![]));
}
