//! The outcomes of a batch of requests while they come in.

use super::reply::{Body, Reply};
use crate::KernelError;

/// The outcome of each request of a batch, in their order.
pub type Outcomes = Vec<Result<(), KernelError>>;

/// The outcomes of one datagram's requests, which replies name by sequence number.
pub(super) struct Batch {
    first_sequence: u32,
    outcomes: Outcomes,
}

impl Batch {
    pub(super) fn new(first_sequence: u32, count: u32) -> Self {
        Self { first_sequence, outcomes: (0..count).map(|_| Ok(())).collect() }
    }

    /// Takes in a reply. Returns true if it was the last: the last request is always answered, and
    /// answers come in order.
    pub(super) fn accept_reply(&mut self, reply: Reply<'_>) -> bool {
        let position = reply.header.sequence_number.wrapping_sub(self.first_sequence) as usize;
        let last = position + 1 == self.outcomes.len();
        match (reply.body, self.outcomes.get_mut(position)) {
            (Body::Outcome(result), Some(outcome)) => {
                *outcome = result;
                last
            }
            _ => false,
        }
    }

    /// Returns the refusal of a whole transaction, if the reply is one: it names the first message,
    /// which begins the transaction.
    pub(super) fn transaction_refusal(&self, reply: &Reply<'_>) -> Option<KernelError> {
        match &reply.body {
            Body::Outcome(Err(error)) if reply.header.sequence_number == self.first_sequence => {
                Some(error.clone())
            }
            _ => None,
        }
    }

    pub(super) fn into_outcomes(self) -> Outcomes {
        self.outcomes
    }
}
