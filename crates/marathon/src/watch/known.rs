//! One workload as it is believed to be: the last read of it, and the bad news since.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::claim::{Claim, Said, knows_of, position, rank};
use super::keep::keep;
use crate::{Health, Instance, Kind, TaskState, Time, Workload};

/// Within this time no more than half of the servers are taken on the word of events.
const WINDOW: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Known {
    /// Instances are in the order of their ids and have no `last_success`, which changes with
    /// every check: two views are equal if they say the same.
    pub(super) view: Arc<Workload>,
    /// When the last read of it began.
    pub(super) begun: Duration,
    /// The `last_success` of each instance, in their order.
    successes: Vec<Option<Time>>,
    /// What events said of listed instances and no read has outdated.
    news: BTreeMap<Arc<str>, News>,
    /// Bad health that waits for a read, and until when.
    held: BTreeMap<Arc<str>, (News, Duration)>,
    /// When events have taken servers away.
    taken: Vec<Duration>,
}

#[derive(Debug, Clone)]
struct News {
    at: Option<Timestamp>,
    came: Duration,
    bad: Bad,
}

#[derive(Debug, Clone)]
enum Bad {
    /// Killing or terminal: final for a task.
    State(TaskState),
    Health,
}

impl Known {
    /// What is known after a read that began then, with what was known before.
    pub(super) fn read(mut workload: Workload, begun: Duration, mut before: Option<Self>) -> Self {
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
            news: BTreeMap::new(),
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
                keep(instance, &view.spec, &old.instances[index], &old.spec);
            }
        }
        self.taken = before.taken;
        // A read that began before the event can't answer it.
        self.held = before.held;
        self.held.retain(|_, (news, _)| self.begun < news.came);
        for (id, news) in before.news {
            let Some(index) = self.find(&id) else { continue };
            if self.is_outdated(index, &news) {
                continue;
            }
            set(&mut Arc::make_mut(&mut self.view).instances[index], &news.bad);
            self.news.insert(id, news);
        }
    }

    fn find(&self, id: &str) -> Option<usize> {
        self.view.instances.binary_search_by(|instance| (*instance.id).cmp(id)).ok()
    }

    fn is_outdated(&self, index: usize, news: &News) -> bool {
        let instance = &self.view.instances[index];
        let later = |time: Option<Time>| {
            time.zip(news.at).is_some_and(|(time, at)| time.to_timestamp() > at)
        };
        match news.bad {
            Bad::Health => knows_of(news.came, self.begun) || later(self.successes[index]),
            // The tasks of a pod's instance may be started again, those of apps get a new id.
            Bad::State(_) => {
                self.view.kind == Kind::Pod
                    && (later(instance.started) || knows_of(news.came, self.begun))
            }
        }
    }

    /// Whether an event says nothing new.
    pub(super) fn shows(&self, claim: &Claim) -> bool {
        match position(&self.view, &claim.id) {
            Some(index) => {
                let id = &self.view.instances[index].id;
                let outdated =
                    claim.said == Said::Unhealthy && claim.is_before(self.successes[index]);
                (outdated || claim.holds(&self.view)) && !self.held.contains_key(id)
            }
            None => claim.holds(&self.view),
        }
    }

    /// Acts on an event that says that a task is being killed or is over. One that is being killed
    /// may still serve: where that would leave too few, a read has `patience` to tell of others,
    /// as of those of a new version for which it is killed.
    pub(super) fn end(
        &mut self,
        claim: &Claim,
        state: TaskState,
        version: Option<Timestamp>,
        patience: Duration,
        now: Duration,
    ) -> bool {
        let Some(index) = self.newer(claim, version) else { return false };
        if rank(&state) <= rank(&self.view.instances[index].state) {
            return false;
        }
        let is_over = state.is_terminal();
        let news = News { at: claim.at, came: now, bad: Bad::State(state) };
        if is_over {
            self.held.remove(&self.view.instances[index].id);
        } else if !self.can_spare(index, now) {
            self.hold(index, news, now + patience);
            return false;
        }
        self.take(index, news)
    }

    /// Whether enough servers are left without this one. If so, it counts as taken.
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

    /// Lets bad news wait. What is worse beats what waits already.
    fn hold(&mut self, index: usize, news: News, until: Duration) {
        let id = self.view.instances[index].id.clone();
        match (self.held.get_mut(&id), &news.bad) {
            (Some((held, _)), Bad::State(_)) => *held = news,
            (Some(_), Bad::Health) => {}
            (None, _) => drop(self.held.insert(id, (news, until))),
        }
    }

    /// Acts on an event that says that a task is unhealthy. Where that would leave too few, a read
    /// has `patience` to speak for the task.
    pub(super) fn sicken(
        &mut self,
        claim: &Claim,
        version: Option<Timestamp>,
        patience: Duration,
        now: Duration,
    ) -> bool {
        let Some(index) = self.newer(claim, version) else { return false };
        let instance = &self.view.instances[index];
        let stale = claim.is_before(self.successes[index]);
        // Which container of a pod it is, no event says: only where there is one to check.
        let unclear = self.view.kind == Kind::Pod
            && self.view.spec_of(instance).is_none_or(|spec| spec.health_checks != 1);
        if stale || unclear || !matches!(instance.health, Health::Up | Health::Unknown) {
            return false;
        }
        let news = News { at: claim.at, came: now, bad: Bad::Health };
        if !self.can_spare(index, now) {
            self.hold(index, news, now + patience);
            return false;
        }
        self.take(index, news)
    }

    /// An event says that a task is healthy. That is for a read to show, but what was said of its
    /// health before holds no longer.
    pub(super) fn recover(&mut self, claim: &Claim, version: Option<Timestamp>) {
        let Some(index) = self.newer(claim, version) else { return };
        let id = &self.view.instances[index].id;
        let since = |news: &News| {
            matches!(news.bad, Bad::Health)
                && !matches!((claim.at, news.at), (Some(now), Some(then)) if now < then)
        };
        if self.news.get(id).is_some_and(since) {
            self.news.remove(id);
        }
        if self.held.get(id).is_some_and(|(news, _)| since(news)) {
            self.held.remove(id);
        }
    }

    /// Acts on what has waited for a read long enough.
    pub(super) fn tick(&mut self, now: Duration) -> bool {
        let held = mem::take(&mut self.held);
        let (due, waiting) = held.into_iter().partition(|(_, (_, until))| *until <= now);
        self.held = waiting;
        let due: BTreeMap<Arc<str>, (News, Duration)> = due;
        let mut changed = false;
        for (id, (news, _)) in due {
            if let Some(index) = self.find(&id) {
                changed |= self.take(index, news);
            }
        }
        changed
    }

    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.held.values().map(|(_, until)| *until).min()
    }

    /// The instance that an event is about, if the event is newer than what is known of it.
    fn newer(&self, claim: &Claim, version: Option<Timestamp>) -> Option<usize> {
        let index = position(&self.view, &claim.id)?;
        let instance = &self.view.instances[index];
        let earlier_version = matches!((version, instance.version),
            (Some(said), Some(known)) if said < known);
        // An instance may have had other tasks before this one.
        let of_instance = instance.id != claim.id || self.view.kind == Kind::Pod;
        let started_since = of_instance
            && !matches!((claim.at, instance.started), (Some(at), Some(started)) if at > started.to_timestamp());
        (!earlier_version && !started_since).then_some(index)
    }

    fn take(&mut self, index: usize, news: News) -> bool {
        let instance = &mut Arc::make_mut(&mut self.view).instances[index];
        let before = (instance.state.clone(), instance.health);
        set(instance, &news.bad);
        let changed = before != (instance.state.clone(), instance.health);
        if !matches!(
            (&self.news.get(&instance.id), &news.bad),
            (Some(News { bad: Bad::State(_), .. }), Bad::Health)
        ) {
            self.news.insert(instance.id.clone(), news);
        }
        changed
    }
}

/// One that a deployment has started and that isn't ready can't stand in for another.
fn is_server(instance: &Instance) -> bool {
    let is_well = matches!(instance.health, Health::Up | Health::NoChecks);
    instance.state == TaskState::Running && instance.ready && is_well
}

fn set(instance: &mut Instance, bad: &Bad) {
    match bad {
        Bad::State(state) if rank(state) > rank(&instance.state) => {
            instance.state = state.clone();
        }
        Bad::State(_) => {}
        Bad::Health if instance.health == Health::NoChecks => {}
        Bad::Health => {
            instance.health = Health::Down;
            for health in &mut instance.port_health {
                if *health != Health::NoChecks {
                    *health = Health::Down;
                }
            }
        }
    }
}
