//! The SYNs that our nftables rules log, since a client had to send them again or was refused.
//!
//! `nfnetlink_log` sends each with its conntrack entry, which names the real server, and with the prefix of
//! the rule. The content of the packet isn't asked for.

use std::io;
use std::net::SocketAddr as Endpoint;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use netlink_packet_core::NetlinkBuffer;
use netlink_packet_netfilter::NetfilterProtoFamily;
use netlink_packet_netfilter::nflog::{
    ConfigCmd, ConfigFlags, ConfigMode, ConfigNla, config_request,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, setsockopt, sockopt};

use vip::liveness::Refusal;

use crate::linux::flows::connection_ends;
use crate::linux::nft::{LOG_GROUP, REFUSED_PREFIX};
use crate::linux::raw_attributes::{answer_attributes, first_value};

/// `NFNL_SUBSYS_ULOG` and `NFULNL_MSG_PACKET` of `linux/netfilter/nfnetlink_log.h`: a logged packet.
const PACKET: u16 = 4 << 8;
const NFULA_PREFIX: u16 = 10;
const NFULA_CT: u16 = 18;

/// `NLMSG_ERROR` of `linux/netlink.h`, which also confirms: then its number is 0.
const ANSWER: u16 = 2;

/// The longest datagram in bytes: the kernel collects no more than a page unless told to.
const DATAGRAM: usize = 16 << 10;

/// The receive buffer in bytes. What doesn't fit is lost, which is no harm.
const RECEIVE_BUFFER: usize = 256 << 10;

/// The number of datagrams that are read at once, and in a second. The rules of each family log 120; others
/// could log to the same group.
const BATCH: u32 = 64;
const PER_SECOND: u32 = 240;

/// A client's SYN that opened no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedSyn {
    /// It got no answer.
    Lost {
        /// The client.
        client: Endpoint,
        /// The real server that it was sent to.
        server: Endpoint,
    },
    /// The real server refused it.
    Refused(Refusal),
}

/// The socket that these SYNs are logged to.
#[derive(Debug)]
pub(super) struct SynLog {
    socket: Socket,
    buffer: Vec<u8>,
    /// The beginning of the present second, and the number of datagrams read since then.
    since: Instant,
    read: u32,
}

impl SynLog {
    /// Opens the socket and takes the group, which lasts as long as the socket.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        // From now on nobody but the kernel can send to it.
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        let _ = setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
        let mut log = Self { socket, buffer: vec![0; DATAGRAM], since: Instant::now(), read: 0 };
        log.take_group()?;
        Ok(log)
    }

    fn take_group(&mut self) -> io::Result<()> {
        let config = vec![
            ConfigNla::Cmd(ConfigCmd::Bind),
            ConfigNla::Mode(ConfigMode::META),
            ConfigNla::QThresh(1),
            ConfigNla::Flags(ConfigFlags::CONNTRACK),
        ];
        let mut request = config_request(NetfilterProtoFamily::Unspec, LOG_GROUP, config);
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        // The kernel has answered when it has taken the request; SYNs may come before the answer.
        for _ in 0..BATCH {
            let length = self.receive_datagram()?;
            if let Some(errno) = find_answer(self.buffer.get(..length).unwrap_or_default()) {
                return match errno {
                    0 => Ok(()),
                    _ => Err(io::Error::from_raw_os_error(errno)),
                };
            }
        }
        Err(Errno::ENOBUFS.into())
    }

    /// Takes what was logged, up to a bound. An error means that the socket is broken.
    pub(super) fn receive(&mut self) -> io::Result<Vec<FailedSyn>> {
        let mut failed = Vec::new();
        for _ in 0..BATCH {
            if !self.may_read() {
                break;
            }
            match self.receive_datagram() {
                Ok(length) => {
                    failed.extend(parse_failed_syns(self.buffer.get(..length).unwrap_or_default()));
                }
                Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
                    Errno::EAGAIN => break,
                    // Some were lost.
                    Errno::ENOBUFS | Errno::EINTR => {}
                    _ => return Err(error),
                },
            }
            self.read += 1;
        }
        Ok(failed)
    }

    /// Tells whether it may be read now, and waited for: in each second only so many.
    pub(super) fn may_read(&mut self) -> bool {
        if self.since.elapsed() >= Duration::from_secs(1) {
            (self.since, self.read) = (Instant::now(), 0);
        }
        self.read < PER_SECOND
    }

    fn receive_datagram(&mut self) -> io::Result<usize> {
        let mut free = &mut self.buffer[..];
        self.socket.recv(&mut free, MsgFlags::empty().bits())
    }
}

impl AsFd for SynLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Returns the messages of a datagram, each with its type.
fn split_datagram(datagram: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let header = NetlinkBuffer::new_checked(rest).ok()?;
        let whole = usize::try_from(header.length()).unwrap_or(rest.len());
        let message = (header.message_type(), header.payload());
        rest = rest.get(whole.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// Returns the error number of an answer; 0 for none.
fn find_answer(datagram: &[u8]) -> Option<i32> {
    let answer = split_datagram(datagram).find(|(kind, _)| *kind == ANSWER)?;
    Some(i32::from_ne_bytes(*answer.1.first_chunk()?).saturating_neg())
}

/// Returns the failed SYNs that a datagram tells of. Others' packets in the same group have no real server,
/// or one that nobody watches.
pub fn parse_failed_syns(datagram: &[u8]) -> Vec<FailedSyn> {
    let packets = split_datagram(datagram).filter(|(kind, _)| *kind == PACKET);
    packets.filter_map(|(_, packet)| parse_packet(packet)).collect()
}

fn parse_packet(packet: &[u8]) -> Option<FailedSyn> {
    let attributes = answer_attributes(packet);
    let ends = connection_ends(first_value(attributes, NFULA_CT)?)?;
    let prefix = first_value(attributes, NFULA_PREFIX).unwrap_or_default();
    let (client, server) = (ends.client, ends.server);
    Some(match prefix.strip_suffix(&[0]) == Some(REFUSED_PREFIX.as_bytes()) {
        false => FailedSyn::Lost { client, server },
        true => {
            let is_seen = client.ip() == ends.seen_as.ip();
            FailedSyn::Refused(Refusal { server, client: is_seen.then_some(client.ip()) })
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::linux::flows::tracked;

    /// A datagram of messages, as the kernel sends a logged packet, shortened.
    fn datagram(messages: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, payload) in messages {
            let length = u32::try_from(16 + payload.len()).unwrap();
            bytes.extend(length.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([0; 10]);
            bytes.extend(*payload);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn logged(prefix: &str, server: [u8; 4]) -> Vec<u8> {
        let attribute = |kind: u16, value: &[u8]| {
            let length = u16::try_from(4 + value.len()).unwrap();
            let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let prefix = attribute(NFULA_PREFIX, &[prefix.as_bytes(), &[0]].concat());
        // `struct nfgenmsg` first.
        [&[2, 0, 0x76, 0x69][..], &prefix, &attribute(NFULA_CT | 0x8000, &tracked(server))].concat()
    }

    #[test]
    fn a_lost_syn_names_the_real_server() {
        let (lost, unchosen) = (logged("", [10, 0, 0, 7]), logged("", [3, 3, 0, 6]));
        let all = datagram(&[(PACKET, &lost), (3, &[0; 4]), (PACKET, &unchosen), (PACKET, &lost)]);
        let expected = FailedSyn::Lost {
            client: "10.0.0.9:40000".parse().unwrap(),
            server: "10.0.0.7:53".parse().unwrap(),
        };
        assert_eq!(parse_failed_syns(&all), [expected, expected]);
        for end in 0..datagram(&[(PACKET, &lost)]).len() - 2 {
            assert_eq!(parse_failed_syns(&all[..end]), [], "{end} bytes");
        }
    }

    #[test]
    fn a_refusal_is_told_from_a_lost_syn_by_the_prefix() {
        let parse = |prefix| {
            parse_failed_syns(&datagram(&[(PACKET, &logged(prefix, [10, 0, 0, 7]))])).remove(0)
        };
        // The client is 10.0.0.9, and the real server sees 10.0.0.1.
        let refusal = Refusal { server: "10.0.0.7:53".parse().unwrap(), client: None };
        assert_eq!(parse(REFUSED_PREFIX), FailedSyn::Refused(refusal));
        assert!(matches!(parse("refused by another program"), FailedSyn::Lost { .. }));
    }

    #[test]
    fn an_answer_is_found_among_lost_syns() {
        let lost = logged("", [10, 0, 0, 7]);
        let refused = (-1_i32).to_ne_bytes();
        assert_eq!(find_answer(&datagram(&[(PACKET, &lost), (ANSWER, &refused)])), Some(1));
        assert_eq!(find_answer(&datagram(&[(ANSWER, &[0; 4])])), Some(0));
        assert_eq!(find_answer(&datagram(&[(PACKET, &lost), (ANSWER, &[0; 2])])), None);
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes: Vec<u8>) {
            let _ = parse_failed_syns(&bytes);
            let _ = find_answer(&bytes);
        }
    }
}
