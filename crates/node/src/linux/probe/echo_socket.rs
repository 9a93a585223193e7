//! The ICMP socket of one family.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg,
    sendmmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::icmp::{Cookie, Types, V4, V6, encode_request, parse_message, skip_ipv4_header};

/// The number of messages that are sent or received at once.
const BATCH: usize = 64;

/// The number of batches that are received before the caller gets its turn.
const BATCHES: usize = 16;

/// The length of what is read of a message: an IPv4 header and an echo.
const READ: usize = 60 + 16;

/// The buffers in bytes: room for a round and its replies.
const BUFFER: usize = 4 << 20;

/// The priority of packets in this node's own queues, as of a routing protocol's: a full queue must not
/// look like a silent host. Higher ones need rights.
const PRIORITY: libc::c_int = 6;

/// The longest time that a message may have waited in the kernel. A longer one means that the clock
/// was set.
const MAX_AGE: Duration = Duration::from_secs(60);

/// A socket for echoes.
#[derive(Debug)]
pub(super) struct EchoSocket {
    socket: Socket,
    types: Types,
    /// The identifier of our echoes, for a raw socket.
    raw: Option<u16>,
    /// The key of the cookies.
    key: RandomState,
}

/// The sender of a reply, its sequence number, and how long ago the kernel received it.
pub(super) type Heard = (IpAddr, u16, Duration);

/// Tells whether this node has an address.
fn is_local(address: Ipv4Addr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

impl EchoSocket {
    /// Opens a raw socket, or without the right to do so one of the kind that
    /// `net.ipv4.ping_group_range` permits.
    pub(super) fn open(is_v6: bool, identifier: u16) -> io::Result<Self> {
        let (domain, protocol, types) = match is_v6 {
            false => (Domain::IPV4, Protocol::ICMPV4, V4),
            true => (Domain::IPV6, Protocol::ICMPV6, V6),
        };
        let (socket, raw) = match Socket::new(domain, Type::RAW, Some(protocol)) {
            Ok(socket) => (socket, Some(identifier)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                (Socket::new(domain, Type::DGRAM, Some(protocol))?, None)
            }
            Err(error) => return Err(error),
        };
        if raw.is_some() {
            socket.attach_filter(&filter(types, is_v6, identifier))?;
        }
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        // Those by force may go beyond the system's limit, and need CAP_NET_ADMIN.
        let _ = setsockopt(&socket, sockopt::RcvBuf, &BUFFER);
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &BUFFER);
        let _ = setsockopt(&socket, sockopt::SndBuf, &BUFFER);
        let _ = setsockopt(&socket, sockopt::SndBufForce, &BUFFER);
        let _ = setsockopt(&socket, sockopt::Priority, &PRIORITY);
        Ok(Self { socket, types, raw, key: RandomState::new() })
    }

    /// Sends echo requests with these sequence numbers, from the address that the kernel chooses or this
    /// one. Returns the hosts that none could be sent to, for a reason on this node.
    pub(super) fn send(&self, echoes: &[(IpAddr, u16)], source: Option<Ipv4Addr>) -> Vec<IpAddr> {
        let mut unsent = Vec::new();
        let mut rest = echoes;
        while let Some((first, others)) = rest.split_first() {
            match self.send_batch(&rest[..rest.len().min(BATCH)], source) {
                Ok(sent) => rest = &rest[sent.clamp(1, rest.len())..],
                Err(Errno::EINTR) => {}
                // The kernel knows no way from an address that this node lacks by now, which says nothing of
                // the hosts.
                Err(Errno::ENETUNREACH | Errno::EINVAL)
                    if source.is_some_and(|source| !is_local(source)) =>
                {
                    unsent.extend(rest.iter().map(|(host, _)| *host));
                    break;
                }
                // The neighbour doesn't answer, or its route is gone, or a blackhole: that is what echoes
                // are to find out.
                Err(
                    Errno::EHOSTUNREACH | Errno::EHOSTDOWN | Errno::ENETUNREACH | Errno::EINVAL,
                ) => rest = others,
                Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) => {
                    unsent.extend(rest.iter().map(|(host, _)| *host));
                    break;
                }
                Err(_) => {
                    unsent.push(first.0);
                    rest = others;
                }
            }
        }
        unsent
    }

    fn send_batch(&self, echoes: &[(IpAddr, u16)], source: Option<Ipv4Addr>) -> nix::Result<usize> {
        let identifier = self.raw.unwrap_or_default();
        let messages: Vec<_> = echoes
            .iter()
            .map(|(host, sequence)| {
                let cookie = self.cookie_of(*host, *sequence);
                encode_request(self.types, identifier, *sequence, cookie)
            })
            .collect();
        let slices: Vec<_> = messages.iter().map(|message| [IoSlice::new(message)]).collect();
        let addresses: Vec<_> = echoes
            .iter()
            .map(|(host, _)| Some(SockaddrStorage::from(SocketAddr::new(*host, 0))))
            .collect();
        let from = source.map(|source| libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(source.octets()) },
            ipi_addr: libc::in_addr { s_addr: 0 },
        });
        let control: Vec<_> = from.iter().map(ControlMessage::Ipv4PacketInfo).collect();
        let space = from.is_some().then(|| nix::cmsg_space!(libc::in_pktinfo));
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(echoes.len(), space);
        let (socket, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        Ok(sendmmsg(socket, &mut headers, &slices, &addresses, control, flags)?.count())
    }

    /// Receives what waits, up to a bound.
    pub(super) fn receive(&self) -> Vec<Heard> {
        let mut heard = Vec::new();
        for _ in 0..BATCHES {
            match self.receive_batch(&mut heard) {
                Ok(BATCH) | Err(Errno::EINTR) => {}
                Ok(_) | Err(_) => break,
            }
        }
        heard
    }

    fn receive_batch(&self, heard: &mut Vec<Heard>) -> nix::Result<usize> {
        let mut buffers = [[0; READ]; BATCH];
        let mut slices: Vec<_> =
            buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let control = nix::cmsg_space!(libc::timespec);
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, Some(control));
        let (socket, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let messages = recvmmsg(socket, &mut headers, slices.iter_mut(), flags, None)?;
        let now = SystemTime::now();
        let mut count = 0;
        for message in messages {
            count += 1;
            let Some(sender) = message.address.as_ref().and_then(sender_address) else { continue };
            let Some(packet) = message.iovs().next() else { continue };
            let Some(sequence) = self.parse_packet(sender, packet) else { continue };
            let stamps = message.cmsgs().into_iter().flatten();
            let stamp = stamps.filter_map(|message| match message {
                ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
                _ => None,
            });
            let age = stamp.last().and_then(|stamp| age_of(stamp, now)).unwrap_or_default();
            heard.push((sender, sequence, age));
        }
        Ok(count)
    }

    fn parse_packet(&self, sender: IpAddr, packet: &[u8]) -> Option<u16> {
        let has_header = self.raw.is_some() && self.types.reply == V4.reply;
        let message = if has_header { skip_ipv4_header(packet)? } else { packet };
        parse_message(self.types, message, self.raw, |sequence| self.cookie_of(sender, sequence))
    }

    fn cookie_of(&self, host: IpAddr, sequence: u16) -> Cookie {
        self.key.hash_one((host, sequence)).to_ne_bytes()
    }
}

impl AsFd for EchoSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn sender_address(sender: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = sender.as_sockaddr_in().map(|at| IpAddr::from(at.ip()));
    v4.or_else(|| sender.as_sockaddr_in6().map(|at| at.ip().into()))
}

/// Returns how long ago the kernel received a message, by the wall clock of both.
fn age_of(stamp: Duration, now: SystemTime) -> Option<Duration> {
    let age = now.duration_since(SystemTime::UNIX_EPOCH + stamp).ok()?;
    (age <= MAX_AGE).then_some(age)
}

/// Builds a filter (`linux/bpf_common.h`) that accepts replies with our identifier: a raw socket would
/// get all ICMP messages of the node.
fn filter(types: Types, is_v6: bool, identifier: u16) -> Vec<SockFilter> {
    /// `BPF_LDX | BPF_B | BPF_MSH`: X = the length of the IPv4 header.
    const SKIP_IPV4: u16 = 0xb1;
    /// `BPF_LDX | BPF_W | BPF_IMM`: X = a constant.
    const SKIP_NOTHING: u16 = 0x01;
    /// `BPF_LD | BPF_B | BPF_IND` and `BPF_LD | BPF_H | BPF_IND`: A = the byte, or two, at X + k.
    const LOAD_BYTE: u16 = 0x50;
    const LOAD_HALF: u16 = 0x48;
    /// `BPF_JMP | BPF_JEQ | BPF_K`: skip so many instructions if A is k, or isn't.
    const JUMP_IF: u16 = 0x15;
    /// `BPF_RET | BPF_K`: accept so many bytes.
    const RETURN: u16 = 0x06;
    // Raw sockets of IPv6 see no IP header.
    let skip = if is_v6 { SKIP_NOTHING } else { SKIP_IPV4 };
    vec![
        SockFilter::new(skip, 0, 0, 0),
        SockFilter::new(LOAD_BYTE, 0, 0, 0),
        SockFilter::new(JUMP_IF, 0, 3, types.reply.into()),
        SockFilter::new(LOAD_HALF, 0, 0, 4),
        SockFilter::new(JUMP_IF, 0, 1, identifier.into()),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_old_as_the_kernel_says_unless_the_clock_was_set() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let age = |stamp| age_of(Duration::from_secs(stamp), now);
        assert_eq!(age(995), Some(Duration::from_secs(5)));
        assert_eq!((age(1001), age(900)), (None, None));
    }
}
