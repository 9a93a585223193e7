//! What the kernel announces of its own accord.

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

use super::nft::announced;
use super::route::{LOCAL, MAIN};
use super::socket::route_error;
use crate::KernelError;

/// `RTNLGRP_*` of `linux/rtnetlink.h`: links, addresses and routes of both families.
const GROUPS: [u32; 5] = [1, 5, 7, 9, 11];

/// Room for what a busy node announces at once.
const RECEIVE_BUFFER: usize = 1 << 20;

/// The longest datagram of announcements.
const DATAGRAM: usize = 64 << 10;

/// Listens to what the kernel announces of links, addresses, routes and our tables of nftables.
///
/// It belongs to the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    /// None where the kernel has no nftables.
    nft: Option<Socket>,
    interface: String,
    /// Our interface, if it was there or heard of.
    index: Option<u32>,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Begins to listen. `interface` is the one whose every change counts.
    ///
    /// # Errors
    /// When there is no socket to be had.
    pub fn open(interface: &str) -> Result<Self, KernelError> {
        let socket = join_groups(NETLINK_ROUTE, &GROUPS)?;
        let nft = join_groups(NETLINK_NETFILTER, &[announced::GROUP]).ok();
        let buffer = vec![0; DATAGRAM];
        let index = if_nametoindex(interface).ok();
        Ok(Self { socket, nft, interface: interface.to_owned(), index, buffer })
    }

    /// Waits for an announcement that matters, no longer than `timeout`. False: there was none.
    ///
    /// What matters is our interface, what is on it, the node's own addresses, and its routes.
    /// Interfaces of containers come and go all the time and don't.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn wait_for_change(&mut self, timeout: Duration) -> Result<bool, KernelError> {
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // In milliseconds, rounded up: else the last one of them is spent spinning.
            let left = left.as_nanos().div_ceil(1_000_000);
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let sockets = [Some(&self.socket), self.nft.as_ref()].into_iter().flatten();
            let mut polled: Vec<_> =
                sockets.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
            match poll(&mut polled, left) {
                Ok(0) => return Ok(false),
                Ok(_) if self.read_announcements()? => return Ok(true),
                // What was announced doesn't matter.
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(socket_broken(errno)),
            }
        }
    }

    /// Reads all that was announced, and says whether any of it matters.
    fn read_announcements(&mut self) -> Result<bool, KernelError> {
        let mut matters = false;
        loop {
            match receive_datagram(&self.socket, &mut self.buffer)? {
                Heard::Datagram(length) => matters |= self.any_is_relevant(length),
                Heard::TooMuch => matters = true,
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
        let mut rest = &buffer[..length.min(buffer.len())];
        let mut matters = false;
        while let Ok(header) = NetlinkBuffer::new_checked(rest) {
            let whole = usize::try_from(header.length()).unwrap_or(rest.len());
            // What can't be read is some exotic link or route of somebody else.
            if let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                && let NetlinkPayload::InnerMessage(message) = message.payload
            {
                matters |= self.is_relevant(&message);
            }
            rest = rest.get(whole.next_multiple_of(4)..).unwrap_or_default();
        }
        self.buffer = buffer;
        matters
    }

    fn is_relevant(&mut self, message: &RouteNetlinkMessage) -> bool {
        match message {
            RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link) => {
                self.is_ours(link)
            }
            RouteNetlinkMessage::NewAddress(address) | RouteNetlinkMessage::DelAddress(address) => {
                self.index == Some(address.header.index) || is_global(address)
            }
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
                self.is_of_interest(route)
            }
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
        let ours = interface.is_some() && interface == self.index;
        ours && table == u32::from(LOCAL) || table == MAIN && !link_local
    }
}

/// A socket that hears these groups.
fn join_groups(protocol: isize, groups: &[u32]) -> Result<Socket, KernelError> {
    let io = |doing| {
        move |source| route_error("listen to changes")(nl_ipvs::Error::Io { doing, source })
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

/// What a socket had to say.
enum Heard {
    /// So many bytes.
    Datagram(usize),
    /// There were more announcements than room for them.
    TooMuch,
    Nothing,
}

fn receive_datagram(socket: &Socket, buffer: &mut [u8]) -> Result<Heard, KernelError> {
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

/// The node's own address, for all to see.
fn is_global(address: &AddressMessage) -> bool {
    address.header.scope == AddressScope::Universe
}

fn is_local_to_a_link(address: Ipv6Addr) -> bool {
    let address = IpAddr::V6(address);
    address.is_multicast() || matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn socket_broken(errno: Errno) -> KernelError {
    let source = errno.into();
    route_error("listen to changes")(nl_ipvs::Error::Io { doing: "read", source })
}
