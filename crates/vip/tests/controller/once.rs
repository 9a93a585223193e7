//! A command that decides once, beside an agent and without one.

use std::convert::Infallible;

use node::Kernel;
use vip::Condition::Healthy;
use vip::controller::{Change, Config, Decision, Facts, Input, LocalFacts, Parting};
use vip::{Controller, Op};

use crate::world::{World, app, seconds};

const WEB: &str = "3.3.0.6:80";
const A: &str = "10.0.0.1:31001";
const B: &str = "10.0.0.2:31002";

/// Decides as a command does that reads the same source as `world`'s agent.
pub(crate) fn command(world: &mut World, facts: Option<&LocalFacts>) -> Decision {
    let parting = if facts.is_some() { Parting::Gradual } else { Parting::AtOnce };
    let mut controller = Controller::new(Config { parting, ..world.config.clone() });
    if let Some(facts) = facts {
        controller.take_over(facts, seconds(0));
        let LocalFacts { doubted, taken, .. } = facts.clone();
        controller.learn_input(Input::Facts(Facts { doubted, taken, ..Facts::default() }));
    }
    for (source, apps) in world.truth.clone() {
        let only = apps.keys().cloned().collect();
        let apps = apps.into_iter().map(|(name, claims)| (name, Some(claims))).collect();
        for change in [Change::Apps(apps), Change::Only(only)] {
            controller.learn_input(Input::Claims { source: source.clone().into(), change });
        }
    }
    let observed = world.kernel.observe().unwrap();
    let ways = |servers: &_| Ok::<_, Infallible>(world.kernel.find_ways(servers).unwrap());
    controller.decide_once(observed, ways).unwrap()
}

/// An agent that drains one of two real servers, which has connections.
fn draining() -> World {
    let labelled = |tasks: &[_]| {
        let mut claims = app("/web", &[WEB], tasks);
        claims.alive.extend(["a".into(), "b".into()]);
        claims
    };
    let both = [("a", A, Healthy), ("b", B, Healthy)];
    let mut world = World::settled(&[("/web", labelled(&both))]);
    world.set_active(WEB, A, 3);
    world.app("/web", Some(labelled(&both[1..])));
    world
}

#[test]
fn beside_an_agent_it_wants_what_the_agent_wants() {
    let mut world = draining();
    world.pass(seconds(30));
    let facts = world.controller.local_facts(world.now);
    let left: Vec<_> = facts.drains.iter().map(|drain| drain.left_ms).collect();
    let rest = vip::label::DEFAULT_DRAIN - seconds(30);
    assert_eq!(left, [Some(u64::try_from(rest.as_millis()).unwrap())]);
    let json = serde_json::to_string(&facts).unwrap();
    let facts = serde_json::from_str(&json).unwrap();
    let decision = command(&mut world, Some(&facts));
    assert_eq!(decision.plan.ops, []);
    assert_eq!(decision.desired, world.controller.desired());
    assert_eq!(decision.scope, world.controller.scope());
}

#[test]
fn without_an_agent_what_nobody_wants_goes_at_once() {
    let mut world = draining();
    let decision = command(&mut world, None);
    assert!(matches!(decision.plan.ops[..], [Op::DeleteServer { .. }]), "{:?}", decision.plan.ops);
}

#[test]
fn an_address_that_lingers_is_left_to_the_agent() {
    let mut world = World::settled(&[("/web", app("/web", &[WEB], &[("a", A, Healthy)]))]);
    world.app("/web", None);
    world.pass(seconds(60));
    let facts = world.controller.local_facts(world.now);
    assert_eq!(facts.lingering.len(), 1, "{facts:?}");
    assert_eq!(command(&mut world, Some(&facts)).plan.ops, []);
    let alone = command(&mut world, None).plan;
    assert!(alone.ops.iter().any(|op| matches!(op, Op::Unbind { .. })), "{:?}", alone.ops);
}

#[test]
fn beside_an_agent_it_keeps_what_the_agent_keeps_in_doubt() {
    let web = |tasks: &[_]| app("/web", &[WEB], tasks);
    let both = [("a", A, Healthy), ("b", B, Healthy)];
    let mut db = app("/db", &["3.3.0.7:3306"], &[("d", "10.0.0.3:31003", Healthy)]);
    let mut world = World::settled(&[("/web", web(&both)), ("/db", db.clone())]);
    let mut kept = web(&both);
    kept.claims[0].candidates[1].unlisted = true;
    db.claims[0].candidates[0].unlisted = true;
    world.app("/web", Some(kept));
    world.app("/db", Some(db));
    let facts = world.controller.local_facts(world.now);
    assert_eq!(facts.kept.len(), 2, "{facts:?}");
    let facts = serde_json::from_str(&serde_json::to_string(&facts).unwrap()).unwrap();
    world.truth.insert("m".into(), [("/web".into(), web(&both[..1]))].into());
    let decision = command(&mut world, Some(&facts));
    assert_eq!(decision.plan.ops, []);
    let reasons = |desired: &vip::Desired| -> Vec<_> {
        let members = desired.services.values().flat_map(|each| each.selection.members.values());
        members.map(vip::Member::reason).collect()
    };
    assert_eq!(reasons(&decision.desired), reasons(&world.controller.desired()));
    assert!(!command(&mut world, None).plan.ops.is_empty());
}

#[test]
fn beside_an_agent_it_doubts_what_the_agent_doubts() {
    let web = app("/web", &[WEB], &[("a", A, Healthy)]);
    let db = app("/db", &["3.3.0.7:3306"], &[("d", "10.0.0.3:31003", Healthy)]);
    let ops = app("/ops", &["3.3.0.8:80"], &[("o", "10.0.0.4:31004", Healthy)]);
    let mut world = World::settled(&[("/web", web), ("/db", db), ("/ops", ops)]);
    world.controller = Controller::new(Config { observe_only: true, ..world.config.clone() });
    (world.job, world.wake) = (None, None);
    world.hear(Input::Tick);
    let taken = ["10.0.0.3:31003".parse().unwrap()].into();
    world.hear(Input::Facts(Facts { doubted: true, taken, ..Facts::default() }));
    world.truth.get_mut("m").unwrap().remove(&"/db".into());
    world.truth.get_mut("m").unwrap().remove(&"/ops".into());
    world.hear_all("m");
    world.app("/web", None);
    let facts = world.controller.local_facts(world.now);
    let facts = serde_json::from_str(&serde_json::to_string(&facts).unwrap()).unwrap();
    let decision = command(&mut world, Some(&facts));
    assert_eq!(decision.desired, world.controller.desired());
    let gone = decision.plan.ops.iter().filter_map(|op| match op {
        Op::DeleteService { vip, .. } => Some(vip.to_string()),
        _ => None,
    });
    assert_eq!(gone.collect::<Vec<_>>(), ["3.3.0.7:3306/tcp"]);
}
