//! The size of the connection tracking table.

use std::fs;
use std::path::Path;

/// The connection tracking table: its limit, for all network namespaces together, and the entries
/// of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conntrack {
    /// Entries of this network namespace now.
    pub count: u64,
    /// The most entries that fit. Beyond it, packets of new connections are dropped.
    pub max: u64,
}

/// Reads `nf_conntrack_count` and `nf_conntrack_max`. `None`: `nf_conntrack` isn't loaded.
#[must_use]
pub fn read_conntrack() -> Option<Conntrack> {
    let number = |name: &str| {
        let text = fs::read_to_string(Path::new("/proc/sys/net/netfilter").join(name)).ok()?;
        text.trim().parse().ok()
    };
    Some(Conntrack { count: number("nf_conntrack_count")?, max: number("nf_conntrack_max")? })
}
