//! Settings of the operator that shape the table beside the labels.

use std::net::Ipv4Addr;

use ipnet::IpNet;
use nl_ipvs::Timeouts;

use crate::Policy;
use crate::nft::Modes;

/// Settings of the operator that shape the table beside the labels. Commands and the agent decide by
/// the same ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableSettings {
    /// Which addresses may be VIPs.
    pub policy: Policy,
    /// The source of the node's own connections to IPv4 VIPs, where nftables can't translate
    /// addresses. `None`: that of the way to the real servers.
    pub source: Option<Ipv4Addr>,
    /// The time after which idle connections are forgotten; 0 leaves it as it is.
    pub timeouts: Timeouts,
    /// The rules of nftables.
    pub modes: Modes,
    /// The VIPs that the node's own firewall is to let in, by rules of vipd's.
    pub let_in: Vec<IpNet>,
}
