//! Between the follower and its connection: the clocks of a step, and orders.

use std::time::Duration;

use marathon::watch::Action;
use relay::Position;

use super::super::marathon::messages::Message;

/// The clocks of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// The time since any fixed moment.
    pub(crate) at: Duration,
    /// Seconds since 1970, which all agents count alike.
    pub(crate) second: u64,
}

/// An order to the connection.
#[derive(Debug)]
pub(crate) enum Order {
    /// Open the stream of this relay, after this position.
    Connect { relay: usize, position: Option<Position> },
    /// Close it. Nothing of it is taken in any more.
    Disconnect,
    /// Tell the source. Messages of the stream keep their order.
    Tell(Message),
    /// Ask Marathon itself.
    Ask(Action),
    /// Ask whether this relay is ready.
    Probe { relay: usize },
}
