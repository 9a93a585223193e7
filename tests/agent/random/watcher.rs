//! What is true, and what must never be seen on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nl_ipvs::ServiceKey;
use serde_json::{Value, json};
use tokio::time::Instant;
use vip::liveness::Silence;
use vip::{Link, Observed, ObservedService, Vip};
use vipd::agent::status::View;

use super::VIPS;
use crate::world::{SYNC, World, vip};

/// What a healthy server may be missing for: a resync, and what it takes to read and write.
const MISSING: Duration = SYNC.saturating_add(Duration::from_millis(600));
/// After a check that failed an event of it may still be under way, or a read that is no better.
const BLEMISHED: Duration = Duration::from_secs(30);
/// For so long after the last fault was healed it may still show: late events are told, reads that
/// failed are tried again.
const AFTERMATH: Duration = Duration::from_secs(10);
/// The same of a stream that is dead and open: it is given up after 35 s.
const HALF_OPEN: Duration = Duration::from_secs(45);
/// While nothing goes wrong, what has ended is out within this time: bad news waits for 2 s at
/// most, and then the kernel is to be told.
const OUT: Duration = Duration::from_secs(5);
/// While nothing goes wrong, what is well is in within this time: a check of the slowest app, two
/// reads, and then the kernel is to be told.
const IN: Duration = Duration::from_secs(12);

type Server = (Vip, SocketAddr);

/// What is true, whatever Marathon says and vipd knows.
pub(super) struct Truth {
    /// Real servers that run and whose checks pass.
    well: BTreeSet<Server>,
    /// Those of them whose checks have passed for long.
    steady: BTreeSet<Server>,
    /// Real servers of VIPs that are claimed, whose tasks run.
    pub(super) claimed: BTreeMap<Vip, BTreeSet<SocketAddr>>,
    /// Everything runs as it is wanted.
    pub(super) settled: bool,
}

fn claimed_by(definition: &Value) -> Vip {
    let label = &definition["container"]["portMappings"][0]["labels"]["VIP_0"];
    vip(label.as_str().unwrap())
}

/// Looks on.
pub(super) struct Watcher {
    /// Servers that were in use since they are well, and since when they aren't any more.
    used: BTreeMap<Server, Option<Instant>>,
    /// Servers that are in use and have ended, and those that are well and not in use.
    late: BTreeMap<Server, (Late, Instant)>,
    /// From when on nothing has been going wrong.
    calm: Instant,
    /// Tasks that were made ill, and when that was over.
    pub(super) blemished: BTreeMap<String, Option<Instant>>,
    /// Hosts that the prober called silent, and when it took that back.
    silent: BTreeMap<IpAddr, Option<Instant>>,
    /// Somebody else's services.
    pub(super) foreign: BTreeMap<ServiceKey, ObservedService>,
    /// The kernel was damaged since the agent has known everything.
    pub(super) damaged: bool,
    pub(super) trouble: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Late {
    Ended,
    Silent,
    Well,
}

/// A service on an address that is no app's.
pub(super) fn foreign(state: &Observed) -> BTreeMap<ServiceKey, ObservedService> {
    let ours: BTreeSet<_> = VIPS.iter().map(|at| vip(at).address).collect();
    let is_ours = |key| Vip::from_key(key).is_some_and(|vip| ours.contains(&vip.address));
    let others = state.services.iter().filter(|(key, _)| !is_ours(key));
    others.map(|(key, service)| (*key, service.clone())).collect()
}

/// Whether new connections to the VIP may go to this server.
fn is_in_use(state: &Observed, (vip, server): &Server) -> bool {
    let held = state.service(vip).and_then(|service| service.servers.get(server));
    held.is_some_and(|held| held.settings.weight > 0)
        && state.addresses.contains_key(&vip.address)
        && state.link == Link::Up
}

impl Watcher {
    pub(super) fn new() -> Self {
        Self {
            used: BTreeMap::new(),
            late: BTreeMap::new(),
            calm: Instant::now() + AFTERMATH,
            blemished: BTreeMap::new(),
            silent: BTreeMap::new(),
            foreign: BTreeMap::new(),
            damaged: false,
            trouble: Vec::new(),
        }
    }

    /// Notes what the prober says about a host.
    pub(super) fn note_silence(&mut self, host: IpAddr, silence: Option<Silence>) {
        if silence.is_some() {
            self.silent.insert(host, None);
        } else if let Some(until) = self.silent.get_mut(&host) {
            until.get_or_insert_with(Instant::now);
        }
    }

    /// The agent has ended, and its prober with it.
    pub(super) fn forget_silence(&mut self) {
        for until in self.silent.values_mut() {
            until.get_or_insert_with(Instant::now);
        }
    }

    pub(super) fn silent_hosts(&self) -> Vec<IpAddr> {
        self.silent.iter().filter(|(_, until)| until.is_none()).map(|(host, _)| *host).collect()
    }

    fn is_silent(&self, host: IpAddr) -> bool {
        self.silent.get(&host) == Some(&None)
    }

    pub(super) fn truth(&self, world: &World) -> Truth {
        let wanted = world.sim().definitions();
        let mut truth = Truth {
            well: BTreeSet::new(),
            steady: BTreeSet::new(),
            claimed: BTreeMap::new(),
            settled: true,
        };
        for definition in wanted.values() {
            truth.claimed.entry(claimed_by(definition)).or_default();
        }
        let mut running = BTreeMap::<String, u64>::new();
        for task in world.sim().running_tasks() {
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
            let blemish = self.blemished.get(&task.task);
            if task.healthy && blemish != Some(&None) {
                truth.well.insert((claimed, server));
            }
            let is_over = |since: &Option<Instant>| {
                since.is_some_and(|since: Instant| since.elapsed() > BLEMISHED)
            };
            let silence = self.silent.get(&server.ip());
            if blemish.is_none_or(is_over) && silence.is_none_or(is_over) {
                truth.steady.insert((claimed, server));
            }
        }
        for (app, definition) in &wanted {
            truth.settled &= definition["instances"] == json!(running.get(app).unwrap_or(&0));
        }
        truth
    }

    pub(super) fn look(&mut self, world: &World) {
        let view = world.running().map(|agent| agent.view.borrow().clone());
        let truth = self.truth(world);
        let state = world.kernel.current_state();
        if foreign(&state) != self.foreign {
            self.trouble.push(format!("somebody else's service is now {:?}", foreign(&state)));
            self.foreign = foreign(&state);
        }
        self.look_for_the_missing(&truth, view.as_deref(), &state);
        self.look_at_the_weather(world, view.as_deref());
        self.look_for_the_late(&truth, &state);
    }

    /// Whatever goes wrong: servers that were in use and are well all the time stay in use.
    fn look_for_the_missing(&mut self, truth: &Truth, view: Option<&View>, state: &Observed) {
        let knows = view.is_some_and(knows);
        let now = Instant::now();
        self.used.retain(|key, _| truth.steady.contains(key));
        let mut all_in_use = true;
        for server in &truth.steady {
            if is_in_use(state, server) {
                self.used.insert(*server, None);
                continue;
            }
            let Some(since) = self.used.get_mut(server) else { continue };
            all_in_use = false;
            if view.is_none() || self.damaged && !knows {
                // Nobody is there to repair it, or whoever is there can't know of it yet.
                *since = Some(now);
            }
            let missing = now.duration_since(*since.get_or_insert(now));
            if missing > MISSING {
                let (vip, at) = server;
                self.trouble.push(format!("{vip} has been without {at} for {missing:?}"));
                self.used.remove(server);
            }
        }
        if knows && all_in_use {
            self.damaged = false;
        }
    }

    fn look_at_the_weather(&mut self, world: &World, view: Option<&View>) {
        let faults = world.sim().list_faults();
        let half_open = faults.iter().any(|rule| rule.fault == marathon_sim::Fault::HalfOpen);
        // Reads that failed are tried again less and less often, and the agent says so meanwhile.
        let hears = view.is_some_and(|view| {
            let source = &view.sources["m0"];
            // A loss that nobody heard of is doubted: what is lost stays for a while.
            knows(view) && source.streaming && source.error.is_none() && source.doubt.is_none()
        });
        if half_open {
            self.calm = self.calm.max(Instant::now() + HALF_OPEN);
        } else if !faults.is_empty() || !hears {
            self.calm = self.calm.max(Instant::now() + AFTERMATH);
        }
    }

    /// While nothing goes wrong: what has ended is soon out, and what is well is soon in.
    fn look_for_the_late(&mut self, truth: &Truth, state: &Observed) {
        let now = Instant::now();
        let in_use = state
            .our_services()
            .flat_map(|(vip, service)| service.servers.keys().map(move |server| (vip, *server)));
        let in_use = in_use.filter(|server| is_in_use(state, server));
        let ended = in_use.filter(|(vip, server)| {
            truth.claimed.get(vip).is_none_or(|servers| !servers.contains(server))
        });
        let ended = ended.map(|server| (server, Late::Ended));
        // Whoever can serve a VIP instead of a silent host.
        let elsewhere = |(vip, server): &Server| {
            let mut others = truth.well.iter().filter(|(other, _)| other == vip);
            self.is_silent(server.ip()) && others.any(|(_, other)| !self.is_silent(other.ip()))
        };
        let instead = |server: &Server| {
            let mut others = truth.well.iter().filter(|(other, _)| *other == server.0);
            elsewhere(server)
                && others.any(|other| !self.is_silent(other.1.ip()) && is_in_use(state, other))
        };
        let idle = truth.well.iter().filter(|server| !is_in_use(state, server));
        let idle = idle.filter(|server| !elsewhere(server)).map(|server| (*server, Late::Well));
        let silent = truth.well.iter().filter(|server| is_in_use(state, server));
        let silent = silent.filter(|server| instead(server)).map(|server| (*server, Late::Silent));
        let late: Vec<_> = ended.chain(idle).chain(silent).collect();
        let before = std::mem::take(&mut self.late);
        for (server, late) in late {
            let known = before.get(&server).filter(|(before, _)| *before == late);
            let since = known.map_or(now, |(_, since)| *since);
            self.late.insert(server, (late, since));
            let (limit, word) = match late {
                Late::Ended | Late::Silent => (OUT, "still sends to"),
                Late::Well => (IN, "still leaves out"),
            };
            let waited = now.saturating_duration_since(since.max(self.calm));
            if waited > limit {
                let (vip, at) = server;
                self.trouble.push(format!("{vip} {word} {at} after {waited:?} of calm"));
                self.late.insert(server, (late, now));
            }
        }
    }
}

/// Marathon has answered it.
fn knows(view: &View) -> bool {
    let source = &view.sources["m0"];
    view.ready && source.read_at.is_some() && !source.from_disk
}
