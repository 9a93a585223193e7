//! What the state machine has the prober do, and what it hears back.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A probe to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Send an ICMP echo request.
    Echo {
        /// The host.
        host: IpAddr,
        /// The sequence number of the request, which the reply repeats.
        sequence: u16,
    },
    /// Open a TCP connection and close it at once.
    Connect {
        /// The real server.
        server: SocketAddr,
        /// The time that it has to answer.
        patience: Duration,
    },
}

/// The result of a connection to a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectResult {
    /// The host accepted or refused it: it is alive.
    Answered,
    /// Nothing came back in time.
    Silent,
    /// It could not be tried.
    Untried,
}
