//! The controller through whatever happens: it ends where it should, and takes nobody out on the
//! way.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use nl_ipvs::{ServiceFlags, ServiceKey};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use testkit::generate;
use vip::controller::{AppClaims, Config, Input};
use vip::nft::{Element, NftSupport, TableState};
use vip::ownership::MARK;
use vip::{
    Claim, ClusterFacts, Condition, Desired, Link, Nft, Observed, Op, Plan, Policy, Protocol,
    Scope, Vip, decide,
};

use crate::world::{Job, World, claim, seconds};

const SOURCES: [&str; 2] = ["m", "n"];

#[derive(Debug, Clone)]
enum Step {
    App { source: usize, name: usize, says: Option<Says> },
    Again { source: usize },
    Lost { source: usize },
    Pass(u64),
    Answer,
    Drift(Drift),
    Announced,
    Restart,
    Hold,
    Release,
    Active(u32),
    Refuse { nth: usize, errno: i32 },
    DieAfter(usize),
    LoseAnswers,
    Unreadable,
    Heal,
}

/// What an app says: its VIPs, the condition of each of its tasks, and whether tasks that aren't
/// said to serve run all the same.
#[derive(Debug, Clone)]
struct Says {
    vips: BTreeSet<Vip>,
    tasks: Vec<Option<Condition>>,
    others_alive: bool,
}

#[derive(Debug, Clone)]
enum Drift {
    Flush,
    NoLink,
    NoAddresses,
    Weights(u32),
    Unmarked,
    Foreign(Vip),
    Tables(Box<Nft>),
}

fn condition() -> impl Strategy<Value = Condition> {
    use Condition::*;
    let new = Unknown { settled: false };
    select(vec![
        Healthy,
        Healthy,
        Healthy,
        Unhealthy,
        new,
        Killing,
        Unreachable,
        Terminal(vip::Ending::Killed),
    ])
}

fn app_step() -> impl Strategy<Value = Step> {
    let vips = proptest::collection::btree_set(generate::any_vip(), 0..3);
    let tasks = vec(option::weighted(0.7, condition()), 3);
    let says = (vips, tasks, any::<bool>());
    let says = says.prop_map(|(vips, tasks, others_alive)| Says { vips, tasks, others_alive });
    (0..2_usize, 0..3_usize, option::weighted(0.8, says))
        .prop_map(|(source, name, says)| Step::App { source, name, says })
}

fn drift() -> impl Strategy<Value = Drift> {
    prop_oneof![
        Just(Drift::Flush),
        Just(Drift::NoLink),
        Just(Drift::NoAddresses),
        (0..3_u32).prop_map(Drift::Weights),
        Just(Drift::Unmarked),
        generate::any_vip().prop_map(Drift::Foreign),
        generate::any_nft().prop_map(|nft| Drift::Tables(Box::new(nft))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let errno = select(vec![2, 3, 12, 17, 22]);
    prop_oneof![
        8 => app_step(),
        1 => (0..2_usize).prop_map(|source| Step::Again { source }),
        1 => (0..2_usize).prop_map(|source| Step::Lost { source }),
        4 => (0..150_u64).prop_map(Step::Pass),
        4 => Just(Step::Answer),
        2 => drift().prop_map(Step::Drift),
        1 => Just(Step::Announced),
        1 => Just(Step::Restart),
        1 => Just(Step::Hold),
        1 => Just(Step::Release),
        1 => (0..3_u32).prop_map(Step::Active),
        2 => (0..10_usize, errno).prop_map(|(nth, errno)| Step::Refuse { nth, errno }),
        1 => (0..5_usize).prop_map(Step::DieAfter),
        1 => Just(Step::LoseAnswers),
        1 => Just(Step::Unreadable),
        2 => Just(Step::Heal),
    ]
}

fn portion() -> impl Strategy<Value = usize> {
    select(vec![1, 2, 256])
}

/// Every task has a place of its own, in both families.
fn place(source: usize, app: usize, task: usize, vip: &Vip) -> SocketAddr {
    let port = u16::try_from(31000 + source * 100 + app * 10 + task).unwrap();
    match vip.address.is_ipv4() {
        true => ([10, 0, 0, 1], port).into(),
        false => ([0xfd09, 0, 0, 0, 0, 0, 0, 1], port).into(),
    }
}

fn task_id(source: usize, app: usize, task: usize) -> String {
    format!("{source}.{app}.{task}")
}

impl Says {
    fn claims(&self, source: usize, app: usize) -> AppClaims {
        let claims = self.vips.iter().map(|vip| {
            let known = self.tasks.iter().enumerate();
            let tasks = known.filter_map(|(task, condition)| {
                Some((task_id(source, app, task), place(source, app, task, vip), (*condition)?))
            });
            claim(*vip, &format!("/app{app}"), &tasks.collect::<Vec<_>>())
        });
        let mut claims = AppClaims::new(claims.collect());
        if self.others_alive {
            let others = self.tasks.iter().enumerate().filter(|(_, known)| known.is_none());
            claims.alive.extend(others.map(|(task, _)| task_id(source, app, task).into()));
        }
        claims
    }
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::App { source, name, says } => {
            let claims = says.map(|says| says.claims(source, name));
            let input = world.app_input(SOURCES[source], &format!("/app{name}"), claims);
            world.say(input);
        }
        Step::Again { source } => {
            world.say_all(SOURCES[source]);
        }
        Step::Lost { source } => {
            world.say(Input::Lost { source: SOURCES[source].into(), why: "gone".into() });
        }
        Step::Pass(time) => {
            world.work();
            world.pass(seconds(time));
        }
        Step::Answer => world.answer(),
        Step::Drift(drift) => drift.strike(world.state()),
        Step::Announced => world.say(Input::KernelChanged),
        Step::Restart => {
            world.restart();
            SOURCES.iter().for_each(|source| world.hear_all(source));
        }
        Step::Hold => world.say(Input::Hold),
        Step::Release => world.say(Input::Release),
        Step::Active(active) => {
            let services = world.state().services.values_mut();
            let servers = services.flat_map(|service| service.servers.values_mut());
            servers.for_each(|server| server.active = active);
        }
        Step::Refuse { nth, errno } => world.kernel.refuse_nth(nth, errno),
        Step::DieAfter(ops) => world.kernel.die_after(ops),
        Step::LoseAnswers => world.kernel.lose_answers(),
        Step::Unreadable => world.unreadable = Some("can't".into()),
        Step::Heal => {
            world.kernel.clear_faults();
            world.unreadable = None;
        }
    }
}

impl Drift {
    fn strike(&self, state: &mut Observed) {
        match self {
            Self::Flush => state.services.clear(),
            Self::NoLink => {
                state.link = Link::Missing;
                state.addresses.clear();
            }
            Self::NoAddresses => state.addresses.clear(),
            Self::Tables(nft) => {
                state.nft.clone_from(nft);
                able(&mut state.nft);
            }
            Self::Weights(weight) => {
                let servers = state.services.values_mut().flat_map(|s| s.servers.values_mut());
                servers.for_each(|server| server.settings.weight = *weight);
            }
            Self::Unmarked => {
                for service in state.services.values_mut() {
                    service.settings.flags = service.settings.flags & !MARK;
                }
            }
            Self::Foreign(vip) => {
                let mut settings = vip::label::Options::default().service_settings();
                settings.flags = ServiceFlags::NONE;
                state.services.entry(ServiceKey::from(*vip)).or_insert_with(|| {
                    vip::ObservedService {
                        settings,
                        servers: Default::default(),
                        stats: Default::default(),
                    }
                });
            }
        }
    }
}

/// Somebody who changes tables changes nothing of what the kernel can do.
fn able(nft: &mut Nft) {
    nft.v4.support = NftSupport::Nat;
    nft.v6.support = NftSupport::Filter;
    if let TableState::Whole(rules) = &mut nft.v6.state {
        rules.nat = None;
    }
}

/// All claims that the controller has heard.
fn claims(world: &World) -> Vec<Claim> {
    let apps = world.truth.values().flat_map(|apps| apps.values());
    apps.flat_map(|app| app.claims.clone()).collect()
}

fn desired(world: &World) -> Desired {
    let observed = &world.kernel.state;
    decide(claims(world), observed, &BTreeSet::new(), &Policy::default(), &ClusterFacts::default())
}

/// No plan takes a healthy server or a claimed service out of use, or deletes the server of a
/// running task before it had weight 0; and none removes anything else than servers of tasks that
/// have ended before both sources were heard.
fn takes_nobody_out(
    world: &World,
    plan: &Plan,
    known: &Observed,
    heard: bool,
) -> Result<(), TestCaseError> {
    let claims = claims(world);
    let healthy: BTreeSet<(Vip, SocketAddr)> = claims
        .iter()
        .flat_map(|claim| claim.candidates.iter().map(move |candidate| (claim, candidate)))
        .filter(|(_, candidate)| candidate.condition == Condition::Healthy)
        .filter_map(|(claim, c)| {
            Some((claim.vip, c.reach.as_ref().ok()?.place.in_family(claim.vip.address.into())?))
        })
        .collect();
    let claimed: BTreeSet<Vip> = claims.iter().map(|claim| claim.vip).collect();
    let apps = world.truth.values().flat_map(|apps| apps.values());
    let alive: BTreeSet<&str> = apps.flat_map(|app| &app.alive).map(|task| &**task).collect();
    let runs = |vip: &Vip, server: &SocketAddr| {
        (0..2).any(|source| {
            let mut tasks = (0..3).flat_map(|app| (0..3).map(move |task| (app, task)));
            tasks.any(|(app, task)| {
                place(source, app, task, vip) == *server
                    && alive.contains(&*task_id(source, app, task))
            })
        })
    };
    for op in &plan.ops {
        let removes = matches!(
            op,
            Op::DeleteServer { .. } | Op::DeleteService { .. } | Op::Unbind { .. } | Op::DeleteLink
        );
        // A task that was seen to end is no reason to wait for other sources.
        let ended = matches!(op, Op::DeleteServer { vip, server } if !runs(vip, server));
        prop_assert!(!removes || heard || ended, "{op} too early");
        match op {
            Op::SetServer { vip, server, settings, .. } if settings.weight == 0 => {
                prop_assert!(!healthy.contains(&(*vip, *server)), "{op}: it is healthy");
            }
            Op::DeleteServer { vip, server } => {
                prop_assert!(!healthy.contains(&(*vip, *server)), "{op}: it is healthy");
                let weight = known.service(vip).unwrap().servers[server].settings.weight;
                let drained = vip.protocol == Protocol::Udp || weight == 0;
                prop_assert!(drained || !runs(vip, server), "{op}: its task runs");
            }
            Op::AddElement { element: Element::Refused(vip) } => {
                let served = healthy.iter().any(|(served, _)| served == vip);
                // Before, it is what the kernel holds that counts: nobody may be there yet.
                prop_assert!(!served || !heard, "{op}: a server of it is healthy");
            }
            Op::DeleteService { vip, .. } => {
                prop_assert!(!claimed.contains(vip), "{op}: it is claimed");
            }
            Op::Unbind { address } => {
                let claimed = claimed.iter().any(|vip| vip.address == *address);
                prop_assert!(!claimed, "{op}: it is claimed");
            }
            _ => {}
        }
    }
    Ok(())
}

/// One that changes so many addresses at once.
fn world(portion: usize) -> World {
    let (sources, portion) = (SOURCES.map(Into::into).into(), portion.try_into().unwrap());
    let mut world = World::with(Config { sources, portion, ..Config::default() });
    able(&mut world.state().nft);
    world
}

proptest! {
    #[test]
    fn whatever_happens_it_ends_in_the_wanted_table_and_takes_nobody_out(
        steps in vec(step(), 1..50), portion in portion(),
    ) {
        let mut world = world(portion);
        for step in steps {
            take(&mut world, step);
            let baselines = std::mem::take(&mut world.baselines);
            for (plan, (known, heard)) in std::mem::take(&mut world.plans).iter().zip(baselines) {
                takes_nobody_out(&world, plan, &known, heard)?;
            }
        }
        for last in [Step::Heal, Step::Release, Step::Again { source: 0 }, Step::Again { source: 1 }] {
            take(&mut world, last);
        }
        world.work();
        world.pass(seconds(600));
        let plan = Plan::new(&world.kernel.state, &desired(&world), Scope::Complete, "node1");
        prop_assert!(plan.is_empty(), "{:?}", plan.ops);
        prop_assert_eq!(world.status.unapplied_since, None);
        prop_assert!(world.status.failing.is_empty(), "{:?}", world.status.failing);
        prop_assert_eq!(world.status.conflicts.len(), plan.conflicts.len());
        // Only connections keep it from ending, and these have as long as the drain.
        prop_assert_eq!(world.status.draining, 0);
    }

    #[test]
    fn step_by_step_is_the_same_as_all_at_once(
        steps in vec(app_step(), 1..12), portion in portion(),
    ) {
        let mut world = world(portion);
        SOURCES.iter().for_each(|source| world.hear_all(source));
        for step in steps {
            take(&mut world, step);
            world.work();
            let (plans, known) = (world.plans.len(), world.controller.observed());
            let known = Observed::clone(known.unwrap());
            prop_assert_eq!(&known, &world.kernel.state);
            world.hear(Input::Release);
            prop_assert_eq!(world.plans.len(), plans, "a full comparison finds something to do");
        }
        world.pass(seconds(600));
        let wanted = desired(&world);
        let mut fresh = self::world(usize::MAX);
        fresh.truth = world.truth.clone();
        SOURCES.iter().for_each(|source| fresh.hear_all(source));
        prop_assert_eq!(&world.kernel.state.addresses, &fresh.kernel.state.addresses);
        let keys = |state: &Observed| state.services.keys().copied().collect::<Vec<_>>();
        prop_assert_eq!(keys(&world.kernel.state), keys(&fresh.kernel.state));
        prop_assert_eq!(keys(&world.kernel.state).len(), wanted.services.len());
    }
}

#[test]
fn the_kernel_is_asked_one_thing_at_a_time() {
    let mut world = world(1);
    world.say(Input::Tick);
    assert!(matches!(world.job, Some(Job::Observe)));
    for _ in 0..3 {
        world.now += seconds(60);
        world.say(Input::Tick);
        world.say(Input::KernelChanged);
    }
    world.work();
}
