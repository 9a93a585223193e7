//! Transactions of nftables: messages that take effect all together or not at all.

use nl_ipvs::KernelError as Refusal;
use nl_ipvs::pipeline::Pipeline;

use super::message::{self, Message};
use crate::linux::answer::{Answer, lost, refused};

/// Makes a transaction of messages.
pub(super) fn change(socket: &mut Pipeline, messages: Vec<Message>) -> Answer {
    let outcomes = socket
        .transaction(message::begin(), messages, Some(message::end()))
        .map_err(|error| lost(&error))?
        .map_err(|refusal: Refusal| refused(&refusal, None))?;
    outcomes.into_iter().collect::<Result<(), _>>().map_err(|refusal| refused(&refusal, None))
}
