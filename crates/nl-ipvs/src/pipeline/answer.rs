use netlink_packet_core::{NLM_F_DUMP_INTR, NetlinkDeserializable};

use super::Entries;
use super::reply::{Body, Reply};
use crate::KernelError;

/// What one request or dump has been answered with so far.
pub(super) struct Answer<I: NetlinkDeserializable> {
    sequence: u32,
    entries: Entries<I>,
    interrupted: bool,
}

pub(super) enum Progress {
    More,
    Complete,
    Refused(KernelError),
}

impl<I: NetlinkDeserializable> Answer<I> {
    pub(super) fn new(sequence: u32) -> Self {
        Self { sequence, entries: Vec::new(), interrupted: false }
    }

    pub(super) fn accept(&mut self, reply: Reply<'_>) -> Progress {
        if reply.header.sequence_number != self.sequence {
            return Progress::More;
        }
        self.interrupted |=
            reply.header.flags & NLM_F_DUMP_INTR != 0 && !matches!(reply.body, Body::Outcome(_));
        match reply.body {
            Body::Outcome(Ok(())) | Body::Done(Ok(())) => Progress::Complete,
            Body::Outcome(Err(error)) | Body::Done(Err(error)) => Progress::Refused(error),
            Body::Entry(payload) => {
                self.entries.push(I::deserialize(&reply.header, payload));
                Progress::More
            }
            Body::Noop => Progress::More,
        }
    }

    /// The entries, and whether changes interrupted the dump of them.
    pub(super) fn into_entries(self) -> (Entries<I>, bool) {
        (self.entries, self.interrupted)
    }
}
