use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_route::route::RouteType;

use super::socket::RouteSocket;
use super::{address, link, route};
use crate::KernelError;

pub(super) fn choose(
    socket: &mut RouteSocket,
    interface: &str,
    servers: &[IpAddr],
) -> Result<Option<Ipv4Addr>, KernelError> {
    for server in servers.iter().filter(|server| server.is_ipv4()) {
        if let Some(source) = towards(socket, *server)? {
            return Ok(Some(source));
        }
    }
    let routes = route::all(socket)?;
    let default = routes.into_iter().find(|route| {
        route.table == route::MAIN
            && route.kind == RouteType::Unicast
            && route.destination.prefix_len() == 0
            && route.destination.addr().is_ipv4()
    });
    if let Some(default) = default {
        let source = match (default.source, default.gateway) {
            (Some(source), _) => v4(source),
            (None, Some(gateway)) => towards(socket, gateway)?,
            (None, None) => None,
        };
        if source.is_some() {
            return Ok(source);
        }
    }
    let ours = link::find(socket, interface)?.map(|link| link.index);
    let addresses = address::all(socket)?;
    let others = addresses.iter().filter(|address| Some(address.interface) != ours);
    Ok(others.filter(|address| address.global).find_map(|address| v4(address.address)))
}

/// The source of packets to an address that isn't on this node.
fn towards(socket: &mut RouteSocket, to: IpAddr) -> Result<Option<Ipv4Addr>, KernelError> {
    let route = route::towards(socket, to)?.filter(|route| route.kind == RouteType::Unicast);
    Ok(route.and_then(|route| route.source).and_then(v4))
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    }
}
