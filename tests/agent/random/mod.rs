//! Whatever happens, in whatever order: the kernel ends as Marathon says, nobody else's service is
//! touched, and no healthy server is missing on the way for longer than a resync. While nothing goes wrong, what
//! ends is out of the kernel within seconds, what is well is in, and a silent host gets connections
//! only for VIPs that nobody else serves.
//!
//! `PROPTEST_CASES=300 cargo test --test agent random` tries more; a failure says what happened,
//! made as short as it can be, and proptest keeps its seed.

mod damage;
mod steps;
mod watcher;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use damage::Damage;
use marathon_sim::{Fate, Fault, Generation};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use steps::{Step, generation, step};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vip::liveness::{Evidence, HostVerdict, ProbeReport, Silence};
use watcher::{Watcher, foreign};

use crate::world::{World, app, pass, run};

/// Apps may claim these; two apps may claim one.
const VIPS: [&str; 4] = ["3.3.0.6:80", "3.3.0.6:81", "3.3.0.7:80", "3.3.0.8:3306"];
const APPS: [&str; 3] = ["/web", "/db", "/group/api"];
/// The app whose tasks are checked every 3 s instead of five times a second: for as long a new
/// leader knows nothing of their health.
const SLOW: usize = 1;
/// Where somebody else's services are.
const FOREIGN: &str = "7.7.7.7:70";

/// A run of steps.
struct Run {
    world: World,
    watcher: Watcher,
    requests: Vec<JoinHandle<()>>,
    flashed: bool,
}

impl Run {
    async fn new(generation: Generation) -> Self {
        let config = move |config: &mut marathon_sim::Config| {
            config.standbys = 1;
            config.generation = generation;
        };
        let mut world = World::with(&[&config]).await;
        // What nobody heard of may be all there was: it ends before patience does.
        world.doubt = Duration::from_secs(120);
        world.start().await;
        let mut run = Self { world, watcher: Watcher::new(), requests: Vec::new(), flashed: false };
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
                if index == SLOW {
                    app["healthChecks"][0]["intervalSeconds"] = json!(30);
                }
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
            Step::Cough(index) => {
                if let Some(task) = self.task(&index) {
                    self.fate(task.clone(), Fate::Ill);
                    self.pass(260).await;
                    self.fate(task, Fate::Well);
                }
            }
            Step::Inject(rule) => self.world.sim().inject_fault(rule),
            Step::Heal => self.world.sim().clear_faults(),
            Step::Elect(leader) => self.world.sim().set_leader(leader),
            Step::Flash => {
                if !std::mem::replace(&mut self.flashed, true) {
                    self.world.sim().inject_fault(Fault::NoApps.times(1));
                }
                self.world.sim().set_leader(Some(1));
            }
            Step::Amnesia(damage) => {
                self.world.sim().set_leader(Some(0));
                self.pass(1500).await;
                self.damage(damage);
            }
            Step::ForgetHealth => self.world.sim().forget_health(),
            Step::Silence(index, silence) => {
                let running = self.world.sim().running_tasks();
                if !running.is_empty() {
                    self.report_silence(IpAddr::from(index.get(&running).host), silence);
                }
            }
            // Without its mark and its address a service of ours is anybody's: one at a time.
            Step::Damage(Damage::Unmarked) => {
                self.pass(3000).await;
                self.damage(Damage::Unmarked);
                self.pass(3000).await;
            }
            Step::Damage(damage) => self.damage(damage),
            Step::Restart { away } => {
                self.world.stop().await;
                self.watcher.forget_silence();
                self.pass(away).await;
                self.world.start().await;
            }
            Step::Crash { after, away } => {
                self.world.kernel.with_kernel(|kernel| kernel.die_after(after));
                self.pass(300).await;
                self.world.kill();
                self.watcher.forget_silence();
                self.pass(away).await;
                self.world.kernel.with_kernel(testkit::FakeKernel::clear_faults);
                self.world.start().await;
            }
            Step::Pass(milliseconds) => self.pass(milliseconds).await,
        }
        self.pass(20).await;
    }

    fn task(&self, index: &Index) -> Option<String> {
        let running = self.world.sim().running_tasks();
        (!running.is_empty()).then(|| index.get(&running).task.clone())
    }

    fn fate(&mut self, task: String, fate: Fate) {
        self.world.sim().set_fate(&task, fate);
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

    /// Has the prober tell the agent about a host.
    fn report_silence(&mut self, host: IpAddr, silence: Option<Silence>) {
        let evidence = Evidence {
            silent_for: Duration::from_secs(1),
            echoes: 5,
            connects: 1,
            others_answering: 1,
        };
        let verdicts = vec![HostVerdict { host, silence, evidence }];
        self.world.prober.send_report(ProbeReport { verdicts, ..ProbeReport::default() });
        self.watcher.note_silence(host, silence);
    }

    fn damage(&mut self, damage: Damage) {
        self.watcher.damaged = true;
        self.world.kernel.with_kernel(|kernel| damage.strike(&mut kernel.state));
        self.watcher.foreign = foreign(&self.world.kernel.current_state());
    }

    /// Nothing is wrong any more: the kernel becomes what it should be, and stays so.
    async fn end(mut self) -> Vec<String> {
        self.world.sim().clear_faults();
        self.world.sim().set_leader(Some(0));
        for host in self.watcher.silent_hosts() {
            self.report_silence(host, None);
        }
        // The election ends the stream, which is opened again after a while.
        self.pass(200).await;
        for request in std::mem::take(&mut self.requests) {
            request.await.unwrap();
        }
        for task in self.world.sim().running_tasks() {
            if self.watcher.blemished.contains_key(&task.task) {
                self.fate(task.task, Fate::Well);
            }
        }
        let mut waited = 0;
        while let Some(why) = self.differs().or_else(|| self.is_not_heard()) {
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
        let (state, view) =
            (self.world.kernel.current_state(), self.world.agent().view.borrow().clone());
        if !truth.settled {
            return Some(format!("Marathon isn't settled: {:?}", self.world.sim().running_tasks()));
        }
        let services = state.our_services().map(|(vip, service)| {
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
        (!is_done).then(|| format!("{view:?}"))
    }

    /// How Marathon isn't heard. It may fall silent once more: a stream that is half open is given up after
    /// 35 s.
    fn is_not_heard(&self) -> Option<String> {
        let view = self.world.agent().view.borrow().clone();
        let source = &view.sources["m0"];
        (!source.streaming || source.error.is_some()).then(|| format!("{view:?}"))
    }
}

/// The number of histories, and the seed. A build server has time for a few, the same each time: what
/// it finds must be about the change it builds. `PROPTEST_CASES` tries as many others as it says.
fn cases() -> (u32, RngSeed) {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    wanted.map_or((24, RngSeed::Fixed(24)), |cases| (cases, RngSeed::Random))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases().0,
        rng_seed: cases().1,
        // Milliseconds: a failure is to be told before a build server loses its patience.
        max_shrink_time: 300_000,
        ..Default::default()
    })]

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
