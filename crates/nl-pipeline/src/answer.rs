//! The answer to a single request or dump while it comes in.

use crate::KernelError;
use crate::flags::NLM_F_DUMP_INTR;
use crate::reply::{Body, Entry, Reply};

/// The answer to one request or dump so far.
pub(crate) struct Answer<T, R> {
    sequence: u32,
    read: R,
    entries: Vec<T>,
    interrupted: bool,
}

/// The state of an answer after a reply.
pub(crate) enum Progress {
    More,
    Complete,
    Refused(KernelError),
}

impl<T, R: FnMut(Entry<'_>) -> T> Answer<T, R> {
    pub(crate) fn new(sequence: u32, read: R) -> Self {
        Self { sequence, read, entries: Vec::new(), interrupted: false }
    }

    pub(crate) fn accept_reply(&mut self, reply: Reply<'_>) -> Progress {
        if reply.sequence_number != self.sequence {
            return Progress::More;
        }
        self.interrupted |=
            reply.flags & NLM_F_DUMP_INTR != 0 && !matches!(reply.body, Body::Outcome(_));
        match reply.body {
            Body::Outcome(Ok(())) | Body::Done(Ok(())) => Progress::Complete,
            Body::Outcome(Err(error)) | Body::Done(Err(error)) => Progress::Refused(error),
            Body::Entry(entry) => {
                self.entries.push((self.read)(entry));
                Progress::More
            }
            Body::Noop => Progress::More,
        }
    }

    /// Returns the entries, and true if changes interrupted the dump.
    pub(crate) fn into_entries(self) -> (Vec<T>, bool) {
        (self.entries, self.interrupted)
    }
}
