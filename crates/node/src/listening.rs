//! The TCP and UDP sockets that this node listens on, from `/proc/net`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use vip::Protocol;

use crate::KernelError;

type Sockets = BTreeSet<(Protocol, SocketAddr)>;

/// `TCP_LISTEN`, `TCP_SYN_RECV` and `TCP_CLOSE` of `net/tcp_states.h`. The last one also stands
/// for a UDP socket without a peer.
const LISTEN: &str = "0A";
const SYN_RECV: &str = "03";
const CLOSE: &str = "07";

/// Reads the listening sockets of this thread's network namespace.
///
/// A list that changes while it is read may lack a socket that was there all the time. So if one
/// of `before` is missing, or nothing is known from before, the lists are read twice and joined.
pub(crate) fn read_listening(before: Option<&Sockets>) -> Result<Arc<Sockets>, KernelError> {
    let mut sockets = read_once()?;
    if before.is_none_or(|before| !before.is_subset(&sockets)) {
        sockets.extend(read_once()?);
    }
    Ok(Arc::new(sockets))
}

fn read_once() -> Result<Sockets, KernelError> {
    let mut sockets = Sockets::new();
    for (protocol, name) in [
        (Protocol::Tcp, "tcp"),
        (Protocol::Tcp, "tcp6"),
        (Protocol::Udp, "udp"),
        (Protocol::Udp, "udp6"),
    ] {
        let path = Path::new("/proc/thread-self/net").join(name);
        let opened = match File::open(&path) {
            // The kernel has no IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened,
        };
        let read = opened.and_then(|file| parse_listening(protocol, BufReader::new(file)));
        let read = read.map_err(|error| KernelError::File { path, error })?;
        sockets.extend(read.map(|socket| (protocol, socket)));
    }
    Ok(sockets)
}

/// Parses the listening sockets. The kernel lists those of TCP first, so reading stops before the
/// connections, of which there may be a hundred thousand.
fn parse_listening(
    protocol: Protocol,
    list: impl BufRead,
) -> io::Result<impl Iterator<Item = SocketAddr>> {
    let mut found = Vec::new();
    for line in list.lines().skip(1) {
        let line = line?;
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (Some(local), Some(_), Some(state)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        match (protocol, state) {
            (Protocol::Tcp, LISTEN) | (Protocol::Udp, CLOSE) => found.extend(parse_socket(local)),
            (Protocol::Tcp, SYN_RECV) | (Protocol::Udp, _) => {}
            (Protocol::Tcp, _) => break,
        }
    }
    Ok(found.into_iter())
}

/// Parses `0100007F:1F90`: 32-bit words in network byte order, printed as numbers of this machine,
/// and the port.
fn parse_socket(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at..at + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(protocol: Protocol, list: &str) -> Vec<String> {
        parse_listening(protocol, list.as_bytes())
            .unwrap()
            .map(|socket| socket.to_string())
            .collect()
    }

    #[test]
    fn listeners_are_read_and_connections_are_not() {
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n\
             1: 0100007F:1F91 0100007F:0001 03 00000000:00000000\n\
             2: 00000000:7919 00000000:0000 0A 00000000:00000000\n\
             3: 0100007F:0016 0100007F:9999 01 00000000:00000000\n\
             4: 00000000:0050 00000000:0000 0A never so late\n";
        assert_eq!(found(Protocol::Tcp, tcp), ["127.0.0.1:8080", "0.0.0.0:31001"]);
        let udp = "  sl  local_address rem_address   st\n\
             0: 00000000:0035 00000000:0000 07 x\n\
             1: 0100000A:D431 0200000A:0035 01 x\n";
        assert_eq!(found(Protocol::Udp, udp), ["0.0.0.0:53"]);
    }

    #[test]
    fn ipv6_addresses_are_read_word_by_word() {
        let tcp6 = "head\n\
             0: 00000000000000000000000000000000:0050 0:0 0A x\n\
             1: 000001FD000000000000000001000000:0051 0:0 0A x\n\
             2: 0000000000000000FFFF00000100000A:0052 0:0 0A x\n\
             3: nonsense 0:0 0A x\n";
        assert_eq!(found(Protocol::Tcp, tcp6), ["[::]:80", "[fd01::1]:81", "10.0.0.1:82"]);
    }

    #[test]
    fn this_machine_listens_where_it_is_told_to() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let sockets = read_listening(None).unwrap();
        assert!(sockets.contains(&(Protocol::Tcp, at)), "{sockets:?}");
    }
}
