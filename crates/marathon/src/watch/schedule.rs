//! When to read what. Marathon serves every node of a cluster: each read has a reason, and each
//! change asks for two reads of one workload at most: one soon, and if that is not from long enough
//! after it, one that is.

use std::collections::BTreeMap;
use std::time::Duration;

use super::backoff::Backoff;
use super::dirty::{DirtySet, DirtyWorkload};
use super::expectation::{Expectation, Fact, covers_event, has_unknown_spec};
use super::jitter::Jitter;
use super::messages::Action;
use crate::{Workload, WorkloadKey};

/// More workloads than this are read as everything...
const FEW: usize = 10;
/// ...and so are those that would take longer than this one by one.
const ONE_BY_ONE: Duration = Duration::from_secs(30);
/// Workloads that are remembered one by one.
const MAX_DIRTY: usize = 1000;
/// What is remembered to be shown by the next read of one workload.
const MAX_CLAIMS: usize = 64;
/// What comes within this time of each other is read together...
const QUIET: Duration = Duration::from_millis(200);
/// ...but no later than this after the first.
const LATEST: Duration = Duration::from_secs(2);
/// What didn't show an event is read again after this time.
const AGAIN: Duration = Duration::from_millis(1500);
/// Between two reads of everything that events ask for, and before what is hard to believe is
/// read again.
const GAP: Duration = Duration::from_secs(2);
/// Between reads of everything while events come.
const PERIOD: Duration = Duration::from_secs(300);
/// The same without events.
const POLL: Duration = Duration::from_secs(30);
/// How long bad health that has to wait for a read waits at least...
const PATIENCE: Duration = Duration::from_secs(2);
/// ...and how long the answer may take.
const ANSWER: Duration = Duration::from_secs(1);
/// The share of one agent in the 100 reads a second that all may make together: between two reads
/// of an agent that events ask for lies this time for each agent.
const SHARE: Duration = Duration::from_millis(10);
/// An answer with everything that is longer counts as several reads: so many bytes are one. After a
/// change of the leader all agents together ask for 74 MB/s.
const ONE_READ: usize = 740_000;

#[derive(Debug)]
pub(super) struct Schedule {
    agents: u32,
    /// How long the last answer with everything was.
    bytes: usize,
    jitter: Jitter,
    everything: Everything,
    /// To be read one by one, and when.
    dirty: DirtySet,
    reading: BTreeMap<WorkloadKey, Reading>,
    backoff: Backoff,
    failed: Option<Duration>,
    /// When the next read that events ask for may begin.
    turn: Duration,
    /// Nothing was read yet, or reading failed: only a read of everything is any good.
    blind: bool,
}

#[derive(Debug)]
struct Everything {
    due: Duration,
    begun: Option<Duration>,
    last: Option<Duration>,
    expectations: BTreeMap<WorkloadKey, Vec<Expectation>>,
    /// When something was heard that there was no room to remember.
    forgotten: Option<Duration>,
}

impl Everything {
    fn add_expectations(&mut self, key: WorkloadKey, expectations: Vec<Expectation>) {
        let Some(latest) = expectations.iter().map(|expectation| expectation.heard_at).max() else {
            return;
        };
        if self.expectations.len() >= MAX_DIRTY && !self.expectations.contains_key(&key) {
            return self.note_forgotten(latest);
        }
        add_expectations(self.expectations.entry(key).or_default(), expectations, latest);
    }

    fn note_forgotten(&mut self, heard_at: Duration) {
        self.forgotten = self.forgotten.max(Some(heard_at));
    }
}

/// Where there is no room for all, the last one stands for those that are left out.
fn add_expectations(
    expectations: &mut Vec<Expectation>,
    more: impl IntoIterator<Item = Expectation>,
    now: Duration,
) {
    expectations.extend(more);
    if expectations.len() > MAX_CLAIMS {
        expectations.truncate(MAX_CLAIMS - 1);
        expectations.push(Expectation::new(Fact::More, "", None, now));
    }
}

#[derive(Debug)]
struct Reading {
    begun: Duration,
    expectations: Vec<Expectation>,
}

impl Schedule {
    /// The first read comes when the stream is open, or at once after it failed, or after 2 s.
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
                expectations: BTreeMap::new(),
                forgotten: None,
            },
            dirty: DirtySet::default(),
            reading: BTreeMap::new(),
            backoff: Backoff::new(first, Duration::from_secs(60), Duration::from_secs(60)),
            failed: None,
            turn: now,
            blind: true,
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

    /// When, in the time over which the agents spread what one event makes all of them do.
    fn random_spread(&mut self) -> Duration {
        self.jitter.up_to(self.whole_spread())
    }

    /// The time until this agent's next read that events ask for. It is left to chance once: if
    /// each of many changes had a time of its own, the first of them would be early in all agents.
    fn until_turn(&mut self, now: Duration) -> Duration {
        let soon = now + QUIET + self.whole_spread();
        let everything = Some(self.everything.due).filter(|due| *due <= soon);
        let first = self.dirty.first_due().into_iter().chain(everything).min();
        let known = if self.turn > now { Some(self.turn) } else { first };
        known.map_or_else(|| self.random_spread(), |at| at.saturating_sub(now))
    }

    fn whole_spread(&self) -> Duration {
        SHARE.saturating_mul(self.agents)
    }

    /// How long bad health may wait for the read of this workload that is due. One that isn't due
    /// within the spread is not worth waiting for.
    pub(super) fn read_patience(&self, key: &WorkloadKey, now: Duration) -> Duration {
        let one = self.one_by_one().find(|(due, _)| *due == key);
        let one = one.map(|(_, dirty)| dirty.due.max(self.turn));
        let wait = one.unwrap_or(self.everything.due).saturating_sub(now);
        if wait > self.whole_spread() + QUIET { PATIENCE } else { PATIENCE.max(wait + ANSWER) }
    }

    fn hasten_everything(&mut self, due: Duration) {
        self.everything.due = self.everything.due.min(due);
    }

    /// Events are coming. Marathon sends the header a little before it subscribes: what happens
    /// in between is in no event, so it has to be in the read. Where the leader is another one, all
    /// agents read everything now.
    pub(super) fn stream_opened(&mut self, leader_changed: bool, now: Duration) {
        // After a failure the next read is due anyway, and begins later than this.
        if !self.blind || self.failed.is_none() || self.everything.begun.is_some() {
            let reads = if leader_changed { self.bytes as f64 / ONE_READ as f64 } else { 1.0 };
            let spread = self.jitter.up_to(self.whole_spread().mul_f64(reads.max(1.0)));
            let delay = QUIET / 2 + self.jitter.up_to(QUIET) + spread;
            self.hasten_everything(now + delay);
        }
    }

    /// Events have stopped coming, or never heard_at.
    pub(super) fn stream_lost(&mut self, now: Duration) {
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

    /// Something changed, and it can't be said where.
    pub(super) fn mark_everything(&mut self, now: Duration) {
        if !self.blind {
            let due = now + QUIET + self.until_turn(now);
            self.hasten_with_gap(due);
        } else if self.everything.begun.is_some() {
            // The read under way may not know of it.
            self.hasten_everything(now + GAP);
        }
    }

    fn hasten_with_gap(&mut self, due: Duration) {
        let gap = GAP.max(self.whole_spread());
        let last = self.everything.begun.or(self.everything.last);
        let due = due.max(self.turn);
        self.hasten_everything(last.map_or(due, |last| due.max(last + gap)));
    }

    /// A workload changed; a read has to show that `expectation` holds.
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
        let new = DirtyWorkload { latest: turn + LATEST, due: turn, expectations: Vec::new() };
        self.dirty.change_or_insert(key, new, |dirty| {
            dirty.due = dirty.due.max(now + QUIET).min(dirty.latest);
            add_expectations(&mut dirty.expectations, expectation, now);
        });
    }

    /// It is being read, or is going to be, by itself.
    pub(super) fn is_concerned_with(&self, key: &WorkloadKey) -> bool {
        self.dirty.contains(key) || self.reading.contains_key(key)
    }

    /// A read is under way that may not know of what is happening now.
    pub(super) fn is_reading(&self, key: &WorkloadKey) -> bool {
        self.everything.begun.is_some() || self.reading.contains_key(key)
    }

    /// Ends the read of one workload. When it began; None if there is none under way. `shown` is
    /// what heard_at of it: None is a failure.
    pub(super) fn finish_read(
        &mut self,
        key: &WorkloadKey,
        shown: Option<Option<&Workload>>,
        now: Duration,
    ) -> Option<Duration> {
        let Reading { begun, expectations } = self.reading.remove(key)?;
        match shown {
            Some(shown) => self.follow_up(key, expectations, shown, begun, now),
            None => {
                self.everything.add_expectations(key.clone(), expectations);
                if !self.blind {
                    self.back_off(now);
                }
            }
        }
        Some(begun)
    }

    /// Reads once more what began too early to have the last word, and has not shown everything
    /// that was said of it.
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
        let new = DirtyWorkload { latest: due, due, expectations: Vec::new() };
        self.dirty.change_or_insert(key.clone(), new, |dirty| {
            add_expectations(&mut dirty.expectations, expectations, now)
        });
    }

    /// When the read of everything that is under way began.
    pub(super) fn everything_begun(&self) -> Option<Duration> {
        self.everything.begun
    }

    /// Ends the read of everything. `shown` finds a workload in it.
    pub(super) fn finish_everything<'a>(
        &mut self,
        shown: impl Fn(&WorkloadKey) -> Option<&'a Workload>,
        streaming: bool,
        now: Duration,
    ) {
        let Some(begun) = self.everything.begun.take() else { return };
        self.everything.last = Some(begun);
        self.blind = false;
        let period = self.random_period(streaming);
        self.hasten_everything(now + period);
        for (key, expectations) in std::mem::take(&mut self.everything.expectations) {
            self.follow_up(&key, expectations, shown(&key), begun, now);
        }
        if self.everything.forgotten.take().is_some_and(|heard_at| !covers_event(heard_at, begun)) {
            self.mark_everything(now);
        }
    }

    /// The read of everything is hard to believe.
    pub(super) fn retry_doubted(&mut self, now: Duration) {
        self.everything.begun = None;
        self.everything.due = now + GAP;
    }

    /// Everything is to be read once more.
    pub(super) fn repeat_everything(&mut self, now: Duration) {
        self.hasten_everything(now + GAP);
    }

    /// The read of everything failed.
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
        if self.everything.begun.is_none() && self.everything.due <= now {
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

    fn one_by_one(&self) -> impl Iterator<Item = (&WorkloadKey, &DirtyWorkload)> {
        let allowed = !self.blind && self.dirty.len() <= self.one_by_one_limit();
        let dirty = allowed.then(|| self.dirty.iter()).into_iter().flatten();
        dirty.filter(|(key, _)| !self.reading.contains_key(*key))
    }

    /// How many workloads are read one by one.
    fn one_by_one_limit(&self) -> usize {
        let turn = self.whole_spread().max(Duration::from_millis(1));
        let turns = ONE_BY_ONE.as_millis() / turn.as_millis();
        usize::try_from(turns).unwrap_or(usize::MAX).clamp(1, FEW)
    }

    /// The workload that is due for longest, if it is this agent's turn.
    fn next_due(&self, now: Duration) -> Option<WorkloadKey> {
        let due = self.one_by_one().filter(|(_, dirty)| dirty.due.max(self.turn) <= now);
        due.min_by_key(|(_, dirty)| dirty.due).map(|(key, _)| key.clone())
    }

    pub(super) fn wake_at(&self) -> Duration {
        let everything = match self.everything.begun {
            None => self.everything.due,
            Some(_) => Duration::MAX,
        };
        let one = self.one_by_one().map(|(_, dirty)| dirty.due.max(self.turn));
        one.fold(everything, Duration::min)
    }
}
