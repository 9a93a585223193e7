//! Doubt about reads of everything. Marathon with a wiped ZooKeeper, with another `--zk`, or with a
//! leader that has not loaded its state yet answers without an error and lists far too little.
//!
//! A read that would take away more than half of all VIPs, or of all real servers, without an
//! announcement opens a doubt. While it is open, what the read lists applies, and what it lacks
//! stays, except what an event ends, what another task has replaced, and what has lost its port to
//! another task. Everything is read again, until a read lacks nothing more, or until the loss is
//! believed.

mod loss;
mod place;
mod unlisted;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub use loss::Loss;
pub(super) use loss::{Lack, Part, find_lack, has_vips, lack_of_workload};
pub use place::Place;
pub(super) use place::claimed_places;
pub(super) use unlisted::keep_unlisted;

use crate::{Snapshot, WorkloadKey};

/// Times of the next reads, since the begin of the doubt...
const READS: [Duration; 3] =
    [Duration::from_secs(2), Duration::from_secs(10), Duration::from_secs(30)];
/// ...and the time between the later ones.
const LATER_READS: Duration = Duration::from_secs(60);
/// A loss is believed after this time of reads that agree, if the framework id is the same as
/// before and other workloads are listed.
const AGREEMENT: Duration = Duration::from_secs(120);
/// No loss is believed before this time of the present run, however long earlier runs have doubted.
const LEAST: Duration = READS[1];

/// An open doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The time when it was opened.
    pub since: Duration,
    /// The time that it had lasted in earlier runs.
    pub before: Duration,
    /// What the last read lacks.
    pub loss: Loss,
    /// The parts that the last read lacks and that stay.
    lacking: BTreeSet<Part>,
    /// Instances that were listed for the first time since, of workloads that lack others.
    newcomers: BTreeSet<Part>,
    /// The time since when reads agree and are plausible.
    agreed_since: Option<Duration>,
    /// The owner of the state misses something that no earlier read has listed.
    by_owner: bool,
    /// A read lacked too much of what was known.
    by_reads: bool,
}

/// The verdict on a read of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It replaces everything.
    Believed,
    /// What it lists applies; what it lacks stays.
    Doubted,
}

/// The doubts about one Marathon.
#[derive(Debug)]
pub(super) struct Doubts {
    /// The longest time that a loss is doubted.
    limit: Duration,
    /// The framework id at the last read that was believed.
    framework: Option<Arc<str>>,
    /// The framework id that an earlier run knew.
    restored: Option<Arc<str>>,
    /// The time that a doubt had lasted in earlier runs, until it goes on.
    lasted: Option<Duration>,
    /// A read was believed.
    has_believed: bool,
    /// A first read without any VIP was put off.
    was_bare: bool,
    open: Option<Doubt>,
    /// Workloads whose lacking parts have changed since they were last taken.
    relisted: BTreeSet<WorkloadKey>,
}

impl Doubts {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            framework: None,
            restored: None,
            lasted: None,
            has_believed: false,
            was_bare: false,
            open: None,
            relisted: BTreeSet::new(),
        }
    }

    /// Takes the workloads whose lacking parts have changed.
    pub(super) fn take_relisted(&mut self) -> BTreeSet<WorkloadKey> {
        std::mem::take(&mut self.relisted)
    }

    fn note_change(&mut self, before: &BTreeSet<Part>) {
        let nothing = BTreeSet::new();
        let now = self.open.as_ref().map_or(&nothing, |doubt| &doubt.lacking);
        let differ = before.symmetric_difference(now);
        self.relisted.extend(differ.map(|(key, _)| key.clone()));
    }

    pub(super) fn open(&self) -> Option<&Doubt> {
        self.open.as_ref()
    }

    pub(super) fn framework(&self) -> Option<&Arc<str>> {
        self.framework.as_ref()
    }

    /// Restores the framework id that an earlier run knew.
    pub(super) fn restore_framework(&mut self, framework: Arc<str>) {
        self.restored = Some(Arc::clone(&framework));
        self.framework.get_or_insert(framework);
    }

    /// Restores how long an earlier run had doubted.
    pub(super) fn restore_length(&mut self, lasted: Duration) {
        self.lasted = Some(lasted);
    }

    /// Begins a doubt, or goes on with that of an earlier run.
    fn begin(&mut self, loss: Loss, now: Duration) -> Doubt {
        Doubt {
            since: now,
            before: self.lasted.take().unwrap_or_default(),
            loss,
            lacking: BTreeSet::new(),
            newcomers: BTreeSet::new(),
            agreed_since: None,
            by_owner: false,
            by_reads: false,
        }
    }

    /// Judges a read of everything that ended now and has this lack.
    pub(super) fn judge_read(&mut self, answer: &Snapshot, lack: Lack, now: Duration) -> Verdict {
        let before = self.open.as_ref().map(|doubt| doubt.lacking.clone()).unwrap_or_default();
        let verdict = self.judge(answer, lack, now);
        self.note_change(&before);
        verdict
    }

    fn judge(&mut self, answer: &Snapshot, lack: Lack, now: Duration) -> Verdict {
        let Lack { mut parts, loss, silent } = lack;
        if let Some(doubt) = &self.open {
            // The answer says nothing about these, so they lack what they lacked.
            let still = doubt.lacking.iter().filter(|(key, _)| silent.contains(key));
            parts.extend(still.cloned());
        }
        match &mut self.open {
            Some(doubt) if parts.is_empty() && !doubt.by_owner => self.open = None,
            Some(doubt) => {
                // What no read has listed was there before the first one.
                let before = if doubt.by_owner { &self.restored } else { &self.framework };
                let is_plausible = is_plausible(before.as_ref(), answer, &parts);
                doubt.by_reads |= loss.is_large();
                doubt.note_read(parts, loss, is_plausible, now);
            }
            None if loss.is_large() => {
                let is_plausible = is_plausible(self.framework.as_ref(), answer, &parts);
                let doubt = self.begin(loss, now);
                let agreed_since = is_plausible.then_some(now);
                self.open = Some(Doubt { lacking: parts, agreed_since, by_reads: true, ..doubt });
            }
            None => {}
        }
        if self.open.as_ref().is_some_and(|doubt| now < doubt.believed_at(self.limit)) {
            return Verdict::Doubted;
        }
        self.open = None;
        // The owner may doubt the first one that is believed, but later ones are another matter.
        if std::mem::replace(&mut self.has_believed, true) {
            self.lasted = None;
        }
        if answer.framework.is_some() {
            self.framework.clone_from(&answer.framework);
        }
        Verdict::Believed
    }

    /// Judges a read of everything while nothing is known: without any VIP it has to come twice.
    /// True: it counts.
    pub(super) fn judge_first_read(&mut self, has_vips: bool) -> bool {
        has_vips || std::mem::replace(&mut self.was_bare, true)
    }

    /// Opens a doubt for the owner of the state, who misses something that no read has listed.
    pub(super) fn open_for_owner(&mut self, loss: Loss, now: Duration) {
        match &mut self.open {
            Some(doubt) => doubt.by_owner = true,
            None => {
                let doubt = self.begin(loss, now);
                self.open = Some(Doubt { by_owner: true, ..doubt });
            }
        }
    }

    /// Ends the owner's part of a doubt: nothing is missing any more.
    pub(super) fn close_for_owner(&mut self) {
        if let Some(doubt) = &mut self.open {
            doubt.by_owner = false;
            if doubt.lacking.is_empty() {
                self.open = None;
            }
        }
    }

    /// Ends the doubt and returns the parts that stayed.
    pub(super) fn accept(&mut self) -> Option<BTreeSet<Part>> {
        let doubt = self.open.take()?;
        self.relisted.extend(doubt.lacking.iter().map(|(key, _)| key.clone()));
        Some(doubt.lacking)
    }

    /// Notes what a read of one workload lacks, and its instances that no read has listed before.
    pub(super) fn note_workload(
        &mut self,
        key: &WorkloadKey,
        parts: BTreeSet<Part>,
        new: Vec<Part>,
    ) {
        let Some(doubt) = &mut self.open else { return };
        let of_key = doubt.lacking.range((key.clone(), None)..).take_while(|(of, _)| of == key);
        let before: BTreeSet<_> = of_key.cloned().collect();
        for part in &before {
            doubt.lacking.remove(part);
        }
        if before != parts {
            self.relisted.insert(key.clone());
        }
        match parts.is_empty() {
            true => {
                let of_key = doubt.newcomers.range((key.clone(), None)..);
                let known: Vec<_> = of_key.take_while(|(of, _)| of == key).cloned().collect();
                for part in &known {
                    doubt.newcomers.remove(part);
                }
            }
            false => doubt.newcomers.extend(new),
        }
        doubt.lacking.extend(parts);
    }

    /// Tells whether an instance was listed for the first time since the doubt was opened.
    pub(super) fn is_newcomer(&self, key: &WorkloadKey, id: &Arc<str>) -> bool {
        let part = || (key.clone(), Some(Arc::clone(id)));
        self.open.as_ref().is_some_and(|doubt| doubt.newcomers.contains(&part()))
    }

    /// Tells whether workloads that are listed without their VIPs stay as they were. What only the
    /// owner misses was never listed, and says nothing against the labels of what is.
    pub(super) fn concerns_labels(&self) -> bool {
        self.open.as_ref().is_some_and(|doubt| doubt.by_reads)
    }

    /// Returns the time of the next read of everything.
    pub(super) fn next_read(&self, now: Duration) -> Option<Duration> {
        self.open.as_ref().map(|doubt| doubt.next_read(self.limit, now))
    }
}

impl Doubt {
    fn note_read(&mut self, parts: BTreeSet<Part>, loss: Loss, is_plausible: bool, now: Duration) {
        let agrees = is_plausible && parts.is_subset(&self.lacking);
        self.agreed_since = match (is_plausible, self.agreed_since) {
            (true, Some(since)) if agrees => Some(since),
            (true, _) => Some(now),
            (false, _) => None,
        };
        if !self.by_owner {
            self.loss = loss;
        }
        self.lacking = parts;
    }

    /// Returns the time from which on the next read is believed.
    fn believed_at(&self, limit: Duration) -> Duration {
        let agreed = self.agreed_since.map(|since| since.saturating_add(AGREEMENT));
        let rest = limit.saturating_sub(self.before).max(LEAST.min(limit));
        let at_most = self.since.saturating_add(rest);
        agreed.map_or(at_most, |agreed| agreed.min(at_most))
    }

    fn next_read(&self, limit: Duration, now: Duration) -> Duration {
        let mut reads = READS.into_iter().map(|after| self.since.saturating_add(after));
        let next = reads.find(|at| *at > now).unwrap_or_else(|| {
            let last = self.since.saturating_add(READS[READS.len() - 1]);
            let periods = now.saturating_sub(last).as_secs() / LATER_READS.as_secs() + 1;
            let periods = u32::try_from(periods).unwrap_or(u32::MAX);
            last.saturating_add(LATER_READS.saturating_mul(periods))
        });
        let believed_at = self.believed_at(limit);
        if believed_at > now { next.min(believed_at) } else { next }
    }

    /// Tells whether this instance stays although the last read lacks it.
    #[must_use]
    pub fn keeps(&self, key: &WorkloadKey, instance: &str) -> bool {
        self.keeps_workload(key) || self.lacking.contains(&(key.clone(), Some(Arc::from(instance))))
    }

    /// Lists the workloads of which something stays.
    pub(super) fn kept_workloads(&self) -> BTreeSet<&WorkloadKey> {
        self.lacking.iter().map(|(key, _)| key).collect()
    }

    /// Tells whether the last read lacks this workload, or some of its instances.
    #[must_use]
    pub fn concerns(&self, key: &WorkloadKey) -> bool {
        let first = self.lacking.range((key.clone(), None)..).next();
        first.is_some_and(|(lacking, _)| lacking == key)
    }

    /// Tells whether this workload stays although the last read lacks it.
    pub(super) fn keeps_workload(&self, key: &WorkloadKey) -> bool {
        self.lacking.contains(&(key.clone(), None))
    }
}

/// Tells whether a loss is plausible: the framework is the same as before, and the answer lists
/// workloads that lost nothing.
fn is_plausible(before: Option<&Arc<str>>, answer: &Snapshot, parts: &BTreeSet<Part>) -> bool {
    let is_whole = |key: &WorkloadKey| {
        let first = parts.range((key.clone(), None)..).next();
        first.is_none_or(|(lacking, _)| lacking != key)
    };
    before.is_some()
        && before == answer.framework.as_ref()
        && answer.workloads.iter().any(|workload| is_whole(&workload.key()))
}
