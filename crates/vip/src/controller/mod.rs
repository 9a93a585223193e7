//! The controller: from inputs (claims, facts, readings, outcomes) to effects (readings, plans).
//! Pure: the caller brings the time and carries out the effects.
//!
//! The unit of work is the virtual address. A change of one app touches the addresses that it
//! claims; decisions and plans for them depend on them alone (`slice.rs`), so the cost of a change
//! follows its size, not that of the table. A reading of the kernel touches the addresses that
//! differ (`changed_addresses.rs`), and every address once in a while.

mod changed_addresses;
mod claims;
mod config;
mod decided;
mod drain;
mod handover;
mod inputs;
mod known_ways;
mod linger;
mod local_facts;
mod log_entry;
mod names;
mod once;
mod outcome;
mod planning;
mod read_failure;
mod reasons;
mod reporting;
mod retry;
mod served;
mod silence;
mod silent_hosts;
mod slice;
mod states;
mod status;
mod tenant;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::liveness::{HostVerdict, ServerVerdict};
use crate::naming::AddressBook;
use crate::path_mtu::LearntMtus;
use crate::plan::{Conflict, Losses, OpResult, Outcome};
use crate::{
    ClusterFacts, Desired, DesiredService, LabelReport, Observed, Op, Plan, Scope, SourceId,
    TableDoubt, TableSettings, Vip, Ways,
};

pub use claims::{AppClaims, Change};
pub(crate) use claims::{AppKey, Claims};
pub use config::{Config, Parting};
pub(crate) use decided::Decided;
pub use drain::Drain;
use drain::{Drains, IDLE};
use known_ways::KnownWays;
use linger::Lingering;
pub(crate) use local_facts::milliseconds;
pub use local_facts::{DrainFacts, KeptServer, LocalFacts, SilenceFacts, TaskName, WithheldWeight};
pub use log_entry::LogEntry;
pub use once::Decision;
pub use read_failure::ReadFailure;
pub use retry::Retry;
use silent_hosts::SilentHosts;
use states::States;
pub use status::{Counters, Mode, Status};

/// An input to the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a reading is rare, and moved but a few times")]
pub enum Input {
    /// A source has news.
    Claims {
        /// The source.
        source: SourceId,
        /// The news.
        change: Change,
    },
    /// A source is unreachable. Its claims stay.
    Lost {
        /// The source.
        source: SourceId,
        /// The reason.
        why: String,
    },
    /// Facts beside claims.
    Facts(Facts),
    /// The answer to [`Effect::Observe`]: the state of the kernel, or why it can't be read.
    Observed(Result<Observed, ReadFailure>),
    /// The answer to [`Effect::FindWays`]: the routes, or why the kernel doesn't tell them.
    Ways(Result<Ways, ReadFailure>),
    /// The answer to [`Effect::Apply`].
    Applied(Outcome),
    /// News about silent hosts.
    Verdicts(Vec<HostVerdict>),
    /// News about real servers that refuse clients.
    ServerVerdicts(Vec<ServerVerdict>),
    /// The kernel announces a change of links, addresses, routes or nftables.
    KernelChanged,
    /// Change nothing until released.
    Hold,
    /// End [`Input::Hold`].
    Release,
    /// The time of [`Effect::WakeAt`] has come. Too early or too late does no harm.
    Tick,
}

/// Facts beside claims.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Addresses that can't be VIPs.
    pub cluster: ClusterFacts,
    /// Agents with tasks whose ports aren't known ([`Desired::uncertain`]).
    pub uncertain: BTreeSet<IpAddr>,
    /// Whether something is unknown about running tasks, so that VIPs without a claim may be
    /// theirs.
    pub gaps: bool,
    /// Whether the sources lack so much of the table that this is doubted: VIPs that no app has
    /// claimed since the start, and the real servers of VIPs without a task, stay.
    pub doubted: bool,
    /// Real servers of such VIPs whose places belong to tasks that are listed: they go.
    pub taken: BTreeSet<SocketAddr>,
}

/// An effect that the caller carries out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Read the kernel, then pass in [`Input::Observed`]. No other request to the kernel follows
    /// before.
    Observe,
    /// Ask the kernel for the routes to these real servers, then pass in [`Input::Ways`]. No other
    /// request to the kernel follows before.
    FindWays(BTreeSet<IpAddr>),
    /// Run the plan, then pass in [`Input::Applied`]. No other request to the kernel follows
    /// before.
    Apply(Plan),
    /// Pass in [`Input::Tick`] at this time. Replaces the time of an earlier one.
    WakeAt(Duration),
    /// The status has changed.
    Report(Box<Status>),
    /// Log the result of each operation of the last plan.
    Log(Vec<(LogEntry, OpResult)>),
}

/// A request to the kernel that is not answered yet.
#[derive(Debug)]
enum Job {
    Observe,
    FindWays(BTreeSet<IpAddr>),
    /// The number of operations, and the addresses that they change, each with the time since when
    /// that is due.
    Apply {
        ops: usize,
        addresses: BTreeMap<IpAddr, Duration>,
    },
}

/// The controller of one node. See the module's documentation.
#[derive(Debug)]
pub struct Controller {
    config: Config,
    claims: Claims,
    facts: Facts,
    held: bool,
    /// The last reading, with the operations done since; `None` while it may be wrong.
    model: Option<Arc<Observed>>,
    job: Option<Job>,
    /// The time of the request in `job`.
    asked_at: Duration,
    /// The apps that changed since then, while the kernel is being read.
    said_meanwhile: BTreeSet<AppKey>,
    /// The addresses to plan for, and since when.
    touched: BTreeMap<IpAddr, Duration>,
    retries: BTreeMap<IpAddr, Retry>,
    drains: Drains,
    lingering: Lingering,
    /// Real servers that the node's agent keeps although their source doesn't list them.
    kept: Vec<KeptServer>,
    silent_hosts: SilentHosts,
    /// The addresses about whose real servers there are new verdicts, and nothing else is new.
    spoken_against: BTreeSet<IpAddr>,
    ways: KnownWays,
    learnt_mtus: LearntMtus,
    decided: Decided,
    conflicts: BTreeMap<Vip, Conflict>,
    states: States,
    names: AddressBook,
    /// Whether the names, their addresses or their apps changed since that was last asked.
    names_changed: bool,
    served_changed: bool,
    /// The addresses that serve, also those of before the node started.
    served: BTreeSet<IpAddr>,
    /// Whether an earlier run knew names.
    remembers_names: bool,
    /// Reports on the labels of names that have no address, by app.
    unplaced: BTreeMap<AppKey, Vec<LabelReport>>,
    /// Reports on labels that were not taken yet.
    news: Vec<LabelReport>,
    look_at: Duration,
    /// The time of the last reading, also of one that failed.
    read_at: Duration,
    /// The time of the last reading that succeeded.
    last_reading: Option<Duration>,
    /// Minimum pause after `read_at` before an announcement causes a reading.
    rest: Duration,
    /// The time of the last input.
    clock: Duration,
    wake_at: Option<Duration>,
    /// The reason why the kernel can't be read.
    unread: Option<Retry>,
    /// Operations that are due but held back.
    withheld: Vec<Op>,
    counters: Counters,
    /// The status as last reported.
    status: Status,
}

impl Controller {
    /// Builds a controller that knows nothing yet: its first request is a reading.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            claims: Claims::new(config.sources.iter().cloned()),
            config,
            facts: Facts::default(),
            held: false,
            model: None,
            job: None,
            asked_at: Duration::ZERO,
            said_meanwhile: BTreeSet::new(),
            touched: BTreeMap::new(),
            retries: BTreeMap::new(),
            drains: Drains::default(),
            lingering: Lingering::default(),
            kept: Vec::new(),
            silent_hosts: SilentHosts::default(),
            spoken_against: BTreeSet::new(),
            ways: KnownWays::default(),
            learnt_mtus: LearntMtus::default(),
            decided: Decided::default(),
            conflicts: BTreeMap::new(),
            states: States::default(),
            names: AddressBook::default(),
            names_changed: false,
            served_changed: false,
            served: BTreeSet::new(),
            remembers_names: false,
            unplaced: BTreeMap::new(),
            news: Vec::new(),
            look_at: Duration::ZERO,
            read_at: Duration::ZERO,
            last_reading: None,
            rest: Duration::ZERO,
            clock: Duration::ZERO,
            wake_at: None,
            unread: None,
            withheld: Vec::new(),
            counters: Counters::default(),
            status: Status::default(),
        }
    }

    /// Takes in an input at `now`, a time since any start that never goes back. Returns the effects
    /// in order.
    pub fn handle_input(&mut self, input: Input, now: Duration) -> Vec<Effect> {
        let now = now.max(self.clock);
        let log = self.take_in(input, now);
        self.touch_expired(now);
        self.clock = now;
        let mut effects = Vec::new();
        if self.job.is_none() {
            effects.extend(self.next_request(now));
            self.asked_at = now;
        }
        effects.extend(self.next_wake(now));
        effects.extend(self.report());
        // Last, so that the kernel is busy with what comes next while the log is written.
        effects.extend(log.map(Effect::Log));
        effects
    }

    /// Returns the present desired state, including draining servers, and the reports on labels.
    #[must_use]
    pub fn desired(&self) -> Desired {
        let mut desired = self.nothing_desired();
        desired.services.extend(self.services().map(|(vip, service)| (*vip, service.clone())));
        desired.sources.extend(self.decided.sources());
        desired.mtus.extend(self.decided.mtus());
        desired.translated.clone_from(self.decided.translated());
        desired.names = self.all_names();
        desired.listeners =
            self.model.as_ref().map(|model| self.listeners(model)).unwrap_or_default();
        desired.reports.extend(self.reports().cloned());
        desired
    }

    /// Returns the state of the kernel; `None` before the first reading, and from a failure until
    /// the next one.
    #[must_use]
    pub fn observed(&self) -> Option<&Arc<Observed>> {
        self.model.as_ref()
    }

    /// Returns the draining servers.
    pub fn draining_servers(&self) -> impl Iterator<Item = (Vip, SocketAddr, &Drain)> {
        self.drains.iter()
    }

    /// Returns the VIPs that are left alone because of foreign services.
    pub fn conflicts(&self) -> impl Iterator<Item = &Conflict> {
        self.conflicts.values()
    }

    /// Returns the reports on labels that changed since the last call: each refusal once, until it
    /// changes.
    pub fn take_news(&mut self) -> Vec<LabelReport> {
        std::mem::take(&mut self.news)
    }

    /// Returns the VIPs that are claimed, whether they are decided yet or not.
    pub fn claimed_vips(&self) -> impl Iterator<Item = Vip> {
        self.claims.vips()
    }

    /// Counts what services with so many real servers in use would lose, since no source claims
    /// them or lists tasks for them.
    #[must_use]
    pub fn unclaimed_losses(&self, table: &BTreeMap<Vip, usize>) -> Losses {
        let mut losses = Losses::default();
        for (vip, &in_use) in table {
            let tasks = self.claims.count_tasks(vip);
            losses.of_services += 1;
            losses.of_servers += in_use;
            if tasks.is_some() || !self.claims.lapsed.contains(vip) {
                losses.services += usize::from(tasks.is_none());
                losses.servers += in_use.saturating_sub(tasks.unwrap_or_default());
            }
        }
        losses
    }

    /// Returns the real servers of marked services that no source lists a task for.
    pub fn unclaimed_servers<'a>(
        &'a self,
        observed: &'a Observed,
    ) -> impl Iterator<Item = SocketAddr> + 'a {
        let has_tasks = |vip: &Vip| self.claims.count_tasks(vip).is_some_and(|tasks| tasks > 0);
        let services = observed.our_services().filter(move |(vip, _)| !has_tasks(vip));
        services.flat_map(|(_, service)| service.servers.keys().copied())
    }

    /// Returns the desired services, including draining servers.
    pub fn services(&self) -> impl Iterator<Item = (&Vip, &DesiredService)> {
        self.decided.services()
    }

    /// Returns the reports on labels of VIPs.
    pub fn reports(&self) -> impl Iterator<Item = &LabelReport> {
        self.unplaced.values().flatten().chain(self.decided.reports())
    }

    /// Tells whether it was told that something isn't known about running tasks.
    #[must_use]
    pub fn has_gaps(&self) -> bool {
        self.facts.gaps
    }

    /// Returns the facts about the cluster, as last told.
    #[must_use]
    pub fn cluster(&self) -> &ClusterFacts {
        &self.facts.cluster
    }

    /// Returns how much may be removed.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match (self.claims.is_complete(), self.facts.gaps) {
            (true, false) => Scope::Complete,
            (true, true) => Scope::Servers,
            (false, _) => Scope::Partial,
        }
    }

    /// Returns the addresses that stay for a while though they are no longer desired.
    pub fn lingering_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.lingering.iter().map(|(address, _)| address)
    }

    /// Returns the last reported status.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    fn nothing_desired(&self) -> Desired {
        let TableSettings { timeouts, modes, let_in, policy: _, source: _, names: _ } =
            &self.config.table;
        let (timeouts, modes, let_in) = (*timeouts, *modes, let_in.clone());
        let uncertain = self.facts.uncertain.clone();
        let doubt = self.facts.doubted.then(|| TableDoubt {
            lapsed: self.claims.lapsed.clone(),
            taken: self.facts.taken.clone(),
        });
        let several_sources = self.has_several_sources();
        Desired { uncertain, doubt, timeouts, modes, let_in, several_sources, ..Desired::default() }
    }

    /// Tells whether the ids of apps are not enough to tell them apart.
    fn has_several_sources(&self) -> bool {
        self.config.sources.len() > 1
    }

    /// Returns the time of the next reading: for a complete comparison, or for the connections of
    /// draining servers.
    fn next_look(&self) -> Duration {
        let draining = self.drains.iter().any(|(.., drain)| drain.deadline.is_some());
        let drains = draining.then_some(self.read_at.saturating_add(IDLE));
        drains.map_or(self.look_at, |at| at.min(self.look_at))
    }

    fn next_wake(&mut self, now: Duration) -> Option<Effect> {
        if self.job.is_some() {
            return None;
        }
        let drains = self.drains.iter().filter_map(|(.., drain)| drain.deadline);
        let retries = self.touched.keys().filter_map(|address| Some(self.retries.get(address)?.at));
        let lingering = self.lingering.iter().map(|(_, at)| at);
        let refresh = self.next_refresh();
        let times = drains.chain(retries).chain(lingering).chain(refresh).filter(|at| *at > now);
        let next = times.fold(self.next_look(), Duration::min);
        let said = self.wake_at.replace(next);
        (said != Some(next) || said <= Some(now)).then_some(Effect::WakeAt(next))
    }
}
