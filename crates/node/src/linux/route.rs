//! Routes: the local ones of VIPs, and those to other networks.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
    RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use vip::LocalRoute;

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
    /// The program that made it.
    pub(super) protocol: RouteProtocol,
    /// The destination; of length 0 for a default route.
    pub(super) destination: IpNet,
    /// The interface of the first hop; none for `blackhole` and similar routes.
    pub(super) interface: Option<u32>,
    /// The gateways: several where there are several hops.
    pub(super) gateways: Vec<IpAddr>,
    /// The source address of the node's own packets.
    pub(super) source: Option<IpAddr>,
    /// The MTU of the path, if the route or what the kernel has learnt names one.
    pub(super) mtu: Option<u32>,
    /// The rank among routes to the same destination.
    pub(super) metric: u32,
}

impl Route {
    /// Tells whether this is an IPv6 local route as [`set_local_route`] makes it.
    pub(super) fn is_ours(&self) -> bool {
        let is_address = self.destination.addr().is_ipv6() && self.destination.prefix_len() == 128;
        is_address && self.protocol == RouteProtocol::Static && self.metric == METRIC
    }
}

/// The metric of our IPv6 local routes, which the kernel gives to those that name none. It gives its own
/// a metric of 0, which nobody else can give.
const METRIC: u32 = 1024;

/// The prefix length from which a route is no part of a default route: the widest networks are a class A
/// network and `fd00::/8`.
pub(super) const NARROWEST: u8 = 8;

/// Tells whether a destination is a default route or a part of one. VPN clients replace the default
/// route by halves (`0.0.0.0/1` and `128.0.0.0/1`), or by all parts beside private networks
/// (`0.0.0.0/5`, `8.0.0.0/7`, `2000::/3` and the like).
pub(super) fn is_as_wide_as_default(destination: &IpNet) -> bool {
    destination.prefix_len() < NARROWEST
}

/// Lists all routes of the node. One that can't be parsed (an exotic encapsulation) is left out, and so
/// are those to single addresses of which the kernel has learnt something: they aren't of any table.
pub(super) fn list_routes(route: &mut RouteSocket) -> Result<Vec<Route>, KernelError> {
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut query = RouteMessage::default();
        query.header.address_family = family;
        let query = RouteNetlinkMessage::GetRoute(query);
        let read = route.dump("routes", query, |entry| match entry {
            Ok(RouteNetlinkMessage::NewRoute(message)) if !is_learnt(&message) => {
                parse_route(&message)
            }
            _ => None,
        })?;
        routes.extend(read.into_iter().flatten());
    }
    Ok(routes)
}

fn is_learnt(message: &RouteMessage) -> bool {
    message.header.flags.contains(RouteFlags::Cloned)
}

/// Asks the kernel for its route to an address; `None` if there is none.
pub(super) fn route_towards(
    route: &mut RouteSocket,
    address: IpAddr,
) -> Result<Option<Route>, KernelError> {
    look_up(route, address, RouteFlags::empty())
}

/// Asks the kernel for the entry of its routing table that leads to an address; `None` if there is
/// none. It has a source only if the entry itself names one.
pub(super) fn entry_towards(
    route: &mut RouteSocket,
    address: IpAddr,
) -> Result<Option<Route>, KernelError> {
    look_up(route, address, RouteFlags::FibMatch)
}

fn look_up(
    route: &mut RouteSocket,
    address: IpAddr,
    flags: RouteFlags,
) -> Result<Option<Route>, KernelError> {
    let mut query = route_to(address);
    query.header.table = 0;
    query.header.flags = flags;
    let query = RouteNetlinkMessage::GetRoute(query);
    match route.get(&format!("the route to {address}"), query) {
        Ok(Ok(RouteNetlinkMessage::NewRoute(message))) => Ok(parse_route(&message)),
        // There is none, or an exotic one: an encapsulation that can't be parsed.
        Ok(_) | Err(KernelError::Route { error: nl_pipeline::Error::Malformed(_), .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse_route(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    let unspecified: IpAddr = match header.address_family {
        AddressFamily::Inet => [0; 4].into(),
        AddressFamily::Inet6 => [0; 16].into(),
        _ => return None,
    };
    let mut table = header.table.into();
    let (mut destination, mut interface, mut source) = (None, None, None);
    let (mut mtu, mut metric) = (None, 0);
    let mut gateways = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(address) => destination = ip_address(address),
            RouteAttribute::Oif(index) => interface = Some(*index),
            RouteAttribute::MultiPath(hops) => {
                interface = interface.or(hops.first().map(|hop| hop.interface_index));
                let attributes = hops.iter().flat_map(|hop| &hop.attributes);
                gateways.extend(attributes.filter_map(gateway_of));
            }
            RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => {
                gateways.extend(gateway_of(attribute));
            }
            RouteAttribute::PrefSource(address) => source = ip_address(address),
            RouteAttribute::Metrics(metrics) => mtu = mtu_of(metrics),
            RouteAttribute::Priority(rank) => metric = *rank,
            _ => {}
        }
    }
    let destination = destination.unwrap_or(unspecified);
    let destination = IpNet::new(destination, header.destination_prefix_length).ok()?.trunc();
    Some(Route {
        table,
        kind: header.kind,
        protocol: header.protocol,
        destination,
        interface,
        gateways,
        source,
        mtu,
        metric,
    })
}

fn mtu_of(metrics: &[RouteMetric]) -> Option<u32> {
    metrics.iter().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) => Some(*mtu).filter(|mtu| *mtu > 0),
        _ => None,
    })
}

/// Returns the gateway that an attribute names. One of the other family stands in `RTA_VIA`.
fn gateway_of(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Gateway(address) => ip_address(address),
        RouteAttribute::Via(RouteVia::Inet(v4)) => Some((*v4).into()),
        RouteAttribute::Via(RouteVia::Inet6(v6)) => Some((*v6).into()),
        _ => None,
    }
}

fn ip_address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

/// Requests a VIP's local route, in the place of the present one.
///
/// An IPv4 route is replaced; without a source it has the VIP's own. For IPv6 ours stands behind the
/// kernel's own, until [`delete_kernel_route`] removes that one: it can't be replaced.
pub(super) fn set_local_route(interface: u32, address: IpAddr, route: LocalRoute) -> Request {
    let message = exact_route(interface, address, route);
    flagged_request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Requests the removal of a VIP's local route that has just this source and MTU.
pub(super) fn delete_former_route(interface: u32, address: IpAddr, route: LocalRoute) -> Request {
    let message = exact_route(interface, address, route);
    flagged_request(RouteNetlinkMessage::DelRoute(message), 0)
}

fn exact_route(interface: u32, address: IpAddr, route: LocalRoute) -> RouteMessage {
    let mut message = local_route(interface, address);
    if address.is_ipv4() {
        message.header.protocol = RouteProtocol::Kernel;
        let source = route.source.unwrap_or(address);
        message.attributes.push(RouteAttribute::PrefSource(source.into()));
    } else {
        mark_as_ours(&mut message);
    }
    if let Some(mtu) = route.mtu {
        message.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
    }
    message
}

/// Requests the removal of a VIP's local route: for IPv4 whatever it is, for IPv6 ours. With an
/// address, the kernel removes only the route it added itself, so another would keep the VIP local.
pub(super) fn delete_local_route(interface: u32, address: IpAddr) -> Request {
    let mut message = local_route(interface, address);
    if address.is_ipv6() {
        mark_as_ours(&mut message);
    }
    flagged_request(RouteNetlinkMessage::DelRoute(message), 0)
}

/// Requests the removal of the local route that the kernel made itself.
pub(super) fn delete_kernel_route(interface: u32, address: IpAddr) -> Request {
    let mut message = local_route(interface, address);
    message.header.protocol = RouteProtocol::Kernel;
    flagged_request(RouteNetlinkMessage::DelRoute(message), 0)
}

fn mark_as_ours(message: &mut RouteMessage) {
    message.header.protocol = RouteProtocol::Static;
    message.attributes.push(RouteAttribute::Priority(METRIC));
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
pub(super) mod tests {
    use super::*;

    /// A route over interface 9.
    pub(in super::super) fn unicast_route(destination: &str) -> Route {
        Route {
            table: MAIN,
            kind: RouteType::Unicast,
            protocol: RouteProtocol::Boot,
            destination: destination.parse().unwrap(),
            interface: Some(9),
            gateways: Vec::new(),
            source: None,
            mtu: None,
            metric: 0,
        }
    }
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
