//! Parts of a reading, by virtual address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use nl_ipvs::{Protocol, ServiceKey};

use crate::{Observed, ObservedService};

/// Returns the part of a reading that concerns some addresses, and what belongs to no address.
/// Decisions about an address depend on this alone, so the cost of a change follows its size, not
/// that of the table.
pub(super) fn slice_of(observed: &Observed, addresses: &BTreeSet<IpAddr>) -> Observed {
    Observed {
        services: services_on(&observed.services, addresses),
        link: observed.link,
        addresses: addresses
            .iter()
            .filter_map(|address| Some((*address, *observed.addresses.get(address)?)))
            .collect(),
        timeouts: observed.timeouts,
        nft: observed.nft.restricted_to(addresses),
        firewall: Arc::clone(&observed.firewall),
        node: observed.node.clone(),
    }
}

fn services_on(
    all: &BTreeMap<ServiceKey, ObservedService>,
    addresses: &BTreeSet<IpAddr>,
) -> BTreeMap<ServiceKey, ObservedService> {
    let mut found = BTreeMap::new();
    let mut next = all.keys().next();
    // Keys are sorted by protocol first.
    while let Some(ServiceKey::Address { protocol, .. }) = next {
        for address in addresses {
            let range = all.range(
                service_key(*protocol, *address, 0)..=service_key(*protocol, *address, u16::MAX),
            );
            found.extend(range.map(|(key, service)| (*key, service.clone())));
        }
        let last = service_key(*protocol, Ipv6Addr::from_bits(u128::MAX).into(), u16::MAX);
        next = all.range((Excluded(last), Unbounded)).next().map(|(key, _)| key);
    }
    found
}

fn service_key(protocol: Protocol, address: IpAddr, port: u16) -> ServiceKey {
    ServiceKey::Address { protocol, address, port }
}
