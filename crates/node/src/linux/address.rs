//! IP addresses of interfaces: listing, adding and removing them.

use std::net::{IpAddr, Ipv4Addr};

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
    /// The kernel may choose it as the source of packets that leave by another interface: it has
    /// more than host scope and isn't deprecated.
    pub(super) is_choice: bool,
    /// The length of the prefix that it shares with its network.
    pub(super) prefix_length: u8,
    /// Another address of the same network on the interface comes first.
    pub(super) is_secondary: bool,
}

impl Address {
    /// Tells whether vipd binds VIPs like this: alone in its network, and not to be chosen as a source.
    pub(super) fn is_bound_as_vip(&self) -> bool {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        self.prefix_length == whole && !self.is_choice
    }
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
                route_error("read an address")(nl_pipeline::Error::Malformed(error.to_string()))
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
    // Those of the attribute include those of the header, which has room for eight only.
    let flags = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(flags.bits()),
        _ => None,
    });
    let flags = flags.unwrap_or_else(|| message.header.flags.bits().into());
    let has = |flag: AddressFlags| flags & flag.bits() != 0;
    let scope = message.header.scope;
    Some(Address {
        interface: message.header.index,
        address: local.or(address)?,
        global: scope == AddressScope::Universe,
        is_choice: scope != AddressScope::Host && !has(AddressFlags::Deprecated),
        prefix_length: message.header.prefix_len,
        is_secondary: has(AddressFlags::Secondary),
    })
}

/// Requests a new address; `EEXIST` if the interface has it.
pub(super) fn add_address(interface: u32, address: IpAddr) -> Request {
    creation_request(new_address_message(interface, address))
}

/// Requests a new address of global scope for the name server, as systemd-resolved needs one; `EEXIST`
/// if the interface has it.
pub(super) fn add_name_server(interface: u32, address: IpAddr) -> Request {
    let mut message = new_address_message(interface, address);
    if address.is_ipv4() {
        message.header.scope = AddressScope::Universe;
    }
    creation_request(message)
}

fn creation_request(message: AddressMessage) -> Request {
    flagged_request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
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
    if address.is_ipv4() {
        // The kernel never chooses it as the source address of other connections: an interface
        // without an address of its own borrows one of the first interface that has one.
        message.header.scope = AddressScope::Host;
    } else {
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

/// Requests an IPv4 address once more, beside the address itself: with another prefix length, and
/// without a route to that network. `EEXIST` if it is there. It has global scope, so it comes after
/// the address itself, which is then the first that [`delete_address`] finds.
pub(super) fn add_placeholder(interface: u32, address: Ipv4Addr) -> Request {
    let mut message = placeholder(interface, address);
    message.attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute));
    creation_request(message)
}

/// Requests the removal of what [`add_placeholder`] adds, and of nothing else.
pub(super) fn delete_placeholder(interface: u32, address: Ipv4Addr) -> Request {
    let message = placeholder(interface, address);
    flagged_request(RouteNetlinkMessage::DelAddress(message), 0)
}

fn placeholder(interface: u32, address: Ipv4Addr) -> AddressMessage {
    let mut message = address_message(interface, address.into());
    message.header.prefix_len = 31;
    message.attributes.push(AddressAttribute::Address(address.into()));
    message
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
