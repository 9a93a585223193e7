//! The ends of reads: which answers apply, and how far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::doubt::{
    Loss, Part, Place, Verdict, claimed_places, find_lack, has_vips, keep_unlisted,
    lack_of_workload,
};
use super::known::KnownWorkload;
use super::messages::{Changed, ReadOutcome};
use super::schedule::FinishedRead;
use super::{State, count_hosts};
use crate::{Coverage, Instance, Snapshot, Time, Workload, WorkloadKey};

impl State {
    /// Ends a read of everything. True: the answer is believed.
    pub(super) fn finish_everything(
        &mut self,
        answer: Option<Snapshot>,
        now: Duration,
        changed: &mut Changed,
    ) -> bool {
        let Some(begun) = self.schedule.everything_begun() else { return false };
        let Some(mut snapshot) = answer else {
            self.schedule.fail_everything(now);
            return false;
        };
        snapshot.workloads.iter_mut().for_each(|workload| self.set_aside_damaged(workload));
        let is_first = self.believed.complete == Coverage::default()
            && self.believed.workloads().next().is_none();
        if is_first
            && !self.doubts.judge_first_read(snapshot.workloads.iter().any(|each| has_vips(each)))
        {
            self.schedule.repeat_first(now);
            return false;
        }
        let deploying = snapshot.workloads.iter().filter(|workload| workload.deploying);
        let deploying: BTreeSet<_> = deploying.map(|workload| workload.key()).collect();
        let is_excused = |key: &_| self.believed.is_announced(key) || deploying.contains(key);
        let lack = find_lack(self.believed.all_known(), &snapshot, begun, is_excused);
        let verdict = self.doubts.judge_read(&snapshot, lack, now);
        let streaming = self.stream.is_open();
        let listed = snapshot.workloads.iter();
        let found: BTreeMap<_, _> = listed.map(|workload| (workload.key(), &**workload)).collect();
        self.schedule.finish_everything(|key| found.get(key).copied(), streaming, now);
        match verdict {
            Verdict::Believed => {
                let lack = find_lack(self.believed.all_known(), &snapshot, begun, |_| false);
                let hosts = || count_hosts(snapshot.workloads.iter().map(Arc::as_ref));
                self.schedule.set_agents(self.agents.unwrap_or_else(hosts));
                self.schedule.set_bytes(snapshot.bytes);
                self.schedule
                    .note_believed(snapshot.workloads.iter().any(|each| has_vips(each)), now);
                self.believed.replace_all(snapshot, begun, changed);
                if lack.loss.is_large() {
                    self.schedule.watch_closely(now);
                }
            }
            Verdict::Doubted => {
                self.apply_doubted(snapshot, begun, changed);
                if let Some(due) = self.doubts.next_read(now) {
                    self.schedule.read_everything_by(due);
                }
            }
        }
        for (key, at) in self.believed.rechecks() {
            self.schedule.recheck(key, at);
        }
        verdict == Verdict::Believed
    }

    /// Has a damaged definition say nothing if a whole one is known: it may have lost VIPs. It
    /// counts once nothing else is left to serve them.
    fn set_aside_damaged(&self, workload: &mut Arc<Workload>) {
        let Some(known) = self.believed.get(&workload.key()) else { return };
        let serves = || known.view.instances.iter().any(|instance| known.is_in_use(instance));
        if workload.damaged && !known.view.damaged && (serves() || !has_vips(workload)) {
            Arc::make_mut(workload).tasks_known = false;
        }
    }

    /// Applies what a doubted read lists. What it lacks stays, unless its end was announced or its
    /// place belongs to another task.
    fn apply_doubted(&mut self, snapshot: Snapshot, begun: Duration, changed: &mut Changed) {
        let clock = self.believed.note_coverage(&snapshot);
        let instances = snapshot.workloads.iter().flat_map(|workload| &workload.instances);
        let taken = claimed_places(instances);
        for key in self.believed.missing_from(&snapshot, begun) {
            if self.believed.is_end_announced(&key) {
                self.believed.remove_workload(&key, begun, changed);
            } else {
                let is_taken = |place: &Place| taken.contains(place);
                let holds = |instance: &_| Place::of_instance(instance).iter().any(is_taken);
                self.believed.drop_instances(&key, holds, changed);
            }
        }
        for workload in snapshot.workloads.into_iter().filter(|workload| workload.tasks_known) {
            self.apply_listed(workload, &taken, (begun, clock), changed);
        }
    }

    /// Applies a workload as it is listed while there is a doubt.
    fn apply_listed(
        &mut self,
        mut workload: Arc<Workload>,
        taken: &BTreeSet<Place>,
        (begun, clock): (Duration, Option<Time>),
        changed: &mut Changed,
    ) {
        let key = workload.key();
        let is_excused = workload.deploying || self.believed.is_announced(&key);
        let known = self.believed.get(&key).filter(|known| known.begun <= begun && !is_excused);
        let (mut parts, mut new): (BTreeSet<Part>, Vec<Part>) = Default::default();
        if let Some(known) = known {
            let lack = lack_of_workload(known, &workload);
            let is_bare = lack.parts.contains(&(key.clone(), None));
            if is_bare && self.doubts.concerns_labels() {
                // It has lost its VIPs: it stays as it was, but for tasks whose places others have.
                let listed: BTreeSet<_> = workload.instances.iter().map(|each| &each.id).collect();
                let is_taken = |place: &Place| taken.contains(place);
                let is_gone = |each: &Instance| {
                    !listed.contains(&each.id) && Place::of_instance(each).iter().any(is_taken)
                };
                self.believed.drop_instances(&key, is_gone, changed);
                return self.doubts.note_workload(&key, lack.parts, new);
            }
            let is_new =
                |id: &Arc<str>| known.find(id).is_none() || self.doubts.is_newcomer(&key, id);
            let ids = workload.instances.iter().map(|instance| Arc::clone(&instance.id));
            new = ids.filter(&is_new).map(|id| (key.clone(), Some(id))).collect();
            if !is_bare {
                parts = keep_unlisted(Arc::make_mut(&mut workload), known, taken, is_new);
            }
        }
        self.doubts.note_workload(&key, parts, new);
        self.believed.replace_by(workload, begun, clock, changed);
    }

    /// Ends a read of one workload.
    pub(super) fn finish_read(
        &mut self,
        key: &WorkloadKey,
        answer: ReadOutcome,
        now: Duration,
        changed: &mut Changed,
    ) {
        let mut answer = answer;
        if let ReadOutcome::Found(workload) = &mut answer {
            self.set_aside_damaged(workload);
        }
        match answer {
            ReadOutcome::Found(workload) if workload.tasks_known && workload.key() == *key => {
                let finished = self.schedule.finish_read(key, Some(Some(&workload)), now);
                if let Some(FinishedRead { begun, .. }) = finished {
                    self.apply_found(key, workload, begun, now, changed);
                }
            }
            ReadOutcome::Missing => {
                let finished = self.schedule.finish_read(key, Some(None), now);
                let Some(FinishedRead { begun, has_tasks }) = finished else { return };
                if has_tasks {
                    // They are those of the other kind.
                    self.schedule.mark_dirty(key.of_other_kind(), None, now);
                }
                self.apply_missing(key, begun, now, changed);
            }
            ReadOutcome::Found(_) | ReadOutcome::Failed => {
                self.schedule.finish_read(key, None, now);
            }
        }
    }

    /// Applies a workload that somebody else has read. It counts as a read that began when it came.
    pub(super) fn apply_told(
        &mut self,
        key: &WorkloadKey,
        workload: Option<Arc<Workload>>,
        now: Duration,
        changed: &mut Changed,
    ) {
        let Some(mut workload) = workload else {
            return self.apply_missing(key, now, now, changed);
        };
        self.set_aside_damaged(&mut workload);
        if workload.tasks_known && workload.key() == *key {
            self.apply_found(key, workload, now, now, changed);
        }
    }

    fn apply_found(
        &mut self,
        key: &WorkloadKey,
        workload: Arc<Workload>,
        begun: Duration,
        now: Duration,
        changed: &mut Changed,
    ) {
        let other = key.of_other_kind();
        if self.believed.get(key).is_none() && self.believed.get(&other).is_some() {
            // It has probably been replaced.
            self.schedule.mark_dirty(other, None, now);
        }
        self.apply_workload(workload, begun, now, changed);
        if let Some(at) = self.believed.get(key).and_then(KnownWorkload::recheck_at) {
            self.schedule.recheck(key, at);
        }
    }

    /// Applies that there is no such workload, if that was announced; else a read of everything
    /// decides.
    fn apply_missing(
        &mut self,
        key: &WorkloadKey,
        begun: Duration,
        now: Duration,
        changed: &mut Changed,
    ) {
        // A doubt reads everything at times of its own.
        let is_doubted = self.doubts.open().is_some();
        if self.believed.is_end_announced(key) || self.believed.is_replaced(key) {
            self.believed.remove_workload(key, begun, changed);
        } else if self.believed.get(key).is_some() && !is_doubted {
            // Its removal was not announced.
            self.schedule.mark_everything(now);
        }
    }

    /// Applies a read of one workload. If it alone would take away more than half of everything, a
    /// read of everything decides.
    fn apply_workload(
        &mut self,
        workload: Arc<Workload>,
        begun: Duration,
        now: Duration,
        changed: &mut Changed,
    ) {
        let key = workload.key();
        let known = self.believed.get(&key);
        let lost = known.map(|known| lack_of_workload(known, &workload).loss).unwrap_or_default();
        let is_excused = workload.deploying || self.believed.is_announced(&key);
        let loses = lost.vips + lost.servers > 0 && !is_excused;
        let places = self.new_places([&*workload]);
        let is_large = |lost| loses && self.loss_in_total(lost).is_large();
        let is_bare = lost.vips > 0 && !self.doubts.concerns_labels();
        let is_doubted = self.doubts.open().is_some();
        if is_large(lost) && (!is_doubted || is_bare) {
            return self.schedule.mark_everything(now);
        }
        if is_doubted {
            let taken = claimed_places(workload.instances.iter());
            self.apply_listed(workload, &taken, (begun, None), changed);
        } else {
            self.believed.replace_workload(workload, begun, changed);
        }
        self.evict(&places, (&key, begun), now, changed);
    }

    /// Relates the loss of one workload to everything that is known.
    fn loss_in_total(&self, lost: Loss) -> Loss {
        let nothing = Snapshot::default();
        let all = find_lack(self.believed.all_known(), &nothing, Duration::ZERO, |_| true).loss;
        Loss { vips: lost.vips, servers: lost.servers, ..all }
    }

    /// Returns the places of tasks that were never listed before.
    pub(super) fn new_places<'a>(
        &self,
        listed: impl IntoIterator<Item = &'a Workload>,
    ) -> BTreeSet<Place> {
        let new = listed.into_iter().flat_map(|workload| {
            let known = self.believed.get(&workload.key());
            let is_known = move |id: &str| known.and_then(|known| known.find(id)).is_some();
            workload.instances.iter().filter(move |instance| !is_known(&instance.id))
        });
        claimed_places(new)
    }

    /// Drops the tasks that stay in doubt where tasks of another Marathon are.
    pub(super) fn evict_kept(&mut self, places: &BTreeSet<Place>, changed: &mut Changed) {
        let Some(doubt) = self.doubts.open().cloned() else { return };
        let is_taken = |place: &Place| places.contains(place);
        for key in doubt.kept_workloads() {
            let holds = |instance: &Instance| {
                doubt.keeps(key, &instance.id) && Place::of_instance(instance).iter().any(is_taken)
            };
            self.believed.drop_instances(key, holds, changed);
        }
    }

    /// Drops the tasks whose places belong to those of another workload, whose read began then.
    fn evict(
        &mut self,
        places: &BTreeSet<Place>,
        (by, begun): (&WorkloadKey, Duration),
        now: Duration,
        changed: &mut Changed,
    ) {
        if places.is_empty() {
            return;
        }
        let is_taken = |place: &Place| places.contains(place);
        let holds = |instance: &_| Place::of_instance(instance).iter().any(is_taken);
        let others = self.believed.all_known().filter(|(key, known)| {
            by != *key && known.begun <= begun && known.view.instances.iter().any(holds)
        });
        for key in others.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.believed.drop_instances(&key, holds, changed);
            self.schedule.mark_dirty(key, None, now);
        }
    }

    /// Opens a doubt for the owner of the state.
    pub(super) fn doubt_for_owner(&mut self, loss: Loss, now: Duration) {
        self.doubts.open_for_owner(loss, now);
        if let Some(due) = self.doubts.next_read(now) {
            self.schedule.read_everything_by(due);
        }
    }

    /// Ends a doubt: what stayed goes at once.
    pub(super) fn accept_loss(&mut self, now: Duration, changed: &mut Changed) {
        let Some(parts) = self.doubts.accept() else { return };
        for (key, instance) in parts {
            match instance {
                None => self.believed.remove_workload(&key, Duration::MAX, changed),
                Some(id) => {
                    self.believed.drop_instances(&key, |each| each.id == id, changed);
                }
            }
        }
        self.schedule.watch_closely(now);
    }
}
