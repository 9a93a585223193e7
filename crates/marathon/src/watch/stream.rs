//! The state of the connection to the event stream: when to open it, at which URL, and when to
//! close it.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::backoff::Backoff;
use super::jitter::Jitter;
use super::messages::{Action, StreamId};

/// Timeout of a silent stream. Marathon sends a heartbeat every 10 s.
const SILENCE: Duration = Duration::from_secs(35);

/// A stream that ends sooner came from a server that doesn't lead: it answers 200 and closes.
const SHORT: Duration = Duration::from_secs(5);

/// Longest time until a stream that was open is opened again: meanwhile nothing is heard.
const REOPEN: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Stream {
    phase: Phase,
    id: StreamId,
    url: usize,
    urls: NonZeroUsize,
    backoff: Backoff,
    /// The leader that sent the last stream.
    leader: Option<String>,
}

#[derive(Debug)]
enum Phase {
    Closed { until: Duration },
    Opening { since: Duration },
    Open { since: Duration, heard: Duration, leader: Option<String> },
}

impl Stream {
    pub(super) fn new(urls: NonZeroUsize, now: Duration) -> Self {
        let (first, most) = (Duration::from_secs(1), Duration::from_secs(60));
        Self {
            phase: Phase::Closed { until: now },
            id: StreamId(0),
            url: 0,
            urls,
            backoff: Backoff::new(first, most, Duration::from_secs(60)),
            leader: None,
        }
    }

    /// Tells whether a new stream has another leader than the last one: then every agent has opened
    /// a new one.
    pub(super) fn is_of_other_than(&self, leader: Option<&str>) -> bool {
        matches!((&self.leader, leader), (Some(before), Some(leader)) if before != leader)
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    /// Marks the stream as open. False: it is not the one being opened.
    pub(super) fn mark_opened(
        &mut self,
        id: StreamId,
        leader: Option<String>,
        now: Duration,
    ) -> bool {
        let opening = matches!(self.phase, Phase::Opening { .. }) && id == self.id;
        if opening {
            self.leader.clone_from(&leader);
            self.phase = Phase::Open { since: now, heard: now, leader };
        }
        opening
    }

    /// Notes that bytes arrived. False: it is not the open stream, and its events don't count.
    pub(super) fn mark_heard(&mut self, id: StreamId, now: Duration) -> bool {
        match &mut self.phase {
            Phase::Open { heard, .. } if id == self.id => {
                *heard = now;
                true
            }
            _ => false,
        }
    }

    /// Marks the stream as closed: it could not be opened, or it ended. False: it is an old one.
    pub(super) fn mark_ended(&mut self, id: StreamId, now: Duration, jitter: &mut Jitter) -> bool {
        let short = match self.phase {
            _ if id != self.id => return false,
            Phase::Closed { .. } => return false,
            Phase::Opening { .. } => true,
            Phase::Open { since, .. } => now.saturating_sub(since) < SHORT,
        };
        self.close_connection(short, now, jitter);
        true
    }

    /// Notes the leader that an answer names. A stream from another server is dead or gets no
    /// events, and is closed: then true.
    pub(super) fn note_leader(&mut self, named: &str, now: Duration, jitter: &mut Jitter) -> bool {
        let changed = matches!(&self.phase,
            Phase::Open { leader: Some(leader), .. } if leader != named);
        if changed {
            self.close_connection(false, now, jitter);
        }
        changed
    }

    fn close_connection(&mut self, elsewhere: bool, now: Duration, jitter: &mut Jitter) {
        let delay = match self.phase {
            Phase::Open { since, .. } => {
                let held = now.saturating_sub(since);
                self.backoff.next_delay_within(REOPEN, held, jitter)
            }
            Phase::Opening { .. } | Phase::Closed { .. } => {
                self.backoff.next_delay(Duration::ZERO, jitter)
            }
        };
        if elsewhere {
            self.url = (self.url + 1) % self.urls;
        }
        self.phase = Phase::Closed { until: now + delay };
    }

    pub(super) fn start_due(
        &mut self,
        now: Duration,
        jitter: &mut Jitter,
        actions: &mut Vec<Action>,
    ) {
        if self.wake_at() > now {
            return;
        }
        if let Phase::Closed { .. } = self.phase {
            self.id.0 += 1;
            self.phase = Phase::Opening { since: now };
            actions.push(Action::Open { stream: self.id, url: self.url });
        } else {
            actions.push(Action::Close);
            self.close_connection(true, now, jitter);
        }
    }

    pub(super) fn wake_at(&self) -> Duration {
        match self.phase {
            Phase::Closed { until } => until,
            Phase::Opening { since } => since + SILENCE,
            Phase::Open { heard, .. } => heard + SILENCE,
        }
    }
}
