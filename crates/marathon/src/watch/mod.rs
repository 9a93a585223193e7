//! Decisions of what to read from Marathon, when, and what to believe of the answers.
//!
//! A [`State`] has no connection, clock or source of randomness. Its owner passes in what happened
//! and carries out the actions that it returns. Times are durations since any fixed moment.
//!
//! Bad news applies at once: [`State::workloads`] shows a task as ended, being killed or unhealthy
//! right after the event, and a read confirms it. Good news comes from reads only. A failed read
//! changes nothing. A read that would take away more than half of all VIPs, or of all real servers,
//! without an announcement opens a [`Doubt`]: what it lacks stays until later reads list it, or
//! until the loss is believed. A first read without any VIP is read again before it is believed.
//!
//! Bad news that would take out the last server of a VIP, or more than half of a workload's servers
//! within 10 s, waits for a read, which is made at once. All agents together spread the reads of
//! one event over 10 ms per agent, so the news waits up to 2 s in a cluster of 100 agents and up to
//! 11 s in one of 1000. Without an answer it is applied then.
//!
//! A read wins over bad news if it shows a later time (started, staged, checked), or if reads have
//! contradicted the news for 8 s. Times of Marathon's clock are compared only to each other, and
//! since its clock may step, news that looks old is not applied but always causes a read.
//!
//! ```
//! use std::{num::NonZeroUsize, time::Duration};
//! use marathon::watch::{Action, Config, DEFAULT_DOUBT, Input, State};
//!
//! let config = Config { urls: NonZeroUsize::MIN, agents: None, seed: 7, doubt: DEFAULT_DOUBT };
//! let mut state = State::new(&config, Duration::ZERO);
//! let step = state.handle_input(Input::Tick, Duration::ZERO);
//! assert!(matches!(step.actions[..], [Action::Open { url: 0, .. }]));
//! ```

mod backoff;
mod believed;
mod dirty;
mod doubt;
mod event_handling;
mod everything;
mod expectation;
mod groups;
mod jitter;
mod keep;
mod known;
mod messages;
mod report;
mod schedule;
mod spare;
mod stream;
mod timing;
mod view;
mod whole;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::events::{Change, Event};
use crate::normalize::Interner;
use crate::{Coverage, Kind, TaskState, Workload, WorkloadKey};
use believed::Believed;
pub use doubt::{Doubt, Loss, Place};
use doubt::{Doubts, claimed_places};
use groups::Groups;
use messages::Changed;
pub use messages::{Action, Config, DEFAULT_DOUBT, Input, ReadOutcome, StreamId, Update};
use report::BadNews;
use schedule::Schedule;
use stream::Stream;

/// The believed state of one Marathon, and the reads and the stream that keep it up to date.
#[derive(Debug)]
pub struct State {
    agents: Option<u32>,
    stream: Stream,
    schedule: Schedule,
    believed: Believed,
    doubts: Doubts,
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
            doubts: Doubts::new(config.doubt),
            groups: Groups::default(),
        }
    }

    /// Restores the framework id of Marathon that an earlier run knew.
    pub fn restore_framework(&mut self, framework: Arc<str>) {
        self.doubts.restore_framework(framework);
    }

    /// Restores how long an earlier run had doubted already. The next doubt, if it is opened by the
    /// first reads, goes on instead of beginning anew.
    pub fn restore_doubt(&mut self, lasted: Duration) {
        self.doubts.restore_length(lasted);
    }

    /// Restores workloads that an earlier run knew, and returns those that are new. They count as
    /// older than any read, and [`State::coverage`] stays as it is: a workload goes only when a
    /// read of everything lacks it, and that read may be doubted like any later one. Workloads
    /// that were read already, or whose instances are unknown, are skipped.
    pub fn restore(&mut self, workloads: Vec<Arc<Workload>>) -> BTreeSet<WorkloadKey> {
        let mut changed = Changed::new();
        let mut interner = Interner::default();
        for mut workload in workloads {
            let is_known = self.believed.get(&workload.key()).is_some();
            if workload.tasks_known && !is_known {
                interner.intern_workload(Arc::make_mut(&mut workload));
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
    pub fn get(&self, key: &WorkloadKey) -> Option<&Arc<Workload>> {
        self.believed.get(key).map(|known| &known.view)
    }

    /// Tells whether an event that is not applied yet is bad news of a task that is known: it is not if
    /// a read or another event has told it already, or a health check has succeeded since.
    #[must_use]
    pub fn is_bad_news(&self, event: &Event) -> bool {
        let (of, news) = match &event.change {
            Change::State { of, state: state @ (TaskState::Killing | TaskState::Terminal(_)) } => {
                (of, BadNews::State(state.clone()))
            }
            Change::Health { of, healthy: Some(false) } => (of, BadNews::Health),
            _ => return false,
        };
        let key = |kind| WorkloadKey { kind, id: of.workload.as_str().into() };
        let mut known =
            [Kind::App, Kind::Pod].into_iter().filter_map(|kind| self.believed.get(&key(kind)));
        known.any(|known| known.is_news(of, &news, event.at))
    }

    /// Returns how long a silent instance has been running, by this node's clock.
    #[must_use]
    pub fn run_time(&self, key: &WorkloadKey, instance: &str, now: Duration) -> Option<Duration> {
        self.believed.get(key)?.run_time(instance, now)
    }

    /// Returns the open doubt about the last read of everything.
    #[must_use]
    pub fn doubt(&self) -> Option<&Doubt> {
        self.doubts.open()
    }

    /// Returns the places of all tasks that were listed.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        let all = self.believed.workloads().flat_map(|workload| {
            let kept =
                |id: &str| self.doubt().is_some_and(|doubt| doubt.keeps(&workload.key(), id));
            workload.instances.iter().filter(move |instance| !kept(&instance.id))
        });
        claimed_places(all).into_iter()
    }

    /// Returns the framework id at the last read that was believed.
    #[must_use]
    pub fn framework(&self) -> Option<&Arc<str>> {
        self.doubts.framework()
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
        let (relisted, claimed) = (Changed::new(), BTreeSet::new());
        let whole = false;
        let mut step = Update { actions, changed, relisted, claimed, whole, wake_at: now };
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
                step.claimed = self.new_places(
                    answer.iter().flat_map(|all| all.workloads.iter().map(Arc::as_ref)),
                );
                step.whole = self.finish_everything(answer, now, &mut step.changed);
            }
            Input::Read { key, answer, leader } => {
                self.check_leader(leader.as_deref(), now, &mut step.actions);
                if let ReadOutcome::Found(workload) = &answer {
                    step.claimed = self.new_places([&**workload]);
                }
                self.finish_read(&key, answer, now, &mut step.changed);
            }
            Input::Told { stream, key, workload } => {
                if self.stream.mark_heard(stream, now) {
                    if let Some(workload) = &workload {
                        step.claimed = self.new_places([&**workload]);
                    }
                    self.apply_told(&key, workload, now, &mut step.changed);
                }
            }
            Input::ToldAll { stream } => {
                if self.stream.mark_heard(stream, now) {
                    self.schedule.read_everything_by(now);
                }
            }
            Input::Doubt(loss) => self.doubt_for_owner(loss, now),
            Input::Trust => self.doubts.close_for_owner(),
            Input::Accept => self.accept_loss(now, &mut step.changed),
            Input::Taken(places) => self.evict_kept(&places, &mut step.changed),
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
        step.relisted = self.doubts.take_relisted();
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
}

/// Counts the hosts that the instances of these workloads run on.
pub fn count_hosts<'a>(workloads: impl Iterator<Item = &'a Workload>) -> u32 {
    let instances = workloads.flat_map(|workload| &workload.instances);
    let hosts: BTreeSet<_> = instances.filter_map(|instance| instance.host.as_deref()).collect();
    u32::try_from(hosts.len()).unwrap_or(u32::MAX)
}
