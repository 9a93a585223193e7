//! The agent without its hands: what comes in, and what is to be done about it.
//!
//! It joins the watches of all Marathons, the translation of labels, the names of agents and the
//! controller. Like each of them it has no connection and no clock, so a test drives it through a
//! day of faults in a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::time::Duration;

use marathon::event::Event;
use marathon::watch::{self, Action, Answer, StreamId, WorkloadKey};
use marathon::{Snapshot, Timestamp, Workload};
use serde::{Deserialize, Serialize};
use vip::controller::{Change, Effect as Ordered, Facts, Input as Told, Mode};
use vip::{ClusterFacts, Controller, Observed, Outcome, Plan};

use super::Moment;
use super::names::Names;
use super::source::{Source, Standing, Surroundings};
use super::view::{Hold, Table, View};
use crate::config::Marathon;
use crate::translate::{Hosts, versions_of};

/// How often what is known is kept on disk while it changes.
const KEEP: Duration = Duration::from_secs(60);
/// Servers of Marathon that are remembered.
const MAX_SERVERS: usize = 64;
/// Agents' addresses that are tried for the way to them.
const TOWARDS: usize = 16;

/// What a [`Mind`] has to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the controller has to know. Its sources are set by [`Mind::new`].
    pub controller: vip::controller::Config,
    /// The Marathons.
    pub sources: Vec<SourceConfig>,
    /// The node's address for its own connections to VIPs, if it isn't to be found.
    pub node_address: Option<Ipv4Addr>,
}

/// One Marathon.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Its name.
    pub name: String,
    /// The names of its servers.
    pub servers: BTreeSet<String>,
    /// How it is watched.
    pub watch: watch::Config,
}

impl Config {
    /// As the configuration says, for these Marathons.
    #[must_use]
    pub fn of(config: &crate::config::Config, marathons: &[Marathon], observe_only: bool) -> Self {
        let sources = marathons.iter().map(|marathon| SourceConfig {
            name: marathon.name.clone(),
            servers: marathon
                .urls
                .iter()
                .filter_map(|url| url.host_str().map(str::to_owned))
                .collect(),
            watch: watch::Config {
                urls: NonZeroUsize::new(marathon.urls.len()).unwrap_or(NonZeroUsize::MIN),
                agents: config.agent.agents,
                seed: seed(&config.node_name, &marathon.name),
            },
        });
        Self {
            controller: vip::controller::Config {
                node: config.node_name.clone(),
                policy: config.policy.clone(),
                observe_only,
                sync_period: config.agent.sync_period,
                linger: config.agent.linger,
                ..vip::controller::Config::default()
            },
            sources: sources.collect(),
            node_address: config.node_address,
        }
    }
}

/// No two nodes of a cluster do by chance the same at the same time.
fn seed(node: &str, source: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (node, source).hash(&mut hasher);
    hasher.finish()
}

/// What is kept on disk of one Marathon.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// Its apps and pods.
    pub workloads: Vec<Workload>,
    /// The addresses of agents with names.
    pub hosts: Hosts,
}

/// What the kernel thread found.
#[derive(Debug)]
pub struct Reading {
    /// The kernel.
    pub observed: Observed,
    /// The node's address towards the agents.
    pub source: Option<Ipv4Addr>,
    /// The sysctls that aren't as they should be.
    pub sysctls: Vec<String>,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The event stream of a Marathon is open.
    Opened {
        /// Which Marathon.
        source: usize,
        /// Which stream.
        stream: StreamId,
        /// `X-Marathon-Leader`.
        leader: Option<String>,
    },
    /// Bytes came that make no event.
    Bytes {
        /// From which Marathon.
        source: usize,
        /// From which stream.
        stream: StreamId,
    },
    /// An event came.
    Event {
        /// From which Marathon.
        source: usize,
        /// From which stream.
        stream: StreamId,
        /// What it says.
        event: Event,
    },
    /// The stream could not be opened, or ended.
    Ended {
        /// Of which Marathon.
        source: usize,
        /// Which stream.
        stream: StreamId,
    },
    /// Everything was read, or not.
    ReadEverything {
        /// Of which Marathon.
        source: usize,
        /// What came of it.
        answer: Result<Snapshot, String>,
        /// `X-Marathon-Leader`.
        leader: Option<String>,
    },
    /// One workload was read, or not. `None`: there is none.
    Read {
        /// Of which Marathon.
        source: usize,
        /// Which workload.
        key: WorkloadKey,
        /// What came of it.
        answer: Result<Option<Workload>, String>,
        /// `X-Marathon-Leader`.
        leader: Option<String>,
    },
    /// A look-up is done.
    Resolved {
        /// The name.
        name: String,
        /// Its addresses.
        answer: Result<Vec<IpAddr>, String>,
    },
    /// The kernel was read, or not.
    Observed(Result<Reading, String>),
    /// A plan was run.
    Applied(Outcome),
    /// The kernel announces a change.
    KernelChanged,
    /// Change nothing.
    Hold(Hold),
    /// Go on.
    Release,
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Something with a Marathon.
    Marathon {
        /// Which.
        source: usize,
        /// What.
        action: Action,
    },
    /// Look a name up, then say [`Input::Resolved`].
    Resolve(String),
    /// Read the kernel, then say [`Input::Observed`].
    Observe {
        /// Where real servers are, for the way to them.
        towards: Vec<IpAddr>,
        /// Set sysctls right, and don't only look at them.
        mend: bool,
    },
    /// Run a plan, then say [`Input::Applied`].
    Apply(Plan),
    /// Keep [`Mind::kept`] of this source on disk.
    Keep(usize),
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Mind {
    sources: Vec<Source>,
    servers: BTreeSet<String>,
    names: Names,
    around: Surroundings,
    source_address: Option<Ipv4Addr>,
    node_address: Option<Ipv4Addr>,
    controller: Controller,
    controller_wake: Duration,
    sysctls: Vec<String>,
    hold: Option<Hold>,
    ready: bool,
    started: Timestamp,
}

impl Mind {
    /// Knows nothing yet. The first [`Input::Tick`] starts it.
    #[must_use]
    pub fn new(config: Config, now: Moment) -> Self {
        let mut controller = config.controller;
        controller.sources = config.sources.iter().map(|source| source.name.clone()).collect();
        let sources = config.sources.iter();
        Self {
            servers: sources.clone().flat_map(|source| source.servers.clone()).collect(),
            sources: sources
                .map(|source| Source::new(source.name.clone(), &source.watch, now.since_start))
                .collect(),
            names: Names::default(),
            around: Surroundings { changed: true, ..Surroundings::default() },
            source_address: config.node_address,
            node_address: config.node_address,
            controller: Controller::new(controller),
            controller_wake: now.since_start,
            sysctls: Vec::new(),
            hold: None,
            ready: false,
            started: now.wall,
        }
    }

    /// Takes over what an earlier run knew of a Marathon and kept at that time. Nothing is removed
    /// because of it.
    pub fn restore(
        &mut self,
        source: usize,
        kept: Kept,
        read_at: Timestamp,
        now: Moment,
    ) -> Vec<Effect> {
        self.names.restore(kept.hosts, now.since_start);
        let at = &mut self.sources[source];
        let keys = at.watch.restore(kept.workloads);
        at.view.read_at = Some(read_at);
        at.view.from_disk = true;
        let mut effects = Vec::new();
        self.refresh(source, &keys, now, &mut effects);
        self.sources[source].unkept = false;
        effects
    }

    /// Takes in what happened, and says what is to be done, in order.
    pub fn on(&mut self, input: Input, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Opened { source, stream, leader } => {
                self.meet(leader.as_deref());
                self.watch(source, watch::Input::Opened { stream, leader }, now, &mut effects);
            }
            Input::Bytes { source, stream } => {
                self.watch(source, watch::Input::Bytes { stream }, now, &mut effects);
            }
            Input::Event { source, stream, event } => {
                self.watch(source, watch::Input::Event { stream, event }, now, &mut effects);
            }
            Input::Ended { source, stream } => {
                self.watch(source, watch::Input::Ended { stream }, now, &mut effects);
            }
            Input::ReadEverything { source, answer, leader } => {
                let answer = self.heard(source, answer, now, &mut effects);
                let whole = answer.is_some();
                let input = watch::Input::ReadEverything { answer, leader };
                self.watch(source, input, now, &mut effects);
                if whole {
                    self.read_whole(source, now);
                }
            }
            Input::Read { source, key, answer, leader } => {
                let answer = match self.heard(source, answer, now, &mut effects) {
                    Some(Some(workload)) => Answer::Found(Box::new(workload)),
                    Some(None) => Answer::Missing,
                    None => Answer::Failed,
                };
                let input = watch::Input::Read { key, answer, leader };
                self.watch(source, input, now, &mut effects);
            }
            Input::Resolved { name, answer } => self.resolved(&name, answer, now, &mut effects),
            Input::Observed(reading) => self.observed(reading, now, &mut effects),
            Input::Applied(outcome) => self.tell(Told::Applied(outcome), now, &mut effects),
            Input::KernelChanged => self.tell(Told::KernelChanged, now, &mut effects),
            Input::Hold(hold) => {
                self.hold = Some(hold);
                self.tell(Told::Hold, now, &mut effects);
            }
            Input::Release => {
                self.hold = None;
                self.tell(Told::Release, now, &mut effects);
            }
            Input::Tick => {}
        }
        self.tick(now, &mut effects);
        effects
    }

    /// When [`Input::Tick`] is due, if nothing comes before it.
    #[must_use]
    pub fn wake_at(&self) -> Duration {
        let sources = self.sources.iter().map(Source::wakes_at);
        sources.chain(self.names.wake_at()).fold(self.controller_wake, Duration::min)
    }

    /// The controller.
    #[must_use]
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// What to keep of a source on disk, with its name, and as of when. `None`: it has said
    /// nothing yet that is better than what is there.
    #[must_use]
    pub fn kept(&self, source: usize, now: Moment) -> Option<(String, Kept, Timestamp)> {
        let at = &self.sources[source];
        if at.standing != Standing::Believed {
            return None;
        }
        let hosts = at.hosts().filter_map(|host| {
            let addresses = self.names.hosts().get(host).filter(|known| known.is_ok())?;
            Some((host.to_owned(), addresses.clone()))
        });
        let kept =
            Kept { workloads: at.watch.workloads().cloned().collect(), hosts: hosts.collect() };
        // While events come it is as good as read now.
        let read_at = if at.view.streaming { Some(now.wall) } else { at.view.read_at };
        Some((at.name.clone(), kept, read_at.unwrap_or(now.wall)))
    }

    /// What others may see.
    #[must_use]
    pub fn view(&self) -> View {
        let sources = self.sources.iter().map(|source| (source.name.clone(), source.view.clone()));
        View {
            status: self.controller.status().clone(),
            sources: sources.collect(),
            ready: self.ready,
            unresolved: self.names.failed().clone(),
            gaps: self.around.gaps.members().cloned().collect(),
            sysctls: self.sysctls.clone(),
            hold: self.hold.clone(),
            started: self.started,
        }
    }

    /// Everything that is decided, and the kernel as it is known.
    #[must_use]
    pub fn table(&self, now: Moment) -> Table {
        let mut desired = self.controller.desired();
        desired.reports.extend(self.sources.iter().flat_map(Source::reports).cloned());
        let workloads = self.sources.iter().flat_map(|source| source.watch.workloads());
        let drains = self.controller.draining().filter_map(|(vip, server, drain)| {
            Some(((vip, server), drain.deadline?.saturating_sub(now.since_start)))
        });
        Table {
            desired,
            observed: self.controller.observed().cloned(),
            conflicts: self.controller.conflicts().cloned().collect(),
            versions: versions_of(workloads).collect(),
            drains: drains.collect(),
        }
    }

    /// No VIP may be a leader's address.
    fn meet(&mut self, leader: Option<&str>) {
        if self.servers.len() < MAX_SERVERS {
            self.servers.extend(leader.and_then(host_of));
        }
    }

    /// Takes note of whether a Marathon answers.
    fn heard<T>(
        &mut self,
        source: usize,
        answer: Result<T, String>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) -> Option<T> {
        let at = &mut self.sources[source];
        let name = at.name.clone();
        match answer {
            Ok(answer) => {
                if at.view.error.take().is_some() {
                    let nothing_new = Change::Apps(BTreeMap::new());
                    self.tell(Told::Claims { source: name, change: nothing_new }, now, effects);
                }
                Some(answer)
            }
            Err(why) => {
                at.view.error = Some(why.clone());
                self.tell(Told::Lost { source: name, why }, now, effects);
                None
            }
        }
    }

    fn read_whole(&mut self, source: usize, now: Moment) {
        let at = &mut self.sources[source];
        at.view.read_at = Some(now.wall);
        at.view.from_disk = false;
        at.unkept = true;
        if at.standing == Standing::Doubted {
            at.standing = Standing::Whole;
        }
    }

    fn watch(
        &mut self,
        source: usize,
        input: watch::Input,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let step = self.sources[source].on(input, now.since_start);
        let actions = step.actions.into_iter();
        effects.extend(actions.map(|action| Effect::Marathon { source, action }));
        self.refresh(source, &step.changed, now, effects);
    }

    /// Tells the controller what these workloads say now.
    fn refresh(
        &mut self,
        source: usize,
        keys: &BTreeSet<WorkloadKey>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        if keys.is_empty() {
            return;
        }
        let at = &mut self.sources[source];
        let apps = at.refresh(keys, &mut self.names, &mut self.around, now);
        let source = at.name.clone();
        self.tell_facts(now, effects);
        self.tell(Told::Claims { source, change: Change::Apps(apps) }, now, effects);
    }

    fn resolved(
        &mut self,
        name: &str,
        answer: Result<Vec<IpAddr>, String>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        if !self.names.found(name, answer, now.since_start) {
            return;
        }
        self.around.changed |= self.servers.contains(name);
        for source in 0..self.sources.len() {
            let keys = self.sources[source].on_host(name);
            self.refresh(source, &keys, now, effects);
        }
        self.forget_names();
    }

    /// A cluster's nodes come and go, and so do their names.
    fn forget_names(&mut self) {
        let used = self.sources.iter().flat_map(Source::hosts);
        let used = used.chain(self.servers.iter().map(String::as_str)).collect();
        self.names.retain(&used);
    }

    fn observed(
        &mut self,
        reading: Result<Reading, String>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let observed = reading.map(|reading| {
            if self.node_address.is_none() && self.source_address != reading.source {
                self.source_address = reading.source;
                self.around.changed = true;
            }
            self.sysctls = reading.sysctls;
            reading.observed
        });
        self.tell_facts(now, effects);
        self.tell(Told::Observed(observed), now, effects);
    }

    fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        for source in 0..self.sources.len() {
            if self.sources[source].wake_at <= now.since_start {
                self.watch(source, watch::Input::Tick, now, effects);
            }
            let settled = self.sources[source].settled(now.since_start);
            self.refresh(source, &settled, now, effects);
        }
        self.believe(now, effects);
        self.names.want(self.servers.iter().map(String::as_str), now.since_start);
        effects.extend(self.names.tick(now.since_start).into_iter().map(Effect::Resolve));
        self.tell_facts(now, effects);
        if self.controller_wake <= now.since_start {
            // While the kernel is busy the controller says no other time: its answer wakes it.
            self.controller_wake = Duration::MAX;
            self.tell(Told::Tick, now, effects);
        }
        let status = self.controller.status();
        let is_done = status.unapplied_since.is_none() || status.mode != Mode::Acting;
        self.ready |= status.awaited.is_empty() && status.counters.readings > 0 && is_done;
        self.keep(now, effects);
    }

    /// Once every source was read whole: takes their word for what isn't there any more. If that is
    /// more than half of what the kernel holds, they are read once more before: a Marathon that has
    /// just started may know very little.
    fn believe(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let waiting = |source: &Source| source.standing == Standing::Whole;
        let partial =
            |source: &Source| matches!(source.standing, Standing::Partial | Standing::Doubted);
        if !self.sources.iter().any(waiting) || self.sources.iter().any(partial) {
            return;
        }
        let Some(observed) = self.controller.observed() else { return };
        let ours: Vec<_> = observed.ours().map(|(vip, _)| vip).collect();
        let claimed = self.controller.desired().services;
        let unclaimed = ours.iter().filter(|vip| !claimed.contains_key(*vip)).count();
        for source in 0..self.sources.len() {
            let at = &mut self.sources[source];
            if at.standing != Standing::Whole {
                continue;
            }
            if 2 * unclaimed > ours.len() && !at.doubted {
                at.doubted = true;
                at.standing = Standing::Doubted;
                tracing::warn!(
                    source = at.name,
                    unclaimed,
                    of = ours.len(),
                    "the first answer claims less than half of the VIPs in the kernel: reading again"
                );
                self.watch(source, watch::Input::Doubt, now, effects);
                continue;
            }
            at.standing = Standing::Believed;
            let change = Change::All(at.everything(&self.names, now));
            let source = at.name.clone();
            self.tell(Told::Claims { source, change }, now, effects);
        }
    }

    fn keep(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        for (index, source) in self.sources.iter_mut().enumerate() {
            let due = source.kept_at.is_none_or(|at| at + KEEP <= now.since_start);
            if source.unkept && due && source.standing == Standing::Believed {
                source.unkept = false;
                source.kept_at = Some(now.since_start);
                effects.push(Effect::Keep(index));
            }
        }
    }

    fn tell_facts(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if !std::mem::take(&mut self.around.changed) {
            return;
        }
        let hosts = self.names.hosts();
        let servers = self.servers.iter().filter_map(|server| hosts.get(server)?.as_ref().ok());
        let facts = Facts {
            cluster: ClusterFacts {
                nodes: self.around.nodes.members().copied().collect(),
                masters: servers.flatten().copied().collect(),
                tasks: self.around.tasks.members().copied().collect(),
            },
            uncertain: self.around.uncertain.members().copied().collect(),
            gaps: self.around.gaps.members().next().is_some(),
            source: self.source_address.map(Into::into),
        };
        self.tell(Told::Facts(facts), now, effects);
    }

    /// Tells the controller, and passes on what it orders.
    fn tell(&mut self, told: Told, now: Moment, effects: &mut Vec<Effect>) {
        for ordered in self.controller.on(told, now.since_start) {
            match ordered {
                Ordered::Observe => {
                    let towards = self.around.nodes.members().take(TOWARDS).copied().collect();
                    let mend = self.controller.status().mode == Mode::Acting;
                    effects.push(Effect::Observe { towards, mend });
                }
                Ordered::Apply(plan) => effects.push(Effect::Apply(plan)),
                Ordered::WakeAt(at) => self.controller_wake = at,
                Ordered::Report(_) => {}
            }
        }
    }
}

/// The host in `http://host:port`.
fn host_of(leader: &str) -> Option<String> {
    let url = marathon::client::Url::parse(leader).ok()?;
    Some(url.host_str()?.to_owned())
}
