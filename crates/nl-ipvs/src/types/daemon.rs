//! Connection synchronisation daemons.

use std::fmt;
use std::net::IpAddr;

/// The side of connection synchronisation that a daemon is on (`IP_VS_STATE_*`).
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
/// The kernel chooses a field that is `None`. Kernels before 4.3 don't know these fields.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Daemon {
    /// The daemon's role.
    pub role: DaemonRole,
    /// The interface it multicasts on, at most 15 bytes.
    pub interface: String,
    /// The number of a group of directors. A backup with 0 accepts all groups.
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
    /// Makes a daemon and leaves the choice of group, port and sizes to the kernel.
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
