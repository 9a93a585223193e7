//! VIPs and their protocols.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;

use nl_ipvs::ServiceKey;
use serde::{Deserialize, Serialize};

/// The protocol of a VIP.
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

/// A virtual IP address with port and protocol: the endpoint that clients connect to.
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
    /// Returns the address and port.
    #[must_use]
    pub fn socket_addr(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port.get())
    }

    /// Returns the range of all VIPs that an address can have.
    pub(crate) fn all_on(address: IpAddr) -> std::ops::RangeInclusive<Self> {
        let first = Self { address, port: NonZeroU16::MIN, protocol: Protocol::Tcp };
        let last = Self { address, port: NonZeroU16::MAX, protocol: Protocol::Udp };
        first..=last
    }

    /// Converts the key of an IPVS service. Returns `None` for firewall marks, port 0 and protocols
    /// other than TCP and UDP, which vipd never creates.
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
        f.pad(&format!("{}/{}", self.socket_addr(), self.protocol))
    }
}

/// The error for a text that is not `ADDRESS:PORT/PROTOCOL`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not ADDRESS:PORT/tcp or ADDRESS:PORT/udp")]
pub struct NoVip(String);

/// Parses the output of [`Display`](fmt::Display).
impl FromStr for Vip {
    type Err = NoVip;

    fn from_str(text: &str) -> Result<Self, NoVip> {
        let parse = || {
            let (socket, protocol) = text.rsplit_once('/')?;
            let protocol = match protocol {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                _ => return None,
            };
            let socket: SocketAddr = socket.parse().ok()?;
            let port = NonZeroU16::new(socket.port())?;
            Some(Self { address: socket.ip(), port, protocol })
        };
        parse().ok_or_else(|| NoVip(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Vip {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Vip {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vip_is_read_as_it_is_written() {
        for text in ["3.3.0.6:3306/tcp", "[fd01::6]:53/udp"] {
            assert_eq!(text.parse::<Vip>().unwrap().to_string(), text);
        }
        for text in ["3.3.0.6:3306", "3.3.0.6:0/tcp", "3.3.0.6/tcp", "3.3.0.6:80/sctp", ""] {
            assert!(text.parse::<Vip>().is_err(), "{text}");
        }
    }
}
