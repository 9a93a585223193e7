//! Routes: the local ones of VIPs, and those to other networks.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::socket::{Request, RouteSocket, flagged_request};
use crate::KernelError;

/// `RT_TABLE_MAIN` and `RT_TABLE_LOCAL` of `linux/rtnetlink.h`.
pub(super) const MAIN: u32 = 254;
pub(super) const LOCAL: u8 = 255;

/// A route, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) table: u32,
    pub(super) kind: RouteType,
    /// The destination; of length 0 for a default route.
    pub(super) destination: IpNet,
    /// The interface of the first hop; none for `blackhole` and similar routes.
    pub(super) interface: Option<u32>,
    pub(super) gateway: Option<IpAddr>,
    /// The source address of the node's own packets.
    pub(super) source: Option<IpAddr>,
}

/// Lists all routes of the node. One that can't be parsed (an exotic encapsulation) is left out.
pub(super) fn list_routes(route: &mut RouteSocket) -> Result<Vec<Route>, KernelError> {
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut query = RouteMessage::default();
        query.header.address_family = family;
        let query = RouteNetlinkMessage::GetRoute(query);
        let read = route.dump("routes", query, |entry| match entry {
            Ok(RouteNetlinkMessage::NewRoute(message)) => parse_route(&message),
            _ => None,
        })?;
        routes.extend(read.into_iter().flatten());
    }
    Ok(routes)
}

/// Asks the kernel for its route to an address; `None` if there is none.
pub(super) fn route_towards(
    route: &mut RouteSocket,
    address: IpAddr,
) -> Result<Option<Route>, KernelError> {
    let mut query = route_to(address);
    query.header.table = 0;
    let answer =
        route.get(&format!("the route to {address}"), RouteNetlinkMessage::GetRoute(query))?;
    Ok(match answer {
        Ok(RouteNetlinkMessage::NewRoute(message)) => parse_route(&message),
        _ => None,
    })
}

fn parse_route(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    let unspecified: IpAddr = match header.address_family {
        AddressFamily::Inet => [0; 4].into(),
        AddressFamily::Inet6 => [0; 16].into(),
        _ => return None,
    };
    let mut table = header.table.into();
    let (mut destination, mut interface, mut gateway, mut source) = (None, None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(address) => destination = ip_address(address),
            RouteAttribute::Oif(index) => interface = Some(*index),
            RouteAttribute::MultiPath(hops) => {
                interface = interface.or(hops.first().map(|hop| hop.interface_index));
            }
            RouteAttribute::Gateway(address) => gateway = ip_address(address),
            RouteAttribute::PrefSource(address) => source = ip_address(address),
            _ => {}
        }
    }
    let destination = destination.unwrap_or(unspecified);
    let destination = IpNet::new(destination, header.destination_prefix_length).ok()?.trunc();
    Some(Route { table, kind: header.kind, destination, interface, gateway, source })
}

fn ip_address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

/// Requests that the node's own connections to a VIP come from `source`. With the kernel's own
/// local route they come from the VIP itself, which real servers can't answer.
pub(super) fn replace_local_route(interface: u32, address: IpAddr, source: IpAddr) -> Request {
    let mut message = local_route(interface, address);
    message.header.protocol = RouteProtocol::Kernel;
    message.attributes.push(RouteAttribute::PrefSource(source.into()));
    flagged_request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Requests the removal of a VIP's local route, whatever its source. With an address, the kernel
/// removes only the route it added itself, so a replaced route would keep the VIP local.
pub(super) fn delete_local_route(interface: u32, address: IpAddr) -> Request {
    flagged_request(RouteNetlinkMessage::DelRoute(local_route(interface, address)), 0)
}

fn local_route(interface: u32, address: IpAddr) -> RouteMessage {
    let mut message = route_to(address);
    message.header.table = LOCAL;
    message.header.kind = RouteType::Local;
    message.header.scope = RouteScope::Host;
    message.attributes.push(RouteAttribute::Oif(interface));
    message
}

fn route_to(address: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    (header.address_family, header.destination_prefix_length) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.attributes.push(RouteAttribute::Destination(address.into()));
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::route::RouteNextHop;

    #[test]
    fn a_table_beyond_255_stands_in_its_attribute() {
        let mut message = route_to("10.0.0.7".parse().unwrap());
        message.header.table = 252;
        message.attributes.push(RouteAttribute::Table(1000));
        assert_eq!(parse_route(&message).unwrap().table, 1000);
    }

    #[test]
    fn a_route_over_several_hops_is_reached_over_the_first() {
        let mut message = route_to("10.0.0.7".parse().unwrap());
        let mut hop = RouteNextHop::default();
        hop.interface_index = 4;
        message.attributes.push(RouteAttribute::MultiPath(vec![hop, RouteNextHop::default()]));
        assert_eq!(parse_route(&message).unwrap().interface, Some(4));
    }

    #[test]
    fn a_route_without_destination_is_the_default_route() {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet6;
        assert_eq!(parse_route(&message).unwrap().destination, "::/0".parse().unwrap());
        message.header.destination_prefix_length = 200;
        assert_eq!(parse_route(&message), None);
    }
}
