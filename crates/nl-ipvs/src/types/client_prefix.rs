//! The part of a client's address that persistence compares.

use std::fmt;

use super::Family;
use super::parse_error::parse_number;

/// The part of a client's address that persistence compares: the whole address, or its leading bits.
///
/// A netmask on the wire for IPv4, a prefix length for IPv6. The kernel refuses a service with a
/// prefix of the other family (`EINVAL`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClientPrefix(Prefix);

/// Fewer bits than the whole address has, so that each prefix has one form only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
enum Prefix {
    #[default]
    Whole,
    V4(u8),
    V6(u8),
}

/// A length that no prefix of the family has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("/{len} cannot be the prefix of a client's {family} address: it has {range} bits")]
pub struct PrefixError {
    len: u8,
    family: Family,
    range: &'static str,
}

impl ClientPrefix {
    /// The whole address, in both families.
    pub const WHOLE: Self = Self(Prefix::Whole);

    /// Makes a prefix of IPv4 addresses, of 0 to 32 bits.
    ///
    /// # Errors
    /// When there are more.
    pub const fn v4(len: u8) -> Result<Self, PrefixError> {
        Self::new(Family::Inet, len)
    }

    /// Makes a prefix of IPv6 addresses, of 1 to 128 bits.
    ///
    /// # Errors
    /// When there are none or more.
    pub const fn v6(len: u8) -> Result<Self, PrefixError> {
        Self::new(Family::Inet6, len)
    }

    /// Makes a prefix of addresses of a family.
    ///
    /// # Errors
    /// As with [`v4`](Self::v4) and [`v6`](Self::v6).
    pub const fn new(family: Family, len: u8) -> Result<Self, PrefixError> {
        match (family, len) {
            (Family::Inet, 32) | (Family::Inet6, 128) => Ok(Self::WHOLE),
            (Family::Inet, 0..=31) => Ok(Self(Prefix::V4(len))),
            (Family::Inet6, 1..=127) => Ok(Self(Prefix::V6(len))),
            (Family::Inet, _) => Err(PrefixError { len, family, range: "0 to 32" }),
            (Family::Inet6, _) => Err(PrefixError { len, family, range: "1 to 128" }),
        }
    }

    /// Returns the number of bits in addresses of a family; `None` if the prefix is one of the other
    /// family.
    #[must_use]
    pub const fn len(self, family: Family) -> Option<u8> {
        match (family, self.0) {
            (Family::Inet, Prefix::Whole) => Some(32),
            (Family::Inet6, Prefix::Whole) => Some(128),
            (Family::Inet, Prefix::V4(len)) | (Family::Inet6, Prefix::V6(len)) => Some(len),
            (Family::Inet, Prefix::V6(_)) | (Family::Inet6, Prefix::V4(_)) => None,
        }
    }
}

/// Formats as `whole`, `v4/24` or `v6/64`.
impl fmt::Display for ClientPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Prefix::Whole => f.pad("whole"),
            Prefix::V4(len) => f.pad(&format!("v4/{len}")),
            Prefix::V6(len) => f.pad(&format!("v6/{len}")),
        }
    }
}

/// Parses what [`Display`](fmt::Display) writes.
impl std::str::FromStr for ClientPrefix {
    type Err = crate::ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || crate::ParseError::new(text, "a client prefix: `whole`, `v4/24` or `v6/64`");
        let (family, len) = match text.split_once('/') {
            None if text == "whole" => return Ok(Self::WHOLE),
            Some(("v4", len)) => (Family::Inet, len),
            Some(("v6", len)) => (Family::Inet6, len),
            _ => return Err(error()),
        };
        let len = parse_number(len).ok_or_else(error)?;
        Self::new(family, len).map_err(|_| error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_as_many_bits_as_its_family_allows() {
        assert_eq!(
            ClientPrefix::v4(64).unwrap_err().to_string(),
            "/64 cannot be the prefix of a client's IPv4 address: it has 0 to 32 bits"
        );
        assert!(ClientPrefix::v6(0).is_err());
        assert!(ClientPrefix::v6(129).is_err());
        assert_eq!(ClientPrefix::v4(0).unwrap().len(Family::Inet), Some(0));
    }

    #[test]
    fn all_bits_are_the_whole_address_in_either_family() {
        assert_eq!(ClientPrefix::v4(32), Ok(ClientPrefix::WHOLE));
        assert_eq!(ClientPrefix::v6(128), Ok(ClientPrefix::WHOLE));
        assert_eq!(ClientPrefix::WHOLE.len(Family::Inet), Some(32));
        assert_eq!(ClientPrefix::WHOLE.len(Family::Inet6), Some(128));
        assert_eq!(ClientPrefix::v4(24).unwrap().len(Family::Inet6), None);
    }
}
