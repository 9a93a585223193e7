//! Decisions of a relay: what to read from Marathon, what to believe, and what to pass on. Pure.
//!
//! It believes as an agent does, except that it doubts nothing: it passes on an answer that lacks
//! most of what was there, and each agent doubts it for itself.

mod condition;
mod progress;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use marathon::client::with_sources;
use marathon::events::{Change, Event};
use marathon::watch::{Action, Config, Input, ReadOutcome, State, count_hosts};
use marathon::{Kind, WorkloadKey};
use relay::{Epoch, Feed, MarathonStatus, Position, Published, Record, Scope, Start};

use super::notices::Condition;
use crate::sources::marathon::messages::Message;
use progress::Progress;

/// The number of instances whose records take so little time that what goes ahead may wait for them:
/// about a millisecond. Two records on their way to thousands of agents cost twice as much as one.
const FEW: usize = 100;

/// The age at which a relay that hears nothing of Marathon is not ready. Marathon sends a heartbeat
/// every 10 s.
const SILENCE_MS: u64 = 30_000;

/// The results of one message.
#[derive(Debug, Default)]
pub(super) struct RelayStep {
    /// Requests to Marathon.
    pub(super) actions: Vec<Action>,
    /// Records for the agents, in order: an event comes before what follows from it.
    pub(super) published: Vec<Published>,
}

/// A relay's knowledge of one Marathon.
#[derive(Debug)]
pub(super) struct RelayCore {
    watch: State,
    wakes_at: Duration,
    feed: Feed,
    status: MarathonStatus,
    progress: Progress,
    /// Apps and pods of which bad news was passed on that no record has followed yet.
    unconfirmed: BTreeSet<WorkloadKey>,
    /// The servers that Marathon depends on.
    servers: BTreeSet<String>,
    /// The time of the last byte from Marathon.
    heard_at: Option<Duration>,
    /// The condition that the log was told.
    told: Condition,
}

impl RelayCore {
    /// Creates a relay that knows nothing. `relays` is the number of readers of this Marathon.
    pub(super) fn new(epoch: Epoch, urls: NonZeroUsize, relays: u32, seed: u64) -> Self {
        let now = Duration::ZERO;
        let config = Config { urls, agents: Some(relays), seed, doubt: Duration::ZERO };
        Self {
            watch: State::new(&config, now),
            wakes_at: now,
            feed: Feed::new(epoch),
            status: MarathonStatus::default(),
            progress: Progress::default(),
            unconfirmed: BTreeSet::new(),
            servers: BTreeSet::new(),
            heard_at: None,
            told: Condition::default(),
        }
    }

    /// Returns the time at which [`RelayCore::tick`] is due.
    pub(super) fn wake_at(&self) -> Duration {
        self.wakes_at
    }

    /// Tells whether everything was read once.
    pub(super) fn is_complete(&self) -> bool {
        self.feed.is_complete()
    }

    /// Returns the number of apps and pods that agents of this scope get.
    pub(super) fn count(&self, scope: Scope) -> usize {
        self.feed.count(scope)
    }

    /// Returns the place of the last record.
    pub(super) fn position(&self) -> Position {
        self.feed.position()
    }

    /// Returns what is known of Marathon now.
    pub(super) fn status(&self, now: Duration) -> MarathonStatus {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        MarathonStatus {
            latest_event: self.progress.latest_event(),
            silent_ms: self.heard_at.map(|heard| millis(now.saturating_sub(heard))),
            unread_ms: self.progress.unread(now).map(millis),
            polled_ms: self.progress.polled(now).map(millis),
            behind: self.progress.is_behind(),
            ..self.status.clone()
        }
    }

    /// Returns why agents do better with another relay.
    pub(super) fn unready_reason(&self, now: Duration) -> Option<String> {
        let status = self.status(now);
        let (is_unread, read_error) = (status.is_unread(), status.read_error);
        if !self.is_complete() {
            let why = read_error.unwrap_or_else(|| "no whole answer yet".to_owned());
            return Some(format!("Marathon was not read yet: {why}"));
        }
        match (status.stream_error, status.silent_ms, read_error) {
            (Some(why), ..) => Some(format!("Marathon's events don't come: {why}")),
            (None, Some(silent), _) if silent > SILENCE_MS => {
                Some(format!("Marathon has said nothing for {} s", silent / 1000))
            }
            (None, _, Some(why)) if is_unread => Some(format!("Marathon can't be read: {why}")),
            _ if status.behind => {
                let why = "Marathon was not read since its events come again";
                Some(why.to_owned())
            }
            _ => None,
        }
    }

    /// Makes a heartbeat for whoever listens now. It has the number of the last record.
    pub(super) fn heartbeat(&mut self, now: Duration) -> Published {
        let status = self.status(now);
        let segment = self.feed.encode_passing(&Record::Heartbeat(status));
        Published { number: self.position().number, scope: Scope::Vips, segment }
    }

    /// Returns the first segments for a new agent. None: not everything is known yet.
    pub(super) fn start_stream(
        &mut self,
        position: Option<&Position>,
        scope: Scope,
        now: Duration,
    ) -> Option<Start> {
        let status = MarathonStatus { servers: self.servers.clone(), ..self.status(now) };
        self.feed.forget_announced(now);
        self.feed.start_stream(position, scope, status)
    }

    /// Passes on that somebody accepts what the last answer lacks.
    pub(super) fn announce_acceptance(&mut self) -> Published {
        self.feed.publish(&Record::Accepted, Scope::Vips)
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Duration) -> RelayStep {
        let mut step = RelayStep::default();
        if self.wakes_at <= now {
            let before = self.troubles();
            self.advance(Input::Tick, now, &mut step, &mut |_| {});
            self.tell_troubles(&before, now, &mut step);
        }
        step
    }

    /// Takes in a message from Marathon. A change of what agents judge this relay by is told ahead of the
    /// rest: they must not refuse what follows because of trouble that is over. What goes ahead is
    /// published by `ahead` if the rest takes a while to encode.
    pub(super) fn on_message(
        &mut self,
        message: Message,
        now: Duration,
        ahead: &mut dyn FnMut(Vec<Published>),
    ) -> RelayStep {
        let before = self.troubles();
        let mut step = RelayStep::default();
        let input = match message {
            Message::Servers(servers) => {
                self.servers = servers.into_iter().take(caps::ADDRESSES * 4).collect();
                return step;
            }
            // A relay follows none.
            Message::Told { .. } | Message::ToldAll { .. } | Message::Accepted => return step,
            Message::Opened { stream, leader, .. } => {
                self.status.stream_error = None;
                self.note_heard(leader.as_deref(), now);
                self.progress.note_opened(self.status.leader.clone());
                Input::Opened { stream, leader }
            }
            Message::Bytes { stream } => {
                self.heard_at = Some(now);
                Input::Bytes { stream }
            }
            Message::Event { stream, event } => {
                self.heard_at = Some(now);
                self.progress.note_event(event.at, self.status.leader.as_ref());
                step.published.extend(self.pass_on(&event, now));
                Input::Event { stream, event }
            }
            Message::Ended { stream, why } => {
                self.status.stream_error = Some(cut_reason(&why));
                self.progress.note_ended();
                Input::Ended { stream }
            }
            Message::ReadEverything { answer, leader } => {
                let answer = answer.map_err(|error| with_sources(&error));
                self.note_answer(true, answer.as_ref().err(), leader.as_deref(), now);
                if let Ok(snapshot) = &answer {
                    self.status.framework.clone_from(&snapshot.framework);
                    self.status.framework_name.clone_from(&snapshot.framework_name);
                    let hosts = count_hosts(snapshot.workloads.iter().map(Arc::as_ref));
                    self.status.hosts = Some(hosts.into());
                }
                Input::ReadEverything { answer: answer.ok(), leader }
            }
            Message::Read { key, answer, leader } => {
                let answer = answer.map_err(|error| with_sources(&error));
                self.note_answer(false, answer.as_ref().err(), leader.as_deref(), now);
                let answer = match answer {
                    Ok(Some(workload)) => ReadOutcome::Found(workload),
                    Ok(None) => ReadOutcome::Missing,
                    Err(_) => ReadOutcome::Failed,
                };
                Input::Read { key, answer, leader }
            }
        };
        self.tell_troubles(&before, now, &mut step);
        let before = self.troubles();
        self.advance(input, now, &mut step, ahead);
        // Whoever is told that it has caught up takes what it has read as all there is.
        self.tell_troubles(&before, now, &mut step);
        step
    }

    /// Returns what agents judge this relay by.
    fn troubles(&self) -> Troubles {
        let MarathonStatus { stream_error, read_error, leader, .. } = &self.status;
        Troubles {
            is_deaf: stream_error.is_some(),
            fails_to_read: read_error.is_some(),
            is_behind: self.progress.is_behind(),
            leader: leader.clone(),
        }
    }

    /// Publishes a heartbeat if the troubles have changed.
    fn tell_troubles(&mut self, before: &Troubles, now: Duration, step: &mut RelayStep) {
        if self.troubles() != *before {
            step.published.push(self.heartbeat(now));
        }
    }

    fn note_heard(&mut self, leader: Option<&str>, now: Duration) {
        self.heard_at = Some(now);
        let Some(leader) = leader else { return };
        if self.status.leader.as_deref().is_some_and(|before| before != leader) {
            self.progress.note_new_leader();
        }
        self.status.leader = Some(leader.into());
    }

    fn note_answer(
        &mut self,
        is_whole: bool,
        error: Option<&String>,
        leader: Option<&str>,
        now: Duration,
    ) {
        let still_fails = self.progress.note_answer(is_whole, error.is_some(), now);
        match error {
            Some(why) => self.status.read_error = Some(cut_reason(why)),
            None if still_fails => {}
            None => self.status.read_error = None,
        }
        if error.is_none() {
            self.note_heard(leader, now);
        }
    }

    /// Publishes an event that agents may act on before the relay has read anything: bad news, and
    /// announcements, which tell them later why something went.
    fn pass_on(&mut self, event: &Event, now: Duration) -> Option<Published> {
        let ids: BTreeSet<&str> = match &event.change {
            Change::State { of, .. } | Change::Health { of, .. } => {
                if !self.watch.is_bad_news(event) {
                    return None;
                }
                [of.workload.as_str()].into()
            }
            Change::Touched(touched) => touched.iter().map(|touched| touched.id.as_str()).collect(),
            Change::Posted(touched) | Change::Removed(touched) => [touched.id.as_str()].into(),
            Change::Group(_) | Change::Unreadable | Change::Other => return None,
        };
        let scope = ids.iter().filter_map(|id| self.scope_of(id)).min()?;
        let is_news = matches!(event.change, Change::State { .. } | Change::Health { .. });
        if is_news {
            let keys = ids.iter().flat_map(|id| keys_of(id));
            self.unconfirmed.extend(keys.filter(|key| self.feed.lists(key, Scope::All)));
        }
        let published = self.feed.publish(&Record::Event(event.clone()), scope);
        if !is_news {
            self.feed.note_announced(&published, now);
        }
        Some(published)
    }

    /// Returns the agents that know an app or pod of this id.
    fn scope_of(&self, id: &str) -> Option<Scope> {
        let keys = keys_of(id);
        let lists = |scope| keys.iter().any(|key| self.feed.lists(key, scope));
        [Scope::Vips, Scope::All].into_iter().find(|scope| lists(*scope))
    }

    fn advance(
        &mut self,
        input: Input,
        now: Duration,
        step: &mut RelayStep,
        ahead: &mut dyn FnMut(Vec<Published>),
    ) {
        let is_whole = matches!(input, Input::ReadEverything { .. });
        let read: BTreeSet<WorkloadKey> = match &input {
            Input::ReadEverything { answer: Some(_), .. } => mem::take(&mut self.unconfirmed),
            Input::Read { key, answer: ReadOutcome::Found(_), .. } => {
                self.unconfirmed.take(key).into_iter().collect()
            }
            _ => BTreeSet::new(),
        };
        let update = self.watch.handle_input(input, now);
        self.wakes_at = update.wake_at;
        if is_whole {
            self.progress.note_read(update.whole);
        }
        self.note_actions(&update.actions, now);
        step.actions.extend(update.actions);
        let long = read.union(&update.changed).filter_map(|key| self.watch.get(key));
        if !step.published.is_empty() && long.map(|each| each.instances.len()).sum::<usize>() > FEW
        {
            ahead(mem::take(&mut step.published));
        }
        // An answer that lacks most of what was there is for the agents to doubt, as a whole.
        let is_whole = is_whole && !update.changed.is_empty();
        if is_whole {
            step.published.push(self.feed.publish(&Record::WholeBegins, Scope::Vips));
        }
        // Agents wait for the record of bad news, also where the reading doesn't show it.
        let unchanged = read.iter().filter(|key| !update.changed.contains(*key));
        step.published.extend(unchanged.filter_map(|key| self.feed.confirm(key)));
        for key in update.changed {
            self.unconfirmed.remove(&key);
            step.published.extend(self.publish_workload(&key));
        }
        for key in self.feed.fitting() {
            step.published.extend(self.publish_workload(&key));
        }
        if is_whole {
            step.published.push(self.feed.publish(&Record::WholeEnds, Scope::Vips));
        }
        let coverage = self.watch.coverage();
        if coverage.apps && coverage.pods {
            self.feed.set_complete();
        }
    }

    /// Notes what is asked of Marathon.
    fn note_actions(&mut self, actions: &[Action], now: Duration) {
        for action in actions {
            match action {
                // Answers to reads show no longer that events would come.
                Action::Close => {
                    let why = "the stream was silent, or of a server that leads no more";
                    self.status.stream_error.get_or_insert_with(|| why.to_owned());
                    self.progress.note_ended();
                }
                Action::ReadEverything => self.progress.note_reading(now),
                Action::Open { .. } | Action::Read(_) => {}
            }
        }
    }

    /// Publishes what is believed of an app or pod.
    fn publish_workload(&mut self, key: &WorkloadKey) -> Option<Published> {
        let Some(workload) = self.watch.get(key) else { return self.feed.remove(key) };
        let scope = if workload.has_vip_labels() { Scope::Vips } else { Scope::All };
        self.feed.replace(&Arc::clone(workload), scope)
    }

    /// Returns the apps and pods whose records would be too long, or too much in all, each with the length of
    /// its record.
    pub(super) fn left_out(&self) -> &BTreeMap<WorkloadKey, usize> {
        self.feed.left_out()
    }
}

/// The troubles by which agents judge a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Troubles {
    is_deaf: bool,
    fails_to_read: bool,
    is_behind: bool,
    leader: Option<Arc<str>>,
}

fn keys_of(id: &str) -> [WorkloadKey; 2] {
    [Kind::App, Kind::Pod].map(|kind| WorkloadKey { kind, id: id.into() })
}

fn cut_reason(why: &str) -> String {
    caps::cut_text(why, caps::REASON).into_owned()
}

#[cfg(test)]
mod tests;
