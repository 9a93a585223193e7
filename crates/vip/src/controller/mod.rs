//! The agent's mind: what comes in, what is to be done about it. Pure: the caller brings the time
//! and carries out the effects.
//!
//! The unit of work is the virtual address. A change of one app touches the addresses it claims;
//! what is decided and planned for them depends on them alone (`slice.rs`), so the cost of a change
//! follows the change. A reading of the kernel touches what it says something new about
//! (`changed_addresses.rs`), and every address once in a while.

mod changed_addresses;
mod claims;
mod config;
mod decided;
mod drain;
mod entry;
mod handover;
mod inputs;
mod known_ways;
mod linger;
mod local_facts;
mod once;
mod outcome;
mod planning;
mod reasons;
mod reporting;
mod retry;
mod slice;
mod status;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::plan::{Conflict, OpResult, Outcome};
use crate::{
    ClusterFacts, Desired, DesiredService, LabelReport, Observed, Op, Plan, Scope, SourceId,
    TableSettings, Vip, Ways,
};

pub use claims::{AppClaims, Change};
pub(crate) use claims::{AppKey, Claims};
pub use config::{Config, Parting};
pub(crate) use decided::Decided;
pub use drain::Drain;
use drain::{Drains, IDLE};
pub use entry::Entry;
use known_ways::KnownWays;
use linger::Lingering;
pub use local_facts::{DrainFacts, LocalFacts, TaskName};
pub use once::Decision;
pub use retry::Retry;
pub use status::{Counters, Mode, Status};

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a reading is rare, and moved but a few times")]
pub enum Input {
    /// A source says something anew.
    Claims {
        /// Which source.
        source: SourceId,
        /// What it says.
        change: Change,
    },
    /// A source is out of reach. What it said stays.
    Lost {
        /// Which source.
        source: SourceId,
        /// Why.
        why: String,
    },
    /// What is known beside claims.
    Facts(Facts),
    /// The answer to [`Effect::Observe`]: the kernel as it is, or why it can't be read.
    Observed(Result<Observed, String>),
    /// The answer to [`Effect::FindWays`], or why the kernel doesn't tell.
    Ways(Result<Ways, String>),
    /// The answer to [`Effect::Apply`].
    Applied(Outcome),
    /// The kernel announces a change of links, addresses, routes or nftables.
    KernelChanged,
    /// Change nothing until released.
    Hold,
    /// Go on.
    Release,
    /// It is as late as [`Effect::WakeAt`] said. Too early or too late does no harm.
    Tick,
}

/// What is known beside claims.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Addresses that can't be VIPs.
    pub cluster: ClusterFacts,
    /// Agents with tasks whose ports aren't known ([`Desired::uncertain`]).
    pub uncertain: BTreeSet<IpAddr>,
    /// Something isn't known of running tasks, so that VIPs nobody claims may be theirs.
    pub gaps: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Read the kernel, then say [`Input::Observed`]. Nothing else is asked of it meanwhile.
    Observe,
    /// Ask the kernel for the way to these real servers, then say [`Input::Ways`]. Nothing else is
    /// asked of it meanwhile.
    FindWays(BTreeSet<IpAddr>),
    /// Run the plan, then say [`Input::Applied`]. Nothing else is asked of the kernel meanwhile.
    Apply(Plan),
    /// Say [`Input::Tick`] at this time. Replaces the time said before.
    WakeAt(Duration),
    /// What there is to report has changed.
    Report(Box<Status>),
    /// Log what became of each operation of the last plan.
    Log(Vec<(Entry, OpResult)>),
}

/// What the kernel is being asked.
#[derive(Debug)]
enum Job {
    Observe,
    FindWays(BTreeSet<IpAddr>),
    /// So many operations; the addresses they change, with the time since when that is due.
    Apply {
        ops: usize,
        addresses: BTreeMap<IpAddr, Duration>,
    },
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Controller {
    config: Config,
    claims: Claims,
    facts: Facts,
    held: bool,
    /// The last reading, with what was done since. None while it may be wrong.
    model: Option<Arc<Observed>>,
    job: Option<Job>,
    /// When the kernel was asked for that.
    asked_at: Duration,
    /// The apps that said something new since then, while it is being read.
    said_meanwhile: BTreeSet<AppKey>,
    /// What is to be compared, and since when.
    touched: BTreeMap<IpAddr, Duration>,
    retries: BTreeMap<IpAddr, Retry>,
    drains: Drains,
    lingering: Lingering,
    ways: KnownWays,
    decided: Decided,
    conflicts: BTreeMap<Vip, Conflict>,
    /// What became of labels, as far as that is news.
    news: Vec<LabelReport>,
    look_at: Duration,
    read_at: Duration,
    /// How long after that an announcement waits.
    rest: Duration,
    /// When the last input came.
    clock: Duration,
    wake_at: Option<Duration>,
    /// Why the kernel can't be read.
    unread: Option<Retry>,
    /// Operations that are due and held back.
    withheld: Vec<Op>,
    counters: Counters,
    /// As it was last reported.
    status: Status,
}

impl Controller {
    /// Knows nothing yet: the first thing it asks for is a reading.
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
            ways: KnownWays::default(),
            decided: Decided::default(),
            conflicts: BTreeMap::new(),
            news: Vec::new(),
            look_at: Duration::ZERO,
            read_at: Duration::ZERO,
            rest: Duration::ZERO,
            clock: Duration::ZERO,
            wake_at: None,
            unread: None,
            withheld: Vec::new(),
            counters: Counters::default(),
            status: Status::default(),
        }
    }

    /// Takes in what happened at `now`, a time since any start that never goes back, and says what
    /// is to be done, in order.
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

    /// What is wanted now, draining servers among it, and what became of every label.
    #[must_use]
    pub fn desired(&self) -> Desired {
        let mut desired = self.nothing_desired();
        desired.services.extend(self.services().map(|(vip, service)| (*vip, service.clone())));
        desired.sources.extend(self.decided.sources());
        desired.reports.extend(self.reports().cloned());
        desired
    }

    /// The kernel as far as it is known. `None` before the first reading, and from a failure until
    /// the next one.
    #[must_use]
    pub fn observed(&self) -> Option<&Arc<Observed>> {
        self.model.as_ref()
    }

    /// Real servers on their way out.
    pub fn draining_servers(&self) -> impl Iterator<Item = (Vip, SocketAddr, &Drain)> {
        self.drains.iter()
    }

    /// VIPs that somebody else's services stand in the way of.
    pub fn conflicts(&self) -> impl Iterator<Item = &Conflict> {
        self.conflicts.values()
    }

    /// What became of labels since this was last asked: of each refused one once, until that
    /// changes.
    pub fn take_news(&mut self) -> Vec<LabelReport> {
        std::mem::take(&mut self.news)
    }

    /// The VIPs that somebody claims, whether they are decided yet or not.
    pub fn claimed_vips(&self) -> impl Iterator<Item = Vip> {
        self.claims.vips()
    }

    /// What is wanted now, draining servers among it.
    pub fn services(&self) -> impl Iterator<Item = (&Vip, &DesiredService)> {
        self.decided.services()
    }

    /// What became of every label of a VIP with an address.
    pub fn reports(&self) -> impl Iterator<Item = &LabelReport> {
        self.decided.reports()
    }

    /// How much may be removed.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match (self.claims.is_complete(), self.facts.gaps) {
            (true, false) => Scope::Complete,
            (true, true) => Scope::Servers,
            (false, _) => Scope::Partial,
        }
    }

    /// Addresses that stay for a while though nobody wants them.
    pub fn lingering_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.lingering.iter().map(|(address, _)| address)
    }

    /// The last reported status.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    fn nothing_desired(&self) -> Desired {
        let TableSettings { timeouts, modes, let_in, policy: _, source: _ } = &self.config.table;
        let (timeouts, modes, let_in) = (*timeouts, *modes, let_in.clone());
        let uncertain = self.facts.uncertain.clone();
        Desired { uncertain, timeouts, modes, let_in, ..Desired::default() }
    }

    /// A full comparison is due, or a look at connections that drain.
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
        let times = drains.chain(retries).chain(lingering).filter(|at| *at > now);
        let next = times.fold(self.next_look(), Duration::min);
        let said = self.wake_at.replace(next);
        (said != Some(next) || said <= Some(now)).then_some(Effect::WakeAt(next))
    }
}
