//! Transactions of nftables: messages that take effect together or not at all.

use nl_pipeline::KernelError as Refusal;

use super::message::{self, Message};
use crate::linux::answer::{Answer, refused_op, unknown_outcome};
use crate::linux::netlink::Pipeline;

/// Sends messages as one transaction.
pub(super) fn commit_messages(socket: &mut Pipeline, messages: Vec<Message>) -> Answer {
    let outcomes = socket
        .transaction(message::begin_batch(), messages, Some(message::end_batch()))
        .map_err(|error| unknown_outcome(&error))?
        .map_err(|refusal: Refusal| refused_op(&refusal, None))?;
    outcomes.into_iter().collect::<Result<(), _>>().map_err(|refusal| refused_op(&refusal, None))
}
