//! The kernel's multicast announcements of changes.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netlink_packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, setsockopt, sockopt};

use super::link::list_interfaces;
use super::link_mtus::LinkMtus;
use super::nft::announced;
use super::route::LOCAL;
use super::socket::{RouteSocket, route_error};
use crate::KernelError;

/// `RTNLGRP_*` of `linux/rtnetlink.h`: links, then addresses, routes and rules of both families.
const GROUPS: [u32; 7] = [1, 5, 9, 7, 11, 8, 19];

/// The receive buffer in bytes: room for a burst of announcements on a busy node.
const RECEIVE_BUFFER: usize = 1 << 20;

/// The longest datagram of announcements in bytes.
pub(super) const DATAGRAM: usize = 64 << 10;

/// A listener for the kernel's announcements about links, addresses, routes, their rules and nftables.
///
/// It belongs to the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    /// `None` where the kernel has no nftables.
    nft: Option<Socket>,
    interface: String,
    /// The index of our interface, once known.
    index: Option<u32>,
    mtus: LinkMtus,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Begins to listen. `interface` is our own, of which every change is relevant.
    ///
    /// # Errors
    /// When the socket can't be opened.
    pub fn open(interface: &str) -> Result<Self, KernelError> {
        let socket = join_groups(NETLINK_ROUTE, &GROUPS)?;
        let nft = join_groups(NETLINK_NETFILTER, &[announced::GROUP]).ok();
        let buffer = vec![0; DATAGRAM];
        let index = if_nametoindex(interface).ok();
        // After the socket has joined: what changes meanwhile is announced.
        let mtus = read_mtus();
        Ok(Self { socket, nft, interface: interface.to_owned(), index, mtus, buffer })
    }

    /// Waits for a relevant announcement, at most for `timeout`. Returns false if there was none.
    ///
    /// Relevant are our interface and its addresses, the node's own addresses, its routes in any table,
    /// the rules that choose a table, another MTU of an interface, and in nftables our tables, our rules and
    /// the base chains. Interfaces of containers come and go all the time and aren't.
    ///
    /// # Errors
    /// When reading from the socket fails.
    pub fn wait_for_change(&mut self, timeout: Duration) -> Result<bool, KernelError> {
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // Round milliseconds up, so as not to spin through the last one.
            let left = left.as_nanos().div_ceil(1_000_000);
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let sockets = [Some(&self.socket), self.nft.as_ref()].into_iter().flatten();
            let mut polled: Vec<_> =
                sockets.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
            match poll(&mut polled, left) {
                Ok(0) => return Ok(false),
                Ok(_) if self.read_announcements()? => return Ok(true),
                // The announcements weren't relevant.
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(socket_broken(errno)),
            }
        }
    }

    /// Reads all pending announcements and returns true if one of them is relevant.
    fn read_announcements(&mut self) -> Result<bool, KernelError> {
        let mut matters = false;
        loop {
            match receive_datagram(&self.socket, &mut self.buffer)? {
                Heard::Datagram(length) => matters |= self.any_is_relevant(length),
                Heard::TooMuch => {
                    self.mtus = read_mtus();
                    matters = true;
                }
                Heard::Nothing => break,
            }
        }
        while let Some(nft) = &self.nft {
            match receive_datagram(nft, &mut self.buffer)? {
                Heard::Datagram(length) => {
                    matters |= announced::concerns_us(&self.buffer[..length.min(DATAGRAM)]);
                }
                Heard::TooMuch => matters = true,
                Heard::Nothing => break,
            }
        }
        Ok(matters)
    }

    fn any_is_relevant(&mut self, length: usize) -> bool {
        let buffer = std::mem::take(&mut self.buffer);
        let messages = parse_route_messages(&buffer[..length.min(buffer.len())]);
        let matters = messages.fold(false, |matters, message| matters | self.is_relevant(&message));
        self.buffer = buffer;
        matters
    }

    fn is_relevant(&mut self, message: &RouteNetlinkMessage) -> bool {
        match message {
            RouteNetlinkMessage::NewLink(link) => self.mtus.note_link(link) | self.is_ours(link),
            RouteNetlinkMessage::DelLink(link) => {
                self.mtus.forget_link(link.header.index);
                self.is_ours(link)
            }
            RouteNetlinkMessage::NewAddress(address) | RouteNetlinkMessage::DelAddress(address) => {
                self.index == Some(address.header.index) || is_global(address)
            }
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
                self.is_of_interest(route)
            }
            RouteNetlinkMessage::NewRule(_) | RouteNetlinkMessage::DelRule(_) => true,
            _ => false,
        }
    }

    fn is_ours(&mut self, link: &LinkMessage) -> bool {
        let named = link.attributes.iter().any(
            |attribute| matches!(attribute, LinkAttribute::IfName(name) if *name == self.interface),
        );
        if named {
            self.index = Some(link.header.index);
        }
        named || self.index == Some(link.header.index)
    }

    fn is_of_interest(&self, route: &RouteMessage) -> bool {
        let mut table = u32::from(route.header.table);
        let (mut interface, mut link_local) = (None, false);
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Table(number) => table = *number,
                RouteAttribute::Oif(index) => interface = Some(*index),
                RouteAttribute::Destination(RouteAddress::Inet6(address)) => {
                    link_local = is_local_to_a_link(*address);
                }
                _ => {}
            }
        }
        match table == u32::from(LOCAL) {
            // Those of other interfaces come and go with addresses.
            true => interface.is_some() && interface == self.index,
            // A rule may choose any other table.
            false => !link_local,
        }
    }
}

/// Reads the MTUs of all interfaces. Without them only those that are announced are compared.
fn read_mtus() -> LinkMtus {
    let interfaces = RouteSocket::open().and_then(|mut socket| list_interfaces(&mut socket));
    let interfaces = interfaces.unwrap_or_default().into_iter();
    LinkMtus::new(interfaces.map(|(index, interface)| (index, interface.mtu)))
}

/// Opens a socket that receives the announcements of these multicast groups.
pub(super) fn join_groups(protocol: isize, groups: &[u32]) -> Result<Socket, KernelError> {
    let io = |doing| {
        move |source| route_error("listen to changes")(nl_pipeline::Error::Io { doing, source })
    };
    let mut socket = Socket::new(protocol).map_err(io("open"))?;
    socket.bind_auto().map_err(io("bind"))?;
    for group in groups {
        socket.add_membership(*group).map_err(io("join"))?;
    }
    socket.set_non_blocking(true).map_err(io("set up"))?;
    // The second may go beyond the system's limit, and needs CAP_NET_ADMIN.
    let _ = setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
    let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER);
    Ok(socket)
}

/// Parses the messages of a datagram. One that can't be parsed is some exotic link or route of
/// somebody else, and is skipped.
pub(super) fn parse_route_messages(
    datagram: &[u8],
) -> impl Iterator<Item = RouteNetlinkMessage> + '_ {
    let mut rest = datagram;
    let messages = std::iter::from_fn(move || {
        let header = NetlinkBuffer::new_checked(rest).ok()?;
        let whole = usize::try_from(header.length()).unwrap_or(rest.len());
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest);
        rest = rest.get(whole.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    });
    messages.filter_map(|message| match message.ok()?.payload {
        NetlinkPayload::InnerMessage(message) => Some(message),
        _ => None,
    })
}

/// The result of one read from a socket.
pub(super) enum Heard {
    /// A datagram of this many bytes.
    Datagram(usize),
    /// Announcements were lost: there were more than the buffer holds.
    TooMuch,
    Nothing,
}

pub(super) fn receive_datagram(socket: &Socket, buffer: &mut [u8]) -> Result<Heard, KernelError> {
    loop {
        let mut free = &mut *buffer;
        match socket.recv(&mut free, MsgFlags::empty().bits()) {
            Ok(length) => return Ok(Heard::Datagram(length)),
            Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
                Errno::EAGAIN => return Ok(Heard::Nothing),
                Errno::EINTR => {}
                Errno::ENOBUFS => return Ok(Heard::TooMuch),
                errno => return Err(socket_broken(errno)),
            },
        }
    }
}

/// Returns true for an address of global scope, which other nodes can reach.
fn is_global(address: &AddressMessage) -> bool {
    address.header.scope == AddressScope::Universe
}

fn is_local_to_a_link(address: Ipv6Addr) -> bool {
    let address = IpAddr::V6(address);
    address.is_multicast() || matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn socket_broken(errno: Errno) -> KernelError {
    let source = errno.into();
    route_error("listen to changes")(nl_pipeline::Error::Io { doing: "read", source })
}
