//! When the controller acts, and on what.

use std::time::Duration;

use testkit::cases;
use vip::Condition::{self, Healthy, Terminal, Unhealthy};
use vip::Ending;
use vip::controller::{Config, Facts, Input, Mode};
use vip::ownership::MARK;
use vip::{Link, NodeFacts, Op};

use crate::world::{Job, World, app, seconds, vip};

const WEB: &str = "3.3.0.6:80";
const DB: &str = "3.3.0.7:3306";
const A: &str = "10.0.0.1:31001";
const B: &str = "10.0.0.2:31002";

fn web() -> vip::controller::AppClaims {
    app("/web", &[WEB], &[("a", A, Healthy)])
}

fn db() -> vip::controller::AppClaims {
    app("/db", &[DB], &[("b", B, Healthy)])
}

fn one(at: &str, weight: u32) -> Option<Vec<(String, u32)>> {
    Some(vec![(at.to_owned(), weight)])
}

#[test]
fn what_is_claimed_comes_into_the_kernel() {
    let mut world = World::new();
    world.app("/web", Some(web()));
    assert_eq!(world.weights(WEB), one(A, 1));
    assert!(world.bound("3.3.0.6"));
    assert_eq!(world.status.unapplied_since, None);
}

#[test]
fn nothing_is_removed_before_every_source_was_read_whole() {
    let mut old = World::settled(&[("/web", web()), ("/old", db())]);
    let mut world = World::of_two_sources();
    std::mem::swap(&mut world.kernel, &mut old.kernel);
    world.app("/web", Some(app("/web", &[WEB], &[("c", B, Healthy)])));
    world.hear_all("m");
    world.pass(seconds(600));
    assert_eq!(world.weights(WEB), Some(vec![(A.into(), 1), (B.into(), 1)]));
    assert_eq!(world.weights(DB), one(B, 1));
    assert_eq!(world.status.awaited, ["n".into()]);
    world.hear_all("n");
    assert_eq!(world.weights(DB), one(B, 0));
    assert_eq!(world.weights(WEB), Some(vec![(A.into(), 0), (B.into(), 1)]));
    assert!(world.status.awaited.is_empty());
}

#[test]
fn a_lost_source_keeps_what_it_said() {
    let mut world = World::settled(&[("/web", web())]);
    world.hear(Input::Lost { source: "m".into(), why: "connection refused".into() });
    world.pass(seconds(600));
    assert_eq!(world.weights(WEB), one(A, 1));
    assert_eq!(world.status.lost["m"], "connection refused");
    world.hear_all("m");
    assert!(world.status.lost.is_empty());
}

#[test]
fn a_vip_of_two_sources_has_the_servers_of_both() {
    let mut world = World::of_two_sources();
    for (source, task, at) in [("m", "a", A), ("n", "b", B)] {
        let claims = app("/web", &[WEB], &[(task, at, Healthy)]);
        let input = world.app_input(source, "/web", Some(claims));
        world.hear(input);
        world.hear_all(source);
    }
    assert_eq!(world.weights(WEB), Some(vec![(A.into(), 1), (B.into(), 1)]));
    // The app of one name in the other Marathon says nothing about this task.
    let input = world.app_input("m", "/web", None);
    world.hear(input);
    assert_eq!(world.weights(WEB), Some(vec![(A.into(), 0), (B.into(), 1)]));
}

#[test]
fn the_cost_of_a_change_follows_the_change() {
    let place = |n: usize| format!("3.3.{}.{}:80", n / 250, n % 250 + 1);
    let apps: Vec<_> = (0..1000).map(|n| (format!("/app{n}"), place(n))).collect();
    let named = |n: usize, condition| app(&apps[n].0, &[&apps[n].1], &[("t", A, condition)]);
    let mut world = World::new();
    let all =
        apps.iter().enumerate().map(|(n, (name, _))| (name.as_str().into(), named(n, Healthy)));
    let all = all.collect();
    world.truth.insert("m".into(), all);
    world.hear_all("m");
    let (before, readings) = (world.status.counters.planned, world.readings);
    world.plans.clear();
    world.app("/app500", Some(named(500, Terminal(Ending::Failed))));
    // Once to plan the change, once to see that it is done.
    assert_eq!(world.status.counters.planned - before, 2);
    assert_eq!(world.readings, readings);
    assert_eq!(world.plans.len(), 1);
    assert_eq!(world.plans[0].ops.len(), 1);
    // The same once more is no change; nor is a whole answer with nothing new.
    let planned = world.status.counters.planned;
    world.app("/app500", Some(named(500, Terminal(Ending::Failed))));
    world.hear_all("m");
    assert_eq!(world.status.counters.planned, planned);
}

#[test]
fn changes_during_an_apply_wait_and_come_as_one() {
    let mut world = World::settled(&[]);
    let input = world.app_input("m", "/web", Some(web()));
    world.say(input);
    assert!(matches!(world.job, Some(Job::FindWays(_))));
    world.answer();
    assert!(matches!(world.job, Some(Job::Apply(_))));
    for claims in [db(), app("/db", &[DB], &[("b", B, Unhealthy), ("c", A, Healthy)])] {
        let input = world.app_input("m", "/db", Some(claims));
        world.say(input);
    }
    assert!(world.status.unapplied_since.is_some());
    world.work();
    assert_eq!(world.plans.len(), 2);
    assert_eq!(world.weights(DB), Some(vec![(A.into(), 1), (B.into(), 0)]));
    assert_eq!(world.status.unapplied_since, None);
}

#[test]
fn a_failure_is_followed_by_a_reading_and_a_later_try() {
    let mut world = World::settled(&[]);
    let readings = world.readings;
    world.kernel.refuse_nth(0, nl_ipvs::errno::ENOMEM);
    world.app("/web", Some(web()));
    assert_eq!((world.bound("3.3.0.6"), world.readings), (false, readings + 1));
    assert!(world.status.failing.values().next().unwrap().why.starts_with("create-link"));
    assert!(world.status.unapplied_since.is_some());
    assert_eq!(world.status.overdue_since, None, "the kernel has answered");
    world.pass(Duration::from_millis(249));
    assert!(!world.bound("3.3.0.6"));
    world.pass(Duration::from_millis(1));
    assert!(world.bound("3.3.0.6"));
    assert!(world.status.failing.is_empty());
}

#[test]
fn tries_come_ever_later_up_to_the_sync_period() {
    let mut world = World::settled(&[]);
    world.kernel.schedulers.clear();
    world.app("/web", Some(web()));
    let mut waits = Vec::new();
    for _ in 0..10 {
        let retry = world.status.failing.values().next().unwrap().clone();
        waits.push(retry.at.saturating_sub(world.now).as_millis());
        let wait = retry.at - world.now;
        world.pass(wait);
    }
    assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    world.kernel.schedulers.insert("wlc".into());
    world.pass(seconds(30));
    assert_eq!(world.weights(WEB), one(A, 1));
}

#[test]
fn a_failing_vip_holds_up_no_other_and_its_news_dont_wait() {
    let mut world = World::settled(&[("/db", db())]);
    world.kernel.schedulers.clear();
    world.app("/web", Some(web()));
    world.pass(seconds(20));
    world.kernel.schedulers.insert("wlc".into());
    let two = [("b", B, Healthy), ("c", A, Healthy)];
    world.app("/db", Some(app("/db", &[DB], &two)));
    assert_eq!(world.weights(DB).unwrap().len(), 2);
    assert_eq!(world.weights(WEB), None);
    world.app("/web", Some(app("/web", &[WEB], &two)));
    assert_eq!(world.weights(WEB).unwrap().len(), 2);
}

#[test]
fn lost_answers_mean_a_reading_before_anything_else() {
    let mut world = World::settled(&[("/db", db())]);
    world.kernel.lose_answers();
    let input = world.app_input("m", "/web", Some(web()));
    world.say(input);
    assert!(matches!(world.job, Some(Job::FindWays(_))));
    world.answer();
    assert!(matches!(world.job, Some(Job::Apply(_))));
    world.answer();
    assert!(matches!(world.job, Some(Job::Observe)));
    assert!(world.controller.observed().is_none());
    world.kernel.clear_faults();
    world.work();
    world.pass(seconds(1));
    assert_eq!(world.weights(WEB), one(A, 1));
    assert!(world.status.failing.is_empty());
}

#[test]
fn what_something_else_did_meanwhile_is_read_before_it_is_built_upon() {
    let mut world = World::settled(&[("/web", web())]);
    let (mut other, readings) = (World::settled(&[("/web", web()), ("/db", db())]), world.readings);
    std::mem::swap(&mut world.kernel, &mut other.kernel);
    world.app("/db", Some(db()));
    assert!(world.readings > readings);
    assert!(world.status.counters.already_so > 0);
    world.pass(seconds(1));
    assert_eq!(world.weights(DB), one(B, 1));
}

#[test]
fn drift_is_repaired_within_a_sync_period() {
    let drifts: [fn(&mut World); 5] = [
        |world| world.state().services.clear(),
        |world| {
            world.state().link = Link::Missing;
            world.state().addresses.clear();
        },
        |world| world.state().addresses.clear(),
        |world| {
            let service = world.state().services.get_mut(&vip(WEB).into()).unwrap();
            service.settings.scheduler = nl_ipvs::Scheduler::new("rr").ok();
            service.settings.flags = service.settings.flags & !MARK;
        },
        |world| {
            let service = world.state().services.get_mut(&vip(WEB).into()).unwrap();
            service.servers.values_mut().for_each(|server| server.settings.weight = 0);
        },
    ];
    for drift in drifts {
        let mut world = World::settled(&[("/web", web())]);
        let before = world.kernel.state.clone();
        drift(&mut world);
        assert_ne!(world.kernel.state, before);
        world.pass(seconds(30));
        assert_eq!(world.kernel.state, before);
    }
}

#[test]
fn a_kernel_that_cannot_be_read_is_told_and_tried_again() {
    let mut world = World::new();
    world.unreadable = Some("no IPVS".into());
    world.app("/web", Some(web()));
    world.pass(seconds(100));
    assert_eq!(world.status.unread.as_ref().unwrap().why, "no IPVS");
    assert!(world.readings < 15, "{}", world.readings);
    world.unreadable = None;
    world.pass(seconds(30));
    assert_eq!(world.weights(WEB), one(A, 1));
    assert_eq!(world.status.unread, None);
}

#[test]
fn readings_that_fail_do_not_count_as_the_last_one() {
    let mut world = World::settled(&[("/web", web())]);
    let last = world.status.read_at;
    assert!(last.is_some());
    world.unreadable = Some("no IPVS".into());
    world.pass(seconds(300));
    assert!(world.status.unread.as_ref().is_some_and(|retry| retry.failures > 1));
    assert!(world.status.read_at <= last.map(|last| last + world.config.sync_period));
    world.unreadable = None;
    world.pass(seconds(60));
    assert!(world.status.read_at > last.map(|last| last + seconds(300)));
}

#[test]
fn somebody_elses_service_is_left_alone_and_told() {
    let mut world = World::settled(&[("/db", db())]);
    let mut settings = world.kernel.state.service(&vip(DB)).unwrap().settings.clone();
    settings.flags = settings.flags & !MARK;
    let add = Op::AddService { vip: cases::tcp_vip("3.3.0.6"), settings };
    let _ = node::Kernel::perform(&mut world.kernel, &[&add]);
    let before = world.kernel.state.clone();
    world.pass(seconds(30));
    world.app("/web", Some(web()));
    assert_eq!(world.kernel.state, before);
    assert!(world.status.conflicts[0].contains("vipd did not create"));
    world.app("/web", None);
    assert!(world.status.conflicts.is_empty());
    world.pass(seconds(300));
    assert_eq!(world.kernel.state, before);
}

#[test]
fn a_suspended_vip_counts_as_such_whatever_stands_in_its_way() {
    let mut world = World::settled(&[("/db", db())]);
    let mut settings = world.kernel.state.service(&vip(DB)).unwrap().settings.clone();
    settings.flags = settings.flags & !MARK;
    let add = Op::AddService { vip: cases::tcp_vip("3.3.0.6"), settings };
    let _ = node::Kernel::perform(&mut world.kernel, &[&add]);
    world.pass(seconds(30));
    let mut off = web();
    for claim in &mut off.claims {
        claim.suspended = true;
        claim.candidates.clear();
    }
    world.app("/web", Some(off));
    let counts: Vec<_> = world.controller.count_vips().map(|(_, count)| count).collect();
    let told: Vec<_> = counts.iter().map(|count| (count.state, count.is_suspended)).collect();
    let is_blocked = |(state, is_suspended): &(vip::VipState, bool)| {
        *is_suspended && *state < vip::VipState::Degraded
    };
    assert!(told.iter().any(is_blocked), "{told:?}");
}

#[test]
fn a_vip_that_becomes_a_gateway_of_the_node_is_withdrawn() {
    let mut world = World::settled(&[("/web", web())]);
    let node = NodeFacts { gateways: ["3.3.0.6".parse().unwrap()].into(), ..NodeFacts::default() };
    world.state().node = node;
    world.pass(seconds(30));
    assert_eq!(world.weights(WEB), one(A, 0));
    // Nobody wants it to refuse, so it isn't suspended.
    let states: Vec<_> = world.controller.count_vips().map(|(_, count)| count.state).collect();
    assert_eq!(states, [vip::VipState::Refusing]);
    world.pass(seconds(300));
    assert_eq!((world.weights(WEB), world.bound("3.3.0.6")), (None, false));
    assert!(!world.controller.desired().reports[0].verdict.is_ok());
}

#[test]
fn while_held_nothing_changes_and_release_catches_up() {
    let mut world = World::settled(&[("/web", web())]);
    world.hear(Input::Hold);
    let before = world.kernel.state.clone();
    world.app("/web", Some(app("/web", &[WEB], &[("a", A, Unhealthy), ("b", B, Healthy)])));
    world.pass(seconds(600));
    assert_eq!(world.kernel.state, before);
    assert_eq!((world.status.mode, world.status.pending), (Mode::Held, 2));
    assert!(world.status.unapplied_since.is_some());
    world.hear(Input::Release);
    assert_eq!(world.weights(WEB), Some(vec![(A.into(), 0), (B.into(), 1)]));
    assert_eq!((world.status.mode, world.status.pending), (Mode::Acting, 0));
}

#[test]
fn a_drain_that_begins_while_held_has_its_full_time_after_release() {
    let mut world = World::settled(&[("/web", web()), ("/db", db())]);
    world.set_active(WEB, A, 5);
    world.hear(Input::Hold);
    world.app("/web", None);
    world.pass(seconds(600));
    assert_eq!(world.weights(WEB), one(A, 1));
    world.hear(Input::Release);
    assert_eq!(world.weights(WEB), one(A, 0));
    world.pass(vip::label::DEFAULT_DRAIN - seconds(1));
    assert_eq!(world.weights(WEB), one(A, 0));
    world.pass(seconds(2));
    assert_eq!(world.weights(WEB), None);
}

#[test]
fn observing_only_it_reports_and_changes_nothing() {
    let sources = ["m".into()].into();
    let mut world = World::with(Config { sources, observe_only: true, ..Config::default() });
    world.app("/web", Some(web()));
    world.hear(Input::Release);
    world.pass(seconds(100));
    assert!(world.kernel.log.is_empty());
    assert_eq!((world.status.mode, world.status.pending), (Mode::ObserveOnly, 5));
    assert!(world.controller.desired().services.contains_key(&vip(WEB)));
}

#[test]
fn at_rest_it_wakes_once_a_sync_period() {
    let mut world = World::settled(&[("/web", web())]);
    let readings = world.readings;
    world.pass(seconds(300));
    assert_eq!(world.readings, readings + 10);
    assert_eq!(world.plans.len(), 1);
}

#[test]
fn a_task_that_ended_goes_though_another_source_was_never_heard() {
    let mut world = World::of_two_sources();
    world.app("/web", Some(app("/web", &[WEB], &[("a", A, Healthy), ("b", B, Healthy)])));
    world.hear_all("m");
    assert_eq!(world.status.awaited, ["n".into()]);
    world.app(
        "/web",
        Some(app("/web", &[WEB], &[("a", A, Healthy), ("b", B, Terminal(Ending::Failed))])),
    );
    assert_eq!(world.weights(WEB), one(A, 1));
}

#[test]
fn a_task_that_ended_goes_though_others_of_its_app_are_not_known() {
    let mut world =
        World::settled(&[("/web", app("/web", &[WEB], &[("a", A, Healthy), ("b", B, Healthy)]))]);
    let mut claims = app("/web", &[WEB], &[("a", A, Healthy)]);
    claims.claims[0].incomplete = true;
    world.app("/web", Some(claims));
    assert_eq!(world.weights(WEB), one(A, 1));
}

#[test]
fn a_new_task_does_not_inherit_the_weight_of_the_one_before_it_at_its_address() {
    let unchecked = Condition::Unknown { settled: false };
    let mut world = World::settled(&[("/web", web())]);
    world.app(
        "/web",
        Some(app("/web", &[WEB], &[("a", A, Terminal(Ending::Failed)), ("a2", A, unchecked)])),
    );
    assert_eq!(world.weights(WEB), Some(vec![]));
    world.app("/web", Some(app("/web", &[WEB], &[("a2", A, Healthy)])));
    assert_eq!(world.weights(WEB), one(A, 1));
    // The same task goes on as it was.
    world.app("/web", Some(app("/web", &[WEB], &[("a2", A, unchecked)])));
    assert_eq!(world.weights(WEB), one(A, 1));
}

#[test]
fn while_something_is_not_known_of_running_tasks_no_vip_goes_and_servers_of_others_do() {
    let mut world = World::settled(&[("/web", web()), ("/db", db())]);
    world.hear(Input::Facts(Facts { gaps: true, ..Facts::default() }));
    world.app("/db", None);
    world.app("/web", Some(app("/web", &[WEB], &[("c", B, Healthy)])));
    world.pass(seconds(600));
    assert_eq!(world.weights(DB), one(B, 1));
    assert_eq!(world.weights(WEB), one(B, 1));
    world.hear(Input::Facts(Facts::default()));
    assert_eq!(world.weights(DB), one(B, 0));
    world.pass(seconds(600));
    assert_eq!(world.weights(DB), None);
}
