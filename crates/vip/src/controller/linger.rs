//! Addresses that linger after their last service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::nft::Element;
use crate::{Desired, Observed, Vip};

/// Addresses that stay bound for a while after their last service, so that its old clients are
/// reset instead of left hanging; with the time until when.
#[derive(Debug, Default)]
pub(super) struct Lingering {
    until: BTreeMap<IpAddr, Duration>,
}

impl Lingering {
    /// Removes lingering addresses from a reading: an address that isn't in it is not unbound. A
    /// bound address without services begins to linger now, and lingers until `until`.
    pub(super) fn hide_lingering(
        &mut self,
        observed: &mut Observed,
        addresses: &BTreeSet<IpAddr>,
        desired: &Desired,
        now: Duration,
        until: Duration,
    ) {
        let served: BTreeSet<IpAddr> =
            observed.our_services().map(|(vip, _)| vip.address).collect();
        for address in addresses {
            let bound = observed.addresses.contains_key(address);
            let wanted = desired.services.range(Vip::all_on(*address)).next().is_some()
                || desired.listeners.iter().any(|at| at.ip() == *address);
            let lingers = bound && !wanted && !served.contains(address);
            let over = if lingers {
                *self.until.entry(*address).or_insert(until) <= now
            } else {
                self.until.remove(address);
                wanted
            };
            if !over {
                observed.addresses.remove(address);
                if bound {
                    let guarded = Element::Guarded(*address);
                    observed.nft.table_mut(guarded.family()).remove(guarded);
                }
            }
        }
    }

    /// Has an address linger until then.
    pub(super) fn extend_until(&mut self, address: IpAddr, until: Duration) {
        self.until.insert(address, until);
    }

    /// Returns the lingering addresses, with the time until when.
    pub(super) fn iter(&self) -> impl Iterator<Item = (IpAddr, Duration)> {
        self.until.iter().map(|(address, until)| (*address, *until))
    }
}
