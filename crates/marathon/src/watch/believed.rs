//! The believed state of all workloads, and the rules for what a read may change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::expectation::{Expectation, covers_event};
use super::known::{Effect, KnownWorkload};
use super::messages::Changed;
use super::report::BadNews;
use crate::{Coverage, Instance, Snapshot, Time, Workload, WorkloadKey};

/// An announcement of a change, with the time of the last event.
#[derive(Debug, Clone, Copy)]
struct Announcement {
    heard_at: Duration,
    /// The workload is removed.
    ends: bool,
}

impl Announcement {
    /// Tells whether nothing more follows from it, after a read of the workload that began at
    /// `begun`.
    fn is_over(self, is_deploying: bool, begun: Duration) -> bool {
        match self.ends {
            true => covers_event(self.heard_at, begun),
            false => !is_deploying && begun >= self.heard_at,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Believed {
    known: BTreeMap<WorkloadKey, KnownWorkload>,
    /// Workloads with bad news that waits for a read, with the time when it is applied.
    waiting: BTreeMap<WorkloadKey, Duration>,
    /// The kinds of workloads that were completely read at least once.
    pub(super) complete: Coverage,
    /// Workloads whose removal or deployment was announced, with the time of the last event, until
    /// a read of everything includes it.
    announced: BTreeMap<WorkloadKey, Announcement>,
}

impl Believed {
    pub(super) fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.known.values().map(|known| &known.view)
    }

    pub(super) fn get(&self, key: &WorkloadKey) -> Option<&KnownWorkload> {
        self.known.get(key)
    }

    /// Applies the event of a task that is healthy.
    pub(super) fn mark_healthy(
        &mut self,
        key: &WorkloadKey,
        expectation: &Expectation,
        version: Option<Timestamp>,
    ) {
        if let Some(known) = self.known.get_mut(key) {
            known.mark_healthy(expectation, version);
        }
    }

    /// Applies the event of a task that is being killed, has ended or is unhealthy.
    pub(super) fn apply_bad_news(
        &mut self,
        key: &WorkloadKey,
        expectation: &Expectation,
        news: BadNews,
        version: Option<Timestamp>,
        patience: Duration,
        now: Duration,
    ) -> Effect {
        let Some(known) = self.known.get_mut(key) else { return Effect::Nothing };
        let effect = known.apply_bad_news(expectation, news, version, patience, now);
        self.update_waiting(key);
        effect
    }

    /// Returns the workloads whose last read contradicts bad news, with the time when a read
    /// decides.
    pub(super) fn rechecks(&self) -> impl Iterator<Item = (&WorkloadKey, Duration)> {
        self.known.iter().filter_map(|(key, known)| Some((key, known.recheck_at()?)))
    }

    /// Applies the bad news that has waited long enough.
    pub(super) fn release_due(&mut self, now: Duration, changed: &mut Changed) {
        let due = self.waiting.iter().filter(|(_, until)| **until <= now);
        for key in due.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            if self.known.get_mut(&key).is_some_and(|known| known.release_due(now)) {
                changed.insert(key.clone());
            }
            self.update_waiting(&key);
        }
    }

    /// Updates the time until which bad news of a workload waits.
    fn update_waiting(&mut self, key: &WorkloadKey) {
        match self.known.get(key).and_then(KnownWorkload::wake_at) {
            Some(until) => self.waiting.insert(key.clone(), until),
            None => self.waiting.remove(key),
        };
    }

    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.waiting.values().min().copied()
    }

    /// Notes that a workload is removed, or, unless it `ends`, that a deployment changes it.
    pub(super) fn announce_change(&mut self, key: &WorkloadKey, ends: bool, now: Duration) {
        if self.known.contains_key(key) {
            let ends = ends || self.is_end_announced(key);
            self.announced.insert(key.clone(), Announcement { heard_at: now, ends });
        }
    }

    /// Tells whether the id of a workload has gone to one of the other kind, which was read later.
    pub(super) fn is_replaced(&self, key: &WorkloadKey) -> bool {
        let begun = |key: &WorkloadKey| self.known.get(key).map(|known| known.begun);
        begun(&key.of_other_kind()).is_some_and(|other| begun(key).is_some_and(|own| own < other))
    }

    /// Tells whether the removal of a workload was announced.
    pub(super) fn is_end_announced(&self, key: &WorkloadKey) -> bool {
        self.announced.get(key).is_some_and(|announced| announced.ends)
    }

    /// Tells whether the removal or a deployment of a workload was announced.
    pub(super) fn is_announced(&self, key: &WorkloadKey) -> bool {
        self.announced.contains_key(key)
    }

    /// Returns everything that is known.
    pub(super) fn all_known(&self) -> impl Iterator<Item = (&WorkloadKey, &KnownWorkload)> {
        self.known.iter()
    }

    /// Drops the instances of a workload for which this holds.
    pub(super) fn drop_instances(
        &mut self,
        key: &WorkloadKey,
        is_gone: impl Fn(&Instance) -> bool,
        changed: &mut Changed,
    ) {
        if self.known.get_mut(key).is_some_and(|known| known.drop_instances(is_gone)) {
            changed.insert(key.clone());
            self.update_waiting(key);
        }
    }

    pub(super) fn remove_workload(
        &mut self,
        key: &WorkloadKey,
        begun: Duration,
        changed: &mut Changed,
    ) {
        let outdated = self.known.get(key).is_some_and(|known| known.begun <= begun);
        if outdated && self.known.remove(key).is_some() {
            self.announced.remove(key);
            self.waiting.remove(key);
            changed.insert(key.clone());
        }
    }

    /// Replaces a workload by a read that began at `begun`.
    pub(super) fn replace_workload(
        &mut self,
        workload: Arc<Workload>,
        begun: Duration,
        changed: &mut Changed,
    ) {
        self.replace_by(workload, begun, None, changed);
    }

    /// Replaces a workload by a read that began at `begun`. `clock` is Marathon's, if the read
    /// tells how long its tasks have been running.
    pub(super) fn replace_by(
        &mut self,
        workload: Arc<Workload>,
        begun: Duration,
        clock: Option<Time>,
        changed: &mut Changed,
    ) {
        let key = workload.key();
        // A later read is known already.
        if self.known.get(&key).is_some_and(|known| known.begun > begun) {
            return;
        }
        let is_deploying = workload.deploying;
        if self.announced.get(&key).is_some_and(|each| each.is_over(is_deploying, begun)) {
            self.announced.remove(&key);
        }
        // An unchanged workload keeps its memory, unless somebody else holds the new one: a small
        // part of a large answer that lives on would keep the whole page allocated.
        let (key, before) =
            self.known.remove_entry(&key).map_or((key, None), |(key, known)| (key, Some(known)));
        let old = before.as_ref().map(|known| Arc::clone(&known.view));
        let mut known = KnownWorkload::from_read(workload, begun, clock, before);
        match old {
            Some(old) if old == known.view => {
                if Arc::get_mut(&mut known.view).is_some() {
                    known.view = old;
                }
            }
            _ => drop(changed.insert(key.clone())),
        }
        self.known.insert(key.clone(), known);
        self.update_waiting(&key);
    }

    /// Replaces everything by a read that began at `begun`.
    pub(super) fn replace_all(
        &mut self,
        snapshot: Snapshot,
        begun: Duration,
        changed: &mut Changed,
    ) {
        let clock = self.note_coverage(&snapshot);
        for key in self.missing_from(&snapshot, begun) {
            self.remove_workload(&key, begun, changed);
        }
        for workload in snapshot.workloads.into_iter().filter(|workload| workload.tasks_known) {
            self.replace_by(workload, begun, clock, changed);
        }
        self.announced.retain(|_, announced| !covers_event(announced.heard_at, begun));
    }

    /// Notes the kinds of workloads that a read of everything covers. Returns Marathon's clock at
    /// the first one: at first nothing else tells how long tasks have been running. Later a task is
    /// seen when it starts, and the clock may be that of another leader.
    pub(super) fn note_coverage(&mut self, snapshot: &Snapshot) -> Option<Time> {
        let is_first = self.complete == Coverage::default();
        self.complete.apps |= snapshot.coverage.apps;
        self.complete.pods |= snapshot.coverage.pods;
        is_first.then(|| snapshot.latest_success()).flatten()
    }

    /// Returns the known workloads that are missing from a snapshot, if it covers their kind.
    pub(super) fn missing_from(&self, snapshot: &Snapshot, begun: Duration) -> Vec<WorkloadKey> {
        let listed: BTreeSet<_> =
            snapshot.workloads.iter().map(|workload| workload.key()).collect();
        let gone = self.known.iter().filter(|(key, known)| {
            snapshot.coverage.includes(key.kind) && known.begun <= begun && !listed.contains(*key)
        });
        gone.map(|(key, _)| key.clone()).collect()
    }
}
