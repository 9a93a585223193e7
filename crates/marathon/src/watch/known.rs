//! One workload as it is believed to be: its last read, corrected by the bad news since.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::expectation::{Expectation, Fact, covers_event, find_instance, state_rank};
use super::keep::keep_known;
use crate::{Health, Instance, Kind, TaskState, Time, Workload};

/// Events alone take out no more than half of the servers within this time.
const WINDOW: Duration = Duration::from_secs(10);

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
    /// Bad news that waits for a read, with the time when it is applied without one.
    held: BTreeMap<Arc<str>, (Report, Duration)>,
    /// Times when events have taken out a server.
    taken: Vec<Duration>,
}

#[derive(Debug, Clone)]
struct Report {
    at: Option<Timestamp>,
    heard_at: Duration,
    news: BadNews,
}

#[derive(Debug, Clone)]
enum BadNews {
    /// Killing or terminal, which a task never leaves.
    State(TaskState),
    Health,
}

impl KnownWorkload {
    /// Combines a read with what was known before.
    pub(super) fn from_read(
        mut workload: Workload,
        begun: Duration,
        mut before: Option<Self>,
    ) -> Self {
        "$".clone_into(&mut workload.path);
        workload.instances.sort_by(|a, b| a.id.cmp(&b.id));
        workload.instances.dedup_by(|a, b| a.id == b.id);
        let mut successes =
            before.as_mut().map(|before| mem::take(&mut before.successes)).unwrap_or_default();
        successes.clear();
        let instances = workload.instances.iter_mut();
        successes.extend(instances.map(|instance| instance.last_success.take()));
        let mut known = Self {
            view: Arc::new(workload),
            begun,
            successes,
            report: BTreeMap::new(),
            held: BTreeMap::new(),
            taken: Vec::new(),
        };
        if let Some(before) = before {
            known.keep_from(before);
        }
        known
    }

    fn keep_from(&mut self, before: Self) {
        let old = &before.view;
        let view = Arc::make_mut(&mut self.view);
        for instance in &mut view.instances {
            let found = old.instances.binary_search_by(|other| other.id.cmp(&instance.id));
            if let Ok(index) = found {
                keep_known(instance, &view.spec, &old.instances[index], &old.spec);
            }
        }
        self.taken = before.taken;
        // A read that began before the event can't confirm or refute it.
        self.held = before.held;
        self.held.retain(|_, (report, _)| self.begun < report.heard_at);
        for (id, report) in before.report {
            let Some(index) = self.find_index(&id) else { continue };
            if self.is_outdated(index, &report) {
                continue;
            }
            apply_news(&mut Arc::make_mut(&mut self.view).instances[index], &report.news);
            self.report.insert(id, report);
        }
    }

    fn find_index(&self, id: &str) -> Option<usize> {
        self.view.instances.binary_search_by(|instance| (*instance.id).cmp(id)).ok()
    }

    fn is_outdated(&self, index: usize, report: &Report) -> bool {
        let instance = &self.view.instances[index];
        let later = |time: Option<Time>| {
            time.zip(report.at).is_some_and(|(time, at)| time.to_timestamp() > at)
        };
        match report.news {
            BadNews::Health => {
                covers_event(report.heard_at, self.begun) || later(self.successes[index])
            }
            // The tasks of a pod instance may be restarted under the same id; a task of an app gets
            // a new id.
            BadNews::State(_) => {
                self.view.kind == Kind::Pod
                    && (later(instance.started) || covers_event(report.heard_at, self.begun))
            }
        }
    }

    /// Tells whether the event is known already.
    pub(super) fn already_shows(&self, expectation: &Expectation) -> bool {
        match find_instance(&self.view, &expectation.id) {
            Some(index) => {
                let id = &self.view.instances[index].id;
                let outdated = expectation.fact == Fact::Unhealthy
                    && expectation.is_before(self.successes[index]);
                (outdated || expectation.is_met_by(&self.view)) && !self.held.contains_key(id)
            }
            None => expectation.is_met_by(&self.view),
        }
    }

    /// Applies the event of a task that is being killed or has ended. True: the view changed. A
    /// task that is being killed may still serve: if too few servers would be left, the event waits
    /// for `patience`, so that a read can find others first, such as those of the new version.
    pub(super) fn end_instance(
        &mut self,
        expectation: &Expectation,
        state: TaskState,
        version: Option<Timestamp>,
        patience: Duration,
        now: Duration,
    ) -> bool {
        let Some(index) = self.find_affected(expectation, version) else { return false };
        if state_rank(&state) <= state_rank(&self.view.instances[index].state) {
            return false;
        }
        let is_over = state.is_terminal();
        let report = Report { at: expectation.at, heard_at: now, news: BadNews::State(state) };
        if is_over {
            self.held.remove(&self.view.instances[index].id);
        } else if !self.can_spare(index, now) {
            self.hold_back(index, report, now + patience);
            return false;
        }
        self.apply_report(index, report)
    }

    /// Tells whether enough servers are left without this one, and if so counts it as taken out.
    fn can_spare(&mut self, index: usize, now: Duration) -> bool {
        if !is_server(&self.view.instances[index]) {
            return true;
        }
        self.taken.retain(|taken| *taken + WINDOW > now);
        let servers = self.view.instances.iter().filter(|other| is_server(other)).count();
        let taken = self.taken.len();
        let spare = servers > 1 && 2 * (taken + 1) <= servers + taken;
        if spare {
            self.taken.push(now);
        }
        spare
    }

    /// Holds a report back until `until`. A state replaces bad health that waits already.
    fn hold_back(&mut self, index: usize, report: Report, until: Duration) {
        let id = self.view.instances[index].id.clone();
        match (self.held.get_mut(&id), &report.news) {
            (Some((held, _)), BadNews::State(_)) => *held = report,
            (Some(_), BadNews::Health) => {}
            (None, _) => drop(self.held.insert(id, (report, until))),
        }
    }

    /// Applies the event of a task that is unhealthy. True: the view changed. If too few servers
    /// would be left, the event waits for `patience`, so that a read can refute it.
    pub(super) fn mark_unhealthy(
        &mut self,
        expectation: &Expectation,
        version: Option<Timestamp>,
        patience: Duration,
        now: Duration,
    ) -> bool {
        let Some(index) = self.find_affected(expectation, version) else { return false };
        let instance = &self.view.instances[index];
        let stale = expectation.is_before(self.successes[index]);
        // The event of a pod doesn't name the container, so it is clear only with one health check.
        let unclear = self.view.kind == Kind::Pod
            && self.view.spec_of(instance).is_none_or(|spec| spec.health_checks != 1);
        if stale || unclear || !matches!(instance.health, Health::Up | Health::Unknown) {
            return false;
        }
        let report = Report { at: expectation.at, heard_at: now, news: BadNews::Health };
        if !self.can_spare(index, now) {
            self.hold_back(index, report, now + patience);
            return false;
        }
        self.apply_report(index, report)
    }

    /// Applies the event of a task that is healthy: drops older bad news of its health. Only a read
    /// marks it as healthy.
    pub(super) fn mark_healthy(&mut self, expectation: &Expectation, version: Option<Timestamp>) {
        let Some(index) = self.find_affected(expectation, version) else { return };
        let id = &self.view.instances[index].id;
        let since = |report: &Report| {
            matches!(report.news, BadNews::Health)
                && !matches!((expectation.at, report.at), (Some(now), Some(then)) if now < then)
        };
        if self.report.get(id).is_some_and(since) {
            self.report.remove(id);
        }
        if self.held.get(id).is_some_and(|(report, _)| since(report)) {
            self.held.remove(id);
        }
    }

    /// Applies the reports that have waited long enough. True: the view changed.
    pub(super) fn release_due(&mut self, now: Duration) -> bool {
        let held = mem::take(&mut self.held);
        let (due, waiting) = held.into_iter().partition(|(_, (_, until))| *until <= now);
        self.held = waiting;
        let due: BTreeMap<Arc<str>, (Report, Duration)> = due;
        let mut changed = false;
        for (id, (report, _)) in due {
            if let Some(index) = self.find_index(&id) {
                changed |= self.apply_report(index, report);
            }
        }
        changed
    }

    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.held.values().map(|(_, until)| *until).min()
    }

    /// Finds the instance of an event, unless the event is older than what is known of it.
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
        let started_since = of_instance
            && !matches!((expectation.at, instance.started), (Some(at), Some(started)) if at > started.to_timestamp());
        (!earlier_version && !started_since).then_some(index)
    }

    fn apply_report(&mut self, index: usize, report: Report) -> bool {
        let instance = &mut Arc::make_mut(&mut self.view).instances[index];
        let before = (instance.state.clone(), instance.health);
        apply_news(instance, &report.news);
        let changed = before != (instance.state.clone(), instance.health);
        if !matches!(
            (&self.report.get(&instance.id), &report.news),
            (Some(Report { news: BadNews::State(_), .. }), BadNews::Health)
        ) {
            self.report.insert(instance.id.clone(), report);
        }
        changed
    }
}

/// Tells whether an instance takes traffic. One that a deployment has started and that isn't ready
/// can't replace another.
fn is_server(instance: &Instance) -> bool {
    let is_well = matches!(instance.health, Health::Up | Health::NoChecks);
    instance.state == TaskState::Running && instance.ready && is_well
}

fn apply_news(instance: &mut Instance, news: &BadNews) {
    match news {
        BadNews::State(state) if state_rank(state) > state_rank(&instance.state) => {
            instance.state = state.clone();
        }
        BadNews::State(_) => {}
        BadNews::Health if instance.health == Health::NoChecks => {}
        BadNews::Health => {
            instance.health = Health::Down;
            for health in &mut instance.port_health {
                if *health != Health::NoChecks {
                    *health = Health::Down;
                }
            }
        }
    }
}
