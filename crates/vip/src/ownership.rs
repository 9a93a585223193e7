//! Ownership of the virtual services in the kernel's IPVS table.
//!
//! Our mark is a scheduler flag that no scheduler of any kernel uses. It lives in the kernel's own
//! table, so it survives a crash of vipd, the loss of the interface and a change of configuration.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nl_ipvs::{ServiceFlags, ServiceKey, ServiceSettings};

use crate::{Observed, ObservedServer, ObservedService, Protocol, Vip};

/// The flag that marks a virtual service as vipd's; `ipvsadm` shows it as `flag-3`.
pub const MARK: ServiceFlags = ServiceFlags::SCHED_3;

/// The owner of a virtual service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The service carries our mark.
    Ours,
    /// The service carries no mark, but its address is ours: it is bound on our interface, or
    /// another service on it is marked. If its VIP is desired, the service is ours, and an `ipvsadm
    /// -E` or `-R` removed the mark.
    LostMark,
    /// Another program's: never changed, never deleted.
    Foreign,
}

/// Determines the owner of service `key`, whether it is desired or not.
#[must_use]
pub fn owner_of(key: &ServiceKey, settings: &ServiceSettings, observed: &Observed) -> Owner {
    let Some(vip) = Vip::from_key(key) else { return Owner::Foreign };
    if settings.flags.contains(MARK) {
        Owner::Ours
    } else if observed.is_our_address(vip.address) {
        Owner::LostMark
    } else {
        Owner::Foreign
    }
}

impl Observed {
    /// Returns the virtual services that carry our mark.
    pub fn our_services(&self) -> impl Iterator<Item = (Vip, &ObservedService)> {
        self.services.iter().filter_map(|(key, service)| {
            let marked = service.settings.flags.contains(MARK);
            marked.then(|| Some((Vip::from_key(key)?, service))).flatten()
        })
    }

    /// Returns the virtual service on a VIP if it carries our mark.
    #[must_use]
    pub fn our_service(&self, vip: &Vip) -> Option<&ObservedService> {
        self.service(vip).filter(|service| service.settings.flags.contains(MARK))
    }

    /// Counts the real servers that take new connections, for each service that carries our mark.
    #[must_use]
    pub fn servers_in_use(&self) -> BTreeMap<Vip, usize> {
        let is_used = |held: &&ObservedServer| held.settings.weight > 0;
        let services = self.our_services();
        services.map(|(vip, held)| (vip, held.servers.values().filter(is_used).count())).collect()
    }

    /// Returns the virtual services that don't carry our mark.
    pub fn unmarked_services(&self) -> impl Iterator<Item = (&ServiceKey, &ObservedService)> {
        self.services
            .iter()
            .filter(|(key, service)| owner_of(key, &service.settings, self) != Owner::Ours)
    }

    /// Tells whether an address is ours: bound on our interface, or the address of a marked service.
    #[must_use]
    pub fn is_our_address(&self, address: IpAddr) -> bool {
        let at = |protocol: Protocol, port| ServiceKey::Address {
            protocol: protocol.into(),
            address,
            port,
        };
        let marked = |protocol| {
            let services = self.services.range(at(protocol, 1)..=at(protocol, u16::MAX));
            services.into_iter().any(|(_, service)| service.settings.flags.contains(MARK))
        };
        self.addresses.contains_key(&address) || marked(Protocol::Tcp) || marked(Protocol::Udp)
    }
}
