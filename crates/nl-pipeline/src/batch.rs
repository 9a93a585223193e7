//! The outcomes of a batch of requests while they come in.

use std::error::Error as StdError;
use std::fmt;

use crate::reply::{Body, Reply};
use crate::{Error, KernelError};

/// The outcome of one request.
pub type Outcome = Result<(), KernelError>;

/// The outcome of each request of a batch, in their order.
pub type Outcomes = Vec<Outcome>;

/// A batch that failed, with the answers that came before.
#[derive(Debug)]
#[non_exhaustive]
pub struct BatchError<E = Error> {
    /// The outcomes of the requests that were sent, in their order; `None` where it is unknown. The
    /// requests after these were never sent.
    pub outcomes: Vec<Option<Outcome>>,
    /// The reason.
    pub error: E,
}

impl<E> BatchError<E> {
    /// Makes an error of the outcomes that are known.
    #[must_use]
    pub fn new(outcomes: Vec<Option<Outcome>>, error: E) -> Self {
        Self { outcomes, error }
    }

    /// Converts the reason.
    #[must_use]
    pub fn map<F>(self, convert: impl FnOnce(E) -> F) -> BatchError<F> {
        BatchError { outcomes: self.outcomes, error: convert(self.error) }
    }
}

impl<E: fmt::Display> fmt::Display for BatchError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// The source is that of the reason, whose text this error has.
impl<E: StdError> StdError for BatchError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

impl From<BatchError> for Error {
    fn from(failed: BatchError) -> Self {
        failed.error
    }
}

/// The outcomes of one datagram's requests, which replies name by sequence number.
pub(crate) struct Batch {
    first_sequence: u32,
    /// `None` until an answer comes. Only the last request asks for one if it succeeds.
    outcomes: Vec<Option<Outcome>>,
}

impl Batch {
    pub(crate) fn new(first_sequence: u32, count: u32) -> Self {
        Self { first_sequence, outcomes: (0..count).map(|_| None).collect() }
    }

    /// Takes in a reply. Returns true if it was the last: the last request is always answered, and
    /// answers come in order.
    pub(crate) fn accept_reply(&mut self, reply: Reply<'_>) -> bool {
        let position = reply.sequence_number.wrapping_sub(self.first_sequence) as usize;
        // `position + 1` would overflow 32 bits for an answer to the request before the first.
        let last = self.outcomes.len().checked_sub(1) == Some(position);
        match (reply.body, self.outcomes.get_mut(position)) {
            (Body::Outcome(result), Some(outcome)) => {
                *outcome = Some(result);
                last
            }
            _ => false,
        }
    }

    /// Returns the refusal of a whole transaction, if the reply is one: it names the first message,
    /// which begins the transaction.
    pub(crate) fn transaction_refusal(&self, reply: &Reply<'_>) -> Option<KernelError> {
        match &reply.body {
            Body::Outcome(Err(error)) if reply.sequence_number == self.first_sequence => {
                Some(error.clone())
            }
            _ => None,
        }
    }

    /// Returns the outcomes once the last answer has come: a request without one has succeeded.
    pub(crate) fn into_outcomes(self) -> impl Iterator<Item = Outcome> {
        self.outcomes.into_iter().map(|outcome| outcome.unwrap_or(Ok(())))
    }

    /// Returns the outcomes of a batch that ended before its last answer.
    pub(crate) fn into_answers(self) -> Vec<Option<Outcome>> {
        self.outcomes
    }
}
