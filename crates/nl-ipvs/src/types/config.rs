use std::fmt;

/// After how many seconds without a packet a connection is forgotten.
///
/// They hold for the whole network namespace. When set, 0 leaves one as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Timeouts {
    /// Established TCP connections; the kernel's default is 900.
    pub tcp: u32,
    /// TCP connections after a FIN; the kernel's default is 120.
    pub tcp_fin: u32,
    /// UDP; the kernel's default is 300.
    pub udp: u32,
}

/// The version of IPVS, one byte a number (`NVERSION` in the kernel's `net/ip_vs.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32);

/// `1.2.1`.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, major, minor, patch] = self.0.to_be_bytes();
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// What the kernel says of its IPVS as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Info {
    /// The version of IPVS, `1.2.1` since 2008.
    pub version: Version,
    /// Buckets of the connection table. More connections fit; they only take longer to find.
    pub connection_table_size: u32,
}
