//! One Marathon, as the agent sees it: what the watch believes, put into claims, workload by
//! workload. Pure.

pub(crate) mod connection;
pub mod translate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use marathon::watch::{self, ReadOutcome, State, Update};
use marathon::{TaskState, Timestamp, Workload, WorkloadKey};
use vip::controller::AppClaims;
use vip::{LabelReport, SourceId};

use crate::clock::Moment;
use crate::sources::SourceView;
use crate::sources::facts::{ClusterContext, Contribution};
use crate::sources::hosts::{HostCache, Hosts};
use translate::{Translation, hosts_of_one, translate_one};

/// How much the absence of an app from a source means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyncState {
    /// It was never read whole: nothing.
    Partial,
    /// It was, and is about to be believed.
    Whole,
    /// It was, and said so little that it is read once more.
    Doubted,
    /// Everything.
    Believed,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct MarathonSource {
    pub(crate) id: SourceId,
    pub(crate) watch: State,
    pub(crate) wake_at: Duration,
    pub(crate) standing: SyncState,
    /// It was asked to say everything twice.
    pub(crate) doubted: bool,
    pub(crate) view: SourceView,
    /// When it was last kept on disk, and whether there is more to keep.
    pub(crate) kept_at: Option<Duration>,
    pub(crate) unkept: bool,
    contributions: BTreeMap<WorkloadKey, Contribution>,
    by_host: BTreeMap<Arc<str>, BTreeSet<WorkloadKey>>,
    /// What an earlier run knew, and nobody has read since.
    remembered: BTreeSet<WorkloadKey>,
    /// When the silence of health checks begins to mean something else.
    settling: BTreeMap<WorkloadKey, Duration>,
}

/// Apps that differ, as [`vip::controller::Change::Apps`] wants them.
pub(crate) type Apps = BTreeMap<Arc<str>, Option<AppClaims>>;

impl MarathonSource {
    pub(crate) fn new(id: SourceId, config: &watch::Config, now: Duration) -> Self {
        Self {
            id,
            watch: State::new(config, now),
            wake_at: now,
            standing: SyncState::Partial,
            doubted: false,
            view: SourceView::default(),
            kept_at: None,
            unkept: false,
            contributions: BTreeMap::new(),
            by_host: BTreeMap::new(),
            remembered: BTreeSet::new(),
            settling: BTreeMap::new(),
        }
    }

    /// Takes over what an earlier run knew, and says what of it counts.
    pub(crate) fn restore(&mut self, workloads: Vec<Arc<Workload>>) -> BTreeSet<WorkloadKey> {
        let keys = self.watch.restore(workloads);
        self.remembered.extend(keys.iter().cloned());
        keys
    }

    /// Tells the watch what happened.
    pub(crate) fn on(&mut self, input: watch::Input, now: Duration) -> Update {
        let read = match &input {
            watch::Input::Read {
                key,
                answer: ReadOutcome::Found(_) | ReadOutcome::Missing,
                ..
            } => self.remembered.take(key),
            _ => None,
        };
        let mut step = self.watch.handle_input(input, now);
        step.changed.extend(read);
        self.wake_at = step.wake_at;
        self.view.streaming = self.watch.is_streaming();
        if self.standing == SyncState::Partial {
            let coverage = self.watch.coverage();
            if coverage.apps && coverage.pods {
                self.standing = SyncState::Whole;
                step.changed.append(&mut self.remembered);
            }
        }
        step
    }

    /// Reads these workloads' labels again.
    pub(crate) fn refresh(
        &mut self,
        keys: &BTreeSet<WorkloadKey>,
        names: &mut HostCache,
        around: &mut ClusterContext,
        now: Moment,
    ) -> Apps {
        self.unkept |= !keys.is_empty();
        keys.iter().map(|key| self.refresh_one(key, names, around, now)).collect()
    }

    fn refresh_one(
        &mut self,
        key: &WorkloadKey,
        names: &mut HostCache,
        around: &mut ClusterContext,
        now: Moment,
    ) -> (Arc<str>, Option<AppClaims>) {
        self.settling.remove(key);
        let (claims, contribution) = match self.watch.get(key) {
            None => (None, Contribution::default()),
            Some(workload) => {
                let hosts = hosts_of_one(workload);
                names.want(hosts.iter().map(|host| &***host), now.since_start);
                let WorkloadClaims { mut app, contribution, settles_at } =
                    claim_workload(workload, names.hosts(), now.wall);
                if let Some(at) = settles_at {
                    let wait = Duration::try_from(at.duration_since(now.wall)).unwrap_or_default();
                    self.settling.insert(key.clone(), now.since_start + wait);
                }
                let remembered = self.remembered.contains(key);
                let candidates = app.claims.iter_mut().flat_map(|claim| &mut claim.candidates);
                candidates.for_each(|candidate| candidate.remembered = remembered);
                (Some(app), contribution)
            }
        };
        self.replace(key, contribution, claims.is_some(), around);
        (key.id.clone(), claims)
    }

    fn replace(
        &mut self,
        key: &WorkloadKey,
        new: Contribution,
        exists: bool,
        around: &mut ClusterContext,
    ) {
        let old = self.contributions.remove(key).unwrap_or_default();
        around.replace(&old, &new);
        for host in old.hosts.difference(&new.hosts) {
            if let Some(keys) = self.by_host.get_mut(host) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_host.remove(host);
                }
            }
        }
        for host in new.hosts.difference(&old.hosts) {
            self.by_host.entry(host.clone()).or_default().insert(key.clone());
        }
        if exists {
            self.contributions.insert(key.clone(), new);
        }
        self.view.workloads = self.contributions.len();
    }

    /// The ids of all there are. What they say was told when it was read.
    pub(crate) fn everything(&self) -> BTreeSet<Arc<str>> {
        self.watch.workloads().map(|workload| Arc::clone(&workload.id)).collect()
    }

    /// The workloads with a task on this host.
    pub(crate) fn on_host(&self, host: &str) -> BTreeSet<WorkloadKey> {
        self.by_host.get(host).cloned().unwrap_or_default()
    }

    /// Whether a workload has a task on this host.
    pub(crate) fn runs_on(&self, host: &str) -> bool {
        self.by_host.contains_key(host)
    }

    /// The hosts it names.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.by_host.keys().map(|host| &**host)
    }

    /// Labels that make no claim and should be known.
    pub(crate) fn reports(&self) -> impl Iterator<Item = &LabelReport> {
        self.contributions.values().flat_map(|each| &each.reports)
    }

    /// Takes the workloads whose silent health checks mean something else from now on.
    pub(crate) fn settled(&mut self, now: Duration) -> BTreeSet<WorkloadKey> {
        let due = self.settling.iter().filter(|(_, at)| **at <= now);
        let due: BTreeSet<_> = due.map(|(key, _)| key.clone()).collect();
        for key in &due {
            self.settling.remove(key);
        }
        due
    }

    /// When it wants to be called again.
    pub(crate) fn wakes_at(&self) -> Duration {
        self.settling.values().copied().fold(self.wake_at, Duration::min)
    }
}

/// Claims and facts of one workload.
#[derive(Debug)]
pub struct WorkloadClaims {
    /// Its claims, and its tasks that haven't ended.
    pub app: AppClaims,
    pub(crate) contribution: Contribution,
    /// When the silence of its health checks begins to mean something else.
    pub(crate) settles_at: Option<Timestamp>,
}

/// Reads the labels of one workload. The agent and commands claim by this function alone.
#[must_use]
pub fn claim_workload(workload: &Workload, addresses: &Hosts, wall: Timestamp) -> WorkloadClaims {
    let hosts: BTreeSet<Arc<str>> = hosts_of_one(workload).into_iter().cloned().collect();
    let Translation { claims, reports, uncertain, gaps, tasks, settles_at } =
        translate_one(workload, addresses, wall);
    let known = |host: &Arc<str>| addresses.get(&**host)?.as_ref().ok();
    let nodes = hosts.iter().filter_map(known).flat_map(|addresses| &**addresses);
    let nodes = nodes.copied().collect();
    let contribution = Contribution { reports, nodes, tasks, uncertain, gaps, hosts };
    WorkloadClaims { app: AppClaims { claims, alive: alive(workload) }, contribution, settles_at }
}

/// The tasks that haven't ended, whether they serve a VIP or not.
fn alive(workload: &Workload) -> BTreeSet<Arc<str>> {
    let lives = |state: &TaskState| !state.is_terminal();
    let instances = workload.instances.iter().filter(|instance| lives(&instance.state));
    instances.map(|instance| instance.id.clone()).collect()
}
