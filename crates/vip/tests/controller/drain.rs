//! How real servers, services and addresses go.

use vip::Condition::{Healthy, Killing, Terminal, Unhealthy, Unknown};
use vip::controller::{AppClaims, Change, Facts, Input};
use vip::label::DEFAULT_DRAIN;
use vip::{AppId, AppKind, Ending};

use crate::world::{World, app, seconds, vip};

const WEB: &str = "3.3.0.6:80";
const DNS: &str = "3.3.0.6:53/udp";
const A: &str = "10.0.0.1:31001";
const B: &str = "10.0.0.2:31002";

/// Both tasks run; only those in `labelled` are claimed for the VIP.
fn web(at: &str, labelled: &[(&str, &str)]) -> AppClaims {
    let tasks: Vec<_> = labelled.iter().map(|(task, server)| (*task, *server, Healthy)).collect();
    let mut claims = app("/web", &[at], &tasks);
    claims.alive.extend(["a".into(), "b".into()]);
    claims
}

fn both(at: &str) -> World {
    World::settled(&[("/web", web(at, &[("a", A), ("b", B)]))])
}

/// A has lost its label and has connections.
fn draining() -> World {
    let mut world = both(WEB);
    world.set_active(WEB, A, 3);
    world.app("/web", Some(web(WEB, &[("b", B)])));
    world
}

#[test]
fn a_running_server_that_is_no_longer_wanted_drains_until_its_time_is_over() {
    let mut world = draining();
    assert_eq!(world.weight(WEB, A), Some(0));
    assert_eq!(world.status.draining, 1);
    world.pass(DEFAULT_DRAIN - seconds(1));
    assert_eq!(world.weight(WEB, A), Some(0));
    world.pass(seconds(1));
    assert_eq!(world.weight(WEB, A), None);
    assert_eq!(world.weight(WEB, B), Some(1));
    assert_eq!(world.status.draining, 0);
}

#[test]
fn it_goes_when_no_connection_was_active_for_10_s() {
    let mut world = draining();
    world.pass(seconds(30));
    world.set_active(WEB, A, 0);
    world.pass(seconds(9));
    assert_eq!(world.weight(WEB, A), Some(0));
    world.pass(seconds(11));
    assert_eq!(world.weight(WEB, A), None);
}

#[test]
fn a_connection_in_between_starts_the_10_s_anew() {
    let mut world = draining();
    world.set_active(WEB, A, 0);
    world.pass(seconds(10));
    world.set_active(WEB, A, 1);
    world.pass(seconds(10));
    world.set_active(WEB, A, 0);
    world.pass(seconds(10));
    assert_eq!(world.weight(WEB, A), Some(0));
    world.pass(seconds(10));
    assert_eq!(world.weight(WEB, A), None);
}

#[test]
fn the_label_says_how_long() {
    for (drain, after) in [(0, 0), (5, 5), (300, 300)] {
        let mut world = both(WEB);
        world.set_active(WEB, A, 3);
        let mut claims = web(WEB, &[("b", B)]);
        claims.claims[0].options.drain = seconds(drain);
        world.app("/web", Some(claims));
        if after > 0 {
            world.pass(seconds(after - 1));
            assert_eq!(world.weight(WEB, A), Some(0), "{drain}");
            world.pass(seconds(1));
        }
        assert_eq!(world.weight(WEB, A), None, "{drain}");
    }
}

#[test]
fn a_server_whose_task_has_ended_goes_at_once() {
    let mut world = both(WEB);
    world.app(
        "/web",
        Some(app("/web", &[WEB], &[("a", A, Terminal(Ending::Failed)), ("b", B, Healthy)])),
    );
    assert_eq!(world.weights(WEB), Some(vec![(B.into(), 1)]));
    // One that Marathon doesn't list any more has ended too.
    world.app("/web", Some(app("/web", &[WEB], &[])));
    assert_eq!(world.weights(WEB), Some(vec![]));
}

#[test]
fn a_task_that_ends_while_it_drains_goes_at_once() {
    let mut world = draining();
    world.app("/web", Some(AppClaims { alive: ["a".into()].into(), ..AppClaims::default() }));
    assert_eq!(world.weight(WEB, A), Some(0));
    assert_eq!(world.weight(WEB, B), None);
    world.app("/web", Some(AppClaims::default()));
    assert_eq!(world.weights(WEB), None);
}

#[test]
fn a_udp_server_goes_at_once() {
    let mut world = both(DNS);
    world.app("/web", Some(web(DNS, &[("b", B)])));
    assert_eq!(world.weights(DNS), Some(vec![(B.into(), 1)]));
    world.app("/web", None);
    assert_eq!(world.weights(DNS), None);
}

#[test]
fn a_server_that_comes_back_gets_its_weight_and_stays() {
    let mut world = draining();
    world.pass(seconds(60));
    world.app("/web", Some(web(WEB, &[("a", A), ("b", B)])));
    assert_eq!(world.weight(WEB, A), Some(1));
    assert_eq!(world.status.draining, 0);
    world.pass(seconds(600));
    assert_eq!(world.weight(WEB, A), Some(1));
}

#[test]
fn one_that_comes_back_with_unknown_health_is_what_it_was() {
    let mut world = draining();
    let unknown = Unknown { settled: false };
    world.app("/web", Some(app("/web", &[WEB], &[("a", A, unknown), ("b", B, Healthy)])));
    assert_eq!(world.weight(WEB, A), Some(1));
    let mut world = both(WEB);
    world.app("/web", Some(app("/web", &[WEB], &[("a", A, Unhealthy), ("b", B, Healthy)])));
    world.app("/web", Some(web(WEB, &[("b", B)])));
    world.app("/web", Some(app("/web", &[WEB], &[("a", A, unknown), ("b", B, Healthy)])));
    assert_eq!(world.weight(WEB, A), Some(0));
}

#[test]
fn a_service_that_nobody_claims_drains_and_then_its_address_lingers() {
    let mut world = both(WEB);
    world.set_active(WEB, A, 1);
    world.app("/web", None);
    assert_eq!(world.weights(WEB), Some(vec![(A.into(), 0), (B.into(), 0)]));
    world.pass(seconds(21));
    assert_eq!(world.weights(WEB), Some(vec![(A.into(), 0)]));
    world.pass(DEFAULT_DRAIN - seconds(21));
    assert_eq!(world.weights(WEB), None);
    world.pass(seconds(59));
    assert!(world.bound("3.3.0.6"));
    world.pass(seconds(2));
    assert!(!world.bound("3.3.0.6"));
}

#[test]
fn an_address_with_another_service_stays() {
    let mut world = both(WEB);
    world.app("/dns", Some(app("/dns", &[DNS], &[("c", A, Healthy)])));
    world.app("/web", None);
    world.pass(seconds(600));
    assert_eq!((world.weights(WEB), world.bound("3.3.0.6")), (None, true));
}

#[test]
fn an_address_claimed_again_while_it_lingers_stays() {
    let mut world = both(WEB);
    world.app("/web", None);
    world.pass(seconds(30));
    assert_eq!((world.weights(WEB), world.bound("3.3.0.6")), (None, true));
    world.app("/web", Some(web(WEB, &[("a", A)])));
    world.pass(seconds(600));
    assert!(world.bound("3.3.0.6"));
}

#[test]
fn after_a_restart_weight_0_and_unwanted_is_draining_with_a_fresh_deadline() {
    let mut world = draining();
    world.pass(DEFAULT_DRAIN - seconds(20));
    world.restart();
    world.hear_all("m");
    world.pass(DEFAULT_DRAIN - seconds(1));
    assert_eq!(world.weight(WEB, A), Some(0));
    assert_eq!(world.status.draining, 1);
    world.pass(seconds(2));
    assert_eq!(world.weight(WEB, A), None);
}

#[test]
fn after_a_restart_a_wanted_server_doesnt_stay_at_0() {
    let mut world = draining();
    world.restart();
    assert_eq!(world.weight(WEB, A), Some(0));
    world.truth.get_mut("m").unwrap().insert("/web".into(), web(WEB, &[("a", A), ("b", B)]));
    world.hear_all("m");
    assert_eq!(world.weight(WEB, A), Some(1));
}

#[test]
fn after_a_restart_an_unclaimed_service_drains_with_its_settings() {
    let mut world = both(WEB);
    let mut claims = web(WEB, &[("a", A), ("b", B)]);
    claims.claims[0].options.persistence = Some(300);
    world.app("/web", Some(claims));
    world.set_active(WEB, A, 1);
    let settings = world.kernel.state.services.values().next().unwrap().settings.clone();
    world.restart();
    world.truth.get_mut("m").unwrap().clear();
    world.hear_all("m");
    assert_eq!(world.weights(WEB), Some(vec![(A.into(), 0), (B.into(), 0)]));
    assert_eq!(world.kernel.state.services.values().next().unwrap().settings, settings);
    world.pass(DEFAULT_DRAIN);
    assert_eq!(world.weights(WEB), None);
}

#[test]
fn a_draining_service_that_loses_its_mark_is_still_ours() {
    let mut world = both(WEB);
    world.app("/web", None);
    for service in world.state().services.values_mut() {
        service.settings.flags = service.settings.flags & !vip::ownership::MARK;
    }
    world.pass(seconds(300));
    assert_eq!((world.weights(WEB), world.bound("3.3.0.6")), (None, false));
}

#[test]
fn a_draining_server_that_got_weight_by_other_hands_begins_anew() {
    let mut world = draining();
    world.pass(seconds(60));
    world
        .state()
        .services
        .get_mut(&crate::world::vip(WEB).into())
        .unwrap()
        .servers
        .values_mut()
        .for_each(|server| server.settings.weight = 7);
    world.pass(DEFAULT_DRAIN - seconds(1));
    assert_eq!((world.weight(WEB, A), world.weight(WEB, B)), (Some(0), Some(1)));
    world.pass(seconds(30));
    assert_eq!(world.weight(WEB, A), None);
}

#[test]
fn servers_that_may_be_unread_tasks_are_left_as_they_are() {
    let mut world = both(WEB);
    let mut claims = web(WEB, &[("b", B)]);
    claims.claims[0].incomplete = true;
    world.app("/web", Some(claims));
    world.pass(seconds(600));
    assert_eq!(world.weight(WEB, A), Some(1));
}

#[test]
fn servers_on_an_agent_with_unread_tasks_are_left_as_they_are() {
    let mut world = both(WEB);
    let uncertain = ["10.0.0.1".parse().unwrap()].into();
    world.hear(Input::Facts(vip::controller::Facts { uncertain, ..Default::default() }));
    world.app("/web", Some(web(WEB, &[("b", B)])));
    world.pass(seconds(600));
    assert_eq!(world.weight(WEB, A), Some(1));
    world.hear(Input::Facts(Default::default()));
    assert_eq!(world.weight(WEB, A), Some(0));
}

/// What has ended goes, whatever else is unknown.
#[test]
fn a_server_that_has_ended_goes_though_its_agent_has_unread_tasks() {
    let mut world = both(WEB);
    let uncertain = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()].into();
    world.hear(Input::Facts(Facts { uncertain, gaps: true, ..Default::default() }));
    let mut claims = app("/web", &[WEB], &[("b", B, Healthy)]);
    claims.claims[0].incomplete = true;
    world.app("/web", Some(claims));
    assert_eq!((world.weight(WEB, A), world.weight(WEB, B)), (None, Some(1)));
}

/// The tasks of an app that a pod replaces may run on for a while, and so the other way round.
#[test]
fn an_app_and_a_pod_of_one_id_are_told_apart() {
    for replaced_first in [true, false] {
        let mut world = both(WEB);
        world.set_active(WEB, A, 3);
        let pod = AppId { id: "/web".into(), kind: AppKind::Pod };
        let new = (pod, Some(app("/web", &[WEB], &[("c", "10.0.0.3:31003", Healthy)])));
        let old = (AppId::from("/web"), None);
        let changes = if replaced_first { [old, new] } else { [new, old] };
        for change in changes {
            let change = Change::Apps([change].into());
            world.hear(Input::Claims { source: "m".into(), change });
        }
        assert_eq!(world.weight(WEB, "10.0.0.3:31003"), Some(1));
        assert_eq!(world.weight(WEB, A), Some(0), "it drains");
    }
}

#[test]
fn a_task_being_killed_is_at_0_until_it_has_ended() {
    let mut world = both(WEB);
    world.app("/web", Some(app("/web", &[WEB], &[("a", A, Killing), ("b", B, Healthy)])));
    world.pass(seconds(600));
    assert_eq!(world.weight(WEB, A), Some(0));
    world.app("/web", Some(app("/web", &[WEB], &[("b", B, Healthy)])));
    assert_eq!(world.weight(WEB, A), None);
}

/// Two Marathons have an app of one name, that serves one VIP together.
fn of_two_marathons() -> World {
    let mut world = World::of_two_sources();
    for (source, task, server) in [("m", "a", A), ("n", "b", B)] {
        let input =
            world.app_input(source, "/web", Some(app("/web", &[WEB], &[(task, server, Healthy)])));
        world.say(input);
        world.hear_all(source);
    }
    world.set_active(WEB, A, 3);
    world
}

#[test]
fn a_deleted_apps_tasks_drain_though_another_marathon_has_an_app_of_its_name() {
    let mut world = of_two_marathons();
    world.app("/web", None);
    assert_eq!(world.weight(WEB, A), Some(0));
    let desired = world.controller.desired();
    let member = &desired.services[&vip(WEB)].selection.members[&A.parse().unwrap()];
    assert_eq!((member.source.as_str(), &*member.app, &*member.task), ("m", "/web", "a"));
}

#[test]
fn a_task_goes_once_its_own_marathon_knows_it_no_more() {
    let mut world = of_two_marathons();
    world.app("/web", None);
    let again = app("/web", &["3.3.0.7:80"], &[("c", "10.0.0.3:31003", Healthy)]);
    world.app("/web", Some(again));
    assert_eq!(world.weight(WEB, A), None);
    assert_eq!(world.weight(WEB, B), Some(1));
}

#[test]
fn while_it_may_be_claimed_a_service_stays_and_then_it_is_known_whose_its_servers_were() {
    let mut world = both(WEB);
    world.set_active(WEB, A, 3);
    let gaps = |gaps| Input::Facts(Facts { gaps, ..Facts::default() });
    world.hear(gaps(true));
    world.app("/web", Some(web("3.3.0.9:80", &[])));
    assert_eq!(world.weight(WEB, A), Some(1));
    world.hear(gaps(false));
    assert_eq!(world.weight(WEB, A), Some(0));
    let desired = world.controller.desired();
    let member = &desired.services[&vip(WEB)].selection.members[&A.parse().unwrap()];
    assert_eq!((&*member.app, &*member.task), ("/web", "a"));
}
