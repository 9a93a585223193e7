//! Counts of what the name server did.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::base::iana::OptRcode;

use crate::query::Transport;

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Counters {
    counts: [AtomicU64; EVENTS.len()],
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A query over UDP.
    Udp,
    /// A query over TCP.
    Tcp,
    /// A query or connection of somebody who isn't answered.
    Stranger,
    /// A message that can't be answered.
    Malformed,
    /// An answer without an error.
    Answered,
    /// An answer that a name doesn't exist.
    Missing,
    /// An answer that a query can't be answered now.
    Failed,
    /// An answer that a query isn't for us, or with another error.
    Refused,
    /// A query that was forwarded.
    Forwarded,
    /// An upstream server that gave no answer.
    UpstreamFailed,
}

/// All that is counted, with the words for it.
const EVENTS: [(Event, &str); 10] = [
    (Event::Udp, "over UDP"),
    (Event::Tcp, "over TCP"),
    (Event::Stranger, "of strangers"),
    (Event::Malformed, "malformed"),
    (Event::Answered, "answered"),
    (Event::Missing, "for names that don't exist"),
    (Event::Failed, "failed"),
    (Event::Refused, "refused"),
    (Event::Forwarded, "forwarded"),
    (Event::UpstreamFailed, "without an upstream's answer"),
];

impl Counters {
    /// Counts an event.
    pub fn count_event(&self, event: Event) {
        self.counts[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a query.
    pub(crate) fn count_query(&self, transport: Transport) {
        self.count_event(match transport {
            Transport::Udp => Event::Udp,
            Transport::Tcp => Event::Tcp,
        });
    }

    /// Counts an answer.
    pub(crate) fn count_answer(&self, rcode: OptRcode) {
        self.count_event(match rcode {
            OptRcode::NOERROR => Event::Answered,
            OptRcode::NXDOMAIN => Event::Missing,
            OptRcode::SERVFAIL => Event::Failed,
            _ => Event::Refused,
        });
    }

    /// Returns the count of an event.
    #[must_use]
    pub fn read_count(&self, event: Event) -> u64 {
        self.counts[event as usize].load(Ordering::Relaxed)
    }

    /// Describes all counts in a line.
    #[must_use]
    pub fn describe_counts(&self) -> String {
        let counts = EVENTS.map(|(event, words)| format!("{} {words}", self.read_count(event)));
        format!("queries: {}", counts.join(", "))
    }
}
