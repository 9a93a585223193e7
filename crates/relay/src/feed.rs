//! The sender's half of the stream.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use marathon::{Labels, Spec, Workload, WorkloadKey};

use crate::announced::Announced;
use crate::published::{Published, Scope};
use crate::record::{Epoch, Hello, Position, Record, SCHEMA};
use crate::segment::{Encoder, Segment};
use crate::status::MarathonStatus;

#[derive(Debug)]
struct Listed {
    workload: Arc<Workload>,
    published: Published,
}

/// What a relay has to tell: the believed apps and pods, and the latest records.
#[derive(Debug)]
pub struct Feed {
    epoch: Epoch,
    /// The number of the last record.
    last: u64,
    encoder: Encoder,
    listed: BTreeMap<WorkloadKey, Listed>,
    is_complete: bool,
    /// The latest records without a gap, for receivers that were away for a moment.
    recent: VecDeque<Published>,
    recent_bytes: usize,
    announced: Announced,
    /// The latest snapshots, until something changes.
    snapshots: BTreeMap<Scope, Arc<[Segment]>>,
    /// The length of the records that receivers of each scope hold.
    held: BTreeMap<Scope, usize>,
    /// Apps and pods whose records would be too long, or more than receivers take in all, with the length.
    /// Their records only say that they exist, so that receivers keep what they know of them.
    /// Whoever compares it with an earlier one shares it: it is copied only when it changes.
    left_out: Arc<BTreeMap<WorkloadKey, usize>>,
}

/// The start of a stream: what the receiver gets first, in this order.
#[derive(Debug, Clone)]
pub struct Start {
    /// The record `hello`.
    pub hello: Segment,
    /// What was missed, or everything. All receivers of a snapshot share the list.
    pub segments: Arc<[Segment]>,
    /// The latest announcements, which explain what a snapshot lacks.
    pub announced: Option<Segment>,
    /// The relay's word on Marathon.
    pub end: Segment,
    /// The receiver gets what it has missed, and not everything.
    pub is_resumed: bool,
}

impl Start {
    /// Iterates over all segments in order.
    pub fn all(&self) -> impl Iterator<Item = &Segment> {
        [&self.hello].into_iter().chain(&*self.segments).chain(&self.announced).chain([&self.end])
    }
}

impl Feed {
    /// Creates a feed without anything.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            last: 0,
            encoder: Encoder::default(),
            listed: BTreeMap::new(),
            is_complete: false,
            recent: VecDeque::new(),
            recent_bytes: 0,
            announced: Announced::default(),
            snapshots: BTreeMap::new(),
            held: BTreeMap::new(),
            left_out: Arc::default(),
        }
    }

    /// Returns the apps and pods of which it is told only that they exist, since their records would be too
    /// long, or too much in all; each with the length of its record.
    #[must_use]
    pub fn left_out(&self) -> &Arc<BTreeMap<WorkloadKey, usize>> {
        &self.left_out
    }

    /// Returns those of them whose records have room by now: [`Feed::replace`] takes them.
    #[must_use]
    pub fn fitting(&self) -> Vec<WorkloadKey> {
        let has_room = |(key, length): &(&WorkloadKey, &usize)| {
            let listed = self.listed.get(*key);
            listed.is_some_and(|it| self.has_room(listed, **length, it.published.scope))
        };
        self.left_out.iter().filter(has_room).map(|(key, _)| key.clone()).collect()
    }

    /// Returns the place of the last record.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch.clone(), number: self.last }
    }

    /// Tells whether everything was read once: only then does [`Feed::start_stream`] answer.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Notes that everything was read: an app or pod that isn't listed doesn't exist.
    pub fn set_complete(&mut self) {
        self.is_complete = true;
    }

    /// Tells whether an app or pod is listed for receivers of this scope.
    #[must_use]
    pub fn lists(&self, key: &WorkloadKey, scope: Scope) -> bool {
        self.listed.get(key).is_some_and(|listed| scope.includes(listed.published.scope))
    }

    /// Returns the number of apps and pods that receivers of this scope get.
    #[must_use]
    pub fn count(&self, scope: Scope) -> usize {
        self.listed.values().filter(|listed| scope.includes(listed.published.scope)).count()
    }

    /// Returns the keys of all listed apps and pods.
    pub fn keys(&self) -> impl Iterator<Item = &WorkloadKey> {
        self.listed.keys()
    }

    /// Replaces an app or pod. `scope` tells whether it has VIP labels. Returns the record, unless
    /// nothing has changed.
    pub fn replace(&mut self, workload: &Arc<Workload>, scope: Scope) -> Option<Published> {
        let key = workload.key();
        let before = self.listed.get(&key);
        if before.is_some_and(|before| {
            Arc::ptr_eq(&before.workload, workload) || before.workload == *workload
        }) {
            take_back(&mut self.left_out, &key);
            return None;
        }
        let text = Record::Workload(Arc::clone(workload)).to_sse(&self.epoch, self.last + 1);
        // Receivers have to learn that the labels are gone, and what becomes of the tasks.
        let scope = before.map_or(scope, |before| before.published.scope.min(scope));
        if self.has_room(before, text.len(), scope) {
            take_back(&mut self.left_out, &key);
            return Some(self.list(key, Arc::clone(workload), text, scope));
        }
        leave_out(&mut self.left_out, &key, text.len());
        let stub = Arc::new(stub_of(workload));
        if before.is_some_and(|before| before.workload == stub) {
            return None;
        }
        let text = Record::Workload(Arc::clone(&stub)).to_sse(&self.epoch, self.last + 1);
        Some(self.list(key, stub, text, scope))
    }

    /// Publishes an app or pod once more, if it is listed: a reading shows that it is as it was, though
    /// an event said otherwise.
    pub fn confirm(&mut self, key: &WorkloadKey) -> Option<Published> {
        let listed = self.listed.get(key)?;
        let (workload, scope) = (Arc::clone(&listed.workload), listed.published.scope);
        let text = Record::Workload(Arc::clone(&workload)).to_sse(&self.epoch, self.last + 1);
        Some(self.list(key.clone(), workload, text, scope))
    }

    /// Publishes the record of an app or pod, which is part of snapshots from now on.
    fn list(
        &mut self,
        key: WorkloadKey,
        workload: Arc<Workload>,
        text: String,
        scope: Scope,
    ) -> Published {
        let published = self.publish_text(text, scope);
        let before = self.listed.insert(key, Listed { workload, published: published.clone() });
        self.count_held(before.as_ref().map(|before| &before.published), Some(&published));
        self.snapshots.clear();
        published
    }

    /// Tells whether receivers take a record of this length, in place of one: as much text as one answer of
    /// Marathon has. The last part of it is for changes of what is listed as a whole, and for those that
    /// have no room.
    fn has_room(&self, before: Option<&Listed>, length: usize, scope: Scope) -> bool {
        let is_whole = before.is_some_and(|before| before.workload.tasks_known);
        let room = if is_whole { caps::ANSWER } else { caps::ANSWER - caps::ANSWER / 8 };
        let mut scopes = [Scope::Vips, Scope::All].into_iter().filter(|of| of.includes(scope));
        length <= caps::WORKLOAD_MEMORY
            && scopes.all(|of| {
                let former = length_for(of, before.map(|before| &before.published));
                let held = self.held.get(&of).copied().unwrap_or_default();
                length <= former || held - former + length <= room
            })
    }

    /// Counts a record that receivers hold from now on, in place of another.
    fn count_held(&mut self, before: Option<&Published>, after: Option<&Published>) {
        for of in [Scope::Vips, Scope::All] {
            let held = self.held.entry(of).or_default();
            *held = *held + length_for(of, after) - length_for(of, before);
        }
    }

    /// Removes an app or pod. Returns the record, if it was listed.
    pub fn remove(&mut self, key: &WorkloadKey) -> Option<Published> {
        take_back(&mut self.left_out, key);
        let listed = self.listed.remove(key)?;
        self.count_held(Some(&listed.published), None);
        self.snapshots.clear();
        Some(self.publish(&Record::Removed(key.clone()), listed.published.scope))
    }

    /// Publishes a record that is no part of a snapshot: an event or an announcement.
    pub fn publish(&mut self, record: &Record, scope: Scope) -> Published {
        self.publish_text(record.to_sse(&self.epoch, self.last + 1), scope)
    }

    /// Publishes the text of a record that has the next number.
    fn publish_text(&mut self, text: String, scope: Scope) -> Published {
        self.last += 1;
        let segment = self.encoder.encode(text);
        let published = Published { number: self.last, scope, segment };
        self.recent_bytes += published.segment.text().len();
        self.recent.push_back(published.clone());
        while self.recent.len() > caps::RELAY_RECENT
            || self.recent_bytes > caps::RELAY_RECENT_BYTES && self.recent.len() > 1
        {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.recent_bytes -= oldest.segment.text().len();
        }
        published
    }

    /// Notes that a published record announces a change: receivers get it with their snapshots for a minute.
    pub fn note_announced(&mut self, published: &Published, now: Duration) {
        self.announced.note(published, now);
    }

    /// Forgets what was announced too long ago to explain anything.
    pub fn forget_announced(&mut self, now: Duration) {
        self.announced.forget_old(now);
    }

    /// Encodes a record for whoever listens now. It has the number of the last record, and nobody
    /// gets it later.
    pub fn encode_passing(&mut self, record: &Record) -> Segment {
        self.encoder.encode(record.to_sse(&self.epoch, self.last))
    }

    /// Returns the first segments for a new receiver: `hello`, then what was published since its
    /// position, or else everything and the latest announcements; at the end the relay's word on
    /// Marathon. None: not everything is known yet.
    pub fn start_stream(
        &mut self,
        position: Option<&Position>,
        scope: Scope,
        status: MarathonStatus,
    ) -> Option<Start> {
        if !self.is_complete {
            return None;
        }
        let first = position.and_then(|position| self.first_after(position));
        let is_resumed = first.is_some();
        let hello = Hello { schema: SCHEMA, epoch: self.epoch.clone(), resumed: is_resumed };
        let passing = |record: &Record| Segment::stored(record.to_sse(&self.epoch, self.last));
        let hello = passing(&Record::Hello(hello));
        let (segments, end) = match first {
            Some(first) => {
                let missed = segments_for(scope, self.recent.iter().skip(first));
                (missed, passing(&Record::Heartbeat(status)))
            }
            None => {
                let end = passing(&Record::Complete(status));
                (self.snapshot(scope), end)
            }
        };
        let announced = if is_resumed { None } else { self.announced.segment(scope) };
        Some(Start { hello, segments, announced, end, is_resumed })
    }

    /// Returns the records of all apps and pods for receivers of this scope.
    fn snapshot(&mut self, scope: Scope) -> Arc<[Segment]> {
        let listed = &self.listed;
        let list = || segments_for(scope, listed.values().map(|listed| &listed.published));
        Arc::clone(self.snapshots.entry(scope).or_insert_with(list))
    }

    /// Returns the index of the first recent record after a position. None: some are forgotten, or
    /// the position is another relay's.
    fn first_after(&self, position: &Position) -> Option<usize> {
        if position.epoch != self.epoch || position.number > self.last {
            return None;
        }
        let behind = usize::try_from(self.last - position.number).ok()?;
        self.recent.len().checked_sub(behind)
    }
}

/// Returns the length of a record, if there is one, for receivers of this scope.
fn length_for(scope: Scope, record: Option<&Published>) -> usize {
    let record = record.filter(|record| scope.includes(record.scope));
    record.map_or(0, |record| record.segment.text().len())
}

fn leave_out(all: &mut Arc<BTreeMap<WorkloadKey, usize>>, key: &WorkloadKey, length: usize) {
    if all.get(key) != Some(&length) {
        Arc::make_mut(all).insert(key.clone(), length);
    }
}

fn take_back(all: &mut Arc<BTreeMap<WorkloadKey, usize>>, key: &WorkloadKey) {
    if all.contains_key(key) {
        Arc::make_mut(all).remove(key);
    }
}

/// Returns what says no more of an app or pod than that it exists.
fn stub_of(workload: &Workload) -> Workload {
    let spec = Spec {
        labels: Labels::default(),
        ports: Vec::new(),
        unused_ports: Vec::new(),
        ..Spec::clone(&workload.spec)
    };
    Workload {
        id: Arc::clone(&workload.id),
        kind: workload.kind,
        path: "$".to_owned(),
        spec: Arc::new(spec),
        instances: Vec::new(),
        tasks_known: false,
        deploying: false,
        suspended: false,
        damaged: false,
    }
}

fn segments_for<'a>(
    scope: Scope,
    published: impl Iterator<Item = &'a Published>,
) -> Arc<[Segment]> {
    let told = published.filter(|published| scope.includes(published.scope));
    told.map(|published| published.segment.clone()).collect()
}
