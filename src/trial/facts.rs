//! What a trial found.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use vip::Protocol;

use crate::report::vips::VipReport;

/// What was tried, and what came of it.
#[derive(Debug)]
pub struct Trial {
    /// The text that was asked for, as it was written.
    pub what: String,
    /// The name that was looked up. None: an address was given.
    pub lookup: Option<Lookup>,
    /// The VIP. None: its name has no address.
    pub address: Option<SocketAddr>,
    /// The protocol.
    pub protocol: Protocol,
    /// What the agent tells of the VIP. None: no agent, or no app claims it.
    pub vip: Option<VipReport>,
    /// No agent tells of VIPs, with the reason.
    pub no_agent: Option<String>,
    /// Sentences of labels that are refused and mean this VIP.
    pub refused: Vec<String>,
    /// The connection to the VIP. None: it has no address.
    pub at_vip: Option<Timed<Outcome>>,
    /// The connections to real servers, in the order of the VIP's.
    pub servers: Vec<(SocketAddr, Timed<Outcome>)>,
    /// Sentences that say what can't be told.
    pub notes: Vec<String>,
}

/// The addresses of a name.
#[derive(Debug)]
pub struct Lookup {
    /// The name.
    pub name: String,
    /// The answer of the resolver.
    pub resolver: Answer,
    /// The answer of vipd's own name server, asked where the resolver fails: its address, and the
    /// answer.
    pub name_server: Option<(SocketAddr, Answer)>,
}

/// The addresses of a name, or why there are none.
pub type Answer = Timed<Result<Vec<IpAddr>, String>>;

/// A result with the time that it took.
#[derive(Debug, Clone)]
pub struct Timed<T> {
    /// The result.
    pub result: T,
    /// The time.
    pub took: Duration,
}

/// The end of an attempt to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Connected.
    Connected,
    /// A datagram was sent and nothing was refused, which proves little.
    Unproven,
    /// Refused: a TCP reset, or an ICMP error that the port is closed.
    Refused,
    /// This node has no route there.
    NoRoute,
    /// A router or a firewall said that the host can't be reached, or the host doesn't answer ARP.
    Unreachable,
    /// This node's firewall drops what this node sends.
    Forbidden,
    /// No answer in time.
    Silent,
    /// Another error.
    Failed(String),
}

impl Outcome {
    /// Returns whether it may be taken for success.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        matches!(self, Self::Connected | Self::Unproven)
    }

    /// Returns what people are told.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Connected => "connected".to_owned(),
            Self::Unproven => {
                "not refused; UDP can't be proved without a payload that it answers".to_owned()
            }
            Self::Refused => "refused".to_owned(),
            Self::NoRoute => "no route".to_owned(),
            Self::Unreachable => "unreachable".to_owned(),
            Self::Forbidden => "not permitted by this node's firewall".to_owned(),
            Self::Silent => "no answer".to_owned(),
            Self::Failed(why) => why.clone(),
        }
    }
}
