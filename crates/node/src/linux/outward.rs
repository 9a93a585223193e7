//! Addresses that this node sends to a router, for `vipd doctor`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netlink_packet_route::route::RouteType;

use super::route::{Route, entry_towards};
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
    let is_default = entry.destination.prefix_len() == 0;
    entry.kind == RouteType::Unicast && (is_default || !entry.gateways.is_empty())
}
