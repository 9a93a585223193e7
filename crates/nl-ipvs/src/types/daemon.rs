//! Connection synchronisation daemons.

use std::fmt;
use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroU16};
use std::str::FromStr;

use super::InterfaceName;
use crate::ParseError;

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

/// Parses `master` or `backup`.
impl FromStr for DaemonRole {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "master" => Ok(Self::Master),
            "backup" => Ok(Self::Backup),
            _ => Err(ParseError::new(text, "the role of a daemon: master or backup")),
        }
    }
}

/// A connection synchronisation daemon. One of each role can run in a network namespace.
///
/// The kernel chooses a field that is `None`, and lists its choice: such a daemon isn't read back equal to
/// what was started. Kernels before 4.3 don't know these fields.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Daemon {
    /// The daemon's role.
    pub role: DaemonRole,
    /// The interface it multicasts on.
    pub interface: InterfaceName,
    /// The number of a group of directors. A backup with 0 accepts all groups.
    pub sync_id: u8,
    /// Largest UDP payload in bytes. The kernel raises that of a backup to at least 1024, and lowers one
    /// that no packet of the group's family can have. If it chooses, a master has what fits an MTU of 1500,
    /// which are 1472 bytes in IPv4, and a backup what fits that of the interface, if that is larger.
    pub max_len: Option<NonZeroU16>,
    /// Multicast group; `224.0.0.81` if the kernel chooses. It refuses any other address (`EINVAL`).
    pub group: Option<IpAddr>,
    /// First UDP port; 8848 if the kernel chooses.
    pub port: Option<NonZeroU16>,
    /// Multicast time to live; 1 if the kernel chooses.
    pub ttl: Option<NonZeroU8>,
}

impl Daemon {
    /// Makes a daemon and leaves the choice of group, port and sizes to the kernel.
    #[must_use]
    pub fn new(role: DaemonRole, interface: InterfaceName, sync_id: u8) -> Self {
        Self { role, interface, sync_id, max_len: None, group: None, port: None, ttl: None }
    }
}
