use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{Family, Protocol, Scheduler, ServiceFlags};

/// What a virtual service is known by in the kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKey {
    /// One protocol, address and port.
    Address {
        /// The layer-4 protocol.
        protocol: Protocol,
        /// The virtual address.
        address: IpAddr,
        /// The virtual port, in host byte order here (the wire has it in network byte order).
        /// 0 takes every port of the address, persistent services only.
        port: u16,
    },
    /// Every packet that the firewall marked so.
    Fwmark {
        /// The family of the marked packets.
        family: Family,
        /// The mark, never 0.
        mark: u32,
    },
}

impl ServiceKey {
    /// A TCP service.
    #[must_use]
    pub fn tcp(at: SocketAddr) -> Self {
        Self::Address { protocol: Protocol::TCP, address: at.ip(), port: at.port() }
    }

    /// A UDP service.
    #[must_use]
    pub fn udp(at: SocketAddr) -> Self {
        Self::Address { protocol: Protocol::UDP, address: at.ip(), port: at.port() }
    }

    /// The address family of the service.
    #[must_use]
    pub fn family(&self) -> Family {
        match *self {
            Self::Address { address, .. } => address.into(),
            Self::Fwmark { family, .. } => family,
        }
    }
}

/// `3.3.0.6:3306/tcp`, `[fd01::1]:80/udp`, `fwmark 7`, `fwmark 7 (IPv6)`.
impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Address { protocol, address, port } => {
                write!(f, "{}/{protocol}", SocketAddr::new(address, port))
            }
            Self::Fwmark { family: Family::Inet, mark } => write!(f, "fwmark {mark}"),
            Self::Fwmark { family: Family::Inet6, mark } => write!(f, "fwmark {mark} (IPv6)"),
        }
    }
}

/// What can be set of a virtual service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceSettings {
    /// Picks the real server of a new connection. Without one (`none` on the wire)
    /// new connections are refused.
    pub scheduler: Option<Scheduler>,
    /// Service flags. Compare [`ServiceFlags::settable`] ones.
    pub flags: ServiceFlags,
    /// Persistence timeout in seconds; only of use with [`ServiceFlags::PERSISTENT`].
    pub timeout: u32,
    /// How many leading bits of the client's address persistence looks at: 0..=32 for IPv4
    /// (a netmask on the wire; more count as 32, and of a netmask with holes only the leading
    /// ones are read), 1..=128 for IPv6 (a prefix length on the wire).
    pub prefix_len: u8,
    /// Persistence engine, `sip` is the only one known.
    pub persistence_engine: Option<String>,
}

impl ServiceSettings {
    /// The settings `ipvsadm -A -s SCHEDULER` would use for a service of this family.
    #[must_use]
    pub fn new(family: Family, scheduler: Scheduler) -> Self {
        Self {
            scheduler: Some(scheduler),
            flags: ServiceFlags::NONE,
            timeout: 0,
            prefix_len: match family {
                Family::Inet => 32,
                Family::Inet6 => 128,
            },
            persistence_engine: None,
        }
    }
}

/// A virtual service as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// What it is known by.
    pub key: ServiceKey,
    /// What was set.
    pub settings: ServiceSettings,
    /// Its counters and rates.
    pub stats: crate::Stats,
}
