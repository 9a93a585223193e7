//! IP addresses of interfaces: listing, adding and removing them.

use std::net::IpAddr;

use netlink_packet_core::{DecodeError, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressScope, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::socket::{Request, RouteSocket, flagged_request, route_error};
use crate::KernelError;

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) interface: u32,
    pub(super) address: IpAddr,
    /// The address has global scope: other nodes can reach it.
    pub(super) global: bool,
}

/// A lifetime without end (`INFINITY_LIFE_TIME` of the kernel's `addrconf.h`).
const FOREVER: u32 = u32::MAX;

/// Lists all addresses of the node.
pub(super) fn list_addresses(route: &mut RouteSocket) -> Result<Vec<Address>, KernelError> {
    let mut addresses = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut query = AddressMessage::default();
        query.header.family = family;
        let query = RouteNetlinkMessage::GetAddress(query);
        for address in route.dump("addresses", query, |entry| match entry? {
            RouteNetlinkMessage::NewAddress(message) => Ok(parse_address(&message)),
            _ => Ok(None),
        })? {
            // Skipping one could let the node bind a VIP that equals its own address.
            let address = address.map_err(|error: DecodeError| {
                route_error("read an address")(nl_ipvs::Error::Malformed(error.to_string()))
            })?;
            addresses.extend(address);
        }
    }
    Ok(addresses)
}

/// Parses an address. With a point-to-point peer, `IFA_ADDRESS` is the peer's.
fn parse_address(message: &AddressMessage) -> Option<Address> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    Some(Address {
        interface: message.header.index,
        address: local.or(address)?,
        global: message.header.scope == AddressScope::Universe,
    })
}

/// Requests a new address; `EEXIST` if the interface has it.
pub(super) fn add_address(interface: u32, address: IpAddr) -> Request {
    flagged_request(
        RouteNetlinkMessage::NewAddress(new_address_message(interface, address)),
        NLM_F_CREATE | NLM_F_EXCL,
    )
}

/// Requests an address; no error if the interface has it.
pub(super) fn ensure_address(interface: u32, address: IpAddr) -> Request {
    flagged_request(
        RouteNetlinkMessage::NewAddress(new_address_message(interface, address)),
        NLM_F_CREATE | NLM_F_REPLACE,
    )
}

fn new_address_message(interface: u32, address: IpAddr) -> AddressMessage {
    let mut message = address_message(interface, address);
    message.attributes.push(AddressAttribute::Address(address));
    if address.is_ipv6() {
        // Usable at once; without a route besides the local one; deprecated, so that the kernel
        // never chooses it as the source address of other connections.
        let flags = AddressFlags::Nodad | AddressFlags::Noprefixroute;
        message.attributes.push(AddressAttribute::Flags(flags));
        let mut lifetime = CacheInfo::default();
        lifetime.ifa_preferred = 0;
        lifetime.ifa_valid = FOREVER;
        message.attributes.push(AddressAttribute::CacheInfo(lifetime));
    }
    message
}

/// Requests the removal of an address; `EADDRNOTAVAIL` if the interface lacks it. An IPv4 address
/// is removed whatever its prefix length.
pub(super) fn delete_address(interface: u32, address: IpAddr) -> Request {
    flagged_request(RouteNetlinkMessage::DelAddress(address_message(interface, address)), 0)
}

fn address_message(interface: u32, address: IpAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = interface;
    (message.header.family, message.header.prefix_len) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.attributes.push(AddressAttribute::Local(address));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_to_point_address_is_the_near_one() {
        let mut message = address_message(3, "10.8.0.1".parse().unwrap());
        message.attributes.insert(0, AddressAttribute::Address("10.8.0.2".parse().unwrap()));
        let read = parse_address(&message).unwrap();
        assert_eq!((read.interface, read.address.to_string()), (3, "10.8.0.1".to_owned()));
    }

    #[test]
    fn ipv6_reports_only_the_address_attribute() {
        let mut message = AddressMessage::default();
        message.attributes = vec![AddressAttribute::Address("fd00::1".parse().unwrap())];
        assert_eq!(parse_address(&message).unwrap().address.to_string(), "fd00::1");
        assert_eq!(parse_address(&AddressMessage::default()), None);
    }
}
