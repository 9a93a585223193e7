//! Layer-4 protocols and address families.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::parse_error::parse_number;
use crate::ParseError;

/// A layer-4 protocol, by its IP protocol number.
///
/// The kernel takes any number (`IPVS_SVC_ATTR_PROTOCOL`, a `u16` in host byte order) but
/// balances only those it has a module for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u16);

impl Protocol {
    /// `IPPROTO_TCP`.
    pub const TCP: Self = Self(6);
    /// `IPPROTO_UDP`.
    pub const UDP: Self = Self(17);
    /// `IPPROTO_SCTP`.
    pub const SCTP: Self = Self(132);
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TCP => f.pad("tcp"),
            Self::UDP => f.pad("udp"),
            Self::SCTP => f.pad("sctp"),
            Self(number) => f.pad(&number.to_string()),
        }
    }
}

/// Parses `tcp`, `udp`, `sctp` or a number.
impl FromStr for Protocol {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tcp" => Ok(Self::TCP),
            "udp" => Ok(Self::UDP),
            "sctp" => Ok(Self::SCTP),
            number => parse_number(number)
                .map(Self)
                .ok_or_else(|| ParseError::new(text, "a protocol: tcp, udp, sctp or a number")),
        }
    }
}

/// An address family, `AF_INET` or `AF_INET6`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Family {
    /// IPv4 (`AF_INET`, 2).
    Inet,
    /// IPv6 (`AF_INET6`, 10).
    Inet6,
}

impl From<IpAddr> for Family {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Inet,
            IpAddr::V6(_) => Self::Inet6,
        }
    }
}

/// Formats as `IPv4` or `IPv6`.
impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Inet => "IPv4",
            Self::Inet6 => "IPv6",
        })
    }
}
