//! The ranges from which names get their addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nl_ipvs::Family;
use sha1::{Digest, Sha1};

use super::{VipName, phash2};

/// The ranges from which names get their addresses: one prefix for each family, or none.
///
/// The rule is that of dcos-net (`dcos_l4lb_lashup_vip_listener.erl`): the hash of the name modulo
/// the size of the range less one, added to its first address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameRange {
    v4: Option<Ipv4Net>,
    v6: Option<Ipv6Net>,
}

/// The ranges of DC/OS.
impl Default for NameRange {
    fn default() -> Self {
        Self {
            v4: Some(Ipv4Net::new_assert(Ipv4Addr::new(11, 0, 0, 0), 8)),
            v6: Some(Ipv6Net::new_assert(Ipv6Addr::new(0xfd01, 0xc, 0, 0, 0, 0, 0, 0), 64)),
        }
    }
}

/// The reason why prefixes are no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// There is no prefix.
    #[error("no prefix: give one of IPv4, one of IPv6, or both")]
    Empty,
    /// There are two prefixes of one family.
    #[error("{0} and {1} are of one family: give at most one prefix of IPv4 and one of IPv6")]
    Two(IpNet, IpNet),
    /// A prefix with too few addresses.
    #[error("{0} is too small: give a prefix of at least 4 addresses")]
    Small(IpNet),
    /// A prefix with host bits.
    #[error("{0} has host bits: write {1}")]
    HostBits(IpNet, IpNet),
}

/// The host bits that a range has at least.
const MIN_HOST_BITS: u8 = 2;

impl NameRange {
    /// Makes a range of prefixes, at most one of each family.
    ///
    /// # Errors
    /// When there is none, two of one family, or one that is too small or has host bits.
    pub fn new(prefixes: &[IpNet]) -> Result<Self, RangeError> {
        let mut range = Self { v4: None, v6: None };
        for prefix in prefixes {
            if prefix.max_prefix_len() - prefix.prefix_len() < MIN_HOST_BITS {
                return Err(RangeError::Small(*prefix));
            }
            if prefix.trunc() != *prefix {
                return Err(RangeError::HostBits(*prefix, prefix.trunc()));
            }
            let before = match prefix {
                IpNet::V4(v4) => range.v4.replace(*v4).map(IpNet::V4),
                IpNet::V6(v6) => range.v6.replace(*v6).map(IpNet::V6),
            };
            if let Some(before) = before {
                return Err(RangeError::Two(before, *prefix));
            }
        }
        if range.prefixes().next().is_none() { Err(RangeError::Empty) } else { Ok(range) }
    }

    /// Returns the prefixes.
    pub fn prefixes(&self) -> impl Iterator<Item = IpNet> {
        self.v4.map(IpNet::V4).into_iter().chain(self.v6.map(IpNet::V6))
    }

    /// Tells whether there is a prefix for a family.
    #[must_use]
    pub fn has_family(&self, family: Family) -> bool {
        self.prefixes().any(|prefix| Family::from(prefix.addr()) == family)
    }

    /// Tells whether an address lies in the range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.prefixes().any(|prefix| prefix.contains(&address))
    }

    /// Returns the address that a name's hash gives.
    #[must_use]
    pub fn base_address(&self, name: &VipName, family: Family) -> Option<IpAddr> {
        self.hash_address(name.as_str().as_bytes(), family)
    }

    /// Returns the address from which a name looks for a free one in a round. The first round begins at
    /// that of its own hash; no name can have those of the others.
    pub(crate) fn address_of_round(
        &self,
        name: &VipName,
        family: Family,
        round: usize,
    ) -> Option<IpAddr> {
        match round {
            0 => self.base_address(name, family),
            _ => self.hash_address(format!("{name}#{round}").as_bytes(), family),
        }
    }

    fn hash_address(&self, name: &[u8], family: Family) -> Option<IpAddr> {
        if family == Family::Inet {
            let range = self.v4?;
            let size = u32::from(range.broadcast()) - u32::from(range.network());
            let offset = phash2(name) % size;
            return Some(Ipv4Addr::from(u32::from(range.network()) + offset).into());
        }
        let range = self.v6?;
        let size = u128::from(range.broadcast()) - u128::from(range.network());
        let offset = remainder(&Sha1::digest(name), size);
        Some(Ipv6Addr::from(u128::from(range.network()) + offset).into())
    }

    /// Returns the address after this one; after the last comes the first. `None` for an address
    /// outside the range.
    #[must_use]
    pub fn address_after(&self, address: IpAddr) -> Option<IpAddr> {
        match address {
            IpAddr::V4(v4) => {
                let range = self.v4.filter(|range| range.contains(&v4))?;
                let is_last = v4 == range.broadcast();
                let next = if is_last { range.network() } else { (u32::from(v4) + 1).into() };
                Some(next.into())
            }
            IpAddr::V6(v6) => {
                let range = self.v6.filter(|range| range.contains(&v6))?;
                let is_last = v6 == range.broadcast();
                let next = if is_last { range.network() } else { (u128::from(v6) + 1).into() };
                Some(next.into())
            }
        }
    }
}

/// Returns a big-endian number modulo another.
fn remainder(number: &[u8], modulus: u128) -> u128 {
    // A bit at a time, so that no intermediate value exceeds 128 bits.
    let bits = number.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    bits.fold(0, |rest, bit| {
        let (doubled, carry) = rest.overflowing_add(rest);
        let shifted = doubled | u128::from(bit);
        if carry || shifted >= modulus { shifted.wrapping_sub(modulus) } else { shifted }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_wraps_from_its_last_address_to_its_first() {
        let range = NameRange::new(&["10.0.0.0/30".parse().unwrap()]).unwrap();
        let next = |address: &str| range.address_after(address.parse().unwrap());
        assert_eq!(next("10.0.0.2"), Some("10.0.0.3".parse().unwrap()));
        assert_eq!(next("10.0.0.3"), Some("10.0.0.0".parse().unwrap()));
        assert_eq!(next("10.0.0.4"), None);
        assert_eq!(next("fd01::1"), None);
    }

    #[test]
    fn prefixes_that_are_no_range_are_refused() {
        let refused = |prefixes: &[&str]| {
            let prefixes: Vec<_> = prefixes.iter().map(|each| each.parse().unwrap()).collect();
            NameRange::new(&prefixes).unwrap_err()
        };
        assert_eq!(refused(&[]), RangeError::Empty);
        assert!(matches!(refused(&["10.0.0.0/31"]), RangeError::Small(_)));
        assert!(matches!(refused(&["10.0.0.1/8"]), RangeError::HostBits(..)));
        assert!(matches!(refused(&["10.0.0.0/8", "11.0.0.0/8"]), RangeError::Two(..)));
    }

    #[test]
    fn a_remainder_is_that_of_the_whole_number() {
        assert_eq!(remainder(&[0xff; 20], 10), 5);
        assert_eq!(remainder(&300_u32.to_be_bytes(), u128::MAX), 300);
        assert_eq!(remainder(&[0xff; 16], u128::MAX), 0);
        assert_eq!(remainder(&[1; 3], 7), u128::from(0x0001_0101_u32 % 7));
    }
}
