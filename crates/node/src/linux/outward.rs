//! Addresses that this node sends to a router, for `vipd doctor`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netlink_packet_route::route::RouteType;

use super::route::{Route, entry_towards, is_as_wide_as_default};
use super::socket::RouteSocket;
use crate::KernelError;

/// Finds those of some addresses that the routes of this thread's network namespace lead off the node to
/// a router: over a gateway, or by a default route.
///
/// # Errors
/// When the kernel can't be asked.
pub fn find_routed_outward(
    addresses: impl IntoIterator<Item = IpAddr>,
) -> Result<BTreeSet<IpAddr>, KernelError> {
    let mut socket = RouteSocket::open()?;
    let mut outward = BTreeSet::new();
    for address in addresses {
        if entry_towards(&mut socket, address)?.is_some_and(|entry| leads_outward(&entry)) {
            outward.insert(address);
        }
    }
    Ok(outward)
}

fn leads_outward(entry: &Route) -> bool {
    let is_default = is_as_wide_as_default(&entry.destination);
    entry.kind == RouteType::Unicast && (is_default || !entry.gateways.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::route::tests::unicast_route;
    use super::*;

    #[test]
    fn a_part_of_the_default_route_leads_outward_as_the_whole_does() {
        let entry = unicast_route;
        for destination in ["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "2000::/3"] {
            assert!(leads_outward(&entry(destination)), "{destination}");
        }
        assert!(!leads_outward(&entry("3.3.0.0/16")));
        let gateways = vec![[10, 9, 0, 254].into()];
        assert!(leads_outward(&Route { gateways, ..entry("3.3.0.0/16") }));
        let kind = RouteType::BlackHole;
        assert!(!leads_outward(&Route { kind, ..entry("0.0.0.0/1") }));
    }
}
