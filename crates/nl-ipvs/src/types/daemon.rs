use std::fmt;
use std::net::IpAddr;

/// Which side of connection synchronisation a daemon is (`IP_VS_STATE_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DaemonRole {
    /// Multicasts this director's connections.
    Master,
    /// Takes over connections that a master multicasts.
    Backup,
}

impl fmt::Display for DaemonRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Master => "master",
            Self::Backup => "backup",
        })
    }
}

/// A connection synchronisation daemon. One of each role can run in a network namespace.
///
/// Where a field is `None` the kernel chooses; kernels before 4.3 don't know those fields.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Daemon {
    /// Which side it is.
    pub role: DaemonRole,
    /// The interface it multicasts on, at most 15 bytes.
    pub interface: String,
    /// Tells groups of directors apart. A backup with 0 takes all.
    pub sync_id: u8,
    /// Largest UDP payload in bytes.
    pub max_len: Option<u16>,
    /// Multicast group; `224.0.0.81` if the kernel chooses.
    pub group: Option<IpAddr>,
    /// First UDP port; 8848 if the kernel chooses.
    pub port: Option<u16>,
    /// Multicast time to live; 1 if the kernel chooses.
    pub ttl: Option<u8>,
}

impl Daemon {
    /// A daemon with the kernel's own choice of group, port and sizes.
    #[must_use]
    pub fn new(role: DaemonRole, interface: impl Into<String>, sync_id: u8) -> Self {
        Self {
            role,
            interface: interface.into(),
            sync_id,
            max_len: None,
            group: None,
            port: None,
            ttl: None,
        }
    }
}
