//! TCP connections that are opened to hear whether a host answers, and closed at once.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use vip::liveness::ConnectResult;

/// The number of connections at the same time; more are not tried.
const MAX_CONNECTS: usize = 256;

/// The pause before a connection is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The connections that are being opened.
#[derive(Debug, Default)]
pub(super) struct Connects {
    open: Vec<Connect>,
    /// Those that ended at once.
    ended: Vec<(SocketAddr, ConnectResult)>,
}

#[derive(Debug)]
struct Connect {
    server: SocketAddr,
    source: Option<Ipv4Addr>,
    /// `None` before it is tried again, after nobody knew a way for a moment.
    socket: Option<Socket>,
    retry_at: Instant,
    ends: Instant,
}

impl Connect {
    /// Returns the result, if there is one by now.
    fn take_result(&mut self, now: Instant) -> Option<ConnectResult> {
        if self.socket.is_none() && self.retry_at <= now {
            match begin(self.server, self.source) {
                Ok(socket) => self.socket = Some(socket),
                Err(error) => return self.judge(&error, now),
            }
        }
        let Some(socket) = &self.socket else {
            return (self.ends <= now).then_some(ConnectResult::Silent);
        };
        match socket.take_error() {
            Ok(None) if socket.peer_addr().is_ok() => Some(ConnectResult::Answered),
            Ok(None) => (self.ends <= now).then_some(ConnectResult::Silent),
            // A router that reports "prohibited" over IPv6 has no way to the host either.
            Ok(Some(error)) if error.kind() == ErrorKind::PermissionDenied => {
                Some(ConnectResult::Silent)
            }
            Ok(Some(error)) | Err(error) => self.judge(&error, now),
        }
    }

    /// Judges an error. One message that the host is unreachable ends a connection, but may come from a
    /// router that looks for its address: while there is time, it is tried again.
    fn judge(&mut self, error: &io::Error, now: Instant) -> Option<ConnectResult> {
        let result = judge_error(error);
        self.retry_at = now + RETRY_PAUSE;
        let is_again = result == ConnectResult::Silent && self.retry_at < self.ends;
        if is_again {
            self.socket = None;
        }
        (!is_again).then_some(result)
    }
}

impl Connects {
    /// Begins to connect to a real server, which has this time to answer; over IPv4 from the address that
    /// the kernel chooses, or this one.
    pub(super) fn start(
        &mut self,
        server: SocketAddr,
        source: Option<Ipv4Addr>,
        patience: Duration,
    ) {
        let begun = match self.open.len() {
            MAX_CONNECTS.. => Err(io::Error::from(Errno::EMFILE)),
            _ => begin(server, source),
        };
        match begun {
            Ok(socket) => {
                let now = Instant::now();
                let socket = Some(socket);
                self.open.push(Connect {
                    server,
                    source,
                    socket,
                    retry_at: now,
                    ends: now + patience,
                });
            }
            Err(error) => self.ended.push((server, judge_error(&error))),
        }
    }

    /// Returns the connections that have ended. They are closed.
    pub(super) fn take_ended(&mut self) -> Vec<(SocketAddr, ConnectResult)> {
        let now = Instant::now();
        let mut ended = std::mem::take(&mut self.ended);
        self.open.retain_mut(|connect| {
            let result = connect.take_result(now);
            ended.extend(result.map(|result| (connect.server, result)));
            result.is_none()
        });
        ended
    }

    /// The time at which the first one ends, or is tried again.
    pub(super) fn next_end(&self) -> Option<Instant> {
        match self.ended.is_empty() {
            true => {
                let wakes = |connect: &Connect| match connect.socket {
                    Some(_) => connect.ends,
                    None => connect.ends.min(connect.retry_at),
                };
                self.open.iter().map(wakes).min()
            }
            false => Some(Instant::now()),
        }
    }

    /// The sockets, which are writable once something came back.
    pub(super) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.open.iter().filter_map(|connect| Some(connect.socket.as_ref()?.as_fd()))
    }
}

fn begin(server: SocketAddr, source: Option<Ipv4Addr>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(source) = source.filter(|_| server.is_ipv4()) {
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    socket.set_nonblocking(true)?;
    match socket.connect(&server.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => Err(error),
        _ => Ok(socket),
    }
}

/// Judges the host by an error: it refused, or nothing came back, or this node is to blame.
fn judge_error(error: &io::Error) -> ConnectResult {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => ConnectResult::Answered,
        // Whoever has no way to it: a router takes the route away with the link to a host without power.
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::TimedOut => {
            ConnectResult::Silent
        }
        _ => ConnectResult::Untried,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread::sleep;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(180);

    fn connect(server: SocketAddr) -> ConnectResult {
        let mut connects = Connects::default();
        connects.start(server, None, LIMIT);
        loop {
            assert!(connects.next_end().is_some());
            if let Some((at, result)) = connects.take_ended().pop() {
                assert_eq!(at, server);
                assert!(connects.open.is_empty() && connects.next_end().is_none());
                return result;
            }
            sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn whoever_accepts_or_refuses_is_alive() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        assert_eq!(connect(server), ConnectResult::Answered);
        drop(listener);
        assert_eq!(connect(server), ConnectResult::Answered, "refused");
    }

    #[test]
    fn a_full_queue_and_no_way_are_silence_and_a_missing_right_says_nothing() {
        // A listener whose queue is full drops further SYNs.
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let server = listener.local_addr().unwrap().as_socket().unwrap();
        let others: Vec<_> = (0..4).map(|_| begin(server, None).unwrap()).collect();
        assert_eq!(connect(server), ConnectResult::Silent);
        drop(others);
        // The kernel has no way for a connection there.
        assert_eq!(connect("255.255.255.255:80".parse().unwrap()), ConnectResult::Silent);
        assert_eq!(judge_error(&Errno::EPERM.into()), ConnectResult::Untried);
    }

    #[test]
    fn a_connection_comes_from_the_address_that_clients_have() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let mut connects = Connects::default();
        connects.start(server, Some([127, 0, 0, 9].into()), LIMIT);
        assert_eq!(listener.accept().unwrap().1.ip(), std::net::IpAddr::from([127, 0, 0, 9]));
        // Without the address nothing is said of the host.
        let mut connects = Connects::default();
        connects.start(server, Some([192, 0, 2, 1].into()), LIMIT);
        assert_eq!(connects.take_ended(), [(server, ConnectResult::Untried)]);
    }

    #[test]
    fn the_number_of_connections_is_bounded() {
        let mut connects = Connects::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        for _ in 0..MAX_CONNECTS + 1 {
            connects.start(server, None, LIMIT);
        }
        assert_eq!(connects.ended, [(server, ConnectResult::Untried)]);
    }
}
