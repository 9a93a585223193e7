//! Values of VIP labels: `ADDRESS:PORT` or `NAME:PORT`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;

/// The value of a VIP label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VipRef {
    /// An address and port.
    Address(IpAddr, NonZeroU16),
    /// A name and port.
    Named(VipName, NonZeroU16),
}

/// The name of a named VIP: letters, digits and `-._/`, as `/mysql` or `group/app`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VipName(String);

impl VipName {
    /// Returns the name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VipName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The error for an invalid value of a VIP label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No colon in the value.
    #[error("no port: write ADDRESS:PORT, such as 3.3.0.6:3306")]
    MissingPort,
    /// Nothing before the colon.
    #[error("no address before the port: write ADDRESS:PORT, such as 3.3.0.6:3306")]
    MissingAddress,
    /// No valid port after the last colon.
    #[error("port {0:?} is not a number from 1 to 65535")]
    BadPort(String),
    /// A misspelt address; not taken for a name.
    #[error("{0:?} looks like an IP address but is not one")]
    BadAddress(String),
    /// A label beyond the limit for one port.
    #[error("the port has over 64 VIP labels already: those after them are not read")]
    TooMany,
    /// Neither an address nor a name.
    #[error("{0:?} is neither an IP address nor a name of letters, digits, '-', '.', '_' and '/'")]
    BadName(String),
}

impl std::str::FromStr for VipRef {
    type Err = ValueError;

    /// Splits at the last colon: an address (IPv6 with or without brackets) or a name, and a port.
    fn from_str(value: &str) -> Result<Self, ValueError> {
        let (left, right) = value.rsplit_once(':').ok_or(ValueError::MissingPort)?;
        if left.is_empty() {
            return Err(ValueError::MissingAddress);
        }
        let port = parse_port(right).ok_or_else(|| ValueError::BadPort(right.to_owned()))?;
        if let Some(address) = parse_address(left)? {
            return Ok(Self::Address(address, port));
        }
        let name = left.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/".contains(&b))
            && left.bytes().any(|b| b.is_ascii_alphanumeric());
        if name {
            Ok(Self::Named(VipName(left.to_owned()), port))
        } else {
            Err(ValueError::BadName(left.to_owned()))
        }
    }
}

/// Parses a port of digits only; `u16::from_str` would accept `+80` too.
fn parse_port(text: &str) -> Option<NonZeroU16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Parses an address. Returns `Ok(None)` if the text doesn't resemble one, and may thus be a name.
fn parse_address(text: &str) -> Result<Option<IpAddr>, ValueError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        // `::ffff:1.2.3.4` means that IPv4 address: IPVS would never see such an IPv6 packet.
        return Ok(Some(address.to_canonical()));
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = bracketed.and_then(|inner| inner.parse::<Ipv6Addr>().ok()) {
        return Ok(Some(IpAddr::from(address).to_canonical()));
    }
    if text.contains(['[', ']', ':']) || looks_like_ipv4(text) {
        return Err(ValueError::BadAddress(text.to_owned()));
    }
    Ok(None)
}

/// Tells whether a text resembles an IPv4 address: nothing but digits, dots and blanks, such as
/// `256.1.1.1`, `1.2.3`, `1.2.3.4 ` or `3306`, perhaps with a prefix length.
fn looks_like_ipv4(text: &str) -> bool {
    let text = text.split('/').next().unwrap_or(text);
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<VipRef, ValueError> {
        value.parse()
    }

    fn ip(address: &str, port: u16) -> VipRef {
        VipRef::Address(address.parse().unwrap(), NonZeroU16::new(port).unwrap())
    }

    fn named(name: &str, port: u16) -> VipRef {
        VipRef::Named(VipName(name.to_owned()), NonZeroU16::new(port).unwrap())
    }

    #[test]
    fn addresses() {
        for (value, expected) in [
            ("3.3.0.6:3306", ip("3.3.0.6", 3306)),
            ("1.2.3.4:5000", ip("1.2.3.4", 5000)),
            ("fd01:c::254:10000", ip("fd01:c::254", 10000)),
            ("[fd01::1]:80", ip("fd01::1", 80)),
            ("fd01::1:80", ip("fd01::1", 80)),
            ("0.0.0.0:1000", ip("0.0.0.0", 1000)),
            ("[::ffff:3.3.0.6]:80", ip("3.3.0.6", 80)),
            ("9.9.9.9:65535", ip("9.9.9.9", 65535)),
        ] {
            assert_eq!(read(value), Ok(expected), "{value}");
        }
    }

    #[test]
    fn names() {
        for (value, expected) in [
            ("/mysql:3306", named("/mysql", 3306)),
            ("name:80", named("name", 80)),
            ("group/app:80", named("group/app", 80)),
            ("/group/app:80", named("/group/app", 80)),
            ("/api.hello-world:80", named("/api.hello-world", 80)),
            ("endpoint-name:1000", named("endpoint-name", 1000)),
            ("merp:5000", named("merp", 5000)),
            ("ephemeral-store:8087", named("ephemeral-store", 8087)),
            ("1app:80", named("1app", 80)),
        ] {
            assert_eq!(read(value), Ok(expected), "{value}");
        }
    }

    #[test]
    fn missing_parts() {
        assert_eq!(read("missing-port"), Err(ValueError::MissingPort));
        assert_eq!(read("endpoint-name"), Err(ValueError::MissingPort));
        assert_eq!(read(""), Err(ValueError::MissingPort));
        assert_eq!(read(":80"), Err(ValueError::MissingAddress));
        assert_eq!(read(":9090"), Err(ValueError::MissingAddress));
    }

    #[test]
    fn ports_are_1_to_65535_in_plain_digits() {
        for value in [
            "x: 80",
            "x:http",
            "x:0",
            "x:-1",
            "x:+80",
            "x:70000",
            "x:",
            "0.0.0.0:port",
            "0.0.0.0:10000000",
            "x:80 ",
            "x:٨٠",
        ] {
            assert!(matches!(read(value), Err(ValueError::BadPort(_))), "{value}");
        }
    }

    #[test]
    fn a_mistyped_address_is_never_a_name() {
        for value in [
            "256.1.1.1:80",
            "1.2.3:80",
            "1.2.3.4 :80",
            " 1.2.3.4:80",
            "1.2.3.4.5:80",
            "1.2.3.4.:80",
            "1.2.3.4/32:80",
            "01.2.3.4:80",
            "3306:3306",
            "[1.2.3.4]:80",
            "[fd01::1:80",
            "fd01::g:80",
            "[]:80",
            "1:2:3:80",
            "tcp://1.2.3.4:80",
            "invalid-port::1234",
            "fe80::1%eth0:80",
        ] {
            assert!(
                matches!(read(value), Err(ValueError::BadAddress(_))),
                "{value}: {:?}",
                read(value)
            );
        }
    }

    #[test]
    fn neither_address_nor_name() {
        for value in ["a b:80", "/:80", "-:80", "na%me:80", "ümlaut:80", "a\u{0}b:80"] {
            assert!(matches!(read(value), Err(ValueError::BadName(_))), "{value}");
        }
    }
}
