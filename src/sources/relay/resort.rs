//! A relay that is behind, and is followed all the same because no relay is better.

use std::time::Duration;

use relay::MarathonStatus;

use super::link::is_heard;
use super::timing::{ANSWER, SILENCE};

/// The last resort of an agent once no relay has caught up with what the last one told.
#[derive(Debug)]
pub(super) struct LastResort {
    /// Relays that were tried in vain since one was followed that had caught up.
    tried: usize,
    /// The place of the relay that is followed, or was last.
    place: usize,
    /// Whether that one is behind, so that another one is better.
    is_in_use: bool,
    /// That one can't know less by now than the agent.
    knows_all: bool,
    /// What the agent knows of others is no newer: of other relays, of Marathon itself, of an earlier run.
    others_until: Duration,
}

impl LastResort {
    pub(super) fn new(now: Duration) -> Self {
        Self { tried: 0, place: 0, is_in_use: false, knows_all: false, others_until: now }
    }

    /// Notes that a relay was left before it was followed.
    pub(super) fn note_tried(&mut self) {
        self.tried = self.tried.saturating_add(1);
    }

    /// Notes that a relay is followed no more.
    pub(super) fn note_lost(&mut self, now: Duration) {
        self.others_until = self.others_until.max(now);
    }

    /// Notes that Marathon itself is read.
    pub(super) fn note_direct_read(&mut self, now: Duration) {
        self.knows_all = false;
        self.others_until = self.others_until.max(now + ANSWER);
    }

    /// Tells whether all the other relays were tried, so that the one at hand is the last resort.
    pub(super) fn is_due(&self, relays: usize) -> bool {
        self.tried + 1 >= relays
    }

    /// Notes that a relay is followed that has caught up with what the agent knows. If it is behind
    /// Marathon, another one is better.
    pub(super) fn note_followed(&mut self, place: usize, is_behind: bool) {
        (self.tried, self.place) = (0, place);
        (self.is_in_use, self.knows_all) = (is_behind, true);
    }

    /// Notes that a relay is followed as a last resort. The round counts on: after a break, the agent
    /// doesn't begin another one.
    pub(super) fn note_used(&mut self, place: usize) {
        self.knows_all &= place == self.place;
        (self.place, self.is_in_use) = (place, true);
    }

    /// Notes what the relay that is followed has just said. Tells whether another one is better, since this
    /// one may be behind. Once it has caught up, it is as good as any.
    pub(super) fn note_status(&mut self, status: &MarathonStatus, now: Duration) -> bool {
        if is_heard(status) && !status.behind {
            self.note_followed(self.place, false);
        }
        // What it says is never older than the silence after which it is left.
        let polled = status.polled_ms.map(|age| Duration::from_millis(age) + SILENCE);
        let begun = polled.and_then(|age| now.checked_sub(age));
        self.knows_all |= begun.is_some_and(|begun| self.others_until < begun);
        self.is_in_use
    }

    /// Tells whether what the relay has read may be older than what the agent knows, so that it would
    /// bring servers back that are dead. What it hears and reads from now on is not.
    pub(super) fn is_doubtful(&self) -> bool {
        !self.knows_all
    }
}
