//! The source address of packets to a real server, and the MTU of their path, by the routing table.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use netlink_packet_route::route::{RouteProtocol, RouteType};
use vip::{LOOPBACK_MTU, Way, Ways};

use super::address::Address;
use super::route::Route;
use super::socket::RouteSocket;
use super::{address, link, route};
use crate::KernelError;

/// Finds the way to each server, and the source to use without a server.
pub(super) fn find_ways(
    socket: &mut RouteSocket,
    interface: &str,
    servers: &BTreeSet<IpAddr>,
) -> Result<Ways, KernelError> {
    let mut ways = Ways::default();
    let addresses = address::list_addresses(socket)?;
    let interfaces = link::list_interfaces(socket)?;
    for server in servers {
        let route = route::route_towards(socket, *server)?;
        if route.as_ref().is_some_and(|route| route.kind == RouteType::Local) {
            ways.towards.insert(*server, Way { mtu: Some(LOOPBACK_MTU), ..Way::default() });
            continue;
        }
        let route = route.filter(leads_elsewhere);
        let entry = route::entry_towards(socket, *server)?.filter(leads_elsewhere);
        let of_device = |route: &Route| interfaces.get(&route.interface?)?.mtu_towards(*server);
        let mtu = entry.as_ref().and_then(|entry| entry.mtu);
        let mtu = mtu.or_else(|| of_device(route.as_ref()?));
        let learnt = route.as_ref().and_then(|route| route.mtu).filter(|told| Some(*told) < mtu);
        let source = route.and_then(|route| route.source).and_then(as_ipv4);
        let named = entry.filter(|entry| names_source(entry, &addresses));
        let named = named.and_then(|entry| entry.source);
        ways.towards.insert(*server, Way { source, named, mtu, learnt });
    }
    ways.otherwise = fallback_source(socket, interface)?;
    Ok(ways)
}

/// Tells whether an entry of the routing table names a source, and masquerading would choose another
/// one.
///
/// For IPv4 the choice is foreseen. The choice for IPv6 follows more rules (RFC 6724), so that every
/// source that somebody named counts; the kernel itself names none.
pub(super) fn names_source(entry: &Route, addresses: &[Address]) -> bool {
    if entry.kind != RouteType::Unicast || entry.protocol == RouteProtocol::Kernel {
        return false;
    }
    match (entry.source, &entry.gateways[..], entry.interface) {
        (None, ..) => false,
        (Some(source), [] | [_], Some(interface)) if source.is_ipv4() => {
            let next_hop = entry.gateways.first().copied();
            let next_hop = next_hop.unwrap_or_else(|| entry.destination.addr());
            masquerade_source(addresses, interface, next_hop) != Some(source)
        }
        (Some(_), ..) => true,
    }
}

/// Returns the IPv4 address that masquerading chooses on the outgoing interface, as
/// `inet_select_addr` of the kernel does: the first one in the network of the next hop, else the
/// first one. `None`: the interface has none, and lends one of another interface.
fn masquerade_source(addresses: &[Address], interface: u32, next_hop: IpAddr) -> Option<IpAddr> {
    let fits = |of: &&Address| {
        of.interface == interface && of.address.is_ipv4() && of.global && !of.is_secondary
    };
    let is_near = |of: &&Address| {
        let network = IpNet::new(of.address, of.prefix_length);
        network.is_ok_and(|network| network.contains(&next_hop))
    };
    let mut near = addresses.iter().filter(fits).filter(is_near);
    let chosen = near.next().or_else(|| addresses.iter().find(fits));
    chosen.map(|of| of.address)
}

/// Returns the source address towards the default router, else the first global address of another
/// interface than ours.
fn fallback_source(
    socket: &mut RouteSocket,
    interface: &str,
) -> Result<Option<Ipv4Addr>, KernelError> {
    let routes = route::list_routes(socket)?;
    let addresses = address::list_addresses(socket)?;
    if let Some(default) = find_default(&routes) {
        let on_link =
            |interface| masquerade_source(&addresses, interface, default.destination.addr());
        let source = match (default.source, default.gateways.first()) {
            (Some(source), _) => as_ipv4(source),
            (None, Some(gateway)) => source_towards(socket, *gateway)?,
            (None, None) => default.interface.and_then(on_link).and_then(as_ipv4),
        };
        if source.is_some() {
            return Ok(source);
        }
    }
    let ours = link::find_interface(socket, interface)?.map(|link| link.index);
    let others = addresses.iter().filter(|address| Some(address.interface) != ours);
    Ok(others.filter(|address| address.global).find_map(|address| as_ipv4(address.address)))
}

/// Finds the default route of IPv4; the widest part of one, where a VPN client has replaced it.
fn find_default(routes: &[Route]) -> Option<&Route> {
    let defaults = routes.iter().filter(|route| {
        route.table == route::MAIN
            && route.kind == RouteType::Unicast
            && route::is_as_wide_as_default(&route.destination)
            && route.destination.addr().is_ipv4()
            && !route.destination.addr().is_multicast()
    });
    defaults.min_by_key(|route| route.destination.prefix_len())
}

/// Returns the source address of packets to an address that isn't on this node.
fn source_towards(socket: &mut RouteSocket, to: IpAddr) -> Result<Option<Ipv4Addr>, KernelError> {
    let route = route::route_towards(socket, to)?.filter(leads_elsewhere);
    Ok(route.and_then(|route| route.source).and_then(as_ipv4))
}

/// Tells whether a route leads to another node or a container.
fn leads_elsewhere(route: &Route) -> bool {
    route.kind == RouteType::Unicast
}

fn as_ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::route::tests::unicast_route;
    use super::*;

    #[test]
    fn parts_of_the_default_route_stand_for_it_where_it_is_gone() {
        let found = |destinations: &[&str]| {
            let routes: Vec<_> = destinations.iter().map(|text| unicast_route(text)).collect();
            find_default(&routes).map(|route| route.destination.to_string())
        };
        let rest = ["10.0.0.0/8", "::/0", "224.0.0.0/4"];
        assert_eq!(found(&rest), None);
        let halves = [&rest[..], &["0.0.0.0/2", "0.0.0.0/1", "128.0.0.0/1"]].concat();
        assert_eq!(found(&halves).as_deref(), Some("0.0.0.0/1"));
        assert_eq!(found(&[&halves[..], &["0.0.0.0/0"]].concat()).as_deref(), Some("0.0.0.0/0"));
    }
}
