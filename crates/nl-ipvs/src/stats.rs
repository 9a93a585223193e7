//! The counters and rates of a service or real server.

/// Counters and rates of a service or real server (`IPVS_*_ATTR_STATS64`, or the 32-bit
/// `IPVS_*_ATTR_STATS` of kernels before 4.1). The kernel sums them up every two seconds; the numbers of connections of a
/// [`Destination`](crate::Destination) are those of the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[non_exhaustive]
pub struct Stats {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets to clients.
    pub out_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes to clients.
    pub out_bytes: u64,
    /// New connections per second, averaged by the kernel over some seconds.
    pub connections_per_second: u64,
    /// Packets from clients per second.
    pub in_packets_per_second: u64,
    /// Packets to clients per second.
    pub out_packets_per_second: u64,
    /// Bytes from clients per second.
    pub in_bytes_per_second: u64,
    /// Bytes to clients per second.
    pub out_bytes_per_second: u64,
}
