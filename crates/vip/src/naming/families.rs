//! Address families, and the addresses that a label gives a name in each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nl_ipvs::Family;

/// Address families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// The addresses that a label `IPVS_ADDRESS` gives a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pins {
    /// The IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// The IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

impl Families {
    /// IPv4 alone.
    pub const V4: Self = Self { v4: true, v6: false };

    /// Returns those of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { v4: self.v4 || other.v4, v6: self.v6 || other.v6 }
    }

    /// Tells whether a family is among them, or none is.
    pub(crate) fn is_or_lacks(self, family: Family) -> bool {
        self == Self::default() || self.iter().any(|each| each == family)
    }

    /// Iterates over the families.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        let v4 = self.v4.then_some(Family::Inet);
        v4.into_iter().chain(self.v6.then_some(Family::Inet6))
    }
}

impl Pins {
    /// Returns the address of a family.
    #[must_use]
    pub fn in_family(self, family: Family) -> Option<IpAddr> {
        match family {
            Family::Inet => self.v4.map(IpAddr::V4),
            Family::Inet6 => self.v6.map(IpAddr::V6),
        }
    }

    /// Adds an address. Returns whether there was none of its family.
    pub(crate) fn add(&mut self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.v4.replace(v4).is_none(),
            IpAddr::V6(v6) => self.v6.replace(v6).is_none(),
        }
    }
}
