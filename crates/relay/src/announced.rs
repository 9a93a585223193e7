//! The latest announcements, for receivers that get a snapshot: it lacks something that an announcement
//! explains.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::published::{Published, Scope};
use crate::segment::Segment;

/// The time for which an announcement explains what is gone.
const ANNOUNCED: Duration = Duration::from_secs(60);
/// The most announcements that a receiver gets.
const MOST: usize = 1000;
/// The most bytes of them.
const MOST_BYTES: usize = 1 << 20;

/// The latest announcements.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    latest: VecDeque<(Duration, Published)>,
    bytes: usize,
    /// All of them for receivers of a scope, until there are others.
    joined: BTreeMap<Scope, Option<Segment>>,
}

impl Announced {
    pub(crate) fn note(&mut self, published: &Published, now: Duration) {
        self.bytes += published.segment.text().len();
        self.latest.push_back((now, published.clone()));
        self.joined.clear();
        while self.latest.len() > MOST || self.bytes > MOST_BYTES {
            self.forget_first();
        }
    }

    pub(crate) fn forget_old(&mut self, now: Duration) {
        while self.latest.front().is_some_and(|(at, _)| *at + ANNOUNCED < now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let first = self.latest.pop_front();
        self.bytes -= first.map_or(0, |(_, published)| published.segment.text().len());
        self.joined.clear();
    }

    /// Returns those for receivers of this scope. None: there are none.
    pub(crate) fn segment(&mut self, scope: Scope) -> Option<Segment> {
        let latest = &self.latest;
        let join = || {
            let told = latest.iter().map(|(_, published)| published);
            let told = told.filter(|published| scope.includes(published.scope));
            let segments = told.map(|published| &published.segment);
            segments.clone().next().map(|_| Segment::join(segments))
        };
        self.joined.entry(scope).or_insert_with(join).clone()
    }
}
