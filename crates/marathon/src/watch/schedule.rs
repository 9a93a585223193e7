//! The schedule of reads. Marathon serves every node of a cluster, so each read has a reason. A
//! change causes at most two reads of one workload: one soon, and a second one if the first began
//! too early to be sure to include the change. Where reads contradict the end of a task, a third one
//! decides.

use std::collections::BTreeMap;
use std::time::Duration;

use super::backoff::Backoff;
use super::dirty::{DirtySet, DirtyWorkload};
use super::everything::{Everything, MAX_DIRTY, add_expectations};
use super::expectation::{Expectation, Fact, covers_event, has_unknown_spec};
use super::jitter::Jitter;
use super::messages::Action;
use super::timing::{
    AGAIN, ANSWER, CLOSE, CLOSE_PERIOD, FEW, GAP, LATEST, ONE_BY_ONE, ONE_READ, PATIENCE, PERIOD,
    POLL, QUIET, SHARE, TRIED,
};
use crate::{Workload, WorkloadKey};

#[derive(Debug)]
pub(super) struct Schedule {
    agents: u32,
    /// Length of the last answer with everything.
    bytes: usize,
    jitter: Jitter,
    everything: Everything,
    /// Workloads to be read one by one.
    dirty: DirtySet,
    reading: BTreeMap<WorkloadKey, Reading>,
    backoff: Backoff,
    failed: Option<Duration>,
    /// When an event last ended the wait after a failure of this stream.
    hastened: Option<Duration>,
    /// Earliest begin of the next read that events cause.
    turn: Duration,
    /// Nothing was read yet, or the last read failed: then only a read of everything helps.
    blind: bool,
    /// Everything is read more often until then.
    close_until: Option<Duration>,
    /// Nothing was read yet from a leader that took over.
    is_new_leader: bool,
}

#[derive(Debug)]
struct Reading {
    begun: Duration,
    expectations: Vec<Expectation>,
}

/// A read of one workload that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct FinishedRead {
    pub(super) begun: Duration,
    /// Events have told of running tasks of this id.
    pub(super) has_tasks: bool,
}

impl Schedule {
    /// Schedules the first read: when the stream is open, at once if it fails, or after 2 s.
    pub(super) fn new(agents: u32, seed: u64, now: Duration) -> Self {
        let first = Duration::from_secs(1);
        Self {
            agents,
            bytes: 0,
            jitter: Jitter::new(seed),
            everything: Everything {
                due: now + GAP,
                begun: None,
                last: None,
                hastened_by_stream: None,
                expectations: BTreeMap::new(),
                forgotten: None,
            },
            dirty: DirtySet::default(),
            reading: BTreeMap::new(),
            backoff: Backoff::new(first, Duration::from_secs(60), Duration::from_secs(60)),
            failed: None,
            hastened: None,
            turn: now,
            blind: true,
            close_until: None,
            is_new_leader: false,
        }
    }

    pub(super) fn set_agents(&mut self, agents: u32) {
        self.agents = agents;
    }

    pub(super) fn set_bytes(&mut self, bytes: usize) {
        self.bytes = bytes;
    }

    pub(super) fn jitter(&mut self) -> &mut Jitter {
        &mut self.jitter
    }

    /// Chooses a random delay within the time over which all agents spread the reads of one event.
    fn random_spread(&mut self) -> Duration {
        self.jitter.up_to(self.whole_spread())
    }

    /// Returns the time until this agent's next read that events cause. The delay is drawn once for
    /// all waiting changes: with one draw for each of many changes, the earliest would be early in
    /// every agent.
    fn until_turn(&mut self, now: Duration) -> Duration {
        let soon = now + QUIET + self.whole_spread();
        let dues = self.dirty.first_due().into_iter().chain([self.everything.due]);
        let first = dues.min().filter(|due| *due <= soon);
        let known = if self.turn > now { Some(self.turn) } else { first };
        known.map_or_else(|| self.random_spread(), |at| at.saturating_sub(now))
    }

    fn whole_spread(&self) -> Duration {
        SHARE.saturating_mul(self.agents)
    }

    /// Returns how long bad news may wait for the scheduled read of this workload. A read that
    /// isn't due within the spread is not worth waiting for.
    pub(super) fn read_patience(&self, key: &WorkloadKey, now: Duration) -> Duration {
        if self.blind {
            return PATIENCE;
        }
        let one = self.one_by_one().find(|(due, _)| *due == key);
        let one = one.map(|(_, dirty)| dirty.due.max(self.turn));
        let wait = one.unwrap_or(self.everything.due).saturating_sub(now);
        if wait > self.whole_spread() + QUIET { PATIENCE } else { PATIENCE.max(wait + ANSWER) }
    }

    fn hasten_everything(&mut self, due: Duration) {
        self.everything.due = self.everything.due.min(due);
    }

    /// Schedules a read of everything after the stream has opened. Marathon sends the header
    /// shortly before it subscribes: changes in between cause no event, so the read has to include
    /// them. After a change of leader all agents read everything.
    pub(super) fn stream_opened(&mut self, leader_changed: bool, now: Duration) {
        self.hastened = None;
        self.is_new_leader |= leader_changed;
        // After a failed read the next one is scheduled already, and begins later than this.
        if !self.blind || self.failed.is_none() || self.everything.begun.is_some() {
            let reads = if leader_changed { self.bytes as f64 / ONE_READ as f64 } else { 1.0 };
            let spread = self.jitter.up_to(self.whole_spread().mul_f64(reads.max(1.0)));
            let delay = QUIET / 2 + self.jitter.up_to(QUIET) + spread;
            let before = self.everything.due;
            self.hasten_everything(now + delay);
            let due = self.everything.due;
            let waits = self.everything.begun.is_none() && due != before;
            self.everything.hastened_by_stream = waits.then_some((due, before));
        }
    }

    /// Schedules reads without an event stream, which was lost or could not be opened.
    pub(super) fn stream_lost(&mut self, now: Duration) {
        self.everything.forget_stream();
        let Everything { begun, last, .. } = self.everything;
        if begun.is_none() && last.is_none() && self.failed.is_none() {
            self.hasten_everything(now);
        } else if !self.blind {
            let delay = self.random_period(false);
            self.hasten_everything(now + delay);
        }
    }

    fn random_period(&mut self, streaming: bool) -> Duration {
        let (least, share) = if streaming { (PERIOD, SHARE * 100) } else { (POLL, SHARE * 10) };
        self.jitter.around(least.max(share.saturating_mul(self.agents)))
    }

    /// Schedules a read of everything, after a change of unknown workloads.
    pub(super) fn mark_everything(&mut self, now: Duration) {
        if !self.blind {
            let due = now + QUIET + self.until_turn(now);
            self.hasten_with_gap(due);
        } else if self.everything.begun.is_some() {
            // The read that is under way may not include the change.
            self.hasten_everything(now + GAP);
        }
    }

    /// Ends the wait after a failed read: a Marathon that tells of changes will probably answer. If
    /// it doesn't, events end no further wait for a while.
    pub(super) fn note_event(&mut self, now: Duration) {
        let waits = self.blind && self.everything.begun.is_none();
        let Some(failed) = self.failed.filter(|_| waits) else { return };
        if self.hastened.is_none_or(|at| at + TRIED <= now) {
            self.hastened = Some(now);
            let gap = GAP.max(self.whole_spread());
            self.hasten_everything((now + QUIET).max(failed + gap));
        }
    }

    fn hasten_with_gap(&mut self, due: Duration) {
        let gap = GAP.max(self.whole_spread());
        let last = self.everything.begun.or(self.everything.last);
        let due = due.max(self.turn);
        self.hasten_everything(last.map_or(due, |last| due.max(last + gap)));
    }

    /// Schedules a read of a workload that changed; the read has to meet `expectation`.
    pub(super) fn mark_dirty(
        &mut self,
        key: WorkloadKey,
        expectation: Option<Expectation>,
        now: Duration,
    ) {
        let turn = now + self.until_turn(now);
        if self.dirty.len() >= MAX_DIRTY && !self.dirty.contains(&key) {
            self.everything.note_forgotten(now);
            return self.mark_everything(now);
        }
        let latest = turn + LATEST;
        let new = DirtyWorkload { latest, due: turn, hastened: false, expectations: Vec::new() };
        self.dirty.change_or_insert(key, new, |dirty| {
            if dirty.due > now.max(turn) + AGAIN {
                // A read that decides about earlier news; this news doesn't wait for it.
                (dirty.latest, dirty.due) = (latest, turn);
            }
            if !dirty.hastened {
                dirty.due = dirty.due.max(now + QUIET).min(dirty.latest);
            }
            add_expectations(&mut dirty.expectations, expectation, now);
        });
    }

    /// Schedules the read of a workload as soon as this agent may read: bad news waits for it.
    pub(super) fn hasten(&mut self, key: &WorkloadKey, now: Duration) {
        if self.dirty.contains(key) {
            self.dirty.change(key, |dirty| {
                let turn = dirty.latest.saturating_sub(LATEST);
                dirty.due = dirty.due.min(turn.max(now));
                dirty.hastened = true;
            });
        }
    }

    /// Schedules a read of a workload that decides between an event and the last read.
    pub(super) fn recheck(&mut self, key: &WorkloadKey, due: Duration) {
        if !self.dirty.contains(key) && self.dirty.len() < MAX_DIRTY {
            let new = DirtyWorkload { latest: due, due, hastened: false, expectations: Vec::new() };
            self.dirty.change_or_insert(key.clone(), new, |_| {});
        }
    }

    /// Tells whether a read of this workload alone is scheduled or under way.
    pub(super) fn is_concerned_with(&self, key: &WorkloadKey) -> bool {
        self.dirty.contains(key) || self.reading.contains_key(key)
    }

    /// Tells whether a read is under way that may not include the current change.
    pub(super) fn is_reading(&self, key: &WorkloadKey) -> bool {
        self.everything.begun.is_some() || self.reading.contains_key(key)
    }

    /// Ends the read of one workload and describes it; None if none is under way. `shown` is the
    /// answer; None is a failure.
    pub(super) fn finish_read(
        &mut self,
        key: &WorkloadKey,
        shown: Option<Option<&Workload>>,
        now: Duration,
    ) -> Option<FinishedRead> {
        let Reading { begun, expectations } = self.reading.remove(key)?;
        let has_tasks = expectations.iter().any(|expectation| {
            matches!(expectation.fact, Fact::Running | Fact::Healthy | Fact::Unhealthy)
        });
        match shown {
            Some(shown) => self.follow_up(key, expectations, shown, begun, now),
            None => {
                self.everything.add_expectations(key.clone(), expectations);
                if !self.blind {
                    self.back_off(now);
                }
            }
        }
        Some(FinishedRead { begun, has_tasks })
    }

    /// Schedules a second read, if the first began too early to decide and doesn't meet all
    /// expectations.
    fn follow_up(
        &mut self,
        key: &WorkloadKey,
        mut expectations: Vec<Expectation>,
        shown: Option<&Workload>,
        begun: Duration,
        now: Duration,
    ) {
        let Some(workload) = shown else { return };
        let recorded = |expectation: &Expectation| expectation.fact == Fact::Recorded;
        if has_unknown_spec(workload) && !expectations.iter().any(recorded) {
            expectations.push(Expectation::new(Fact::Recorded, "", None, begun));
        }
        expectations.retain(|expectation| {
            !expectation.is_settled(begun) && !expectation.is_met_by(workload)
        });
        if expectations.is_empty() {
            return;
        }
        let due = now + AGAIN.max(self.until_turn(now));
        let new = DirtyWorkload { latest: due, due, hastened: false, expectations: Vec::new() };
        self.dirty.change_or_insert(key.clone(), new, |dirty| {
            add_expectations(&mut dirty.expectations, expectations, now);
        });
    }

    /// Returns when the read of everything began that is under way.
    pub(super) fn everything_begun(&self) -> Option<Duration> {
        self.everything.begun
    }

    /// Ends the read of everything. `shown` finds a workload in the answer.
    pub(super) fn finish_everything<'a>(
        &mut self,
        shown: impl Fn(&WorkloadKey) -> Option<&'a Workload>,
        streaming: bool,
        now: Duration,
    ) {
        let Some(begun) = self.everything.begun.take() else { return };
        self.everything.last = Some(begun);
        self.hastened = None;
        self.blind = false;
        let mut period = self.random_period(streaming);
        if self.close_until.is_some_and(|until| now < until) {
            period = period.min(self.close_period());
        }
        self.hasten_everything(now + period);
        for (key, expectations) in std::mem::take(&mut self.everything.expectations) {
            self.follow_up(&key, expectations, shown(&key), begun, now);
        }
        if self.everything.forgotten.take().is_some_and(|heard_at| !covers_event(heard_at, begun)) {
            self.mark_everything(now);
        }
    }

    /// Repeats a first read of everything that lists no VIP.
    pub(super) fn repeat_first(&mut self, now: Duration) {
        self.everything.begun = None;
        self.everything.due = now + GAP;
    }

    /// Schedules a read of everything no later than this.
    pub(super) fn read_everything_by(&mut self, due: Duration) {
        self.hasten_everything(due);
    }

    /// Notes that a read is believed. A new leader may know nothing yet: if its first answer has no VIP,
    /// everything is read more often for a while.
    pub(super) fn note_believed(&mut self, has_vips: bool, now: Duration) {
        if std::mem::take(&mut self.is_new_leader) && !has_vips {
            self.watch_closely(now);
        }
    }

    /// Reads everything more often for a while, after something large was believed to be gone.
    pub(super) fn watch_closely(&mut self, now: Duration) {
        self.close_until = Some(now + CLOSE);
        let period = self.random_period(false).min(self.close_period());
        self.hasten_everything(now + period);
    }

    /// Returns the time between two reads of everything while they are frequent.
    fn close_period(&self) -> Duration {
        CLOSE_PERIOD.max(SHARE.saturating_mul(self.agents))
    }

    /// Ends a read of everything that failed.
    pub(super) fn fail_everything(&mut self, now: Duration) {
        self.everything.begun = None;
        self.back_off(now);
    }

    fn back_off(&mut self, now: Duration) {
        let held = self.failed.map_or(Duration::MAX, |failed| now.saturating_sub(failed));
        self.failed = Some(now);
        self.blind = true;
        self.everything.due = now + self.backoff.next_delay(held, &mut self.jitter);
    }

    pub(super) fn start_due(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.dirty.len() > self.one_by_one_limit() && !self.blind {
            let first = self.dirty.first_due().unwrap_or(now);
            self.hasten_with_gap(first);
        }
        if self.everything.begun.is_none() && self.everything_due() <= now {
            self.everything.begun = Some(now);
            self.everything.due = Duration::MAX;
            for (key, dirty) in self.dirty.take_all() {
                self.everything.add_expectations(key, dirty.expectations);
            }
            actions.push(Action::ReadEverything);
            self.turn = now + self.whole_spread();
        }
        if let Some(key) = self.next_due(now)
            && let Some(dirty) = self.dirty.remove(&key)
        {
            self.reading
                .insert(key.clone(), Reading { begun: now, expectations: dirty.expectations });
            actions.push(Action::Read(key));
            self.turn = now + self.whole_spread();
        }
    }

    /// Returns when everything is to be read. Reads that are only frequent keep to this agent's
    /// share.
    fn everything_due(&self) -> Duration {
        let due = self.everything.due;
        let is_frequent = self.close_until.is_some_and(|until| due < until);
        if is_frequent { due.max(self.turn) } else { due }
    }

    fn one_by_one(&self) -> impl Iterator<Item = (&WorkloadKey, &DirtyWorkload)> {
        let allowed = !self.blind && self.dirty.len() <= self.one_by_one_limit();
        let dirty = allowed.then(|| self.dirty.iter()).into_iter().flatten();
        dirty.filter(|(key, _)| !self.reading.contains_key(*key))
    }

    /// Returns the number of workloads up to which they are read one by one.
    fn one_by_one_limit(&self) -> usize {
        let turn = self.whole_spread().max(Duration::from_millis(1));
        let turns = ONE_BY_ONE.as_millis() / turn.as_millis();
        usize::try_from(turns).unwrap_or(usize::MAX).clamp(1, FEW)
    }

    /// Returns the workload that has been due for longest, if this agent may read now.
    fn next_due(&self, now: Duration) -> Option<WorkloadKey> {
        let due = self.one_by_one().filter(|(_, dirty)| dirty.due.max(self.turn) <= now);
        due.min_by_key(|(_, dirty)| dirty.due).map(|(key, _)| key.clone())
    }

    pub(super) fn wake_at(&self) -> Duration {
        let everything = match self.everything.begun {
            None => self.everything_due(),
            Some(_) => Duration::MAX,
        };
        let one = self.one_by_one().map(|(_, dirty)| dirty.due.max(self.turn));
        one.fold(everything, Duration::min)
    }
}
