//! Decisions of what to read from Marathon, when, and what to believe of the answers.
//!
//! A [`State`] has no connection, clock or source of randomness. Its owner passes in what happened
//! and carries out the actions that it returns. Times are durations since any fixed moment.
//!
//! Bad news applies at once: [`State::workloads`] shows a task as killed, being killed or unhealthy
//! right after the event, and a read confirms it. Good news comes from reads only. A failed read
//! changes nothing. A read that would remove more than half of all VIPs without an announcement is
//! not believed until the next read confirms it, or until several reads in a row were not believed.
//! The same goes for a first read without any VIP.
//!
//! An unhealthy or killing event that would take out the last server of a workload, or more than
//! half of its servers within 10 s, waits for the read. All agents together spread the reads of one
//! event over 10 ms per agent, so the event waits up to 2 s in a cluster of 100 agents and up to 11
//! s in one of 1000. Until then the server may still get new connections. The end of a task always
//! applies at once.
//!
//! ```
//! use std::{num::NonZeroUsize, time::Duration};
//! use marathon::watch::{Action, Config, Input, State};
//!
//! let config = Config { urls: NonZeroUsize::MIN, agents: None, seed: 7 };
//! let mut state = State::new(&config, Duration::ZERO);
//! let step = state.handle_input(Input::Tick, Duration::ZERO);
//! assert!(matches!(step.actions[..], [Action::Open { url: 0, .. }]));
//! ```

mod backoff;
mod believed;
mod dirty;
mod expectation;
mod groups;
mod jitter;
mod keep;
mod known;
mod messages;
mod schedule;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::events::{Change, Event, Subject, Touched};
use crate::normalize::Interner;
use crate::{Coverage, Kind, Snapshot, TaskState, Workload, WorkloadKey};
use believed::Believed;
use expectation::{Expectation, Fact};
use groups::Groups;
use messages::Changed;
pub use messages::{Action, Config, Input, ReadOutcome, StreamId, Update};
use schedule::Schedule;
use stream::Stream;

/// The believed state of one Marathon, and the reads and the stream that keep it up to date.
#[derive(Debug)]
pub struct State {
    agents: Option<u32>,
    stream: Stream,
    schedule: Schedule,
    believed: Believed,
    groups: Groups,
}

impl State {
    /// Creates an empty state. The first [`Input::Tick`] starts it.
    #[must_use]
    pub fn new(config: &Config, now: Duration) -> Self {
        Self {
            agents: config.agents,
            stream: Stream::new(config.urls, now),
            schedule: Schedule::new(config.agents.unwrap_or(1), config.seed, now),
            believed: Believed::default(),
            groups: Groups::default(),
        }
    }

    /// Restores workloads that an earlier run knew, and returns those that are new. They count as
    /// older than any read, and [`State::coverage`] stays as it is: a workload goes only when a
    /// read of everything lacks it, and that read has to be plausible like any later one. Workloads
    /// that were read already, or whose instances are unknown, are skipped.
    pub fn restore(&mut self, workloads: Vec<Arc<Workload>>) -> BTreeSet<WorkloadKey> {
        let mut changed = Changed::new();
        let mut interner = Interner::default();
        for workload in workloads {
            let is_known = self.believed.get(&workload.key()).is_some();
            if workload.tasks_known && !is_known {
                let mut workload = Arc::unwrap_or_clone(workload);
                interner.intern_workload(&mut workload);
                self.believed.replace_workload(workload, Duration::ZERO, &mut changed);
            }
        }
        if self.agents.is_none() && !changed.is_empty() {
            self.schedule.set_agents(count_hosts(self.believed.workloads().map(Arc::as_ref)));
        }
        changed
    }

    /// Returns the believed apps and pods, ordered by kind and id. Their paths are all `$`; their
    /// instances are ordered by id and have no `last_success`.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.believed.workloads()
    }

    /// Returns one believed workload.
    #[must_use]
    pub fn get(&self, key: &WorkloadKey) -> Option<&Workload> {
        self.believed.get(key).map(|known| &*known.view)
    }

    /// Tells which kinds of workloads were completely read at least once: only then is a missing
    /// one known not to exist.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        self.believed.complete
    }

    /// Tells whether the event stream is open. Without it everything is read more often.
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        self.stream.is_open()
    }

    /// Applies an input and returns the actions and changes that follow.
    pub fn handle_input(&mut self, input: Input, now: Duration) -> Update {
        let (actions, changed) = (Vec::new(), Changed::new());
        let mut step = Update { actions, changed, whole: false, wake_at: now };
        let was_open = self.stream.is_open();
        let mut lost = false;
        match input {
            Input::Opened { stream, leader } => {
                let is_other = self.stream.is_of_other_than(leader.as_deref());
                if self.stream.mark_opened(stream, leader, now) {
                    self.schedule.stream_opened(is_other, now);
                }
            }
            Input::Bytes { stream } => {
                self.stream.mark_heard(stream, now);
            }
            Input::Event { stream, event } => {
                if self.stream.mark_heard(stream, now) {
                    self.handle_event(event, now, &mut step.changed);
                }
            }
            Input::Ended { stream } => {
                lost = self.stream.mark_ended(stream, now, self.schedule.jitter());
            }
            Input::ReadEverything { answer, leader } => {
                self.check_leader(leader.as_deref(), now, &mut step.actions);
                step.whole = self.finish_everything(answer, now, &mut step.changed);
            }
            Input::Read { key, answer, leader } => {
                self.check_leader(leader.as_deref(), now, &mut step.actions);
                self.finish_read(&key, answer, now, &mut step.changed);
            }
            Input::Doubt => self.schedule.repeat_everything(now),
            Input::Tick => {}
        }
        if let Some(told) = self.groups.take_overdue(now) {
            self.schedule.mark_everything(told);
        }
        self.believed.release_due(now, &mut step.changed);
        self.stream.start_due(now, self.schedule.jitter(), &mut step.actions);
        if lost || was_open && !self.stream.is_open() {
            self.schedule.stream_lost(now);
        }
        self.schedule.start_due(now, &mut step.actions);
        let waits = self.believed.wake_at().into_iter().chain(self.groups.wake_at());
        let wake_at = self.stream.wake_at().min(self.schedule.wake_at());
        step.wake_at = waits.fold(wake_at, Duration::min);
        step
    }

    fn check_leader(&mut self, leader: Option<&str>, now: Duration, actions: &mut Vec<Action>) {
        let Some(leader) = leader else { return };
        if self.stream.note_leader(leader, now, self.schedule.jitter()) {
            actions.push(Action::Close);
        }
    }

    /// Ends a read of everything. True: the answer is believed.
    fn finish_everything(
        &mut self,
        answer: Option<Snapshot>,
        now: Duration,
        changed: &mut Changed,
    ) -> bool {
        let Some(begun) = self.schedule.everything_begun() else { return false };
        let Some(snapshot) = answer else {
            self.schedule.fail_everything(now);
            return false;
        };
        if !self.believed.accepts_read(&snapshot, begun) {
            self.schedule.retry_doubted(now);
            return false;
        }
        let streaming = self.stream.is_open();
        let listed = snapshot.workloads.iter();
        let found: BTreeMap<_, _> = listed.map(|workload| (workload.key(), workload)).collect();
        self.schedule.finish_everything(|key| found.get(key).copied(), streaming, now);
        self.schedule
            .set_agents(self.agents.unwrap_or_else(|| count_hosts(snapshot.workloads.iter())));
        self.schedule.set_bytes(snapshot.bytes);
        self.believed.replace_all(snapshot, begun, changed);
        true
    }

    fn finish_read(
        &mut self,
        key: &WorkloadKey,
        answer: ReadOutcome,
        now: Duration,
        changed: &mut Changed,
    ) {
        match answer {
            ReadOutcome::Found(workload) if workload.tasks_known && workload.key() == *key => {
                if let Some(begun) = self.schedule.finish_read(key, Some(Some(&workload)), now) {
                    self.believed.replace_workload(*workload, begun, changed);
                }
            }
            ReadOutcome::Missing => {
                let Some(begun) = self.schedule.finish_read(key, Some(None), now) else { return };
                if self.believed.is_announced(key) {
                    self.believed.remove_workload(key, begun, changed);
                } else if self.believed.get(key).is_some() {
                    // Its removal was not announced.
                    self.schedule.mark_everything(now);
                }
            }
            ReadOutcome::Found(_) | ReadOutcome::Failed => {
                self.schedule.finish_read(key, None, now);
            }
        }
    }

    fn handle_event(&mut self, event: Event, now: Duration, changed: &mut Changed) {
        let at = event.at;
        match event.change {
            Change::State { of, state } => self.handle_state(&of, state, at, now, changed),
            Change::Health { of, healthy } => {
                let Some(healthy) = healthy else { return };
                let fact = if healthy { Fact::Healthy } else { Fact::Unhealthy };
                let expectation = Expectation::new(fact, &of.id, at, now);
                let key = self.resolve_key(None, &of.workload);
                if !self.is_new(&key, &expectation) {
                    return;
                }
                self.schedule.mark_dirty(key.clone(), Some(expectation.clone()), now);
                if healthy {
                    return self.believed.mark_healthy(&key, &expectation, of.version);
                }
                let patience = self.schedule.read_patience(&key, now);
                if self.believed.mark_unhealthy(&key, &expectation, of.version, patience, now) {
                    changed.insert(key);
                }
            }
            Change::Touched(touched) => {
                for Touched { kind, id } in touched {
                    let key = self.resolve_key(kind, &id);
                    self.schedule.mark_dirty(key, None, now);
                }
            }
            Change::Posted(Touched { kind, id }) => {
                self.groups.explain_change(&id, now);
                let key = self.resolve_key(kind, &id);
                self.schedule.mark_dirty(key, None, now);
            }
            Change::Removed(Touched { kind, id }) => {
                self.groups.explain_change(&id, now);
                let key = self.resolve_key(kind, &id);
                self.believed.announce_end(&key);
                if self.believed.get(&key).is_some() || self.schedule.is_concerned_with(&key) {
                    self.schedule.mark_dirty(
                        key,
                        Some(Expectation::new(Fact::Removed, "", at, now)),
                        now,
                    );
                }
            }
            // Every change of an app is a change of its group, so this announces no removal.
            Change::Group(group) if self.groups.note_change(&group, now) => {}
            Change::Group(_) | Change::Unreadable => self.schedule.mark_everything(now),
            Change::Other => {}
        }
    }

    fn handle_state(
        &mut self,
        of: &Subject,
        state: TaskState,
        at: Option<Timestamp>,
        now: Duration,
        changed: &mut Changed,
    ) {
        let fact = match state {
            TaskState::Running => Some(Fact::Running),
            TaskState::Killing => Some(Fact::Killing),
            TaskState::Terminal(_) => Some(Fact::Ended),
            TaskState::Unreachable | TaskState::Other(_) => None,
            // It takes no traffic yet; another event follows when it runs.
            TaskState::Staging | TaskState::Starting => return,
        };
        let key = self.resolve_key(None, &of.workload);
        let expectation = fact.map(|fact| Expectation::new(fact, &of.id, at, now));
        if expectation.as_ref().is_some_and(|expectation| !self.is_new(&key, expectation)) {
            return;
        }
        self.schedule.mark_dirty(key.clone(), expectation.clone(), now);
        let Some(expectation) = expectation.filter(|expectation| expectation.fact != Fact::Running)
        else {
            return;
        };
        let patience = self.schedule.read_patience(&key, now);
        if self.believed.end_instance(&key, &expectation, state, of.version, patience, now) {
            changed.insert(key);
        }
    }

    /// Tells whether an event needs a read: it is not known already, or a read is under way that
    /// may contradict it.
    fn is_new(&self, key: &WorkloadKey, expectation: &Expectation) -> bool {
        let known = self.believed.get(key);
        self.schedule.is_reading(key) || known.is_none_or(|known| !known.already_shows(expectation))
    }

    /// Completes the key of an event: most events don't tell apps from pods. No app and pod share
    /// an id.
    fn resolve_key(&self, kind: Option<Kind>, id: &str) -> WorkloadKey {
        let key = |kind| WorkloadKey { kind, id: id.into() };
        let pod = key(Kind::Pod);
        let is_pod = || self.believed.get(&pod).is_some() || self.schedule.is_concerned_with(&pod);
        match kind {
            Some(kind) => key(kind),
            None if is_pod() => pod,
            None => key(Kind::App),
        }
    }
}

fn count_hosts<'a>(workloads: impl Iterator<Item = &'a Workload>) -> u32 {
    let instances = workloads.flat_map(|workload| &workload.instances);
    let hosts: BTreeSet<_> = instances.filter_map(|instance| instance.host.as_deref()).collect();
    u32::try_from(hosts.len()).unwrap_or(u32::MAX)
}
