use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use nl_ipvs::{Protocol, ServiceKey};

use crate::{Observed, ObservedService};

/// What was read of some addresses, and what belongs to none. Everything that is decided about an
/// address depends on this alone, so the cost of a change follows the change, not the table.
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
