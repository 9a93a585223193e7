//! Attributes of counters and rates.

use super::RawAttribute;
use super::value::{self, Value, attribute};

/// The name of a counter or rate (`IPVS_STATS_ATTR_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Counter {
    /// Connections scheduled.
    Connections,
    /// Packets from clients.
    InPackets,
    /// Packets to clients.
    OutPackets,
    /// Bytes from clients.
    InBytes,
    /// Bytes to clients.
    OutBytes,
    /// New connections per second.
    ConnectionRate,
    /// Packets from clients per second.
    InPacketRate,
    /// Packets to clients per second.
    OutPacketRate,
    /// Bytes from clients per second.
    InByteRate,
    /// Bytes to clients per second.
    OutByteRate,
}

impl Counter {
    /// Every counter, in the order of the kernel's enum.
    pub const ALL: [Self; 10] = [
        Self::Connections,
        Self::InPackets,
        Self::OutPackets,
        Self::InBytes,
        Self::OutBytes,
        Self::ConnectionRate,
        Self::InPacketRate,
        Self::OutPacketRate,
        Self::InByteRate,
        Self::OutByteRate,
    ];

    /// Returns the attribute's number. The kernel's enum starts with an unused 0.
    fn attribute_number(self) -> u16 {
        self as u16 + 1
    }

    pub(crate) fn from_number(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }
}

/// One counter. Both widths have the same numbers, in `STATS` (mixed) and in `STATS64` (64 bits
/// only), so the length of the value tells the width.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatsAttribute {
    /// 32 bits.
    U32(Counter, u32),
    /// 64 bits.
    U64(Counter, u64),
    /// An unknown attribute, one with an unexpected value, or padding.
    Other(RawAttribute),
}

impl StatsAttribute {
    fn wire_parts(&self) -> (u16, Value<'_>) {
        match self {
            Self::U32(counter, v) => (counter.attribute_number(), Value::U32(*v)),
            Self::U64(counter, v) => (counter.attribute_number(), Value::U64(*v)),
            Self::Other(nla) => (nla.kind, Value::Raw(nla)),
        }
    }

    fn parse_known(kind: u16, bytes: &[u8]) -> Option<Self> {
        let counter = Counter::from_number(kind)?;
        match bytes.len() {
            4 => value::parse_u32(bytes).map(|v| Self::U32(counter, v)),
            _ => value::parse_u64(bytes).map(|v| Self::U64(counter, v)),
        }
    }
}

attribute!(StatsAttribute);
