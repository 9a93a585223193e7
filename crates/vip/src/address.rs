use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use nl_ipvs::ServiceKey;
use serde::Serialize;

/// The protocols a VIP can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl From<Protocol> for nl_ipvs::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::TCP,
            Protocol::Udp => Self::UDP,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        nl_ipvs::Protocol::from(*self).fmt(f)
    }
}

/// A virtual address, port and protocol: what a client connects to.
///
/// Ordered by address, then port, then protocol, which is the order of every output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vip {
    /// The virtual address.
    pub address: IpAddr,
    /// The virtual port.
    pub port: NonZeroU16,
    /// The protocol.
    pub protocol: Protocol,
}

impl Vip {
    /// The address and port together.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port.get())
    }

    /// Every VIP that an address can have, as a range of their order.
    pub(crate) fn all_on(address: IpAddr) -> std::ops::RangeInclusive<Self> {
        let first = Self { address, port: NonZeroU16::MIN, protocol: Protocol::Tcp };
        let last = Self { address, port: NonZeroU16::MAX, protocol: Protocol::Udp };
        first..=last
    }

    /// The VIP that a service of the kernel's table could be: TCP or UDP on one address and port.
    /// `None` for firewall marks, port 0 and other protocols, which vipd never makes.
    #[must_use]
    pub fn from_key(key: &ServiceKey) -> Option<Self> {
        let ServiceKey::Address { protocol, address, port } = *key else { return None };
        let protocol = match protocol {
            nl_ipvs::Protocol::TCP => Protocol::Tcp,
            nl_ipvs::Protocol::UDP => Protocol::Udp,
            _ => return None,
        };
        Some(Self { address, port: NonZeroU16::new(port)?, protocol })
    }
}

impl From<Vip> for ServiceKey {
    fn from(vip: Vip) -> Self {
        Self::Address { protocol: vip.protocol.into(), address: vip.address, port: vip.port.get() }
    }
}

/// `3.3.0.6:3306/tcp`, `[fd01::1]:80/udp`.
impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.socket(), self.protocol))
    }
}

impl Serialize for Vip {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
