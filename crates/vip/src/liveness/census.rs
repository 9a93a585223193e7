//! Limits by the number of silent hosts.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::confirmation::Reason;
use super::host::Host;
use super::timing::{CALLED_SHARE, MASS};

/// Tells whether more than half of the hosts that answer echoes fell silent at once.
pub(super) fn is_mass_silence(hosts: &BTreeMap<IpAddr, Host>, now: Duration) -> bool {
    let judged = hosts.values().filter_map(|host| host.is_newly_silent(now));
    let (all, silent) =
        judged.fold((0, 0), |(all, silent), is_silent| (all + 1, silent + usize::from(is_silent)));
    silent >= MASS && silent * 2 > all
}

/// The number of mute hosts that may still be suspected. Their ports are all that speaks against them,
/// and an overload looks the same.
#[derive(Debug)]
pub(super) struct MuteLeft {
    /// For what clients report: a third of the mute hosts, and at least one.
    reported: usize,
    /// At the first look: half of all hosts.
    first_look: usize,
}

impl MuteLeft {
    pub(super) fn count(hosts: &BTreeMap<IpAddr, Host>) -> Self {
        let active = || hosts.values().filter(|host| host.is_active());
        let down = || active().filter_map(Host::was_reported);
        let mute = active().filter(|host| host.is_mute()).count();
        let most = (mute / CALLED_SHARE).max(1);
        let first_look = (active().count() / 2).max(1).saturating_sub(down().count());
        let reported = most.saturating_sub(down().filter(|was| *was).count());
        Self { reported, first_look }
    }

    /// Takes one of them, if there is one.
    pub(super) fn take(&mut self, why: Option<Reason>) -> bool {
        let left = match why {
            Some(Reason::Report) => &mut self.reported,
            _ => &mut self.first_look,
        };
        let is_left = *left > 0;
        *left = left.saturating_sub(1);
        is_left
    }
}
