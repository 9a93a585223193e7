//! The believed state of all workloads, and the rules for what a read may change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::expectation::Expectation;
use super::known::{Effect, KnownWorkload};
use super::messages::Changed;
use super::report::BadNews;
use crate::{Coverage, Kind, Labels, Snapshot, Time, Workload, WorkloadKey};

/// Limit of reads in a row that are doubted although each has lost different workloads.
const MOST_DOUBTS: usize = 5;

#[derive(Debug, Default)]
pub(super) struct Believed {
    known: BTreeMap<WorkloadKey, KnownWorkload>,
    /// Workloads with bad news that waits for a read, with the time when it is applied.
    waiting: BTreeMap<WorkloadKey, Duration>,
    /// The kinds of workloads that were completely read at least once.
    pub(super) complete: Coverage,
    /// Workloads whose removal was announced since the last read of everything.
    announced: BTreeSet<WorkloadKey>,
    /// The workloads that the last doubted read had lost, and the number of doubted reads in a row.
    doubted: Option<(BTreeSet<WorkloadKey>, usize)>,
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

    pub(super) fn announce_end(&mut self, key: &WorkloadKey) {
        if self.known.contains_key(key) {
            self.announced.insert(key.clone());
        }
    }

    /// Tells whether the id of a workload has gone to one of the other kind, which was read later.
    pub(super) fn is_replaced(&self, key: &WorkloadKey) -> bool {
        let begun = |key: &WorkloadKey| self.known.get(key).map(|known| known.begun);
        begun(&key.of_other_kind()).is_some_and(|other| begun(key).is_some_and(|own| own < other))
    }

    pub(super) fn is_announced(&self, key: &WorkloadKey) -> bool {
        self.announced.contains(key)
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
        workload: Workload,
        begun: Duration,
        changed: &mut Changed,
    ) {
        self.replace_by(workload, begun, None, changed);
    }

    fn replace_by(
        &mut self,
        workload: Workload,
        begun: Duration,
        clock: Option<Time>,
        changed: &mut Changed,
    ) {
        let key = workload.key();
        // A later read is known already.
        if self.known.get(&key).is_some_and(|known| known.begun > begun) {
            return;
        }
        // An unchanged workload keeps its memory: a small part of a large answer that lives on
        // would keep the whole page allocated.
        let (key, before) =
            self.known.remove_entry(&key).map_or((key, None), |(key, known)| (key, Some(known)));
        let old = before.as_ref().map(|known| Arc::clone(&known.view));
        let mut known = KnownWorkload::from_read(workload, begun, clock, before);
        match old {
            Some(old) if old == known.view => known.view = old,
            _ => drop(changed.insert(key.clone())),
        }
        self.known.insert(key.clone(), known);
        self.update_waiting(&key);
    }

    /// Decides whether to believe a read of everything that began at `begun`. An implausible read
    /// is believed once the next one has lost nothing more, or after too many doubts in a row.
    pub(super) fn accepts_read(&mut self, snapshot: &Snapshot, begun: Duration) -> bool {
        let lost = self.lost_vips(snapshot, begun);
        let doubted = self.doubted.take();
        if !self.is_hard_to_believe(snapshot, &lost) {
            return true;
        }
        let reads = match doubted {
            Some((before, _)) if lost.is_subset(&before) => return true,
            Some((_, reads)) if reads >= MOST_DOUBTS => return true,
            Some((_, reads)) => reads + 1,
            None => 1,
        };
        self.doubted = Some((lost, reads));
        false
    }

    /// Replaces everything by a read that began at `begun`.
    pub(super) fn replace_all(
        &mut self,
        snapshot: Snapshot,
        begun: Duration,
        changed: &mut Changed,
    ) {
        // At first nothing else tells how long tasks have been running. Later a task is seen when it
        // starts, and the clock may be that of another leader.
        let is_first = self.complete == Coverage::default();
        let clock = is_first.then(|| snapshot.latest_success()).flatten();
        self.complete.apps |= snapshot.coverage.apps;
        self.complete.pods |= snapshot.coverage.pods;
        for key in self.missing_from(&snapshot, begun) {
            self.remove_workload(&key, begun, changed);
        }
        for workload in snapshot.workloads.into_iter().filter(|workload| workload.tasks_known) {
            self.replace_by(workload, begun, clock, changed);
        }
        self.announced.clear();
    }

    /// Returns the known workloads that are missing from a snapshot, if it covers their kind.
    fn missing_from(&self, snapshot: &Snapshot, begun: Duration) -> Vec<WorkloadKey> {
        let listed: BTreeSet<_> = snapshot.workloads.iter().map(Workload::key).collect();
        let covered = |kind| match kind {
            Kind::App => snapshot.coverage.apps,
            Kind::Pod => snapshot.coverage.pods,
        };
        let gone = self.known.iter().filter(|(key, known)| {
            covered(key.kind) && known.begun <= begun && !listed.contains(*key)
        });
        gone.map(|(key, _)| key.clone()).collect()
    }

    /// A new leader or a broken proxy may answer with far too little. Implausible is a loss of more
    /// than half of all workloads with VIPs at once, and a first answer without any VIP.
    fn is_hard_to_believe(&self, snapshot: &Snapshot, lost: &BTreeSet<WorkloadKey>) -> bool {
        if self.known.is_empty() && self.complete == Coverage::default() {
            return !snapshot.workloads.iter().any(has_vip_label);
        }
        let all = self.known.values().filter(|known| has_vip_label(&known.view)).count();
        2 * lost.len() > all
    }

    /// Returns the workloads with VIPs that would go, or lose their labels, without an
    /// announcement.
    fn lost_vips(&self, snapshot: &Snapshot, begun: Duration) -> BTreeSet<WorkloadKey> {
        let labelled = |key: &WorkloadKey| {
            self.known.get(key).is_some_and(|known| has_vip_label(&known.view))
                && !self.announced.contains(key)
        };
        let all = snapshot.workloads.iter();
        let (served, bare): (Vec<_>, Vec<_>) = all.partition(|workload| has_vip_label(workload));
        let served: BTreeSet<_> = served.into_iter().map(Workload::key).collect();
        let bare = bare.into_iter().map(Workload::key);
        let lost = self.missing_from(snapshot, begun).into_iter().chain(bare).filter(labelled);
        // An app that replaces a pod, or a pod an app, may keep its VIPs.
        lost.filter(|key| !served.contains(&key.of_other_kind())).collect()
    }
}

fn has_vip_label(workload: &Workload) -> bool {
    let has = |labels: &Labels| {
        labels.iter().any(|(key, _)| key.starts_with("VIP") || key.starts_with("vip"))
    };
    has(&workload.spec.labels) || workload.spec.ports.iter().any(|port| has(&port.labels))
}
