//! Timeouts and version of IPVS.

use std::fmt;

/// Seconds without a packet after which IPVS forgets a connection.
///
/// They apply to the whole network namespace. When they are set, a 0 leaves one unchanged. The kernel counts
/// ticks in 31 bits: beyond 2,147,483 s (`i32::MAX / 1000`), which are 24 days, it may refuse one (`EINVAL`)
/// or take another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Timeouts {
    /// Established TCP connections; the kernel's default is 900.
    pub tcp: u32,
    /// TCP connections after a FIN; the kernel's default is 120.
    pub tcp_fin: u32,
    /// UDP; the kernel's default is 300.
    pub udp: u32,
}

/// The version of IPVS, one byte for each number (`NVERSION` in the kernel's `net/ip_vs.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Version(pub u32);

/// Formats as `1.2.1`.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, major, minor, patch] = self.0.to_be_bytes();
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// Facts about the kernel's IPVS as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Info {
    /// The version of IPVS, `1.2.1` since 2008.
    pub version: Version,
    /// Buckets of the connection table. More connections than that fit, but take longer to find. Since
    /// Linux 7.1 the table grows and shrinks, and may have none before the first service.
    pub connection_table_size: u32,
}
