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
    Named(NameLabel, NonZeroU16),
}

/// The name of a named VIP: letters, digits and `-._/`, as `/mysql` or `group/app`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameLabel(String);

impl NameLabel {
    /// Returns the name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NameLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Splits at the last colon: an address (IPv6 with or without brackets) or a name, and a port.
pub(super) fn parse_value(value: &str) -> Option<VipRef> {
    let (left, right) = value.rsplit_once(':')?;
    let port = parse_port(right)?;
    if let Some(address) = parse_address(left) {
        return Some(VipRef::Address(address, port));
    }
    is_name(left).then(|| VipRef::Named(NameLabel(left.to_owned()), port))
}

/// Parses a port of digits only; `u16::from_str` would accept `+80` too.
pub(super) fn parse_port(text: &str) -> Option<NonZeroU16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Parses an IPv4 address, or an IPv6 address with or without brackets.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bracketed {
        Some(inner) => inner.parse::<Ipv6Addr>().ok()?.into(),
        None => text.parse::<IpAddr>().ok()?,
    };
    // `::ffff:1.2.3.4` means that IPv4 address: IPVS would never see such an IPv6 packet.
    Some(address.to_canonical())
}

/// Tells whether a text is a name. A misspelt address never is.
pub(super) fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/".contains(&b))
        && text.bytes().any(|b| b.is_ascii_alphanumeric())
        && !is_nearly_ipv4(text)
        && !(text.contains('.') && is_nearly_ipv4(text.trim_start_matches('/')))
}

/// Tells whether a text resembles an IPv4 address: digits and dots, such as `256.1.1.1`, `1.2.3` or
/// `3306`, one odd part among four, such as `3.3.O.6`, or hexadecimal digits. There may be a prefix
/// length.
pub(super) fn is_nearly_ipv4(text: &str) -> bool {
    let text = text.split('/').next().unwrap_or(text).trim_start_matches('.');
    let is_number = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let hexadecimal = |rest: &str| rest.bytes().all(|b| b.is_ascii_hexdigit() || b == b'.');
    if text.strip_prefix("0x").or(text.strip_prefix("0X")).is_some_and(hexadecimal) {
        return true;
    }
    let odd = text.split('.').filter(|part| !is_number(part)).count();
    let parts = text.split('.').count();
    text.starts_with(|c: char| c.is_ascii_digit()) && (odd == 0 || parts == 4 && odd == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(address: &str, port: u16) -> VipRef {
        VipRef::Address(address.parse().unwrap(), NonZeroU16::new(port).unwrap())
    }

    fn named(name: &str, port: u16) -> VipRef {
        VipRef::Named(NameLabel(name.to_owned()), NonZeroU16::new(port).unwrap())
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
            assert_eq!(value.parse(), Ok(expected), "{value}");
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
            ("/3306:80", named("/3306", 80)),
            ("1.2.3.4.nip.io:80", named("1.2.3.4.nip.io", 80)),
            ("/app/1.2.3.4:80", named("/app/1.2.3.4", 80)),
        ] {
            assert_eq!(value.parse(), Ok(expected), "{value}");
        }
    }
}
