//! The addresses of the node and the networks of its containers, as they change. For the name
//! server, which needs no right to watch them.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::os::fd::AsFd;

use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::monitor::{DATAGRAM, Heard, join_groups, parse_route_messages, receive_datagram};
use super::socket::{RouteSocket, route_error};
use crate::KernelError;

/// `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR` and `RTNLGRP_IPV6_IFADDR` of `linux/rtnetlink.h`.
const GROUPS: [u32; 3] = [1, 5, 9];

/// A watch on the addresses and bridges of this thread's network namespace.
#[derive(Debug)]
pub struct AddressWatch {
    socket: Socket,
    buffer: Vec<u8>,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    links: BTreeMap<u32, Link>,
    /// The prefix length of each address, by the interface that has it.
    addresses: BTreeMap<(u32, IpAddr), u8>,
}

/// An interface, as far as it matters for bridges.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    kind: Option<InfoKind>,
    /// The bridge or bond that it belongs to.
    controller: Option<u32>,
}

impl AddressWatch {
    /// Begins to watch, and reads what there is.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn open() -> Result<Self, KernelError> {
        let socket = join_groups(NETLINK_ROUTE, &GROUPS)?;
        let mut watch = Self { socket, buffer: vec![0; DATAGRAM], state: State::default() };
        watch.state = State::read_node()?;
        Ok(watch)
    }

    /// Returns the addresses that are bound in this kernel.
    #[must_use]
    pub fn list_addresses(&self) -> HashSet<IpAddr> {
        self.state.addresses.keys().map(|(_, address)| *address).collect()
    }

    /// Returns the networks of bridges that connect containers or virtual machines of this node.
    /// A bridge with a port that leads out of the node is a part of the network out there.
    #[must_use]
    pub fn list_container_networks(&self) -> Vec<IpNet> {
        self.state.list_container_networks()
    }

    /// Waits until an address, or an interface, has changed.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn wait_for_change(&mut self) -> Result<(), KernelError> {
        loop {
            let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) if self.read_announcements()? => return Ok(()),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => {
                    let source = errno.into();
                    let error = nl_pipeline::Error::Io { doing: "wait", source };
                    return Err(route_error("listen to changes")(error));
                }
            }
        }
    }

    /// Reads all pending announcements, and returns whether anything changed.
    fn read_announcements(&mut self) -> Result<bool, KernelError> {
        let (mut is_changed, mut is_overrun) = (false, false);
        loop {
            match receive_datagram(&self.socket, &mut self.buffer)? {
                // What waits is older than the loss, and more may be lost unseen until all is read.
                Heard::Datagram(_) if is_overrun => {}
                Heard::Datagram(length) => {
                    let datagram = &self.buffer[..length.min(DATAGRAM)];
                    for message in parse_route_messages(datagram) {
                        is_changed |= self.state.note_message(message);
                    }
                }
                Heard::TooMuch => is_overrun = true,
                Heard::Nothing if is_overrun => {
                    self.state = State::read_node()?;
                    (is_changed, is_overrun) = (true, false);
                }
                Heard::Nothing => return Ok(is_changed),
            }
        }
    }
}

impl State {
    fn read_node() -> Result<Self, KernelError> {
        let mut socket = RouteSocket::open()?;
        let mut state = Self::default();
        let links = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let addresses = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        for (what, query) in [("interfaces", links), ("addresses", addresses)] {
            // One that can't be parsed is some exotic interface.
            let messages = socket.dump(what, query, Result::ok)?;
            for message in messages.into_iter().flatten() {
                state.note_message(message);
            }
        }
        Ok(state)
    }

    /// Notes a change, and returns whether it is one.
    fn note_message(&mut self, message: RouteNetlinkMessage) -> bool {
        match message {
            // A bridge announces its ports in its own family, beside the interfaces themselves.
            RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link)
                if link.header.interface_family == AddressFamily::Bridge =>
            {
                false
            }
            RouteNetlinkMessage::NewLink(link) => {
                let index = link.header.index;
                let link = Link::from_message(link);
                let is_changed = self.links.get(&index) != Some(&link);
                self.links.insert(index, link);
                is_changed
            }
            RouteNetlinkMessage::DelLink(link) => {
                let index = link.header.index;
                self.addresses.retain(|(of, _), _| *of != index);
                self.links.remove(&index).is_some()
            }
            RouteNetlinkMessage::NewAddress(address) => {
                let prefix = address.header.prefix_len;
                let key = find_address(&address).map(|found| (address.header.index, found));
                key.is_some_and(|key| self.addresses.insert(key, prefix) != Some(prefix))
            }
            RouteNetlinkMessage::DelAddress(address) => {
                let key = find_address(&address).map(|found| (address.header.index, found));
                key.is_some_and(|key| self.addresses.remove(&key).is_some())
            }
            _ => false,
        }
    }

    fn list_container_networks(&self) -> Vec<IpNet> {
        let is_container_bridge = |index: &u32| {
            let is_bridge =
                self.links.get(index).is_some_and(|link| link.kind == Some(InfoKind::Bridge));
            let mut ports = self.links.values().filter(|link| link.controller == Some(*index));
            is_bridge && ports.all(Link::stays_in_node)
        };
        let addresses = self.addresses.iter();
        // Every link has the same link-local network.
        let is_link_local =
            |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let of_bridges = addresses
            .filter(|((index, address), _)| is_container_bridge(index) && !is_link_local(address));
        let networks = of_bridges.filter_map(|((_, address), prefix)| {
            IpNet::new(*address, *prefix).ok().map(|network| network.trunc())
        });
        networks.collect()
    }
}

impl Link {
    fn from_message(link: LinkMessage) -> Self {
        let (mut kind, mut controller) = (None, None);
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::Controller(index) => controller = Some(index),
                LinkAttribute::LinkInfo(infos) => {
                    kind = infos.into_iter().find_map(|info| match info {
                        LinkInfo::Kind(kind) => Some(kind),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        Self { kind, controller }
    }

    /// Returns whether a port of a bridge leads to containers or virtual machines. A network card
    /// has no kind; bonds and VLANs lead to one.
    fn stays_in_node(&self) -> bool {
        let inner = [InfoKind::Veth, InfoKind::Tun, InfoKind::Vxlan, InfoKind::Dummy];
        self.kind.as_ref().is_some_and(|kind| inner.contains(kind))
    }
}

/// Returns the node's own address, not that of a peer.
fn find_address(address: &AddressMessage) -> Option<IpAddr> {
    let find = |is_local: bool| {
        address.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(address) if is_local => Some(*address),
            AddressAttribute::Address(address) if !is_local => Some(*address),
            _ => None,
        })
    };
    find(true).or_else(|| find(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, kind: Option<InfoKind>, controller: Option<u32>) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes
            .extend(kind.map(|kind| LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)])));
        link.attributes.extend(controller.map(LinkAttribute::Controller));
        link
    }

    fn address(index: u32, ip: [u8; 4], prefix: u8) -> AddressMessage {
        let mut address = AddressMessage::default();
        address.header.index = index;
        address.header.prefix_len = prefix;
        address.attributes = vec![AddressAttribute::Local(IpAddr::from(ip))];
        address
    }

    #[test]
    fn networks_of_containers_are_those_of_bridges_that_lead_nowhere_else() {
        let mut state = State::default();
        for message in [
            RouteNetlinkMessage::NewLink(link(1, None, None)),
            RouteNetlinkMessage::NewLink(link(2, Some(InfoKind::Bridge), None)),
            RouteNetlinkMessage::NewLink(link(3, Some(InfoKind::Veth), Some(2))),
            RouteNetlinkMessage::NewLink(link(4, Some(InfoKind::Bridge), None)),
            RouteNetlinkMessage::NewLink(link(5, None, Some(4))),
            RouteNetlinkMessage::NewAddress(address(1, [10, 0, 0, 1], 24)),
            RouteNetlinkMessage::NewAddress(address(2, [172, 17, 0, 1], 16)),
            RouteNetlinkMessage::NewAddress(address(4, [10, 0, 1, 1], 24)),
        ] {
            assert!(state.note_message(message.clone()), "{message:?}");
            assert!(!state.note_message(message.clone()), "again {message:?}");
        }
        let networks = |state: &State| {
            state.list_container_networks().iter().map(IpNet::to_string).collect::<Vec<_>>()
        };
        assert_eq!(networks(&state), ["172.17.0.0/16"]);
        let mut left = link(5, None, Some(4));
        left.header.interface_family = AddressFamily::Bridge;
        assert!(!state.note_message(RouteNetlinkMessage::DelLink(left)));
        state.note_message(RouteNetlinkMessage::NewLink(link(5, None, None)));
        assert_eq!(networks(&state), ["172.17.0.0/16", "10.0.1.0/24"]);
        state.note_message(RouteNetlinkMessage::DelLink(link(2, None, None)));
        assert_eq!(networks(&state), ["10.0.1.0/24"]);
        assert!(!state.addresses.contains_key(&(2, IpAddr::from([172, 17, 0, 1]))));
    }

    #[test]
    fn the_node_has_its_loopback_address() {
        let watch = AddressWatch::open().map(|watch| watch.list_addresses());
        assert!(watch.is_ok_and(|addresses| addresses.contains(&IpAddr::from([127, 0, 0, 1]))));
    }
}
