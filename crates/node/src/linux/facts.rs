//! Conclusions from the node's addresses, routes and resolvers. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use netlink_packet_route::route::RouteType;
use vip::{Bound, NodeFacts};

use super::address::Address;
use super::route::{LOCAL, MAIN, Route};

/// Returns the addresses of our interface, each with the source address that its local route gives
/// to the node's own connections.
///
/// An IPv4 address whose local route was removed gets the unspecified address as source. Nobody
/// wants that one, so a plan restores the route.
pub(super) fn bound_addresses(
    ours: u32,
    addresses: &[Address],
    routes: &[Route],
) -> BTreeMap<IpAddr, Bound> {
    let mut local = BTreeMap::new();
    for route in routes {
        let is_local = route.table == u32::from(LOCAL) && route.kind == RouteType::Local;
        if is_local && route.interface == Some(ours) {
            // The first route of a destination is the one in force.
            local.entry(route.destination).or_insert(route.source);
        }
    }
    let on_ours = addresses.iter().filter(|address| address.interface == ours);
    on_ours
        .filter(|address| !is_link_local_v6(address.address))
        .map(|Address { address, .. }| {
            let source = match local.get(&IpNet::from(*address)) {
                Some(source) => source.filter(|source| source != address),
                None if address.is_ipv4() => Some(Ipv4Addr::UNSPECIFIED.into()),
                None => None,
            };
            (*address, Bound { source })
        })
        .collect()
}

/// Collects the addresses and networks that no VIP may collide with. `ours` is the index of our
/// interface, if there is one.
pub(super) fn node_facts(
    ours: Option<u32>,
    names: &BTreeMap<u32, String>,
    addresses: &[Address],
    routes: &[Route],
    resolvers: BTreeSet<IpAddr>,
) -> NodeFacts {
    let elsewhere = addresses.iter().filter(|address| Some(address.interface) != ours);
    let own = elsewhere.map(|address| address.address).collect();
    let on_link = routes.iter().filter(|route| {
        route.table == MAIN
            && route.kind == RouteType::Unicast
            && route.gateway.is_none()
            && route.interface.is_some_and(|index| Some(index) != ours)
            && route.destination.prefix_len() > 0
    });
    let connected = on_link.map(|route| route.destination).collect();
    let routes = routes
        .iter()
        .filter(|route| {
            route.table == MAIN
                && (route.kind == RouteType::Unicast || refusing_route(route.kind).is_some())
                && route.destination.prefix_len() > 0
                && !is_link_local_v6(route.destination.network())
                && !route.destination.network().is_multicast()
        })
        .filter_map(|route| {
            if let Some(refusal) = refusing_route(route.kind) {
                return Some((route.destination, refusal.to_owned()));
            }
            let interface = route.interface.filter(|index| Some(*index) != ours)?;
            let name = names.get(&interface).cloned();
            Some((route.destination, name.unwrap_or_else(|| format!("interface {interface}"))))
        })
        .collect();
    NodeFacts { own, routes, resolvers, connected, listening: None }
}

/// Describes a route that discards packets. An overlay (Calico) marks its own blocks with them.
fn refusing_route(kind: RouteType) -> Option<&'static str> {
    match kind {
        RouteType::BlackHole => Some("a blackhole route"),
        RouteType::Unreachable => Some("an unreachable route"),
        RouteType::Prohibit => Some("a prohibit route"),
        _ => None,
    }
}

fn is_link_local_v6(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(interface: u32, address: &str) -> Address {
        Address { interface, address: address.parse().unwrap(), global: true }
    }

    fn route(table: u32, destination: &str, interface: u32) -> Route {
        Route {
            table,
            kind: if table == 255 { RouteType::Local } else { RouteType::Unicast },
            destination: destination.parse().unwrap(),
            interface: Some(interface),
            gateway: None,
            source: None,
        }
    }

    fn from(source: &str, mut route: Route) -> Route {
        route.source = Some(source.parse().unwrap());
        route
    }

    #[test]
    fn a_bound_address_tells_the_source_only_if_it_is_not_itself() {
        let addresses = [
            address(7, "3.3.0.1"),
            address(7, "3.3.0.2"),
            address(7, "3.3.0.3"),
            address(7, "fd01::1"),
            address(7, "fe80::1"),
            address(2, "10.0.0.1"),
        ];
        let routes = [
            from("3.3.0.1", route(255, "3.3.0.1/32", 7)),
            from("10.0.0.1", route(255, "3.3.0.2/32", 7)),
            from("3.3.0.2", route(255, "3.3.0.2/32", 7)),
            from("9.9.9.9", route(255, "3.3.0.3/32", 2)),
            route(255, "fd01::1/128", 7),
        ];
        let bound = bound_addresses(7, &addresses, &routes);
        let sources: Vec<_> = bound
            .iter()
            .map(|(address, bound)| {
                (address.to_string(), bound.source.map(|source| source.to_string()))
            })
            .collect();
        assert_eq!(
            sources,
            [
                ("3.3.0.1".to_owned(), None),
                ("3.3.0.2".to_owned(), Some("10.0.0.1".to_owned())),
                ("3.3.0.3".to_owned(), Some("0.0.0.0".to_owned())),
                ("fd01::1".to_owned(), None),
            ]
        );
    }

    #[test]
    fn only_networks_of_others_count() {
        let names = [(2, "eth0".to_owned())].into();
        let addresses = [address(1, "127.0.0.1"), address(2, "10.0.0.1"), address(7, "3.3.0.1")];
        let mut blackhole = route(254, "10.9.0.0/16", 2);
        blackhole.kind = RouteType::BlackHole;
        let routes = [
            route(254, "0.0.0.0/0", 2),
            route(254, "10.0.0.0/24", 2),
            route(254, "172.17.0.0/16", 9),
            route(254, "3.3.0.0/16", 7),
            route(254, "fe80::/64", 2),
            route(254, "ff00::/8", 2),
            route(254, "224.0.0.0/4", 2),
            route(100, "10.5.0.0/24", 2),
            route(255, "10.0.0.1/32", 2),
            blackhole,
        ];
        let facts = node_facts(Some(7), &names, &addresses, &routes, BTreeSet::new());
        assert_eq!(
            facts.routes,
            [
                ("10.0.0.0/24".parse().unwrap(), "eth0".to_owned()),
                // An overlay's own block: no node of the cluster may take it for VIPs.
                ("10.9.0.0/16".parse().unwrap(), "a blackhole route".to_owned()),
                ("172.17.0.0/16".parse().unwrap(), "interface 9".to_owned()),
            ]
            .into()
        );
        assert_eq!(facts.own.len(), 2);
        assert!(!facts.own.contains(&addresses[2].address));
    }
}
