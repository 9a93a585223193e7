//! How far a relay knows Marathon: what it may have missed, its latest event, and since when reads fail.

use std::sync::Arc;
use std::time::Duration;

use marathon::Timestamp;

/// The knowledge that a relay has of Marathon, and its gaps.
#[derive(Debug)]
pub(super) struct Progress {
    /// The number of times that the stream was opened.
    openings: u64,
    is_open: bool,
    /// The read of everything that is under way.
    reading: Option<Reading>,
    is_behind: bool,
    /// When the last read of everything began, if no stream was open from then until now.
    polled: Option<Duration>,
    /// The leader that sends the stream, if it is known.
    sender: Option<Arc<str>>,
    /// The latest time of an event, by the clock of the leader that sent it.
    heard: Option<Timestamp>,
    /// The same, of what was heard until something was missed.
    known: Option<Timestamp>,
    failing: Option<Failing>,
}

/// A read of everything.
#[derive(Debug, Clone, Copy)]
struct Reading {
    begun: Duration,
    /// After how many openings of the stream it has begun.
    openings: u64,
    /// Whether the stream was open then.
    is_open: bool,
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
            is_open: false,
            reading: None,
            is_behind: true,
            polled: None,
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
        (self.is_open, self.is_behind, self.polled) = (true, true, None);
        self.sender = sender;
    }

    /// Notes that the stream has ended. Nobody tells of what happens from now on.
    pub(super) fn note_ended(&mut self) {
        (self.is_open, self.is_behind) = (false, true);
    }

    /// Notes that a read of everything begins.
    pub(super) fn note_reading(&mut self, now: Duration) {
        let (openings, is_open) = (self.openings, self.is_open);
        self.reading = Some(Reading { begun: now, openings, is_open });
    }

    /// Notes that a read of everything has ended, and whether its answer is believed. It tells what was
    /// missed before the stream was opened, if it has begun since and the stream is still open.
    pub(super) fn note_read(&mut self, is_believed: bool) {
        let reading = self.reading.take().filter(|_| is_believed);
        let Some(Reading { begun, is_open, .. }) =
            reading.filter(|reading| reading.openings == self.openings)
        else {
            return;
        };
        match (is_open, self.is_open) {
            (true, true) => {
                self.is_behind = false;
                self.known = self.heard;
            }
            (false, false) => self.polled = Some(begun),
            // It has begun before the end of the stream, and may lack what came after.
            (true, false) | (false, true) => {}
        }
    }

    /// Tells whether something may have happened, by now, that the relay has neither heard nor read.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Returns how long ago the last read of everything began that is believed, if no event was heard since.
    pub(super) fn polled(&self, now: Duration) -> Option<Duration> {
        self.polled.map(|begun| now.saturating_sub(begun))
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
