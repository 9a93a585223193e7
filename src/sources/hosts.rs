//! Agents' names and their addresses: asked for once, kept, refreshed. Pure: the caller looks up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What agents' host names resolve to, or why they don't.
pub type Hosts = HashMap<String, Addresses>;

/// The addresses of an agent, or why it has none.
pub type Addresses = Result<Arc<[IpAddr]>, String>;

/// How long an address is good for.
const FRESH: Duration = Duration::from_secs(300);
/// How long to wait after a look-up that failed.
const RETRY: Duration = Duration::from_secs(15);

/// Every name that was asked for.
#[derive(Debug, Default)]
pub(crate) struct HostCache {
    hosts: Hosts,
    /// The names among them, when each is to be looked up again. None: it is being looked up.
    due: BTreeMap<String, Option<Duration>>,
    /// Why the last look-up failed; what it said before goes on.
    failed: BTreeMap<String, String>,
}

impl HostCache {
    /// What is known of each name.
    pub(crate) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// HostCache whose last look-up failed, with the reason.
    pub(crate) fn failed(&self) -> &BTreeMap<String, String> {
        &self.failed
    }

    /// Makes sure that these names are known, or will be.
    pub(crate) fn want<'a>(&mut self, names: impl IntoIterator<Item = &'a str>, now: Duration) {
        for name in names {
            if self.hosts.contains_key(name) {
                continue;
            }
            let known = match name.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(address) => Ok([address].into()),
                Err(_) => {
                    self.due.insert(name.to_owned(), Some(now));
                    Err("it is being looked up".to_owned())
                }
            };
            self.hosts.insert(name.to_owned(), known);
        }
    }

    /// Takes over what an earlier run knew. It is looked up again all the same.
    pub(crate) fn restore(&mut self, hosts: BTreeMap<String, Addresses>, now: Duration) {
        for (name, addresses) in hosts {
            if addresses.is_ok() && !self.hosts.contains_key(&name) {
                self.want([name.as_str()], now);
                self.hosts.insert(name, addresses);
            }
        }
    }

    /// Takes in what a look-up found, and says whether that is another address than before.
    pub(crate) fn found(&mut self, name: &str, answer: Addresses, now: Duration) -> bool {
        let Some(due) = self.due.get_mut(name) else { return false };
        let known = self.hosts.entry(name.to_owned()).or_insert_with(|| Err(String::new()));
        match &answer {
            Ok(_) => {
                *due = Some(now + FRESH);
                self.failed.remove(name);
            }
            Err(why) => {
                *due = Some(now + RETRY);
                self.failed.insert(name.to_owned(), why.clone());
                if known.is_ok() {
                    return false;
                }
            }
        }
        let changed = match (&*known, &answer) {
            // A name server may turn them round with each answer, and the first one counts.
            (Ok(known), Ok(answer)) => !is_same_set(known, answer),
            _ => *known != answer,
        };
        if changed {
            *known = answer;
        }
        changed
    }

    /// The names to look up now.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<String> {
        let is_due = |due: &Option<Duration>| due.is_some_and(|at| at <= now);
        let due = self.due.iter_mut().filter(|(_, due)| is_due(due));
        due.map(|(name, due)| {
            *due = None;
            name.clone()
        })
        .collect()
    }

    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.due.values().flatten().min().copied()
    }

    /// Forgets the names that nobody uses.
    pub(crate) fn retain(&mut self, used: &BTreeSet<&str>) {
        self.hosts.retain(|name, _| used.contains(name.as_str()));
        self.due.retain(|name, _| used.contains(name.as_str()));
        self.failed.retain(|name, _| used.contains(name.as_str()));
    }
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
        let mut names = HostCache::default();
        names.want(["10.0.0.1", "[fd01::1]", "node1"], NOW);
        assert_eq!(names.hosts()["10.0.0.1"], Ok(address(1)));
        assert_eq!(names.hosts()["[fd01::1]"], Ok(["fd01::1".parse().unwrap()].into()));
        assert!(names.hosts()["node1"].is_err());
        assert_eq!(names.tick(NOW), ["node1"]);
        names.want(["node1"], NOW);
        assert_eq!(names.tick(NOW), [""; 0]);
        assert_eq!(names.wake_at(), None);
    }

    #[test]
    fn addresses_that_come_in_another_order_are_the_ones_that_were_known() {
        let mut names = HostCache::default();
        names.want(["node1"], NOW);
        let list = |last: &[u8]| {
            Ok(last.iter().map(|last| [10, 0, 0, *last].into()).collect::<Arc<[IpAddr]>>())
        };
        assert!(names.found("node1", list(&[1, 2]), NOW));
        assert!(!names.found("node1", list(&[2, 1]), NOW));
        assert_eq!(names.hosts()["node1"], list(&[1, 2]));
        assert!(names.found("node1", list(&[2, 3]), NOW));
        assert!(names.found("node1", list(&[3]), NOW));
    }

    #[test]
    fn a_name_server_that_fails_takes_no_address_away() {
        let mut names = HostCache::default();
        names.want(["node1"], NOW);
        names.tick(NOW);
        assert!(names.found("node1", Ok(address(1)), NOW));
        assert_eq!(names.wake_at(), Some(FRESH));
        assert_eq!(names.tick(FRESH), ["node1"]);
        assert!(!names.found("node1", Err("no answer".into()), FRESH));
        assert_eq!(names.hosts()["node1"], Ok(address(1)));
        assert_eq!(names.failed()["node1"], "no answer");
        assert_eq!(names.tick(FRESH + RETRY), ["node1"]);
        assert!(names.found("node1", Ok(address(2)), FRESH + RETRY));
        assert!(names.failed().is_empty());
    }

    #[test]
    fn what_an_earlier_run_knew_serves_until_it_is_looked_up() {
        let mut names = HostCache::default();
        let known = [("node1".to_owned(), Ok(address(1))), ("node2".to_owned(), Err("?".into()))];
        names.restore(known.into(), NOW);
        names.want(["node1"], NOW);
        assert_eq!(names.hosts()["node1"], Ok(address(1)));
        assert_eq!(names.tick(NOW), ["node1"]);
        assert!(!names.hosts().contains_key("node2"));
    }

    #[test]
    fn names_that_nobody_uses_are_forgotten() {
        let mut names = HostCache::default();
        names.want(["node1", "node2"], NOW);
        names.retain(&["node2"].into());
        assert_eq!(names.tick(NOW), ["node2"]);
        assert!(!names.found("node1", Ok(address(1)), NOW));
    }
}
