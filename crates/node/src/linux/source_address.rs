//! The source address of the node's packets to a real server, by the routing table.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_route::route::RouteType;
use vip::Ways;

use super::socket::RouteSocket;
use super::{address, link, route};
use crate::KernelError;

/// Finds the source address of packets to each server, and the one to use without a server.
pub(super) fn find_ways(
    socket: &mut RouteSocket,
    interface: &str,
    servers: &BTreeSet<IpAddr>,
) -> Result<Ways, KernelError> {
    let mut ways = Ways::default();
    for server in servers {
        let source = if server.is_ipv4() { source_towards(socket, *server)? } else { None };
        ways.towards.insert(*server, source);
    }
    ways.otherwise = fallback_source(socket, interface)?;
    Ok(ways)
}

/// Returns the source address towards the default router, else the first global address of another
/// interface than ours.
fn fallback_source(
    socket: &mut RouteSocket,
    interface: &str,
) -> Result<Option<Ipv4Addr>, KernelError> {
    let routes = route::list_routes(socket)?;
    let default = routes.into_iter().find(|route| {
        route.table == route::MAIN
            && route.kind == RouteType::Unicast
            && route.destination.prefix_len() == 0
            && route.destination.addr().is_ipv4()
    });
    if let Some(default) = default {
        let source = match (default.source, default.gateway) {
            (Some(source), _) => as_ipv4(source),
            (None, Some(gateway)) => source_towards(socket, gateway)?,
            (None, None) => None,
        };
        if source.is_some() {
            return Ok(source);
        }
    }
    let ours = link::find_interface(socket, interface)?.map(|link| link.index);
    let addresses = address::list_addresses(socket)?;
    let others = addresses.iter().filter(|address| Some(address.interface) != ours);
    Ok(others.filter(|address| address.global).find_map(|address| as_ipv4(address.address)))
}

/// Returns the source address of packets to an address that isn't on this node.
fn source_towards(socket: &mut RouteSocket, to: IpAddr) -> Result<Option<Ipv4Addr>, KernelError> {
    let route = route::route_towards(socket, to)?.filter(|route| route.kind == RouteType::Unicast);
    Ok(route.and_then(|route| route.source).and_then(as_ipv4))
}

fn as_ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    }
}
