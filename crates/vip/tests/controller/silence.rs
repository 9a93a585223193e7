//! What silent hosts mean for their real servers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use vip::Condition::{self, Healthy, Killing, Unhealthy, Unknown};
use vip::controller::Input;
use vip::liveness::{Evidence, HostVerdict, Silence};
use vip::nft::NftSupport;
use vip::plan::StaleFlows;
use vip::{Ending, Op};

use crate::world::{Task, World, app, seconds, vip};

const WEB: &str = "3.3.0.6:80";
const DNS: &str = "3.3.0.6:53/udp";
const A: &str = "10.0.0.1:31001";
const B: &str = "10.0.0.2:31002";
const BOTH: [Task<'_>; 2] = [("a", A, Healthy), ("b", B, Healthy)];

fn verdict(host: IpAddr, silence: Option<Silence>) -> HostVerdict {
    let silent_for = Duration::from_millis(780);
    let evidence = Evidence { silent_for, echoes: 3, connects: 1, others_answering: 41 };
    HostVerdict { host, silence, evidence }
}

/// The prober says this of the host of a real server.
fn hear(world: &mut World, server: &str, silence: Option<Silence>) {
    let host = server.parse::<SocketAddr>().unwrap().ip();
    world.hear(Input::Verdicts(vec![verdict(host, silence)]));
}

fn suspect(world: &mut World, server: &str) {
    hear(world, server, Some(Silence::Suspected));
}

fn bury(world: &mut World, server: &str) {
    hear(world, server, Some(Silence::Dead));
}

fn weights(world: &World, at: &str) -> Vec<Option<u32>> {
    [A, B].iter().map(|server| world.weight(at, server)).collect()
}

fn web(tasks: &[Task<'_>]) -> World {
    World::settled(&[("/web", app("/web", &[WEB], tasks))])
}

#[test]
fn real_servers_of_a_silent_host_get_weight_0_then_go_and_come_back() {
    let mut world = web(&BOTH);
    suspect(&mut world, A);
    assert_eq!(weights(&world, WEB), [Some(0), Some(1)]);
    let [.., why, forgotten] = world.log.as_slice() else { panic!("{:?}", world.log) };
    let forgets = "flows that 10.0.0.1:31001 has not answered are forgotten";
    assert!(forgotten.to_string().ends_with(forgets), "{forgotten}");
    assert_eq!(
        why.to_string(),
        "3.3.0.6:80/tcp ~10.0.0.1:31001 /web healthy; out of use, its host 10.0.0.1 silent for \
         0.78 s (3 echoes, 1 connect; 41 other hosts answer), weight 1 -> 0"
    );
    world.pass(seconds(300));
    assert_eq!(weights(&world, WEB), [Some(0), Some(1)]);
    assert_eq!(world.status.draining, 0);
    bury(&mut world, A);
    assert_eq!(weights(&world, WEB), [None, Some(1)]);
    world.pass(seconds(300));
    assert_eq!(weights(&world, WEB), [None, Some(1)]);
    hear(&mut world, A, None);
    assert_eq!(weights(&world, WEB), [Some(1), Some(1)]);
    assert_eq!(world.controller.local_facts(world.now).silence, Default::default());
}

#[test]
fn a_service_without_another_usable_server_keeps_all_its_weights() {
    for second in [Unhealthy, Killing] {
        let mut world = web(&[("a", A, Healthy), ("b", B, second)]);
        suspect(&mut world, A);
        assert_eq!(weights(&world, WEB), [Some(1), Some(0)], "{second:?}");
        bury(&mut world, A);
        assert_eq!(weights(&world, WEB), [Some(1), Some(0)], "{second:?}");
    }
    let mut world = web(&BOTH);
    suspect(&mut world, A);
    suspect(&mut world, B);
    assert_eq!(weights(&world, WEB), [Some(1), Some(1)]);
    let reason = world.controller.desired().services[&vip(WEB)].selection.members
        [&A.parse::<SocketAddr>().unwrap()]
        .reason();
    assert!(reason.starts_with("healthy; kept because no other real server is usable"), "{reason}");
    // One that is only suspected is better than one that is dead.
    bury(&mut world, A);
    assert_eq!(weights(&world, WEB), [None, Some(1)]);
    hear(&mut world, B, None);
    suspect(&mut world, B);
    assert_eq!(weights(&world, WEB), [None, Some(1)]);
    // The last one dies, too, and the one that was deleted is as good.
    bury(&mut world, B);
    assert_eq!(weights(&world, WEB), [Some(1), Some(1)]);
}

#[test]
fn nothing_is_taken_out_of_use_before_another_is_in_use() {
    let mut world = web(&[("a", A, Healthy), ("b", B, Unhealthy)]);
    world.say(Input::Tick);
    // Both are heard while the kernel is busy, so that one plan may hold both.
    world.say(Input::KernelChanged);
    world.now += seconds(60);
    world.say(Input::Tick);
    let input = world.app_input("m", "/web", Some(app("/web", &[WEB], &BOTH)));
    world.say(input);
    (world.plans, world.baselines) = (Vec::new(), Vec::new());
    suspect(&mut world, A);
    assert_eq!(weights(&world, WEB), [Some(0), Some(1)]);
    let (a, b): (SocketAddr, SocketAddr) = (A.parse().unwrap(), B.parse().unwrap());
    for (plan, (known, _)) in world.plans.iter().zip(&world.baselines) {
        let takes_out = plan.ops.iter().any(|op| {
            matches!(op, Op::SetServer { server, settings, .. } if *server == a && settings.weight == 0)
        });
        let in_use = known.service(&vip(WEB)).unwrap().servers[&b].settings.weight;
        assert!(!takes_out || in_use == 1, "{:?}", plan.ops);
    }
}

/// The weight of a task that has ended says nothing about the next one at its place.
#[test]
fn another_task_at_the_place_of_a_withheld_one_is_judged_by_itself() {
    let mut world = web(&BOTH);
    bury(&mut world, A);
    let unknown = Unknown { settled: false };
    world.app("/web", Some(app("/web", &[WEB], &[("a2", A, unknown), ("b", B, Healthy)])));
    hear(&mut world, A, None);
    assert_eq!(weights(&world, WEB), [None, Some(1)]);
}

#[test]
fn a_verdict_plans_only_for_the_services_on_its_host() {
    let mut world = World::settled(&[
        ("/web", app("/web", &[WEB], &BOTH)),
        ("/other", app("/other", &["3.3.0.7:80"], &[("c", "10.0.0.3:1", Healthy)])),
    ]);
    suspect(&mut world, A);
    let planned = world.status.counters.planned;
    suspect(&mut world, "10.0.0.3:1");
    hear(&mut world, "10.0.0.3:1", None);
    assert!(world.status.counters.planned - planned <= 3);
}

#[test]
fn a_udp_server_goes_at_once() {
    let mut world = World::settled(&[("/dns", app("/dns", &[DNS], &BOTH))]);
    suspect(&mut world, A);
    assert_eq!(weights(&world, DNS), [None, Some(1)]);
    hear(&mut world, A, None);
    assert_eq!(weights(&world, DNS), [Some(1), Some(1)]);
}

#[test]
fn the_weight_0_of_a_silent_host_says_nothing_about_health() {
    let unknown = Unknown { settled: false };
    for buried in [false, true] {
        let mut world = web(&BOTH);
        suspect(&mut world, A);
        if buried {
            bury(&mut world, A);
        }
        world.app("/web", Some(app("/web", &[WEB], &[("a", A, unknown), ("b", B, Healthy)])));
        let out = if buried { None } else { Some(0) };
        assert_eq!(weights(&world, WEB), [out, Some(1)]);
        // Also when the kernel refuses the first try.
        world.kernel.refuse_nth(0, 12);
        hear(&mut world, A, None);
        world.kernel.clear_faults();
        world.pass(seconds(60));
        assert_eq!(weights(&world, WEB), [Some(1), Some(1)], "{buried}");
    }
}

#[test]
fn marathon_has_the_last_word_about_what_is_gone() {
    let mut world = web(&BOTH);
    bury(&mut world, A);
    let killed = Condition::Terminal(Ending::Killed);
    world.app("/web", Some(app("/web", &[WEB], &[("a", A, killed), ("b", B, Healthy)])));
    hear(&mut world, A, None);
    assert_eq!(weights(&world, WEB), [None, Some(1)]);

    let mut world = web(&BOTH);
    suspect(&mut world, A);
    world.app("/web", Some(app("/web", &[WEB], &[("a", A, Unhealthy), ("b", B, Healthy)])));
    hear(&mut world, A, None);
    assert_eq!(weights(&world, WEB), [Some(0), Some(1)]);
}

#[test]
fn a_server_that_drains_on_a_dead_host_goes_at_once() {
    let mut world = web(&BOTH);
    world.set_active(WEB, A, 3);
    let mut claims = app("/web", &[WEB], &BOTH[1..]);
    claims.alive.insert("a".into());
    world.app("/web", Some(claims));
    assert_eq!(weights(&world, WEB), [Some(0), Some(1)]);
    bury(&mut world, A);
    assert_eq!(weights(&world, WEB), [None, Some(1)]);
    assert_eq!(world.status.draining, 0);

    // The same without a claim.
    let mut world = web(&BOTH);
    world.set_active(WEB, A, 3);
    world.set_active(WEB, B, 3);
    let mut claims = app("/web", &[], &[]);
    claims.alive.extend(["a".into(), "b".into()]);
    world.app("/web", Some(claims));
    assert_eq!(weights(&world, WEB), [Some(0), Some(0)]);
    bury(&mut world, A);
    assert_eq!(weights(&world, WEB), [None, Some(0)]);
}

#[test]
fn hosts_die_together_in_one_plan() {
    let tasks: Vec<_> =
        (0..60).map(|n| (format!("t{n}"), format!("10.0.0.{}:31000", n + 1))).collect();
    let tasks: Vec<Task<'_>> = tasks.iter().map(|(task, at)| (&**task, &**at, Healthy)).collect();
    let mut world = web(&tasks);
    world.plans.clear();
    let rack = tasks[..45].iter().map(|(_, at, _)| at.parse::<SocketAddr>().unwrap().ip());
    let verdicts = rack.map(|host| verdict(host, Some(Silence::Suspected))).collect();
    world.hear(Input::Verdicts(verdicts));
    assert_eq!(world.plans.len(), 1);
    assert_eq!(world.plans[0].ops.len(), 2 * 45);
}

/// A rack of 200 hosts with 100 real servers and more on each, and one host elsewhere. There are more VIPs
/// than one plan for whole addresses has.
#[test]
fn a_rack_is_taken_out_of_use_in_one_plan() {
    const HOSTS: usize = 200;
    const SERVERS: usize = 70;
    const VIPS: usize = 300;
    let at = |host: usize, vip: usize| format!("10.0.{host}.1:{}", 31_000 + vip);
    // Each VIP has a real server on each of seventy hosts, which differ from one to the next.
    let apps: Vec<(String, Vec<String>)> = (0..VIPS)
        .map(|vip| {
            let hosts = (vip..vip + SERVERS).map(|host| host % HOSTS).chain([HOSTS]);
            let address = format!("3.3.{}.{}:80", vip / 250, vip % 250 + 1);
            (address, hosts.map(|host| at(host, vip)).collect())
        })
        .collect();
    let claims: Vec<_> = apps
        .iter()
        .map(|(vip, places)| {
            let tasks: Vec<Task<'_>> = places.iter().map(|at| (&**at, &**at, Healthy)).collect();
            (format!("/{vip}"), app(&format!("/{vip}"), &[vip], &tasks))
        })
        .collect();
    let named: Vec<_> = claims.iter().map(|(id, claims)| (&**id, claims.clone())).collect();
    let mut world = World::settled(&named);
    world.plans.clear();
    let host = |number: usize| at(number, 0).parse::<SocketAddr>().unwrap().ip();
    let rack = (0..HOSTS).map(|number| verdict(host(number), Some(Silence::Suspected)));
    world.hear(Input::Verdicts(rack.collect()));
    assert_eq!(world.plans.len(), 1);
    let is_out = |op: &&Op| matches!(op, Op::SetServer { settings, .. } if settings.weight == 0);
    assert_eq!(world.plans[0].ops.iter().filter(is_out).count(), VIPS * SERVERS);
    for (vip, _) in &apps {
        let weights = world.weights(vip).unwrap();
        assert_eq!(weights.iter().filter(|(_, weight)| *weight > 0).count(), 1, "{vip}");
    }
}

/// What is decided about the others may be out of date: the sources have just said so.
#[test]
fn a_server_that_is_about_to_go_is_none_that_others_can_do_without() {
    let mut world = web(&BOTH);
    world.say(Input::KernelChanged);
    world.now += seconds(60);
    world.say(Input::Tick);
    // Both are heard while the kernel is busy: the other one has become unhealthy.
    let input = world.app_input(
        "m",
        "/web",
        Some(app("/web", &[WEB], &[("a", A, Healthy), ("b", B, Unhealthy)])),
    );
    world.say(input);
    world.plans.clear();
    suspect(&mut world, A);
    assert_eq!(weights(&world, WEB), [Some(1), Some(0)]);
    let a: SocketAddr = A.parse().unwrap();
    let changes_a = |op: &Op| matches!(op, Op::SetServer { server, .. } if *server == a);
    assert!(!world.plans.iter().flat_map(|plan| &plan.ops).any(changes_a), "{:?}", world.plans);
    // A plan for a draining server of the host keeps its weight in mind.
    let mut world = web(&BOTH);
    world.set_active(WEB, A, 3);
    let mut claims = app("/web", &[WEB], &BOTH[1..]);
    claims.alive.insert("a".into());
    world.app("/web", Some(claims));
    suspect(&mut world, A);
    world.app("/web", Some(app("/web", &[WEB], &BOTH)));
    hear(&mut world, A, None);
    assert_eq!(weights(&world, WEB), [Some(1), Some(1)]);
}

/// IPVS would drop the next SYN of a client that connection tracking knows.
#[test]
fn connections_that_a_silent_host_has_not_answered_are_forgotten() {
    for support in [NftSupport::Nat, NftSupport::Filter] {
        let mut world = World::new();
        world.state().nft.v4.support = support;
        let claims = app("/web", &[WEB, DNS], &BOTH);
        world.truth.insert("m".into(), [("/web".into(), claims)].into());
        world.hear_all("m");
        world.plans.clear();
        suspect(&mut world, A);
        let forget = |op: &Op| matches!(op, Op::ForgetFlows { .. });
        let forgotten: Vec<_> = world.plans[0].ops.iter().filter(|op| forget(op)).collect();
        let expected = Op::ForgetFlows {
            vip: vip(WEB),
            flows: StaleFlows::Unanswered { by: A.parse().unwrap() },
        };
        assert_eq!(forgotten, [&expected], "{support:?}");
        // Not for one that is out of use for another reason.
        world.plans.clear();
        world.app("/web", Some(app("/web", &[WEB], &[("a", A, Healthy), ("b", B, Unhealthy)])));
        hear(&mut world, A, None);
        assert!(!world.plans.iter().flat_map(|plan| &plan.ops).any(forget), "{support:?}");
    }
}

#[test]
fn a_command_takes_over_what_the_agent_heard() {
    let mut world = web(&BOTH);
    suspect(&mut world, A);
    let facts = world.controller.local_facts(world.now);
    let json = serde_json::to_string(&facts).unwrap();
    assert!(json.contains(r#""silence":"suspected""#), "{json}");
    assert_eq!(serde_json::from_str::<vip::controller::LocalFacts>(&json).unwrap(), facts);
    let plan = crate::once::command(&mut world, Some(&facts)).plan;
    assert!(plan.is_empty(), "{:?}", plan.ops);
}

#[derive(Debug, Clone)]
enum Step {
    Hear(usize, Option<Silence>),
    Tasks(Vec<Option<Condition>>),
    Pass(u64),
    Refuse(usize),
}

const HOSTS: usize = 4;

fn server(host: usize) -> SocketAddr {
    ([10, 0, 0, u8::try_from(host).unwrap() + 1], 31000).into()
}

fn step() -> impl Strategy<Value = Step> {
    let silence = select(vec![None, Some(Silence::Suspected), Some(Silence::Dead)]);
    let condition = select(vec![Healthy, Healthy, Unhealthy, Unknown { settled: false }, Killing]);
    prop_oneof![
        6 => (0..HOSTS, silence).prop_map(|(host, silence)| Step::Hear(host, silence)),
        2 => vec(option::weighted(0.9, condition), HOSTS).prop_map(Step::Tasks),
        1 => (0..100_u64).prop_map(Step::Pass),
        1 => (0..3_usize).prop_map(Step::Refuse),
    ]
}

/// An app with one task on each host; `None`: there is none.
fn tasks(conditions: &[Option<Condition>]) -> vip::controller::AppClaims {
    let tasks: Vec<_> = conditions
        .iter()
        .enumerate()
        .filter_map(|(host, condition)| {
            Some((format!("t{host}"), server(host).to_string(), (*condition)?))
        })
        .collect();
    let tasks: Vec<Task<'_>> = tasks.iter().map(|(task, at, how)| (&**task, &**at, *how)).collect();
    let mut claims = app("/web", &[WEB, DNS], &tasks);
    // A weight by failing open would be remembered as the health of a task whose health is unknown.
    claims.claims.iter_mut().for_each(|claim| claim.options.fail_open = false);
    claims
}

proptest! {
    /// Verdicts only take away, never the last server, and leave no trace when they are taken back.
    #[test]
    fn verdicts_only_take_away_and_leave_no_trace(steps in vec(step(), 1..40)) {
        let all = vec![Some(Healthy); HOSTS];
        let settled = |claims| World::settled(&[("/web", claims)]);
        // The other one never hears a verdict.
        let (mut world, mut deaf) = (settled(tasks(&all)), settled(tasks(&all)));
        let mut silent = BTreeMap::new();
        for step in steps {
            match step {
                Step::Hear(host, silence) => {
                    world.kernel.clear_faults();
                    world.hear(Input::Verdicts(vec![verdict(server(host).ip(), silence)]));
                    match silence {
                        Some(silence) => silent.insert(server(host), silence),
                        None => silent.remove(&server(host)),
                    };
                }
                Step::Tasks(conditions) => {
                    for world in [&mut world, &mut deaf] {
                        world.kernel.clear_faults();
                        world.app("/web", Some(tasks(&conditions)));
                    }
                }
                Step::Pass(time) => {
                    world.pass(seconds(time));
                    deaf.pass(seconds(time));
                }
                Step::Refuse(nth) => {
                    world.kernel.refuse_nth(nth, 12);
                    continue;
                }
            }
            world.kernel.clear_faults();
            for world in [&mut world, &mut deaf] {
                world.pass(seconds(120));
            }
            for at in [WEB, DNS] {
                let usable = |world: &World| -> BTreeSet<String> {
                    let weights = world.weights(at).into_iter().flatten();
                    weights.filter(|(_, weight)| *weight > 0).map(|(server, _)| server).collect()
                };
                let (heard, unheard) = (usable(&world), usable(&deaf));
                prop_assert!(heard.is_subset(&unheard), "{heard:?} of {unheard:?}");
                prop_assert_eq!(heard.is_empty(), unheard.is_empty());
                let out: Vec<_> = unheard.difference(&heard).collect();
                prop_assert!(out.iter().all(|at| silent.contains_key(&at.parse().unwrap())));
            }
        }
        let taken_back = (0..HOSTS).map(|host| verdict(server(host).ip(), None)).collect();
        world.hear(Input::Verdicts(taken_back));
        for world in [&mut world, &mut deaf] {
            world.pass(seconds(600));
        }
        for at in [WEB, DNS] {
            prop_assert_eq!(world.weights(at), deaf.weights(at));
        }
        prop_assert_eq!(world.controller.local_facts(world.now).silence, Default::default());
    }
}
