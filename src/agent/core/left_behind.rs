//! Hosts whose real servers an earlier agent left out of use, as those of a silent host are. Marathon may not
//! know yet that the host is silent, and this agent has not asked it: until it has, they stay so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use vip::Observed;
use vip::liveness::{HostVerdict, WatchList, find_weightless_hosts};

/// The time within which the prober knows whether a host is silent that it has never heard: the first echo
/// and, where that is missing, the patience of a connection.
const FIRST_LOOK: Duration = Duration::from_secs(6);

/// The longest time until it is asked: Marathon has to tell first which real servers there are.
const UNTOLD: Duration = Duration::from_secs(60);

/// These hosts, each with the time until which it may be silent.
#[derive(Debug, Default)]
pub(super) struct LeftBehind {
    until: BTreeMap<IpAddr, Duration>,
    has_begun: bool,
}

impl LeftBehind {
    /// Takes in the first reading of the kernel. Returns the verdicts about these hosts.
    pub(super) fn begin(&mut self, observed: &Observed, now: Duration) -> Vec<HostVerdict> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Vec::new();
        }
        let hosts = find_weightless_hosts(observed);
        self.until = hosts.iter().map(|host| (*host, now.saturating_add(UNTOLD))).collect();
        hosts.into_iter().map(HostVerdict::left_behind).collect()
    }

    /// Takes in which hosts are probed from now on.
    pub(super) fn note_watched(&mut self, list: &WatchList, now: Duration) {
        for watched in &list.hosts {
            if let Some(until) = self.until.get_mut(&watched.host) {
                *until = now.saturating_add(FIRST_LOOK).min(*until);
            }
        }
    }

    /// Leaves it to the prober to judge these hosts.
    pub(super) fn forget<'a>(&mut self, judged: impl Iterator<Item = &'a IpAddr>) {
        for host in judged {
            self.until.remove(host);
        }
    }

    /// Returns those of these hosts that the verdict no longer holds for: they were heard, or the time is up.
    pub(super) fn take_over(
        &mut self,
        heard: &BTreeSet<IpAddr>,
        now: Duration,
    ) -> Vec<HostVerdict> {
        let mut taken_back = Vec::new();
        self.until.retain(|host, until| {
            let is_over = heard.contains(host) || *until <= now;
            taken_back.extend(is_over.then(|| HostVerdict::left_behind(*host).taken_back()));
            !is_over
        });
        taken_back
    }

    /// The time at which one is over.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.until.values().min().copied()
    }
}
