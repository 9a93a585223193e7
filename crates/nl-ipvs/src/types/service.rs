//! Virtual services.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::str::FromStr;

use super::parse_error::parse_number;
use super::{ClientPrefix, Family, PersistenceEngine, Protocol, Scheduler, ServiceFlags};
use crate::{ParseError, Stats};

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
        /// The mark. A mark of 0 would mean no mark.
        mark: NonZeroU32,
    },
}

impl ServiceKey {
    /// Makes the key of a service at an address, without the scope and the flow label that an IPv6 address
    /// may have here.
    #[must_use]
    pub fn new(protocol: Protocol, at: SocketAddr) -> Self {
        Self::Address { protocol, address: at.ip(), port: at.port() }
    }

    /// Makes the key of a TCP service.
    #[must_use]
    pub fn tcp(at: SocketAddr) -> Self {
        Self::new(Protocol::TCP, at)
    }

    /// Makes the key of a UDP service.
    #[must_use]
    pub fn udp(at: SocketAddr) -> Self {
        Self::new(Protocol::UDP, at)
    }

    /// Makes the key of an SCTP service.
    #[must_use]
    pub fn sctp(at: SocketAddr) -> Self {
        Self::new(Protocol::SCTP, at)
    }

    /// Makes the key of a service for packets with a firewall mark.
    #[must_use]
    pub const fn fwmark(family: Family, mark: NonZeroU32) -> Self {
        Self::Fwmark { family, mark }
    }

    /// Returns the address and port; `None` for a firewall mark.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match *self {
            Self::Address { address, port, .. } => Some(SocketAddr::new(address, port)),
            Self::Fwmark { .. } => None,
        }
    }

    /// Returns the protocol; `None` for a firewall mark, which packets of any protocol may have.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        match *self {
            Self::Address { protocol, .. } => Some(protocol),
            Self::Fwmark { .. } => None,
        }
    }

    /// Returns the firewall mark, if the service has one.
    #[must_use]
    pub fn mark(&self) -> Option<NonZeroU32> {
        match *self {
            Self::Address { .. } => None,
            Self::Fwmark { mark, .. } => Some(mark),
        }
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
        f.pad(&match *self {
            Self::Address { protocol, address, port } => {
                format!("{}/{protocol}", SocketAddr::new(address, port))
            }
            Self::Fwmark { family: Family::Inet, mark } => format!("fwmark {mark}"),
            Self::Fwmark { family: Family::Inet6, mark } => format!("fwmark {mark} (IPv6)"),
        })
    }
}

/// Parses what [`Display`](fmt::Display) writes.
impl FromStr for ServiceKey {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = || {
            if let Some(mark) = text.strip_prefix("fwmark ") {
                let (mark, family) = match mark.strip_suffix(" (IPv6)") {
                    Some(mark) => (mark, Family::Inet6),
                    None => (mark, Family::Inet),
                };
                return Some(Self::Fwmark { family, mark: parse_number(mark)? });
            }
            let (at, protocol) = text.rsplit_once('/')?;
            let at: SocketAddr = at.parse().ok()?;
            let key = Self::new(protocol.parse().ok()?, at);
            // The kernel has no room for the scope of an IPv6 address.
            (key.address() == Some(at)).then_some(key)
        };
        let expected = "a virtual service: `10.0.0.1:80/tcp`, `[fd00::1]:53/udp`, `fwmark 7` or \
                        `fwmark 7 (IPv6)`";
        key().ok_or_else(|| ParseError::new(text, expected))
    }
}

/// The settings of a virtual service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ServiceSettings {
    /// The scheduler, which chooses the real server of a new connection. Without one (`none` on the
    /// wire) new connections are refused.
    pub scheduler: Option<Scheduler>,
    /// The flags.
    pub flags: ServiceFlags,
    /// The persistence timeout in seconds, used with [`ServiceFlags::PERSISTENT`] only. The kernel counts
    /// ticks in 32 bits: beyond 4,294,967 s (`u32::MAX / 1000`), which are 49 days, it may take another.
    pub timeout: u32,
    /// The part of a client's address that persistence compares.
    #[doc(alias = "netmask")]
    pub client_prefix: ClientPrefix,
    /// The persistence engine.
    pub persistence_engine: Option<PersistenceEngine>,
}

impl ServiceSettings {
    /// Makes the settings that `ipvsadm -A -s SCHEDULER` uses.
    #[must_use]
    pub const fn new(scheduler: Scheduler) -> Self {
        Self { scheduler: Some(scheduler), ..Self::without_scheduler() }
    }

    /// Makes the settings of a service that refuses new connections.
    #[must_use]
    pub const fn without_scheduler() -> Self {
        Self {
            scheduler: None,
            flags: ServiceFlags::NONE,
            timeout: 0,
            client_prefix: ClientPrefix::WHOLE,
            persistence_engine: None,
        }
    }

    /// Makes clients stick to their real server until they were silent for `timeout` seconds.
    #[must_use]
    pub fn persistent(mut self, timeout: u32) -> Self {
        self.flags |= ServiceFlags::PERSISTENT;
        self.timeout = timeout;
        self
    }

    /// Adds flags, such as those of the scheduler.
    #[must_use]
    pub fn with_flags(mut self, flags: ServiceFlags) -> Self {
        self.flags |= flags;
        self
    }
}

/// A virtual service as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Service {
    /// The key.
    pub key: ServiceKey,
    /// The settings.
    pub settings: ServiceSettings,
    /// The counters and rates.
    pub stats: Stats,
}

impl Service {
    /// Makes a service that nobody has connected to.
    #[must_use]
    pub fn new(key: ServiceKey, settings: ServiceSettings) -> Self {
        Self { key, settings, stats: Stats::default() }
    }
}
