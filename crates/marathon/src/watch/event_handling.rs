//! Effects of events: what to read because of them, and which take effect at once.

use std::time::Duration;

use jiff::Timestamp;

use super::State;
use super::expectation::{Expectation, Fact};
use super::known::Effect;
use super::messages::Changed;
use super::report::BadNews;
use crate::events::{Change, Event, Subject, Touched};
use crate::snapshot::is_workload_id;
use crate::{Kind, TaskState, WorkloadKey};

impl State {
    pub(super) fn handle_event(&mut self, event: Event, now: Duration, changed: &mut Changed) {
        let at = event.at;
        if event.change != Change::Other {
            self.schedule.note_event(now);
        }
        match event.change {
            Change::State { of, state } => {
                for key in self.resolve_keys(None, &of.workload) {
                    self.handle_state(key, &of, &state, at, now, changed);
                }
            }
            Change::Health { of, healthy } => {
                let Some(healthy) = healthy else { return };
                for key in self.resolve_keys(None, &of.workload) {
                    self.handle_health(key, &of, healthy, at, now, changed);
                }
            }
            Change::Touched(touched) => {
                // Everything is read once in place of many workloads.
                let is_many = touched.len() > caps::EVENT_WORKLOADS;
                for Touched { kind, id } in touched {
                    self.mark_touched(kind, &id, is_many, now);
                }
                if is_many {
                    self.schedule.mark_everything(now);
                }
            }
            Change::Posted(Touched { kind, id }) => {
                self.groups.explain_change(&id, now);
                self.mark_touched(kind, &id, false, now);
            }
            Change::Removed(Touched { kind, id }) => {
                self.groups.explain_change(&id, now);
                for key in self.resolve_keys(kind, &id) {
                    self.believed.announce_change(&key, true, now);
                    if self.is_concerned_with(&key) {
                        let expectation = Expectation::new(Fact::Removed, "", at, now);
                        self.schedule.mark_dirty(key, Some(expectation), now);
                    }
                }
            }
            // Every change of an app is a change of its group, so this announces no removal.
            Change::Group(group) if self.groups.note_change(&group, now) => {}
            Change::Group(_) | Change::Unreadable => self.schedule.mark_everything(now),
            Change::Other => {}
        }
    }

    /// Announces a change of a workload, and marks it for a read unless everything is read.
    fn mark_touched(&mut self, kind: Option<Kind>, id: &str, is_read: bool, now: Duration) {
        for key in self.resolve_keys(kind, id) {
            // Only events of deployments, and of people who change a workload, tell the kind.
            if kind.is_some() {
                self.believed.announce_change(&key, false, now);
            }
            if !is_read {
                self.schedule.mark_dirty(key, None, now);
            }
        }
    }

    fn handle_health(
        &mut self,
        key: WorkloadKey,
        of: &Subject,
        healthy: bool,
        at: Option<Timestamp>,
        now: Duration,
        changed: &mut Changed,
    ) {
        let fact = if healthy { Fact::Healthy } else { Fact::Unhealthy };
        let expectation = Expectation::new(fact, &of.id, at, now);
        if self.is_new(&key, &expectation) {
            self.schedule.mark_dirty(key.clone(), Some(expectation.clone()), now);
        }
        if healthy {
            return self.believed.mark_healthy(&key, &expectation, of.version);
        }
        self.apply_bad_news(key, &expectation, BadNews::Health, of.version, now, changed);
    }

    fn handle_state(
        &mut self,
        key: WorkloadKey,
        of: &Subject,
        state: &TaskState,
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
        let expectation = fact.map(|fact| Expectation::new(fact, &of.id, at, now));
        if expectation.as_ref().is_none_or(|expectation| self.is_new(&key, expectation)) {
            self.schedule.mark_dirty(key.clone(), expectation.clone(), now);
        }
        let Some(expectation) = expectation.filter(|expectation| expectation.fact != Fact::Running)
        else {
            return;
        };
        let news = BadNews::State(state.clone());
        self.apply_bad_news(key, &expectation, news, of.version, now, changed);
    }

    /// Applies bad news, or has it wait for a read, whose reason it is.
    fn apply_bad_news(
        &mut self,
        key: WorkloadKey,
        expectation: &Expectation,
        news: BadNews,
        version: Option<Timestamp>,
        now: Duration,
        changed: &mut Changed,
    ) {
        let patience = self.schedule.read_patience(&key, now);
        match self.believed.apply_bad_news(&key, expectation, news, version, patience, now) {
            Effect::Nothing => {}
            Effect::Changed => drop(changed.insert(key)),
            Effect::Held => self.schedule.hasten(&key, now),
        }
    }

    /// Tells whether an event needs a read: it is not known already, or a read is under way that
    /// may contradict it.
    fn is_new(&self, key: &WorkloadKey, expectation: &Expectation) -> bool {
        let known = self.believed.get(key);
        self.schedule.is_reading(key) || known.is_none_or(|known| !known.already_shows(expectation))
    }

    /// Completes the keys of an event. Most events don't tell apps from pods: then it is about what
    /// is known by the id, and about both while one replaces the other. There are none for an id
    /// that no app can have: it is not worth a read.
    fn resolve_keys(&self, kind: Option<Kind>, id: &str) -> Vec<WorkloadKey> {
        let key = |kind| WorkloadKey { kind, id: id.into() };
        if let Some(kind) = kind {
            return if is_workload_id(id) { vec![key(kind)] } else { Vec::new() };
        }
        let (app, pod) = (key(Kind::App), key(Kind::Pod));
        match (self.is_concerned_with(&app), self.is_concerned_with(&pod)) {
            (true, true) => vec![app, pod],
            (false, true) => vec![pod],
            (true, false) => vec![app],
            (false, false) if is_workload_id(id) => vec![app],
            (false, false) => Vec::new(),
        }
    }

    fn is_concerned_with(&self, key: &WorkloadKey) -> bool {
        self.believed.get(key).is_some() || self.schedule.is_concerned_with(key)
    }
}
