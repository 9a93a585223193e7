//! Conclusions from the node's addresses, routes and resolvers. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_route::route::{RouteProtocol, RouteType};
use vip::{Bound, LocalRoute, NodeFacts};

use super::address::Address;
use super::link::Interface;
use super::route::{LOCAL, MAIN, Route, is_as_wide_as_default};
use super::source_address::names_source;
use crate::resolvers::Resolvers;

/// Returns the addresses of our interface, each with its local route.
///
/// An IPv4 address whose local route was removed gets the unspecified address as source. Nobody
/// wants that one, so a plan restores the route. An IPv6 route of ours outlives its address: such an
/// address counts as bound, in the same way.
pub(super) fn bound_addresses(
    ours: u32,
    addresses: &[Address],
    routes: &[Route],
) -> BTreeMap<IpAddr, Bound> {
    let is_local = |route: &&Route| {
        let is_local = route.table == u32::from(LOCAL) && route.kind == RouteType::Local;
        is_local && route.interface == Some(ours)
    };
    let mut local = BTreeMap::new();
    for route in routes.iter().filter(is_local) {
        // The first route of a destination is the one in force.
        local.entry(route.destination).or_insert(route);
    }
    let on_ours = addresses.iter().filter(|address| address.interface == ours);
    let mut bound = BTreeMap::new();
    for Address { address, is_choice, .. } in
        on_ours.filter(|address| !is_link_local_v6(address.address))
    {
        let held = local.get(&IpNet::from(*address));
        let source = match held {
            Some(held) => held.source.filter(|source| source != address),
            None if address.is_ipv4() => Some(Ipv4Addr::UNSPECIFIED.into()),
            None => None,
        };
        let route = LocalRoute { source, mtu: held.and_then(|held| held.mtu) };
        // Somebody may have added it with a second prefix, which is theirs.
        let new = Bound { route, learnt: None, is_choice: *is_choice };
        let known = bound.entry(*address).or_insert(new);
        known.is_choice &= is_choice;
    }
    for route in routes.iter().filter(is_local).filter(|route| route.is_ours()) {
        let source = Some(Ipv6Addr::UNSPECIFIED.into());
        let route_alone = LocalRoute { source, mtu: route.mtu };
        let left = Bound { route: route_alone, ..Bound::default() };
        bound.entry(route.destination.addr()).or_insert(left);
    }
    bound
}

/// Tells whether an address is a VIP of ours that an earlier configuration has left on another dummy
/// interface: it is bound as vipd binds VIPs, and a service with our mark has it.
fn is_left_vip(
    address: &Address,
    interfaces: &BTreeMap<u32, Interface>,
    marked: &BTreeSet<IpAddr>,
) -> bool {
    let interface = interfaces.get(&address.interface);
    let is_on_dummy = interface.is_some_and(|interface| interface.is_dummy);
    is_on_dummy && address.is_bound_as_vip() && marked.contains(&address.address)
}

/// Collects the addresses and networks that no VIP may collide with. `ours` is the index of our
/// interface, if there is one, and `marked` are the addresses of the services with our mark.
pub(super) fn node_facts(
    (ours, marked): (Option<u32>, &BTreeSet<IpAddr>),
    interfaces: &BTreeMap<u32, Interface>,
    addresses: &[Address],
    routes: &[Route],
    resolvers: Resolvers,
) -> NodeFacts {
    let names_sources = routes.iter().any(|route| names_source(route, addresses));
    let elsewhere = addresses.iter().filter(|address| Some(address.interface) != ours);
    let (left, own): (Vec<&Address>, Vec<&Address>) =
        elsewhere.partition(|address| is_left_vip(address, interfaces, marked));
    let own: BTreeSet<_> = own.into_iter().map(|address| address.address).collect();
    // A route over a loopback interface discards packets, as those that say so do.
    let leads_off = |route: &Route| {
        let interface = route.interface.and_then(|index| interfaces.get(&index));
        route.kind == RouteType::Unicast && !interface.is_some_and(|it| it.is_loopback)
    };
    let on_link = routes.iter().filter(|route| {
        route.table == MAIN
            && leads_off(route)
            && route.gateways.is_empty()
            && route.interface.is_some_and(|index| Some(index) != ours)
            && !is_as_wide_as_default(&route.destination)
    });
    let connected = on_link.clone().map(|route| route.destination).collect();
    let gateways = routes.iter().flat_map(|route| &route.gateways).copied().collect();
    let defaults = routes
        .iter()
        .filter(|route| route.table == MAIN && is_as_wide_as_default(&route.destination));
    let uplinks = defaults.flat_map(|route| &route.gateways).copied().collect();
    let is_group = |route: &&Route| {
        matches!(route.kind, RouteType::Broadcast | RouteType::Anycast)
            && route.interface.is_some_and(|index| Some(index) != ours)
    };
    let unicast = routes.iter().filter(|route| leads_off(route));
    let over = unicast.filter_map(|route| interfaces.get(&route.interface?));
    let mtus = over.map(|interface| (interface.name.clone(), interface.mtu)).collect();
    let groups = routes.iter().filter(is_group).map(|route| route.destination.network()).collect();
    // Calico has a route to each container in its block, and an address of a tunnel in one of them. BIRD
    // discards what is of a network that it announces, which may be that of the VIPs.
    let is_used = |block: &IpNet| {
        let leads_inside = |route: &Route| block.contains(&route.destination);
        own.iter().any(|own| block.contains(own)) || on_link.clone().any(leads_inside)
    };
    let is_block = |route: &Route| is_block_of_overlay(route) && is_used(&route.destination);
    let routes = routes
        .iter()
        // A route that discards packets (blackhole, unreachable, prohibit) leads to no network: it
        // is the usual cure of a routing loop. But an overlay marks its own blocks so.
        .filter(|route| {
            route.table == MAIN
                && (leads_off(route) || is_block(route))
                && !is_as_wide_as_default(&route.destination)
                && !is_link_local_v6(route.destination.network())
                && !route.destination.network().is_multicast()
        })
        .filter_map(|route| {
            if is_block(route) {
                return Some((route.destination, "an overlay's own block".to_owned()));
            }
            let interface = route.interface.filter(|index| Some(*index) != ours)?;
            let name = interfaces.get(&interface).map(|interface| interface.name.clone());
            Some((route.destination, name.unwrap_or_else(|| format!("interface {interface}"))))
        })
        .collect();
    NodeFacts {
        own,
        routes,
        resolvers: resolvers.addresses,
        connected,
        gateways,
        uplinks,
        groups,
        names_sources,
        mtus,
        listening: None,
        unread: resolvers.unread,
        former_interfaces: left
            .iter()
            .filter_map(|address| Some(interfaces.get(&address.interface)?.name.clone()))
            .collect(),
    }
}

/// Tells whether a route may mark a block of addresses that Calico gives to containers of this node: made
/// by BIRD (`RTPROT_BIRD` of `linux/rtnetlink.h`), or by Felix under the number that it uses. Calico
/// makes blocks of these lengths only (`blockSize` of its `IPPool`).
fn is_block_of_overlay(route: &Route) -> bool {
    const FELIX: u8 = 80;
    let lengths = match route.destination {
        IpNet::V4(_) => 20..=32,
        IpNet::V6(_) => 116..=128,
    };
    route.kind == RouteType::BlackHole
        && lengths.contains(&route.destination.prefix_len())
        && matches!(route.protocol, RouteProtocol::Bird | RouteProtocol::Other(FELIX))
}

fn is_link_local_v6(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::super::route::tests::unicast_route;
    use super::*;

    fn address(interface: u32, address: &str) -> Address {
        Address {
            interface,
            address: address.parse().unwrap(),
            global: true,
            is_choice: true,
            prefix_length: 24,
            is_secondary: false,
        }
    }

    fn route(table: u32, destination: &str, interface: u32) -> Route {
        let kind = if table == 255 { RouteType::Local } else { RouteType::Unicast };
        Route { table, kind, interface: Some(interface), ..unicast_route(destination) }
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
                (address.to_string(), bound.route.source.map(|source| source.to_string()))
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
    fn vips_on_a_dummy_of_an_earlier_configuration_are_no_addresses_of_the_node() {
        let dummy = |name: &str| Interface {
            name: name.to_owned(),
            is_dummy: true,
            ..Interface::default()
        };
        let interfaces = [(2, dummy("vip0")), (3, dummy("lo1")), (7, dummy("vipd0"))].into();
        let bound = |interface, text: &str| Address {
            global: false,
            is_choice: false,
            prefix_length: if text.contains(':') { 128 } else { 32 },
            ..address(interface, text)
        };
        let mut addresses = vec![
            bound(2, "3.3.0.6"),
            bound(2, "fd03::6"),
            // The name server's, which may be a source.
            Address { is_choice: true, ..bound(2, "198.51.100.1") },
            bound(3, "10.200.0.7"),
            bound(7, "3.3.0.6"),
        ];
        let facts_of = |addresses: &[Address], marked: &str| {
            let marked = [marked.parse().unwrap()].into();
            node_facts((Some(7), &marked), &interfaces, addresses, &[], Resolvers::default())
        };
        let facts = facts_of(&addresses, "3.3.0.6");
        assert!(!facts.own.contains(&"3.3.0.6".parse().unwrap()));
        assert_eq!(facts.own.len(), 3, "what no service of ours has");
        assert_eq!(facts.former_interfaces, ["vip0".to_owned()].into());
        assert_eq!(facts_of(&addresses, "3.3.0.7").own.len(), 4, "none of ours");
        addresses[0].prefix_length = 24;
        assert_eq!(facts_of(&addresses, "3.3.0.6").own.len(), 4, "an address with a network");
    }

    #[test]
    fn only_networks_of_others_count() {
        let mut eth0 = Interface::default();
        eth0.name.push_str("eth0");
        let loopback = Interface { is_loopback: true, ..Interface::default() };
        let interfaces = [(2, eth0), (1, loopback)].into();
        let addresses = [
            address(1, "127.0.0.1"),
            address(2, "10.0.0.1"),
            address(7, "3.3.0.1"),
            address(9, "10.9.2.1"),
        ];
        let mut blackhole = route(254, "10.9.0.0/16", 2);
        blackhole.kind = RouteType::BlackHole;
        let of_kind = |kind, mut route: Route| {
            route.kind = kind;
            route
        };
        let via = |gateway: &str, mut route: Route| {
            route.gateways = vec![gateway.parse().unwrap()];
            route
        };
        let block = |text: &str| text.parse::<IpNet>().unwrap();
        let calico = of_kind(RouteType::BlackHole, route(254, "10.9.1.0/26", 1));
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
            // What VPN clients put in the place of the default route.
            via("10.8.0.1", route(254, "0.0.0.0/1", 9)),
            route(254, "128.0.0.0/1", 9),
            route(254, "64.0.0.0/2", 9),
            route(254, "0.0.0.0/5", 9),
            route(254, "2.0.0.0/7", 9),
            route(254, "2000::/3", 9),
            route(254, "fc00::/7", 9),
            route(254, "fd00::/8", 9),
            Route { protocol: RouteProtocol::Bird, ..calico.clone() },
            Route {
                protocol: RouteProtocol::Other(80),
                destination: block("10.9.2.0/26"),
                ..calico.clone()
            },
            // A container of the one, and a tunnel of the other.
            route(254, "10.9.1.5/32", 9),
            // What BIRD announces.
            Route {
                protocol: RouteProtocol::Bird,
                destination: block("3.0.0.0/8"),
                ..calico.clone()
            },
            Route {
                protocol: RouteProtocol::Bird,
                destination: block("3.3.0.0/24"),
                ..calico.clone()
            },
            Route { protocol: RouteProtocol::Bird, destination: block("fd03::/64"), ..calico },
            of_kind(RouteType::Unreachable, route(254, "3.0.0.0/8", 1)),
            // The older way to discard packets.
            route(254, "3.0.0.0/8", 1),
            route(254, "fd01::/64", 1),
            of_kind(RouteType::Broadcast, route(255, "10.0.0.255/32", 2)),
            of_kind(RouteType::Anycast, route(255, "2001:db8::/128", 2)),
            of_kind(RouteType::Broadcast, route(255, "3.3.0.255/32", 7)),
            via("10.5.0.254", route(100, "0.0.0.0/0", 2)),
        ];
        let ours = (Some(7), &BTreeSet::new());
        let facts = node_facts(ours, &interfaces, &addresses, &routes, Resolvers::default());
        assert_eq!(
            facts.routes,
            [
                ("10.0.0.0/24".parse().unwrap(), "eth0".to_owned()),
                (block("10.9.1.0/26"), "an overlay's own block".to_owned()),
                (block("10.9.1.5/32"), "interface 9".to_owned()),
                (block("10.9.2.0/26"), "an overlay's own block".to_owned()),
                ("172.17.0.0/16".parse().unwrap(), "interface 9".to_owned()),
                ("fd00::/8".parse().unwrap(), "interface 9".to_owned()),
            ]
            .into()
        );
        let addresses_of = |texts: [&str; 2]| texts.map(|text| text.parse().unwrap()).into();
        assert_eq!(facts.gateways, addresses_of(["10.8.0.1", "10.5.0.254"]));
        assert_eq!(facts.groups, addresses_of(["10.0.0.255", "2001:db8::"]));
        assert!(!facts.connected.contains(&block("3.0.0.0/8")), "{:?}", facts.connected);
        assert_eq!(facts.own.len(), 3);
        assert!(!facts.own.contains(&addresses[2].address));
    }
}
