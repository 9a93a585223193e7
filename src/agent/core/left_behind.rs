//! Hosts whose real servers an earlier agent left out of use, as those of a silent host are, or removed, as
//! those of a dead one. Marathon may not know yet that the host is silent, and this agent has not asked it:
//! until it has, they stay so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use vip::liveness::{HostVerdict, WatchList, first_look};
use vip::{Controller, Observed};

/// The longest time until they are used again, whoever was asked: Marathon has to tell first which real
/// servers there are.
const UNTOLD: Duration = Duration::from_secs(60);

/// These hosts.
#[derive(Debug, Default)]
pub(super) struct LeftBehind {
    hosts: BTreeMap<IpAddr, Look>,
    has_begun: bool,
}

/// The look at one.
#[derive(Debug)]
struct Look {
    /// The time of its begin; `None` while it isn't probed.
    begun: Option<Duration>,
    /// The time until which the host may be silent; it only comes nearer.
    until: Duration,
}

impl LeftBehind {
    /// Takes in the first reading of the kernel, what is known of the tasks, and whether hosts can be asked.
    /// Returns the verdicts about these hosts.
    pub(super) fn begin(
        &mut self,
        observed: &Observed,
        controller: &Controller,
        can_ask: bool,
        now: Duration,
    ) -> Vec<HostVerdict> {
        if std::mem::replace(&mut self.has_begun, true) || !can_ask {
            return Vec::new();
        }
        let hosts = controller.hosts_left_behind(observed);
        let until = now.saturating_add(UNTOLD);
        self.hosts = hosts.iter().map(|host| (*host, Look { begun: None, until })).collect();
        hosts.into_iter().map(HostVerdict::left_behind).collect()
    }

    /// Takes in which hosts are probed from now on, in rounds with this interval.
    pub(super) fn note_watched(&mut self, list: &WatchList, interval: Duration, now: Duration) {
        let takes = first_look(interval, list.hosts.len());
        for watched in &list.hosts {
            if let Some(look) = self.hosts.get_mut(&watched.host) {
                let end = look.begun.get_or_insert(now).saturating_add(takes);
                look.until = look.until.min(end);
            }
        }
    }

    /// Leaves it to the prober to judge these hosts.
    pub(super) fn forget<'a>(&mut self, judged: impl Iterator<Item = &'a IpAddr>) {
        for host in judged {
            self.hosts.remove(host);
        }
    }

    /// Returns the end of all verdicts about these hosts: nobody can ask them.
    pub(super) fn give_up(&mut self) -> Vec<HostVerdict> {
        let hosts = std::mem::take(&mut self.hosts).into_keys();
        hosts.map(|host| HostVerdict::left_behind(host).taken_back()).collect()
    }

    /// Returns those of these hosts that the verdict no longer holds for: they were heard, or the time is up.
    pub(super) fn take_over(
        &mut self,
        heard: &BTreeSet<IpAddr>,
        now: Duration,
    ) -> Vec<HostVerdict> {
        let mut taken_back = Vec::new();
        self.hosts.retain(|host, look| {
            let is_over = heard.contains(host) || look.until <= now;
            taken_back.extend(is_over.then(|| HostVerdict::left_behind(*host).taken_back()));
            !is_over
        });
        taken_back
    }

    /// The time at which one is over.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.hosts.values().map(|look| look.until).min()
    }
}
