//! The sockets by which hosts are probed: ICMP echoes of both families, and TCP connections. Beside them
//! is the socket by which clients' SYNs are heard of that were lost or refused.

mod connects;
mod echo_socket;
mod icmp;
mod syn_log;
mod uplink;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::rand::{GetRandomFlags, getrandom};
use vip::liveness::{ConnectResult, Order, WatchList};

use connects::Connects;
use echo_socket::EchoSocket;
use syn_log::SynLog;
pub use syn_log::{FailedSyn, parse_failed_syns};
pub use uplink::has_uplink;

/// The pause before a log that could not be taken is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The reply to an echo.
    Echo {
        /// The host.
        host: IpAddr,
        /// The sequence number.
        sequence: u16,
        /// The time since the kernel received it.
        age: Duration,
    },
    /// The result of a connection.
    Connect {
        /// The real server.
        server: SocketAddr,
        /// The result.
        result: ConnectResult,
    },
    /// A client's SYN opened no connection.
    FailedSyn(FailedSyn),
}

/// The sockets. None of the calls blocks, but [`ProbeSockets::wait`].
///
/// They belong to the network namespace of the thread that opened them.
#[derive(Debug)]
pub struct ProbeSockets {
    v4: EchoSocket,
    /// `None` where the kernel has no IPv6.
    v6: Option<EchoSocket>,
    connects: Connects,
    /// The address of this node that other hosts are asked from, over IPv4.
    source: Option<Ipv4Addr>,
    /// The hosts that get echoes from the address that the kernel chooses.
    witnesses: BTreeSet<IpAddr>,
    log: io::Result<SynLog>,
    log_tried_at: Instant,
}

impl ProbeSockets {
    /// Opens the sockets.
    ///
    /// # Errors
    /// When this process has neither `CAP_NET_RAW` nor a group of `net.ipv4.ping_group_range`.
    pub fn open() -> io::Result<Self> {
        let mut random = [0; 2];
        getrandom(&mut random, GetRandomFlags::empty())?;
        let identifier = u16::from_be_bytes(random);
        let v4 = EchoSocket::open(false, identifier)?;
        let v6 = EchoSocket::open(true, identifier).ok();
        let (log, log_tried_at) = (SynLog::open(), Instant::now());
        let (connects, witnesses) = (Connects::default(), BTreeSet::new());
        Ok(Self { v4, v6, connects, source: None, witnesses, log, log_tried_at })
    }

    /// Has hosts of this list probed from the address that this node's clients have there. Witnesses may
    /// have no way back to it.
    pub fn set_list(&mut self, list: &WatchList) {
        self.source = list.clients.own;
        self.witnesses = list.witnesses.iter().copied().filter(|host| !list.has(host)).collect();
    }

    /// Sends probes. Returns the hosts whose echo could not be sent, for a reason on this node.
    pub fn send(&mut self, orders: &[Order]) -> Vec<IpAddr> {
        let (mut to_v4, mut from_source, mut to_v6) = (Vec::new(), Vec::new(), Vec::new());
        let has_source = |host: &IpAddr| {
            self.source.is_some() && host.is_ipv4() && !self.witnesses.contains(host)
        };
        for order in orders {
            match *order {
                Order::Echo { host, sequence } if has_source(&host) => {
                    from_source.push((host, sequence));
                }
                Order::Echo { host, sequence } if host.is_ipv4() => to_v4.push((host, sequence)),
                Order::Echo { host, sequence } => to_v6.push((host, sequence)),
                Order::Connect { server, patience } => {
                    self.connects.start(server, self.source, patience);
                }
            }
        }
        let mut unsent = self.v4.send(&to_v4, None);
        unsent.extend(self.v4.send(&from_source, self.source));
        match &self.v6 {
            Some(v6) => unsent.extend(v6.send(&to_v6, None)),
            None => unsent.extend(to_v6.into_iter().map(|(host, _)| host)),
        }
        unsent
    }

    /// Waits until something came back, at most for `timeout`.
    pub fn wait(&mut self, timeout: Duration) {
        let connect = self.connects.next_end();
        let left = connect.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.map_or(timeout, |left| left.min(timeout));
        // Round milliseconds up, so as not to spin through the last one.
        let timeout = timeout.as_nanos().div_ceil(1_000_000);
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        let echoes = [Some(&self.v4), self.v6.as_ref()].into_iter().flatten();
        let mut polled: Vec<_> =
            echoes.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
        polled.extend(self.connects.sockets().map(|fd| PollFd::new(fd, PollFlags::POLLOUT)));
        let mut log = self.log.as_mut().ok();
        let may_read = log.as_mut().is_some_and(|log| log.may_read());
        let log = log.filter(|_| may_read);
        polled.extend(log.as_ref().map(|log| PollFd::new(log.as_fd(), PollFlags::POLLIN)));
        if let Err(errno) = poll(&mut polled, timeout)
            && errno != Errno::EINTR
        {
            // Never in practice; but a loop must not spin.
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Takes what came back, up to a bound.
    pub fn receive(&mut self) -> Vec<Answer> {
        let mut heard = self.v4.receive();
        heard.extend(self.v6.iter().flat_map(EchoSocket::receive));
        let ended = self.connects.take_ended().into_iter();
        let connects = ended.map(|(server, result)| Answer::Connect { server, result });
        let echoes =
            heard.into_iter().map(|(host, sequence, age)| Answer::Echo { host, sequence, age });
        echoes.chain(connects).chain(self.receive_failed_syns()).collect()
    }

    /// Returns the reason why clients' lost and refused SYNs can't be heard of; `None` if they can.
    #[must_use]
    pub fn log_obstacle(&self) -> Option<String> {
        let error = self.log.as_ref().err()?;
        let group = crate::linux::nft::LOG_GROUP;
        Some(match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ResourceBusy => {
                format!(
                    "another program has the group {group} of nfnetlink_log, or vipd lacks CAP_NET_ADMIN"
                )
            }
            _ => format!("nfnetlink_log can't be used: {error}"),
        })
    }

    fn receive_failed_syns(&mut self) -> impl Iterator<Item = Answer> + use<> {
        if self.log.is_err() && self.log_tried_at.elapsed() >= RETRY_PAUSE {
            (self.log, self.log_tried_at) = (SynLog::open(), Instant::now());
        }
        let received = self.log.as_mut().map_or_else(|_| Ok(Vec::new()), SynLog::receive);
        let failed = received.unwrap_or_else(|error| {
            (self.log, self.log_tried_at) = (Err(error), Instant::now());
            Vec::new()
        });
        failed.into_iter().map(Answer::FailedSyn)
    }
}

#[cfg(test)]
mod tests {
    use vip::liveness::ClientSources;

    use super::*;

    #[test]
    fn echoes_to_hosts_come_from_the_address_that_clients_have_and_to_witnesses_from_any() {
        let mut sockets = match ProbeSockets::open() {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return,
            opened => opened.unwrap(),
        };
        let [host, witness] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
        let order = |host| Order::Echo { host, sequence: 7 };
        // From one that the kernel doesn't have, nothing can be sent.
        for (own, expected) in [("127.0.0.9", 2), ("192.0.2.1", 1)] {
            let clients = ClientSources { own: Some(own.parse().unwrap()), are_kept: false };
            sockets.set_list(&WatchList {
                witnesses: vec![witness],
                clients,
                ..Default::default()
            });
            let unsent = sockets.send(&[order(host), order(witness)]);
            assert_eq!(unsent.contains(&host), expected == 1, "{own}: {unsent:?}");
            let mut heard = Vec::new();
            let end = Instant::now() + Duration::from_millis(500);
            while heard.len() < 2 && Instant::now() < end {
                sockets.wait(Duration::from_millis(50));
                heard.extend(sockets.receive());
            }
            assert_eq!(heard.len(), expected, "{own}");
        }
    }

    #[test]
    fn loopback_answers_echoes_of_both_families() {
        // Only a privileged user may; a test on a real kernel runs as one.
        let mut sockets = match ProbeSockets::open() {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return,
            opened => opened.unwrap(),
        };
        let mut hosts: Vec<IpAddr> = (1..=200).map(|last| [127, 0, 0, last].into()).collect();
        hosts.extend(sockets.v6.iter().map(|_| IpAddr::from(std::net::Ipv6Addr::LOCALHOST)));
        let orders: Vec<_> = (7..)
            .zip(&hosts)
            .map(|(sequence, host)| Order::Echo { host: *host, sequence })
            .collect();
        let unsent = sockets.send(&orders);
        let mut heard = Vec::new();
        let end = Instant::now() + Duration::from_secs(10);
        while heard.len() + unsent.len() < orders.len() && Instant::now() < end {
            sockets.wait(Duration::from_secs(1));
            heard.extend(sockets.receive());
        }
        let expected = orders.iter().filter_map(|order| match *order {
            Order::Echo { host, sequence } if !unsent.contains(&host) => Some((host, sequence)),
            _ => None,
        });
        let heard = heard.iter().filter_map(|answer| match *answer {
            Answer::Echo { host, sequence, .. } => Some((host, sequence)),
            _ => None,
        });
        assert_eq!(heard.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        assert!(unsent.iter().all(IpAddr::is_ipv6), "{unsent:?}");
    }
}
