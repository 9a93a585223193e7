//! How often each address may ask.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The part of an address of IPv6 that names a network: whoever has one address has all of it.
const NETWORK: u128 = !0 << 64;

/// Returns the address that an address counts as: of IPv6 its /64, as somebody there can have as many
/// addresses as they like.
pub(super) fn counted_address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
    }
}

/// A limit on what each address asks for within a time.
#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    within: Duration,
    span: Mutex<Span>,
}

/// What was asked for since the begin of a time.
#[derive(Debug, Default)]
struct Span {
    begin: Option<Instant>,
    by_address: BTreeMap<IpAddr, usize>,
}

impl Pace {
    pub(super) fn new(most: usize, within: Duration) -> Self {
        Self { most, within, span: Mutex::default() }
    }

    /// Tells whether an address may ask once more, and counts that.
    pub(super) fn allows(&self, address: IpAddr, now: Instant) -> bool {
        let address = counted_address(address);
        let mut span = self.span.lock().unwrap_or_else(PoisonError::into_inner);
        if span.begin.is_none_or(|begin| now.saturating_duration_since(begin) >= self.within) {
            *span = Span { begin: Some(now), by_address: BTreeMap::new() };
        }
        if span.by_address.len() >= caps::RELAY_CLIENTS && !span.by_address.contains_key(&address) {
            return false;
        }
        let asked = span.by_address.entry(address).or_default();
        *asked += 1;
        *asked <= self.most
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn each_address_may_ask_so_often_within_a_time() {
        let pace = Pace::new(2, Duration::from_secs(5));
        let (start, address) = (Instant::now(), |n| Ipv4Addr::new(10, 0, 0, n).into());
        let allowed = |n, second| pace.allows(address(n), start + Duration::from_secs(second));
        assert_eq!([allowed(1, 0), allowed(1, 1), allowed(1, 2)], [true, true, false]);
        assert!(allowed(2, 3), "another address");
        assert!(!allowed(1, 4));
        assert!(allowed(1, 5), "the next time");
    }

    #[test]
    fn the_addresses_of_one_network_of_ipv6_ask_as_one() {
        let (pace, now) = (Pace::new(1, Duration::from_secs(5)), Instant::now());
        let allowed = |address: &str| pace.allows(address.parse().unwrap(), now);
        assert!(allowed("2001:db8::1") && !allowed("2001:db8::2:0:0:1"));
        assert!(allowed("2001:db8:0:1::1"));
    }

    #[test]
    fn the_addresses_that_are_remembered_are_bounded() {
        let pace = Pace::new(1, Duration::from_secs(5));
        let now = Instant::now();
        for number in 0..u32::try_from(caps::RELAY_CLIENTS).unwrap() {
            assert!(pace.allows(Ipv4Addr::from_bits(number).into(), now));
        }
        assert!(!pace.allows(Ipv4Addr::from_bits(u32::MAX).into(), now));
    }
}
