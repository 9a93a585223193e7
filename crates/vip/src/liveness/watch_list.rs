//! The hosts to watch.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The hosts to watch. A new list replaces the one before as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WatchList {
    /// The hosts of real servers, in the order of their addresses, each once.
    pub hosts: Vec<Watched>,
    /// Other hosts: nodes that a source names, the sources themselves, gateways. One that answers
    /// proves that this node is connected. No verdict is passed on them.
    pub witnesses: Vec<IpAddr>,
    /// The source addresses by which real servers know clients.
    pub clients: ClientSources,
}

/// The source addresses by which real servers know clients. Something on the way may admit no others, so
/// that probes get an answer only if they look the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientSources {
    /// The IPv4 address of this node that its clients get, if it isn't the one that the kernel chooses.
    pub own: Option<Ipv4Addr>,
    /// Clients elsewhere keep theirs, so that no probe of this node can look like them.
    pub are_kept: bool,
}

impl WatchList {
    /// Tells whether real servers run on this host.
    #[must_use]
    pub fn has(&self, host: &IpAddr) -> bool {
        self.hosts.binary_search_by_key(host, |watched| watched.host).is_ok()
    }
}

/// A host that real servers run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The address of a Mesos agent, or of a real server.
    pub host: IpAddr,
    /// This node sends it connections, or may send it some soon. Others are not probed.
    pub in_use: bool,
    /// It is surely not on this node, so that its answer proves that this node is connected. The
    /// address of a container may be anywhere.
    pub is_elsewhere: bool,
    /// TCP real servers on this host, [`Watched::PORTS`] at most. A connection to the first is the last
    /// question before a host that answers no echo is suspected. One that never did must leave all of
    /// them without an answer.
    pub connect_to: Vec<SocketAddr>,
    /// Clients had open connections to it at the last reading of the kernel.
    pub has_clients: bool,
}

impl Watched {
    /// The number of real servers to connect to: one alone may only have too much to do.
    pub const PORTS: usize = 2;
}
