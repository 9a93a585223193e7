//! Addresses with a special meaning, and whether each may be a VIP or a real server.
//!
//! Both rules stand here, so that one can change without the other: [`Policy`](crate::Policy) asks
//! about VIPs, and [`select_servers`](crate::select_servers) about real servers.

use std::fmt;
use std::net::IpAddr;

/// A kind of address that has a special meaning on every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialAddress {
    /// `0.0.0.0`, `::`.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// `169.254.0.0/16`.
    LinkLocalV4,
    /// `fe80::/10`.
    LinkLocalV6,
    /// `0.0.0.0/8`.
    ThisNetwork,
    /// `240.0.0.0/4`.
    ClassE,
}

impl SpecialAddress {
    /// Classifies an address; `None` for an ordinary unicast address.
    #[must_use]
    pub fn from_address(address: IpAddr) -> Option<Self> {
        if address.is_unspecified() {
            return Some(Self::Unspecified);
        }
        if address.is_loopback() {
            return Some(Self::Loopback);
        }
        if address.is_multicast() {
            return Some(Self::Multicast);
        }
        match address {
            IpAddr::V4(v4) if v4.is_broadcast() => Some(Self::Broadcast),
            IpAddr::V4(v4) if v4.is_link_local() => Some(Self::LinkLocalV4),
            IpAddr::V4(v4) if v4.octets()[0] == 0 => Some(Self::ThisNetwork),
            IpAddr::V4(v4) if v4.octets()[0] >= 240 => Some(Self::ClassE),
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(Self::LinkLocalV6),
            _ => None,
        }
    }

    /// Tells whether an address of this kind may be a VIP.
    #[must_use]
    pub fn may_be_vip(self) -> bool {
        match self {
            Self::Unspecified
            | Self::Loopback
            | Self::Multicast
            | Self::Broadcast
            | Self::LinkLocalV4
            | Self::LinkLocalV6
            | Self::ThisNetwork
            | Self::ClassE => false,
        }
    }

    /// Tells whether an address of this kind may be that of a real server.
    #[must_use]
    pub fn may_be_real_server(self) -> bool {
        match self {
            // An agent that calls itself 127.0.0.1 is a cluster of one, or a test.
            Self::Loopback => true,
            Self::Unspecified
            | Self::Multicast
            | Self::Broadcast
            | Self::LinkLocalV4
            | Self::LinkLocalV6
            | Self::ThisNetwork
            | Self::ClassE => false,
        }
    }
}

/// Writes a noun phrase, such as `a loopback address`.
impl fmt::Display for SpecialAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "the unspecified address",
            Self::Loopback => "a loopback address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::LinkLocalV4 | Self::LinkLocalV6 => "a link-local address",
            Self::ThisNetwork => "in 0.0.0.0/8, \"this network\"",
            Self::ClassE => "in 240.0.0.0/4, class E",
        })
    }
}
