//! How far a relay knows Marathon: what it may have missed, its latest event, and since when reads fail.

use std::sync::Arc;
use std::time::Duration;

use marathon::Timestamp;

/// The knowledge that a relay has of Marathon, and its gaps.
#[derive(Debug)]
pub(super) struct Progress {
    /// The number of times that the stream was opened.
    openings: u64,
    /// After how many openings the read of everything that is under way has begun.
    reading: Option<u64>,
    is_behind: bool,
    /// The leader that sends the stream, if it is known.
    sender: Option<Arc<str>>,
    /// The latest time of an event, by the clock of the leader that sent it.
    heard: Option<Timestamp>,
    /// The same, of what was heard until something was missed.
    known: Option<Timestamp>,
    failing: Option<Failing>,
}

/// Reads that fail.
#[derive(Debug, Clone, Copy)]
struct Failing {
    since: Duration,
    /// Also the read of everything, so that no read of one app shows that it is over.
    is_whole: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            openings: 0,
            reading: None,
            is_behind: true,
            sender: None,
            heard: None,
            known: None,
            failing: None,
        }
    }
}

impl Progress {
    /// Notes that the stream is open. Nobody has told of what happened before.
    pub(super) fn note_opened(&mut self, sender: Option<Arc<str>>) {
        self.openings += 1;
        self.is_behind = true;
        self.sender = sender;
    }

    /// Notes that a read of everything begins.
    pub(super) fn note_reading(&mut self) {
        self.reading = Some(self.openings);
    }

    /// Notes that a read of everything has ended, and whether its answer is believed. It tells what was
    /// missed before the stream was opened, if it has begun since.
    pub(super) fn note_read(&mut self, is_believed: bool) {
        let reading = self.reading.take();
        if is_believed && self.openings > 0 && reading == Some(self.openings) {
            self.is_behind = false;
            self.known = self.heard;
        }
    }

    /// Tells whether something may have happened that the relay has neither heard nor read.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Notes an event. One of a leader that leads no more has the time of another clock.
    pub(super) fn note_event(&mut self, at: Option<Timestamp>, leader: Option<&Arc<str>>) {
        if self.sender.is_none() || self.sender.as_ref() == leader {
            self.heard = self.heard.max(at);
            if !self.is_behind {
                self.known = self.heard;
            }
        }
    }

    /// Notes that another server leads. Its clock is another one.
    pub(super) fn note_new_leader(&mut self) {
        (self.heard, self.known) = (None, None);
    }

    /// Returns the latest time of an event before which nothing was missed.
    pub(super) fn latest_event(&self) -> Option<Timestamp> {
        self.known
    }

    /// Notes the end of a read. Returns whether reads fail.
    pub(super) fn note_answer(&mut self, is_whole: bool, has_failed: bool, now: Duration) -> bool {
        self.failing = match self.failing {
            before if has_failed => Some(Failing {
                since: before.map_or(now, |before| before.since),
                is_whole: is_whole || before.is_some_and(|before| before.is_whole),
            }),
            before => before.filter(|before| before.is_whole && !is_whole),
        };
        self.failing.is_some()
    }

    /// Returns how long reads have failed.
    pub(super) fn unread(&self, now: Duration) -> Option<Duration> {
        self.failing.map(|failing| now.saturating_sub(failing.since))
    }
}
