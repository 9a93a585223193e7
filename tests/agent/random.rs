//! Whatever happens, in whatever order: the kernel ends as Marathon says, nobody else's service is
//! touched, and no healthy server is missing on the way for longer than a resync.
//!
//! `PROPTEST_CASES=300 cargo test --test agent random` tries more; a failure says what happened,
//! made as short as it can be, and proptest keeps its seed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use marathon_sim::{Fate, Fault, Generation, Rule};
use nl_ipvs::{Family, ServiceKey, ServiceSettings};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vip::ownership::MARK;
use vip::{Link, Observed, ObservedService, Vip};

use crate::world::{SYNC, World, app, pass, run, vip};

/// Apps may claim these; two apps may claim one.
const VIPS: [&str; 4] = ["3.3.0.6:80", "3.3.0.6:81", "3.3.0.7:80", "3.3.0.8:3306"];
const APPS: [&str; 3] = ["/web", "/db", "/group/api"];
/// Where somebody else's services are.
const FOREIGN: &str = "7.7.7.7:70";
/// What a healthy server may be missing for: a resync, and what it takes to read and write.
const MISSING: Duration = SYNC.saturating_add(Duration::from_millis(600));

#[derive(Debug, Clone)]
enum Step {
    /// An app is put: claims this VIP with so many instances, in this release.
    Put {
        app: usize,
        vip: usize,
        instances: usize,
        release: u8,
    },
    Delete {
        app: usize,
    },
    Kill(Index),
    Fate(Index, Fate),
    Inject(Rule),
    Heal,
    Elect(Option<usize>),
    ForgetHealth,
    Damage(Damage),
    /// The agent stops as it is told to, and is away for so long.
    Restart {
        away: u64,
    },
    /// The agent dies after so many operations more, and is away for so long.
    Crash {
        after: usize,
        away: u64,
    },
    Pass(u64),
}

/// What is done to the kernel behind the agent's back.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flush,
    NoLink,
    NoAddresses,
    Weights(u32),
    NoServers,
    Scheduler,
    Unmarked,
    /// Somebody else makes a service.
    Foreign(u16),
}

fn fault() -> impl Strategy<Value = Rule> {
    let events = select(vec![
        "status_update_event",
        "instance_changed_event",
        "instance_health_changed_event",
        "health_status_changed_event",
        "group_change_success",
    ]);
    let of_events = prop_oneof![
        Just(Fault::Lost),
        (100..6000_u64).prop_map(|ms| Fault::Late { ms }),
        Just(Fault::Doubled),
        Just(Fault::Reordered),
    ];
    let of_answers = prop_oneof![
        (100..15_000_u64).prop_map(|ms| Fault::Stall { ms }),
        Just(Fault::Empty),
        Just(Fault::HealthAsk),
        Just(Fault::Truncated),
        Just(Fault::BadGateway),
        Just(Fault::Unavailable),
    ];
    prop_oneof![
        4 => (of_events, proptest::option::of(events), proptest::option::of(1..5_u32)).prop_map(
            |(fault, only, times)| Rule { fault, only: only.map(str::to_owned), times }
        ),
        4 => (of_answers, proptest::option::of(1..5_u32))
            .prop_map(|(fault, times)| Rule { fault, only: None, times }),
        1 => Just(Fault::NoApps.times(1)),
        1 => (100..6000_u64).prop_map(|ms| Fault::Lag { ms }.always()),
        1 => (1..3_u32).prop_map(|times| Fault::Closed.times(times)),
        1 => Just(Fault::HalfOpen.always()),
    ]
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::Flush),
        Just(Damage::NoLink),
        Just(Damage::NoAddresses),
        (0..3_u32).prop_map(Damage::Weights),
        Just(Damage::NoServers),
        Just(Damage::Scheduler),
        Just(Damage::Unmarked),
        (1..9_u16).prop_map(Damage::Foreign),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let away = select(vec![0_u64, 0, 50, 1000, 10_000]);
    prop_oneof![
        5 => (0..3_usize, 0..4_usize, 0..4_usize, 0..3_u8)
            .prop_map(|(app, vip, instances, release)| Step::Put { app, vip, instances, release }),
        1 => (0..3_usize).prop_map(|app| Step::Delete { app }),
        2 => any::<Index>().prop_map(Step::Kill),
        4 => (any::<Index>(), select(vec![Fate::Well, Fate::Ill, Fate::Over]))
            .prop_map(|(task, fate)| Step::Fate(task, fate)),
        5 => fault().prop_map(Step::Inject),
        3 => Just(Step::Heal),
        1 => select(vec![None, Some(0), Some(1)]).prop_map(Step::Elect),
        1 => Just(Step::ForgetHealth),
        3 => damage().prop_map(Step::Damage),
        1 => away.clone().prop_map(|away| Step::Restart { away }),
        1 => (0..12_usize, away).prop_map(|(after, away)| Step::Crash { after, away }),
        6 => select(vec![20_u64, 300, 1000, 5000, 20_000]).prop_map(Step::Pass),
    ]
}

/// After a check that failed an event of it may still be under way, or a read that is no better.
const BLEMISHED: Duration = Duration::from_secs(30);

/// What is true, whatever Marathon says and vipd knows.
struct Truth {
    /// Real servers that run and whose checks have passed for long, by VIP.
    well: BTreeSet<(Vip, SocketAddr)>,
    /// Real servers of VIPs that are claimed.
    claimed: BTreeMap<Vip, BTreeSet<SocketAddr>>,
    /// Everything runs as it is wanted.
    settled: bool,
}

fn claimed_by(definition: &Value) -> Vip {
    let label = &definition["container"]["portMappings"][0]["labels"]["VIP_0"];
    vip(label.as_str().unwrap())
}

/// Looks on: servers that were in use and are well all the time stay in use.
#[derive(Default)]
struct Watcher {
    /// Servers that were in use since they are well, and since when they aren't any more.
    used: BTreeMap<(Vip, SocketAddr), Option<Instant>>,
    /// Tasks that were made ill, and when that was over.
    blemished: BTreeMap<String, Option<Instant>>,
    /// Somebody else's services.
    foreign: BTreeMap<ServiceKey, ObservedService>,
    /// The kernel was damaged since the agent has known everything.
    damaged: bool,
    trouble: Vec<String>,
}

/// A service on an address that is no app's.
fn foreign(state: &Observed) -> BTreeMap<ServiceKey, ObservedService> {
    let ours: BTreeSet<_> = VIPS.iter().map(|at| vip(at).address).collect();
    let is_ours = |key| Vip::from_key(key).is_some_and(|vip| ours.contains(&vip.address));
    let others = state.services.iter().filter(|(key, _)| !is_ours(key));
    others.map(|(key, service)| (*key, service.clone())).collect()
}

impl Watcher {
    fn truth(&self, world: &World) -> Truth {
        let wanted = world.sim().wanted();
        let mut truth = Truth { well: BTreeSet::new(), claimed: BTreeMap::new(), settled: true };
        for definition in wanted.values() {
            truth.claimed.entry(claimed_by(definition)).or_default();
        }
        let mut running = BTreeMap::<String, u64>::new();
        for task in world.sim().running() {
            let is_current = wanted.get(&task.app).is_some_and(|wanted| {
                // An app that is only scaled keeps its tasks.
                let scaled = |key| key == "instances" || wanted[key] == task.definition[key];
                wanted.as_object().unwrap().keys().all(|key| scaled(key.as_str()))
            });
            truth.settled &= task.healthy && is_current;
            *running.entry(task.app.clone()).or_default() += 1;
            if !wanted.contains_key(&task.app) || task.state != "TASK_RUNNING" {
                continue;
            }
            let claimed = claimed_by(&task.definition);
            let server = SocketAddr::new(IpAddr::from(task.host), task.ports[0]);
            truth.claimed.entry(claimed).or_default().insert(server);
            let is_well = match self.blemished.get(&task.task) {
                None => true,
                Some(None) => false,
                Some(Some(since)) => since.elapsed() > BLEMISHED,
            };
            if is_well {
                truth.well.insert((claimed, server));
            }
        }
        for (app, definition) in &wanted {
            truth.settled &= definition["instances"] == json!(running.get(app).unwrap_or(&0));
        }
        truth
    }

    fn look(&mut self, world: &World) {
        let view = world.running().map(|agent| agent.view.borrow().clone());
        let knows = view.as_ref().is_some_and(|view| {
            view.ready && view.sources["m0"].read_at.is_some() && !view.sources["m0"].from_disk
        });
        let truth = self.truth(world);
        let state = world.kernel.state();
        let now = Instant::now();
        if foreign(&state) != self.foreign {
            self.trouble.push(format!("somebody else's service is now {:?}", foreign(&state)));
            self.foreign = foreign(&state);
        }
        self.used.retain(|key, _| truth.well.contains(key));
        let mut all_in_use = true;
        for (vip, server) in truth.well {
            let held = state.service(&vip).and_then(|service| service.servers.get(&server));
            let in_use = held.is_some_and(|held| held.settings.weight > 0)
                && state.addresses.contains_key(&vip.address)
                && state.link == Link::Up;
            if in_use {
                self.used.insert((vip, server), None);
                continue;
            }
            let Some(since) = self.used.get_mut(&(vip, server)) else { continue };
            all_in_use = false;
            if view.is_none() || self.damaged && !knows {
                // Nobody is there to repair it, or whoever is there can't know of it yet.
                *since = Some(now);
            }
            let missing = now.duration_since(*since.get_or_insert(now));
            if missing > MISSING {
                self.trouble.push(format!("{vip} has been without {server} for {missing:?}"));
                self.used.remove(&(vip, server));
            }
        }
        if knows && all_in_use {
            self.damaged = false;
        }
    }
}

/// A run of steps.
struct Run {
    world: World,
    watcher: Watcher,
    requests: Vec<JoinHandle<()>>,
}

impl Run {
    async fn new(generation: Generation) -> Self {
        let config = move |config: &mut marathon_sim::Config| {
            config.standbys = 1;
            config.generation = generation;
        };
        let mut world = World::with(&[&config]).await;
        world.start().await;
        let mut run = Self { world, watcher: Watcher::default(), requests: Vec::new() };
        run.damage(Damage::Foreign(0));
        run
    }

    /// Lets time go by, and looks on.
    async fn pass(&mut self, milliseconds: u64) {
        let end = Instant::now() + Duration::from_millis(milliseconds);
        while Instant::now() < end {
            pass(60.min(milliseconds)).await;
            self.watcher.look(&self.world);
        }
    }

    /// Asks Marathon for something, whatever becomes of it.
    fn ask(&mut self, method: &'static str, path: &str, body: &Value) {
        let url = format!("{}{path}", self.world.sim().url());
        let request = reqwest::Client::new().request(method.parse().unwrap(), url);
        let request = request.body(body.to_string());
        self.requests.push(tokio::spawn(async { drop(request.send().await) }));
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Put { app: index, vip, instances, release } => {
                let mut app = app(APPS[index], VIPS[vip], instances);
                app["env"]["RELEASE"] = json!(release.to_string());
                self.ask("PUT", &format!("/v2/apps{}?force=true", APPS[index]), &app);
            }
            Step::Delete { app } => {
                self.ask("DELETE", &format!("/v2/apps{}?force=true", APPS[app]), &Value::Null);
            }
            Step::Kill(index) => {
                if let Some(task) = self.task(&index) {
                    let ids = json!({"ids": [task]});
                    self.ask("POST", "/v2/tasks/delete", &ids);
                }
            }
            Step::Fate(index, fate) => {
                if let Some(task) = self.task(&index) {
                    self.fate(task, fate);
                }
            }
            Step::Inject(rule) => self.world.sim().inject(rule),
            Step::Heal => self.world.sim().heal(),
            Step::Elect(leader) => self.world.sim().elect(leader),
            Step::ForgetHealth => self.world.sim().forget_health(),
            // Without its mark and its address a service of ours is anybody's: one at a time.
            Step::Damage(Damage::Unmarked) => {
                self.pass(3000).await;
                self.damage(Damage::Unmarked);
                self.pass(3000).await;
            }
            Step::Damage(damage) => self.damage(damage),
            Step::Restart { away } => {
                self.world.stop().await;
                self.pass(away).await;
                self.world.start().await;
            }
            Step::Crash { after, away } => {
                self.world.kernel.with(|kernel| kernel.die_after(after));
                self.pass(300).await;
                self.world.kill();
                self.pass(away).await;
                self.world.kernel.with(testkit::FakeKernel::heal);
                self.world.start().await;
            }
            Step::Pass(milliseconds) => self.pass(milliseconds).await,
        }
        self.pass(20).await;
    }

    fn task(&self, index: &Index) -> Option<String> {
        let running = self.world.sim().running();
        (!running.is_empty()).then(|| index.get(&running).task.clone())
    }

    fn fate(&mut self, task: String, fate: Fate) {
        self.world.sim().imagine(&task, fate);
        match fate {
            Fate::Ill => {
                self.watcher.blemished.insert(task, None);
            }
            Fate::Well | Fate::Over => {
                if let Some(until) = self.watcher.blemished.get_mut(&task) {
                    until.get_or_insert_with(Instant::now);
                }
            }
        }
    }

    fn damage(&mut self, damage: Damage) {
        self.watcher.damaged = true;
        self.world.kernel.with(|kernel| damage.strike(&mut kernel.state));
        self.watcher.foreign = foreign(&self.world.kernel.state());
    }

    /// Nothing is wrong any more: the kernel becomes what it should be, and stays so.
    async fn end(mut self) -> Vec<String> {
        self.world.sim().heal();
        self.world.sim().elect(Some(0));
        for request in std::mem::take(&mut self.requests) {
            request.await.unwrap();
        }
        for task in self.world.sim().running() {
            if self.watcher.blemished.contains_key(&task.task) {
                self.fate(task.task, Fate::Well);
            }
        }
        let mut waited = 0;
        while let Some(why) = self.differs() {
            if waited > 600 {
                self.watcher.trouble.push(format!("it doesn't end as it should: {why}"));
                break;
            }
            waited += 1;
            self.pass(1000).await;
        }
        self.pass(5000).await;
        let differs = self.differs();
        self.watcher.trouble.extend(differs.map(|why| format!("it doesn't stay so: {why}")));
        let trouble = std::mem::take(&mut self.watcher.trouble);
        self.world.end().await;
        trouble
    }

    /// How the kernel is other than it should be.
    fn differs(&self) -> Option<String> {
        let truth = self.watcher.truth(&self.world);
        let (state, view) = (self.world.kernel.state(), self.world.agent().view.borrow().clone());
        if !truth.settled {
            return Some(format!("Marathon isn't settled: {:?}", self.world.sim().running()));
        }
        let services = state.ours().map(|(vip, service)| {
            let all = service.servers.iter();
            let weights: BTreeMap<_, _> =
                all.map(|(server, held)| (*server, held.settings.weight)).collect();
            (vip, weights)
        });
        let found: BTreeMap<_, _> = services.collect();
        let due = truth.claimed.iter().map(|(vip, servers)| {
            let weights: BTreeMap<_, _> = servers.iter().map(|server| (*server, 1)).collect();
            (*vip, weights)
        });
        let due: BTreeMap<_, _> = due.collect();
        if found != due {
            return Some(format!("{found:?} instead of {due:?}"));
        }
        let addresses: BTreeSet<_> = state.addresses.keys().copied().collect();
        if addresses != due.keys().map(|vip| vip.address).collect() {
            return Some(format!("bound are {addresses:?}"));
        }
        let status = &view.status;
        let is_done = status.failing.is_empty() && status.unapplied_since.is_none();
        let source = &view.sources["m0"];
        (!is_done || !source.streaming || source.error.is_some()).then(|| format!("{view:?}"))
    }
}

impl Damage {
    fn strike(self, state: &mut Observed) {
        let bound = |vip: &Vip| state.addresses.contains_key(&vip.address);
        let ours = state.ours().filter(|(vip, _)| bound(vip));
        let ours: Vec<_> = ours.map(|(vip, _)| ServiceKey::from(vip)).collect();
        let services = state.services.iter_mut().filter(|(key, _)| ours.contains(key));
        let services = services.map(|(_, service)| service);
        match self {
            Self::Flush => state.services.clear(),
            Self::NoLink => {
                state.link = Link::Missing;
                state.addresses.clear();
            }
            Self::NoAddresses => state.addresses.clear(),
            Self::Weights(weight) => services
                .flat_map(|service| service.servers.values_mut())
                .for_each(|server| server.settings.weight = weight),
            Self::NoServers => services.for_each(|service| service.servers.clear()),
            Self::Scheduler => services.for_each(|service| {
                service.settings.scheduler = Some("rr".parse().unwrap());
            }),
            Self::Unmarked => services.for_each(|service| {
                service.settings.flags = service.settings.flags & !MARK;
            }),
            Self::Foreign(port) => {
                let first = vip(FOREIGN);
                let at = Vip { port: first.port.saturating_add(port), ..first };
                let settings = ServiceSettings::new(Family::Inet, "wrr".parse().unwrap());
                let service = ObservedService {
                    settings,
                    servers: BTreeMap::new(),
                    stats: nl_ipvs::Stats::default(),
                };
                state.services.insert(at.into(), service);
            }
        }
    }
}

fn generation() -> impl Strategy<Value = Generation> {
    select(vec![Generation::V1_1, Generation::V1_4, Generation::V1_5, Generation::V1_6])
}

/// Enough for the time a build server has; `PROPTEST_CASES` says otherwise.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..Default::default() })]

    #[test]
    fn whatever_happens_the_kernel_ends_as_it_should_and_nobody_is_missing_on_the_way(
        generation in generation(),
        steps in vec(step(), 1..40),
    ) {
        let mut trouble = Vec::new();
        run(async {
            let mut run = Run::new(generation).await;
            for step in steps {
                run.take(step).await;
            }
            trouble = run.end().await;
        });
        prop_assert_eq!(trouble, [""; 0]);
    }
}
