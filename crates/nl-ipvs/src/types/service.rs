//! Virtual services.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{Family, Protocol, Scheduler, ServiceFlags};

/// The key of a virtual service in the kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKey {
    /// One protocol, address and port.
    Address {
        /// The layer-4 protocol.
        protocol: Protocol,
        /// The virtual address.
        address: IpAddr,
        /// The virtual port. 0 means every port of the address, for persistent services only.
        port: u16,
    },
    /// Every packet with a firewall mark.
    Fwmark {
        /// The family of the marked packets.
        family: Family,
        /// The mark, never 0.
        mark: u32,
    },
}

impl ServiceKey {
    /// Makes the key of a TCP service.
    #[must_use]
    pub fn tcp(at: SocketAddr) -> Self {
        Self::Address { protocol: Protocol::TCP, address: at.ip(), port: at.port() }
    }

    /// Makes the key of a UDP service.
    #[must_use]
    pub fn udp(at: SocketAddr) -> Self {
        Self::Address { protocol: Protocol::UDP, address: at.ip(), port: at.port() }
    }

    /// Returns the address family of the service.
    #[must_use]
    pub fn family(&self) -> Family {
        match *self {
            Self::Address { address, .. } => address.into(),
            Self::Fwmark { family, .. } => family,
        }
    }
}

/// Formats as `3.3.0.6:3306/tcp`, `[fd01::1]:80/udp`, `fwmark 7` or `fwmark 7 (IPv6)`.
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

/// The settings of a virtual service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceSettings {
    /// The scheduler, which chooses the real server of a new connection. Without one (`none` on the
    /// wire) new connections are refused.
    pub scheduler: Option<Scheduler>,
    /// The flags. Compare [`ServiceFlags::settable`] ones.
    pub flags: ServiceFlags,
    /// The persistence timeout in seconds, used with [`ServiceFlags::PERSISTENT`] only.
    pub timeout: u32,
    /// The leading bits of a client's address that persistence compares: 0..=32 for IPv4 (a netmask
    /// on the wire; more count as 32, and of a netmask with holes only the leading ones are read),
    /// 1..=128 for IPv6 (a prefix length on the wire).
    pub prefix_len: u8,
    /// The persistence engine; `sip` is the only one known.
    pub persistence_engine: Option<String>,
}

impl ServiceSettings {
    /// Makes the settings that `ipvsadm -A -s SCHEDULER` uses for a service of this family.
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
    /// The key.
    pub key: ServiceKey,
    /// The settings.
    pub settings: ServiceSettings,
    /// The counters and rates.
    pub stats: crate::Stats,
}
