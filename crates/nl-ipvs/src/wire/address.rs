//! Addresses in messages.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::value::Value;
use crate::Family;

/// An address in a message (`union nf_inet_addr`).
///
/// The kernel writes 16 bytes for both families, an IPv4 address in the first four. It reads
/// four as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RawAddress {
    /// IPv4 only.
    Short([u8; 4]),
    /// Either family. Only the family attribute beside it tells which.
    Long([u8; 16]),
}

impl RawAddress {
    /// Converts to an address of the family, if there are enough bytes for one.
    #[must_use]
    pub fn to_ip(self, family: Family) -> Option<IpAddr> {
        match (family, self) {
            (Family::Inet, Self::Short(v4)) => Some(Ipv4Addr::from(v4).into()),
            (Family::Inet, Self::Long([a, b, c, d, ..])) => Some(Ipv4Addr::new(a, b, c, d).into()),
            (Family::Inet6, Self::Long(v6)) => Some(Ipv6Addr::from(v6).into()),
            (Family::Inet6, Self::Short(_)) => None,
        }
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if let Ok(short) = bytes.try_into() {
            return Some(Self::Short(short));
        }
        bytes.try_into().ok().map(Self::Long)
    }

    pub(super) fn wire_value(&self) -> Value<'_> {
        match self {
            Self::Short(bytes) => Value::Bytes(bytes),
            Self::Long(bytes) => Value::Bytes(bytes),
        }
    }
}

impl From<IpAddr> for RawAddress {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::Short(v4.octets()),
            IpAddr::V6(v6) => Self::Long(v6.octets()),
        }
    }
}
