//! The addresses of host names: looked up once, kept, looked up again from time to time. Pure: the
//! caller does the look-ups.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The addresses of host names, or why they have none.
pub type Hosts = HashMap<String, Addresses>;

/// The addresses of a host, or why it has none.
pub type Addresses = Result<Arc<[IpAddr]>, LookupError>;

/// The reason why a host name has no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The first look-up is not done yet.
    #[error("it is being looked up")]
    Pending,
    /// The resolver took too long.
    #[error("no answer from the resolver in time")]
    TimedOut,
    /// The resolver failed, with this message.
    #[error("{0}")]
    Resolver(String),
    /// The resolver knows the name, but no address for it.
    #[error("the name has no address")]
    NoAddress,
    /// No other node could reach it by the only address.
    #[error("it resolves to {0} only: see /etc/hosts")]
    Unreachable(IpAddr),
}

/// The time after which an address is looked up again.
const REFRESH_AFTER: Duration = Duration::from_secs(300);
/// The time after which a failed look-up is repeated.
const RETRY_AFTER: Duration = Duration::from_secs(15);

/// Every host name that was requested, with its addresses.
#[derive(Debug, Default)]
pub(crate) struct HostCache {
    addresses: Hosts,
    /// When each name is to be looked up again. `None`: a look-up is under way. Addresses written
    /// as such are not here.
    due: BTreeMap<String, Option<Duration>>,
    /// No name is due before this. Kept, since every event asks for it.
    first_due: Option<Duration>,
    /// Names whose last look-up failed. The addresses found before stay in use.
    failed: BTreeMap<String, LookupError>,
}

impl HostCache {
    /// The addresses of each name, as far as they are known.
    pub(crate) fn known_hosts(&self) -> &Hosts {
        &self.addresses
    }

    /// The names whose last look-up failed, with the reason.
    pub(crate) fn failed_hosts(&self) -> &BTreeMap<String, LookupError> {
        &self.failed
    }

    /// Requests the addresses of these names: those that are new are due at once. Beyond the cap, they
    /// are not looked up.
    pub(crate) fn request_hosts<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a str>,
        now: Duration,
    ) {
        for name in names {
            if self.addresses.contains_key(name) || self.addresses.len() >= caps::HOSTS {
                continue;
            }
            let known = match name.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(address) => Ok([address].into()),
                Err(_) => {
                    self.due.insert(name.to_owned(), Some(now));
                    self.first_due = earlier(self.first_due, now);
                    Err(LookupError::Pending)
                }
            };
            self.addresses.insert(name.to_owned(), known);
        }
    }

    /// Takes over the addresses that an earlier run knew. They are looked up again all the same.
    pub(crate) fn restore_hosts(
        &mut self,
        hosts: impl IntoIterator<Item = (String, Arc<[IpAddr]>)>,
        now: Duration,
    ) {
        for (name, addresses) in hosts {
            if !self.addresses.contains_key(&name) {
                self.request_hosts([name.as_str()], now);
                self.addresses.insert(name, Ok(addresses));
            }
        }
    }

    /// Takes in the answer to a look-up. Returns whether the addresses are others than before.
    pub(crate) fn record_answer(&mut self, name: &str, answer: Addresses, now: Duration) -> bool {
        let Some(due) = self.due.get_mut(name) else { return false };
        let again = now + if answer.is_ok() { REFRESH_AFTER } else { RETRY_AFTER };
        *due = Some(again);
        self.first_due = earlier(self.first_due, again);
        let known = self.addresses.entry(name.to_owned()).or_insert(Err(LookupError::Pending));
        match &answer {
            Ok(_) => drop(self.failed.remove(name)),
            Err(why) => {
                self.failed.insert(name.to_owned(), why.clone());
                if known.is_ok() {
                    return false;
                }
            }
        }
        let changed = match (&*known, &answer) {
            // A name server may rotate the list with each answer, and the first address is used:
            // the order that came first stays.
            (Ok(known), Ok(answer)) => !is_same_set(known, answer),
            _ => *known != answer,
        };
        if changed {
            *known = answer;
        }
        changed
    }

    /// Takes the names to look up now.
    pub(crate) fn take_due(&mut self, now: Duration) -> Vec<String> {
        if self.first_due.is_none_or(|first| first > now) {
            return Vec::new();
        }
        self.first_due = None;
        let mut names = Vec::new();
        for (name, due) in &mut self.due {
            match *due {
                Some(at) if at <= now => {
                    *due = None;
                    names.push(name.clone());
                }
                Some(at) => self.first_due = earlier(self.first_due, at),
                None => {}
            }
        }
        names
    }

    /// The time at which the next look-up is due.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.first_due
    }

    /// Forgets all other names than these.
    pub(crate) fn retain_used(&mut self, used: &BTreeSet<&str>) {
        self.addresses.retain(|name, _| used.contains(name.as_str()));
        self.due.retain(|name, _| used.contains(name.as_str()));
        self.failed.retain(|name, _| used.contains(name.as_str()));
    }
}

fn earlier(first: Option<Duration>, other: Duration) -> Option<Duration> {
    Some(first.map_or(other, |first| first.min(other)))
}

fn is_same_set(one: &[IpAddr], other: &[IpAddr]) -> bool {
    one.len() == other.len() && one.iter().all(|address| other.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn address(last: u8) -> Arc<[IpAddr]> {
        [[10, 0, 0, last].into()].into()
    }

    #[test]
    fn addresses_are_known_at_once_and_names_are_looked_up_once() {
        let mut hosts = HostCache::default();
        hosts.request_hosts(["10.0.0.1", "[fd01::1]", "node1"], NOW);
        assert_eq!(hosts.known_hosts()["10.0.0.1"], Ok(address(1)));
        assert_eq!(hosts.known_hosts()["[fd01::1]"], Ok(["fd01::1".parse().unwrap()].into()));
        assert!(hosts.known_hosts()["node1"].is_err());
        assert_eq!(hosts.take_due(NOW), ["node1"]);
        hosts.request_hosts(["node1"], NOW);
        assert_eq!(hosts.take_due(NOW), [""; 0]);
        assert_eq!(hosts.wake_at(), None);
    }

    #[test]
    fn addresses_that_come_in_another_order_are_the_ones_that_were_known() {
        let mut hosts = HostCache::default();
        hosts.request_hosts(["node1"], NOW);
        let list = |last: &[u8]| {
            Ok(last.iter().map(|last| [10, 0, 0, *last].into()).collect::<Arc<[IpAddr]>>())
        };
        assert!(hosts.record_answer("node1", list(&[1, 2]), NOW));
        assert!(!hosts.record_answer("node1", list(&[2, 1]), NOW));
        assert_eq!(hosts.known_hosts()["node1"], list(&[1, 2]));
        assert!(hosts.record_answer("node1", list(&[2, 3]), NOW));
        assert!(hosts.record_answer("node1", list(&[3]), NOW));
    }

    #[test]
    fn a_name_server_that_fails_takes_no_address_away() {
        let mut hosts = HostCache::default();
        hosts.request_hosts(["node1"], NOW);
        hosts.take_due(NOW);
        assert!(hosts.record_answer("node1", Ok(address(1)), NOW));
        assert_eq!(hosts.wake_at(), Some(REFRESH_AFTER));
        assert_eq!(hosts.take_due(REFRESH_AFTER), ["node1"]);
        assert!(!hosts.record_answer("node1", Err(LookupError::TimedOut), REFRESH_AFTER));
        assert_eq!(hosts.known_hosts()["node1"], Ok(address(1)));
        assert_eq!(hosts.failed_hosts()["node1"], LookupError::TimedOut);
        assert_eq!(hosts.take_due(REFRESH_AFTER + RETRY_AFTER), ["node1"]);
        assert!(hosts.record_answer("node1", Ok(address(2)), REFRESH_AFTER + RETRY_AFTER));
        assert!(hosts.failed_hosts().is_empty());
    }

    #[test]
    fn what_an_earlier_run_knew_serves_until_it_is_looked_up() {
        let mut hosts = HostCache::default();
        hosts.restore_hosts([("node1".to_owned(), address(1))], NOW);
        hosts.request_hosts(["node1"], NOW);
        assert_eq!(hosts.known_hosts()["node1"], Ok(address(1)));
        assert_eq!(hosts.take_due(NOW), ["node1"]);
    }

    #[test]
    fn names_that_nobody_uses_are_forgotten() {
        let mut hosts = HostCache::default();
        hosts.request_hosts(["node1", "node2"], NOW);
        hosts.retain_used(&["node2"].into());
        assert_eq!(hosts.take_due(NOW), ["node2"]);
        assert!(!hosts.record_answer("node1", Ok(address(1)), NOW));
    }
}
