//! Settings of the operator that shape the table beside the labels.

use std::net::Ipv4Addr;

use ipnet::IpNet;
use nl_ipvs::Timeouts;

use crate::Policy;
use crate::naming::NameSettings;
use crate::nft::Modes;

/// Settings of the operator that shape the table beside the labels. Commands and the agent decide by
/// the same ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableSettings {
    /// The policy on VIP addresses.
    pub policy: Policy,
    /// The source of connections to IPv4 VIPs. `None`: that of the route to the real servers.
    pub source: Option<Ipv4Addr>,
    /// The IPVS connection timeouts; 0 leaves one unchanged.
    pub timeouts: Timeouts,
    /// The modes of our nftables rules.
    pub modes: Modes,
    /// The prefixes of VIPs that our rules in the node's own firewall let in.
    pub let_in: Vec<IpNet>,
    /// Where named VIPs get their addresses; `None` if they are not served.
    pub names: Option<NameSettings>,
}
