//! The addresses that serve. One stays although something new on the node speaks against it, also
//! over a restart of the node, when the kernel no longer shows that it served.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::{Controller, Mode};
use crate::{Desired, Observed, Scope};

impl Controller {
    /// Restores the addresses that served when they were saved. Must be called before any input.
    pub fn restore_served(&mut self, served: impl IntoIterator<Item = IpAddr>) {
        self.served.extend(served);
    }

    /// Returns the addresses that serve, for a later run to know.
    #[must_use]
    pub fn served(&self) -> &BTreeSet<IpAddr> {
        &self.served
    }

    /// Tells whether the addresses that serve changed since the last call.
    pub fn take_served_changed(&mut self) -> bool {
        std::mem::take(&mut self.served_changed)
    }

    /// Remembers which of these addresses serve: those that are wanted and have a service of ours in
    /// the kernel.
    pub(super) fn note_served(
        &mut self,
        addresses: &BTreeSet<IpAddr>,
        observed: &Observed,
        desired: &Desired,
        now: Duration,
    ) {
        let mut held: BTreeSet<_> = observed.our_services().map(|(vip, _)| vip.address).collect();
        let wanted: BTreeSet<_> = desired.services.keys().map(|vip| vip.address).collect();
        for address in addresses {
            if held.contains(address) && wanted.contains(address) {
                self.served_changed |= self.served.insert(*address);
            }
        }
        held.extend(&wanted);
        held.extend(self.lingering.iter().filter(|(_, until)| *until > now).map(|(at, _)| at));
        self.forget_served(addresses, desired, &held);
    }

    /// Forgets those of these addresses that are not in `held`: no app wants them, no service is left on
    /// them, and they don't linger. An app that is deployed anew meanwhile has them as before. While something
    /// isn't known none is forgotten, nor is one that a service of another owner stands in the way of.
    fn forget_served(
        &mut self,
        addresses: &BTreeSet<IpAddr>,
        desired: &Desired,
        held: &BTreeSet<IpAddr>,
    ) {
        let is_whole = self.scope() == Scope::Complete && desired.doubt.is_none();
        if !is_whole || self.mode() != Mode::Acting {
            return;
        }
        for address in addresses.difference(held) {
            self.served_changed |= self.served.remove(address);
        }
    }
}
