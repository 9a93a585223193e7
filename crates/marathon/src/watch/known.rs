//! One workload as it is believed to be: its last read, corrected by the bad news since.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::expectation::{Expectation, Fact, find_instance, state_rank};
use super::keep::is_same_run;
use super::report::{BadNews, Held, Report};
use super::spare::spare_servers;
use super::view::{complete_instance, sort_workload};
use crate::events::Subject;
use crate::{Health, Instance, Kind, TaskState, Time, Workload};

/// Events alone take out no more than half of the servers within this time.
const WINDOW: Duration = Duration::from_secs(10);

/// The effect of an event with bad news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// The event is about nothing that is known, is known already, or looks old.
    Nothing,
    /// The view has changed.
    Changed,
    /// Too few servers would be left: the event waits for a read.
    Held,
}

#[derive(Debug)]
pub(super) struct KnownWorkload {
    /// The workload with its instances sorted by id and without their `last_success`, which changes
    /// with every check: so two views can be compared.
    pub(super) view: Arc<Workload>,
    /// Begin of the last read.
    pub(super) begun: Duration,
    /// The `last_success` of each instance, in the order of the instances.
    successes: Vec<Option<Time>>,
    /// Bad news of events that no read has outdated, by instance id.
    report: BTreeMap<Arc<str>, Report>,
    /// Bad news that waits for a read, by instance id.
    held: BTreeMap<Arc<str>, Held>,
    /// Times when events have taken out a server.
    taken: Vec<Duration>,
    /// Silent instances.
    silent: BTreeMap<Arc<str>, Seen>,
    /// The last read contradicts bad news. A read that begins at this time decides.
    recheck_at: Option<Duration>,
}

/// Since when an instance is known to run. Only this node's clock tells how long that is: Marathon's
/// may be another one, or step.
#[derive(Debug, Clone, Copy)]
struct Seen {
    since: Duration,
    /// How long it had been running then.
    before: Duration,
}

impl KnownWorkload {
    /// Combines a read with what was known before. `clock` is Marathon's at the first read of
    /// everything, if the read tells.
    pub(super) fn from_read(
        mut workload: Arc<Workload>,
        begun: Duration,
        clock: Option<Time>,
        mut before: Option<Self>,
    ) -> Self {
        let mut successes =
            before.as_mut().map(|before| mem::take(&mut before.successes)).unwrap_or_default();
        successes.clear();
        sort_workload(&mut workload, &mut successes);
        let mut known = Self {
            view: workload,
            begun,
            successes,
            report: BTreeMap::new(),
            held: BTreeMap::new(),
            taken: Vec::new(),
            silent: BTreeMap::new(),
            recheck_at: None,
        };
        let before = before.map(|before| known.keep_from(before)).unwrap_or_default();
        known.note_silent(&before, clock);
        known
    }

    /// Notes since when silent instances have been running. `before` has those that run
    /// on. `clock` is Marathon's, if it tells how long the others have been running.
    fn note_silent(&mut self, before: &BTreeMap<Arc<str>, Seen>, clock: Option<Time>) {
        for instance in &self.view.instances {
            if instance.is_silent() {
                let age = || clock?.since(instance.started?);
                let known = before.get(&instance.id).copied();
                let seen = known.unwrap_or_else(|| Seen {
                    since: self.begun,
                    before: age().unwrap_or_default(),
                });
                self.silent.insert(instance.id.clone(), seen);
            }
        }
    }

    /// Returns how long a silent instance has been running.
    pub(super) fn run_time(&self, id: &str, now: Duration) -> Option<Duration> {
        let Seen { since, before } = self.silent.get(id)?;
        Some(now.saturating_sub(*since).saturating_add(*before))
    }

    /// Keeps what still holds. Returns the silent instances that run on.
    fn keep_from(&mut self, mut before: Self) -> BTreeMap<Arc<str>, Seen> {
        let old = &before.view;
        for index in 0..self.view.instances.len() {
            let instance = &self.view.instances[index];
            let found = old.instances.binary_search_by(|other| other.id.cmp(&instance.id));
            if let Ok(found) = found {
                let known = &old.instances[found];
                if !is_same_run(instance, known) {
                    before.silent.remove(&instance.id);
                }
                complete_instance(&mut self.view, index, known, &old.spec);
            }
        }
        self.taken = before.taken;
        for (id, held) in before.held {
            self.keep_held(id, held);
        }
        for (id, report) in before.report {
            self.keep_report(id, report);
        }
        before.silent
    }

    /// Keeps bad news that waits, unless this read confirms it or is late enough to refute it. A
    /// read that began before the event does neither.
    fn keep_held(&mut self, id: Arc<str>, held: Held) {
        let Some(index) = self.find_index(&id) else { return };
        let (instance, report) = (&self.view.instances[index], &held.report);
        if self.is_outdated(index, report) || report.news.is_shown_by(instance) {
            return;
        }
        if self.begun < report.heard_at {
            self.held.insert(id, held);
        } else if report.news.is_compatible_with(instance) {
            self.keep_report(id, held.report);
        } else {
            self.recheck_by(report.decided_at());
            self.held.insert(id, Held { until: None, ..held });
        }
    }

    /// Keeps bad news that was applied, unless this read outdates it.
    fn keep_report(&mut self, id: Arc<str>, report: Report) {
        let Some(index) = self.find_index(&id) else { return };
        if self.is_outdated(index, &report) {
            return;
        }
        if !report.news.is_compatible_with(&self.view.instances[index]) {
            self.recheck_by(report.decided_at());
        }
        if !report.news.is_shown_by(&self.view.instances[index]) {
            report.news.apply_to(&mut Arc::make_mut(&mut self.view).instances[index]);
        }
        self.report.insert(id, report);
    }

    fn recheck_by(&mut self, at: Duration) {
        self.recheck_at = Some(self.recheck_at.map_or(at, |known| known.min(at)));
    }

    /// Returns when a read has to begin to decide between the last one and bad news.
    pub(super) fn recheck_at(&self) -> Option<Duration> {
        self.recheck_at
    }

    /// Finds an instance by its id.
    pub(super) fn find(&self, id: &str) -> Option<&Instance> {
        self.find_index(id).map(|index| &self.view.instances[index])
    }

    /// Tells whether an instance may be a real server, and no event says that it ends.
    pub(super) fn is_in_use(&self, instance: &Instance) -> bool {
        let states = [TaskState::Staging, TaskState::Starting, TaskState::Killing];
        let is_ending = |held: &Held| matches!(held.report.news, BadNews::State(_));
        !instance.state.is_terminal()
            && !states.contains(&instance.state)
            && !self.held.get(&instance.id).is_some_and(is_ending)
    }

    /// Drops instances. True: the view changed.
    pub(super) fn drop_instances(&mut self, is_gone: impl Fn(&Instance) -> bool) -> bool {
        if !self.view.instances.iter().any(&is_gone) {
            return false;
        }
        let view = Arc::make_mut(&mut self.view);
        let stays: Vec<bool> = view.instances.iter().map(|instance| !is_gone(instance)).collect();
        let mut each = stays.iter();
        view.instances.retain(|_| each.next().is_none_or(|stays| *stays));
        let mut each = stays.iter();
        self.successes.retain(|_| each.next().is_none_or(|stays| *stays));
        let ids: BTreeSet<_> = view.instances.iter().map(|instance| instance.id.clone()).collect();
        self.report.retain(|id, _| ids.contains(id));
        self.held.retain(|id, _| ids.contains(id));
        self.silent.retain(|id, _| ids.contains(id));
        true
    }

    fn find_index(&self, id: &str) -> Option<usize> {
        self.view.instances.binary_search_by(|instance| (*instance.id).cmp(id)).ok()
    }

    /// Tells whether this read wins over bad news: it began late enough to decide, or shows a time
    /// after the event.
    fn is_outdated(&self, index: usize, report: &Report) -> bool {
        let later = match report.news {
            BadNews::Health => self.successes[index],
            // A pod instance, and a resident task of a Marathon before 1.4.7, is started again
            // under its id.
            BadNews::State(_) => self.view.instances[index].started,
        };
        let later = later.zip(report.at).is_some_and(|(time, at)| time.to_timestamp() > at);
        later || self.begun >= report.decided_at()
    }

    /// Tells whether the event is known already. One that looks old is not: its clock may be wrong.
    pub(super) fn already_shows(&self, expectation: &Expectation) -> bool {
        let Some(index) = find_instance(&self.view, &expectation.id) else {
            return expectation.is_met_by(&self.view);
        };
        let instance = &self.view.instances[index];
        let is_back = expectation.fact == Fact::Running
            && state_rank(&instance.state) > 0
            && self.report.get(&instance.id).is_none_or(|report| !report.is_after(expectation.at));
        !is_back && !self.held.contains_key(&instance.id) && expectation.is_met_by(&self.view)
    }

    /// Applies the event of a task that is being killed, has ended or is unhealthy. If too few
    /// servers would be left, the event waits for `patience`, so that a read can confirm or refute
    /// it, or find others first, such as those of a new version.
    pub(super) fn apply_bad_news(
        &mut self,
        expectation: &Expectation,
        news: BadNews,
        version: Option<Timestamp>,
        patience: Duration,
        now: Duration,
    ) -> Effect {
        let Some(index) = self.find_affected(expectation, version) else { return Effect::Nothing };
        let report = Report { at: expectation.at, heard_at: now, news };
        let instance = &self.view.instances[index];
        if report.news.is_shown_by(instance) {
            if let Some(known) = self.report.get_mut(&instance.id) {
                known.confirm(&report);
            }
            return Effect::Nothing;
        }
        if report.news == BadNews::Health && !self.may_be_ill(index, expectation) {
            return Effect::Nothing;
        }
        if !self.can_spare(index, now) {
            let held = Held { report, until: Some(now + patience) };
            self.hold_back(index, held);
            return Effect::Held;
        }
        self.held.remove(&self.view.instances[index].id);
        self.apply_report(index, report);
        Effect::Changed
    }

    /// Tells whether an event of bad health can be about this instance as it is.
    fn may_be_ill(&self, index: usize, expectation: &Expectation) -> bool {
        let instance = &self.view.instances[index];
        // The event of a pod doesn't name the container, so it is clear only with one health check.
        let unclear = self.view.kind == Kind::Pod
            && self.view.spec_of(instance).is_none_or(|spec| spec.health_checks != 1);
        !unclear
            && !expectation.is_before(self.successes[index])
            && matches!(instance.health, Health::Up | Health::Unknown)
    }

    /// Tells whether bad news of an event from this time is about one of the instances, and neither
    /// shown by it nor waiting for a read.
    pub(super) fn is_news(&self, of: &Subject, news: &BadNews, at: Option<Timestamp>) -> bool {
        let fact = if *news == BadNews::Health { Fact::Unhealthy } else { Fact::Ended };
        let expectation = Expectation::new(fact, &of.id, at, self.begun);
        let Some(index) = self.find_affected(&expectation, of.version) else { return false };
        let instance = &self.view.instances[index];
        let is_same = |held: &Held| held.until.is_some() && !news.outweighs(&held.report.news);
        let waits = self.held.get(&instance.id).is_some_and(is_same);
        let may_be = *news != BadNews::Health || self.may_be_ill(index, &expectation);
        may_be && !waits && !news.is_shown_by(instance)
    }

    /// Tells whether enough servers are left without this one, and if so counts it as taken out.
    fn can_spare(&mut self, index: usize, now: Duration) -> bool {
        let Some(left) = spare_servers(&self.view, index) else { return true };
        self.taken.retain(|taken| *taken + WINDOW > now);
        let spare = self.taken.len() < left;
        if spare {
            self.taken.push(now);
        }
        spare
    }

    /// Holds a report back. It waits no longer than one that waits already, and bad health doesn't
    /// replace a state.
    fn hold_back(&mut self, index: usize, held: Held) {
        let id = &self.view.instances[index].id;
        match self.held.get_mut(id) {
            Some(Held { report, .. }) if report.news.outweighs(&held.report.news) => {}
            Some(known) => {
                let until = known.until.or(held.until);
                *known = Held { until, ..held };
            }
            None => drop(self.held.insert(id.clone(), held)),
        }
    }

    /// Applies the event of a task that is healthy: drops older bad news of its health. Only a read
    /// marks it as healthy.
    pub(super) fn mark_healthy(&mut self, expectation: &Expectation, version: Option<Timestamp>) {
        let Some(index) = self.find_affected(expectation, version) else { return };
        let id = &self.view.instances[index].id;
        let since =
            |report: &Report| report.news == BadNews::Health && !report.is_after(expectation.at);
        if self.report.get(id).is_some_and(since) {
            self.report.remove(id);
        }
        if self.held.get(id).is_some_and(|held| since(&held.report)) {
            self.held.remove(id);
        }
    }

    /// Applies the reports that have waited long enough. True: the view changed.
    pub(super) fn release_due(&mut self, now: Duration) -> bool {
        let due = |held: &Held| held.until.is_some_and(|until| until <= now);
        let (due, waiting) = mem::take(&mut self.held).into_iter().partition(|(_, held)| due(held));
        self.held = waiting;
        let due: BTreeMap<Arc<str>, Held> = due;
        let mut changed = false;
        for (id, Held { report, .. }) in due {
            if let Some(index) = self.find_index(&id) {
                changed |= self.apply_report(index, report);
            }
        }
        changed
    }

    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.held.values().filter_map(|held| held.until).min()
    }

    /// Finds the instance of an event, unless the event looks older than what is known of it.
    fn find_affected(
        &self,
        expectation: &Expectation,
        version: Option<Timestamp>,
    ) -> Option<usize> {
        let index = find_instance(&self.view, &expectation.id)?;
        let instance = &self.view.instances[index];
        let earlier_version = matches!((version, instance.version),
            (Some(said), Some(known)) if said < known);
        // The event may be about an earlier task of the instance.
        let of_instance = instance.id != expectation.id || self.view.kind == Kind::Pod;
        let undated = expectation.at.is_none() || instance.started.is_none();
        let looks_old =
            earlier_version || expectation.is_before(instance.started) || of_instance && undated;
        (!looks_old).then_some(index)
    }

    /// Applies a report. True: the view changed.
    fn apply_report(&mut self, index: usize, report: Report) -> bool {
        let instance = &mut Arc::make_mut(&mut self.view).instances[index];
        let changed = !report.news.is_shown_by(instance);
        report.news.apply_to(instance);
        match self.report.get(&instance.id) {
            Some(known) if known.news.outweighs(&report.news) => {}
            _ => drop(self.report.insert(instance.id.clone(), report)),
        }
        changed
    }
}
