//! The answer to a single request or dump while it comes in.

use netlink_packet_core::{NLM_F_DUMP_INTR, NetlinkHeader};

use super::reply::{Body, Reply};
use crate::KernelError;

/// The answer to one request or dump so far.
pub(super) struct Answer<T, R> {
    sequence: u32,
    read: R,
    entries: Vec<T>,
    interrupted: bool,
}

/// The state of an answer after a reply.
pub(super) enum Progress {
    More,
    Complete,
    Refused(KernelError),
}

impl<T, R: Fn(&NetlinkHeader, &[u8]) -> T> Answer<T, R> {
    pub(super) fn new(sequence: u32, read: R) -> Self {
        Self { sequence, read, entries: Vec::new(), interrupted: false }
    }

    pub(super) fn accept_reply(&mut self, reply: Reply<'_>) -> Progress {
        if reply.header.sequence_number != self.sequence {
            return Progress::More;
        }
        self.interrupted |=
            reply.header.flags & NLM_F_DUMP_INTR != 0 && !matches!(reply.body, Body::Outcome(_));
        match reply.body {
            Body::Outcome(Ok(())) | Body::Done(Ok(())) => Progress::Complete,
            Body::Outcome(Err(error)) | Body::Done(Err(error)) => Progress::Refused(error),
            Body::Entry(payload) => {
                self.entries.push((self.read)(&reply.header, payload));
                Progress::More
            }
            Body::Noop => Progress::More,
        }
    }

    /// Returns the entries, and true if changes interrupted the dump.
    pub(super) fn into_entries(self) -> (Vec<T>, bool) {
        (self.entries, self.interrupted)
    }
}
