//! What the source wants of Marathon, and its answers: from a relay, or from Marathon itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use marathon::events::{Change, Event};
use marathon::watch::{Action, StreamId};
use marathon::{Kind, Snapshot, Workload, WorkloadKey};
use relay::{MarathonStatus, Mirror};

use super::super::marathon::messages::{Message, ReadError};
use super::link::is_heard;
use super::orders::{Now, Order};
use super::timing::{ANNOUNCED, NEWS, READ};

/// The most announcements that are kept for a source without a stream.
const MAX_MISSED: usize = 1000;

/// The stream that the source wants.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    stream: StreamId,
    is_open: bool,
}

/// What the source has asked for and not got yet.
#[derive(Debug, Default)]
pub(super) struct Demand {
    stream: Option<Wanted>,
    everything: bool,
    /// Apps and pods, and since when they are wanted.
    keys: BTreeMap<WorkloadKey, Duration>,
    /// The ids of those of which the relay has told bad news since their last record, and when.
    news: BTreeMap<String, Duration>,
    /// Somebody has accepted a loss at the relay, before the source was told of it.
    accepted: bool,
    /// Announcements that came while the source had no stream, and when.
    missed: VecDeque<(Duration, Event)>,
    /// The source has not read what the relay has told as a whole, and doesn't know that it should.
    unread: bool,
}

impl Demand {
    /// Notes a request of the source.
    pub(super) fn note(&mut self, request: Action, now: Now) {
        match request {
            Action::Open { stream, .. } => self.stream = Some(Wanted { stream, is_open: false }),
            Action::Close => self.stream = None,
            Action::ReadEverything => self.everything = true,
            Action::Read(key) => drop(self.keys.entry(key).or_insert(now.at)),
        }
    }

    /// Notes whether somebody has accepted a loss at a relay that is followed from now on: what the
    /// source reads next is to be believed.
    pub(super) fn note_acceptance(&mut self, is_accepted: bool) {
        self.accepted |= is_accepted;
    }

    /// Notes that something has gone since: nobody has accepted that.
    pub(super) fn forget_acceptance(&mut self) {
        self.accepted = false;
    }

    /// Tells whether a read waits.
    pub(super) fn has_reads(&self) -> bool {
        self.everything || !self.keys.is_empty()
    }

    /// Returns the stream, once it is open.
    fn open_stream(&self) -> Option<StreamId> {
        self.stream.filter(|wanted| wanted.is_open).map(|wanted| wanted.stream)
    }

    /// Opens the stream that the source wants, if Marathon is heard through the relay. The source is told
    /// first what was announced meanwhile: it explains what the source doesn't find any more.
    pub(super) fn open(&mut self, status: &MarathonStatus, now: Now, orders: &mut Vec<Order>) {
        if let Some(Wanted { stream, is_open }) = &mut self.stream
            && !*is_open
            && is_heard(status)
        {
            *is_open = true;
            let leader = status.leader.as_deref().map(str::to_owned);
            let stream = *stream;
            orders.push(Order::Tell(Message::Opened { stream, leader, relay: None }));
            let missed = self.missed.drain(..);
            let recent = missed.filter(|(told_at, _)| now.at <= *told_at + ANNOUNCED);
            let tell = |(_, event)| Order::Tell(Message::Event { stream, event });
            orders.extend(recent.map(tell));
        }
    }

    /// Ends the stream, if it is open.
    pub(super) fn end(&mut self, why: &str, orders: &mut Vec<Order>) {
        self.forget_acceptance();
        if let Some(stream) = self.open_stream() {
            self.stream = None;
            orders.push(Order::Tell(Message::Ended { stream, why: why.to_owned() }));
        }
    }

    /// Shows that the stream is alive, or opens it.
    pub(super) fn beat(&mut self, status: &MarathonStatus, now: Now, orders: &mut Vec<Order>) {
        match self.open_stream() {
            Some(stream) => orders.push(Order::Tell(Message::Bytes { stream })),
            None => self.open(status, now, orders),
        }
    }

    /// Notes bad news. What the mirror has of its app or pod is older, and must not refute it.
    pub(super) fn note_news(&mut self, event: &Event, mirror: &Mirror, now: Now) {
        let (Change::State { of, .. } | Change::Health { of, .. }) = &event.change else { return };
        let key = |kind| WorkloadKey { kind, id: of.workload.as_str().into() };
        if [Kind::App, Kind::Pod].into_iter().any(|kind| mirror.get(&key(kind)).is_some()) {
            self.news.insert(of.workload.clone(), now.at);
        }
    }

    /// Notes that a record came. None: all of them.
    pub(super) fn note_record(&mut self, key: Option<&WorkloadKey>) {
        match key {
            Some(key) => drop(self.news.remove(&*key.id)),
            None => self.news.clear(),
        }
    }

    /// Passes on an event. A source without a stream has to read everything once it has one again, and is
    /// told then what was announced.
    pub(super) fn tell_event(&mut self, event: Event, now: Now, orders: &mut Vec<Order>) {
        if let Some(stream) = self.open_stream() {
            orders.push(Order::Tell(Message::Event { stream, event }));
            return;
        }
        self.unread = true;
        if matches!(event.change, Change::Posted(_) | Change::Removed(_) | Change::Touched(_)) {
            if self.missed.len() >= MAX_MISSED {
                self.missed.pop_front();
            }
            self.missed.push_back((now.at, event));
        }
    }

    /// Notes that the mirror has been told as a whole: the source has to judge it as a whole.
    pub(super) fn note_whole(&mut self) {
        self.unread = true;
    }

    /// Has the source read everything at once, from the mirror, unless it knows that already.
    pub(super) fn tell_whole(&mut self, orders: &mut Vec<Order>) {
        if let Some(stream) = self.open_stream().filter(|_| self.unread) {
            self.unread = false;
            orders.push(Order::Tell(Message::ToldAll { stream }));
        }
    }

    /// Passes on an app or pod that has changed. A source without a stream has to read everything once it
    /// has one again.
    pub(super) fn tell_workload(
        &mut self,
        key: WorkloadKey,
        mirror: &Mirror,
        orders: &mut Vec<Order>,
    ) {
        let Some(stream) = self.open_stream() else { return self.note_whole() };
        let workload = mirror.get(&key).map(Arc::clone);
        orders.push(Order::Tell(Message::Told { stream, key, workload }));
    }

    /// Answers the reads from what a relay has told. Those of which it has told bad news since wait.
    pub(super) fn answer(
        &mut self,
        mirror: &Mirror,
        status: &MarathonStatus,
        now: Now,
        orders: &mut Vec<Order>,
    ) {
        self.news.retain(|_, told_at| now.at < *told_at + NEWS);
        let leader = || status.leader.as_deref().map(str::to_owned);
        if std::mem::take(&mut self.everything) {
            self.unread = false;
            let answer = Ok(self.snapshot(mirror, status));
            orders.push(Order::Tell(Message::ReadEverything { answer, leader: leader() }));
            if std::mem::take(&mut self.accepted) {
                orders.push(Order::Tell(Message::Accepted));
            }
        }
        for (key, asked_at) in std::mem::take(&mut self.keys) {
            let answer = if !self.news.contains_key(&*key.id) {
                Ok(mirror.get(&key).map(Arc::clone))
            } else if now.at < asked_at + READ {
                self.keys.insert(key, asked_at);
                continue;
            } else {
                Err(ReadError::Relay(
                    "the relay has not read it since the last bad news".to_owned(),
                ))
            };
            orders.push(Order::Tell(Message::Read { key, answer, leader: leader() }));
        }
    }

    /// Returns what a relay has told as an answer of Marathon's. It says nothing of the tasks of which there
    /// is bad news since: what the mirror has of them would refute it.
    fn snapshot(&self, mirror: &Mirror, status: &MarathonStatus) -> Snapshot {
        let mut all = mirror.to_snapshot(status);
        if !self.news.is_empty() {
            let has_news = |workload: &&mut Arc<Workload>| self.news.contains_key(&*workload.id);
            for workload in all.workloads.iter_mut().filter(has_news) {
                Arc::make_mut(workload).tasks_known = false;
            }
        }
        all
    }

    /// Has the reads fail. The source waits before it tries again, unless it is told that it may.
    pub(super) fn fail(&mut self, why: &str, orders: &mut Vec<Order>) {
        self.unread = true;
        self.forget_acceptance();
        let error = || ReadError::Relay(why.to_owned());
        if std::mem::take(&mut self.everything) {
            let answer = Err(error());
            orders.push(Order::Tell(Message::ReadEverything { answer, leader: None }));
        }
        for key in std::mem::take(&mut self.keys).into_keys() {
            orders.push(Order::Tell(Message::Read { key, answer: Err(error()), leader: None }));
        }
    }

    /// Has Marathon itself answer the reads.
    pub(super) fn ask_marathon(&mut self, orders: &mut Vec<Order>) {
        self.unread = true;
        self.forget_acceptance();
        if std::mem::take(&mut self.everything) {
            orders.push(Order::Ask(Action::ReadEverything));
        }
        let keys = std::mem::take(&mut self.keys);
        orders.extend(keys.into_keys().map(|key| Order::Ask(Action::Read(key))));
    }
}
