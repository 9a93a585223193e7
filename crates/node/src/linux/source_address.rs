use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_route::route::RouteType;

use super::socket::RouteSocket;
use super::{address, link, route};
use crate::KernelError;

pub(super) fn choose_source_address(
    socket: &mut RouteSocket,
    interface: &str,
    servers: &[IpAddr],
) -> Result<Option<Ipv4Addr>, KernelError> {
    for server in servers.iter().filter(|server| server.is_ipv4()) {
        if let Some(source) = source_towards(socket, *server)? {
            return Ok(Some(source));
        }
    }
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

/// The source of packets to an address that isn't on this node.
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
