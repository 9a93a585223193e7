//! Attributes of virtual services.

use super::numbers::*;
use super::value::{self, Value, attribute};
use super::{RawAddress, RawAttribute, StatsAttribute};

/// An attribute of a virtual service (`IPVS_SVC_ATTR_*`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceAttribute {
    /// Address family, `AF_INET` or `AF_INET6`; host byte order.
    Family(u16),
    /// IP protocol number; host byte order.
    Protocol(u16),
    /// Virtual address; a firewall-mark service has none.
    Address(RawAddress),
    /// Virtual port; network byte order on the wire, host byte order here.
    Port(u16),
    /// Firewall mark; host byte order. The key then consists of mark and family.
    Fwmark(u32),
    /// Scheduler, or `none`.
    Scheduler(String),
    /// Flags and the mask of those to write (`struct ip_vs_flags`).
    Flags {
        /// The flags.
        flags: u32,
        /// The flags to write; in a dump all of them.
        mask: u32,
    },
    /// Persistence timeout in seconds.
    Timeout(u32),
    /// IPv4: a netmask in network byte order. IPv6: a prefix length as a `u32` in host byte order.
    Netmask([u8; 4]),
    /// Counters of 32 and 64 bits.
    Stats(Vec<StatsAttribute>),
    /// Persistence engine.
    PersistenceEngine(String),
    /// Counters of 64 bits (Linux 4.1).
    Stats64(Vec<StatsAttribute>),
    /// An unknown attribute, one with an unexpected value, or padding.
    Other(RawAttribute),
}

impl ServiceAttribute {
    fn wire_parts(&self) -> (u16, Value<'_>) {
        match self {
            Self::Family(v) => (IPVS_SVC_ATTR_AF, Value::U16(*v)),
            Self::Protocol(v) => (IPVS_SVC_ATTR_PROTOCOL, Value::U16(*v)),
            Self::Address(v) => (IPVS_SVC_ATTR_ADDR, v.wire_value()),
            Self::Port(v) => (IPVS_SVC_ATTR_PORT, Value::U16Be(*v)),
            Self::Fwmark(v) => (IPVS_SVC_ATTR_FWMARK, Value::U32(*v)),
            Self::Scheduler(v) => (IPVS_SVC_ATTR_SCHED_NAME, Value::Name(v)),
            Self::Flags { flags, mask } => (IPVS_SVC_ATTR_FLAGS, Value::Pair(*flags, *mask)),
            Self::Timeout(v) => (IPVS_SVC_ATTR_TIMEOUT, Value::U32(*v)),
            Self::Netmask(v) => (IPVS_SVC_ATTR_NETMASK, Value::Bytes(v)),
            Self::Stats(v) => (IPVS_SVC_ATTR_STATS, Value::List(v)),
            Self::PersistenceEngine(v) => (IPVS_SVC_ATTR_PE_NAME, Value::Name(v)),
            Self::Stats64(v) => (IPVS_SVC_ATTR_STATS64, Value::List(v)),
            Self::Other(nla) => (nla.kind, Value::Raw(nla)),
        }
    }

    fn parse_known(kind: u16, bytes: &[u8]) -> Option<Self> {
        match kind {
            IPVS_SVC_ATTR_AF => value::parse_u16(bytes).map(Self::Family),
            IPVS_SVC_ATTR_PROTOCOL => value::parse_u16(bytes).map(Self::Protocol),
            IPVS_SVC_ATTR_ADDR => RawAddress::parse(bytes).map(Self::Address),
            IPVS_SVC_ATTR_PORT => value::parse_u16_be(bytes).map(Self::Port),
            IPVS_SVC_ATTR_FWMARK => value::parse_u32(bytes).map(Self::Fwmark),
            IPVS_SVC_ATTR_SCHED_NAME => {
                value::parse_name(bytes).map(str::to_owned).map(Self::Scheduler)
            }
            IPVS_SVC_ATTR_FLAGS => {
                value::parse_pair(bytes).map(|(flags, mask)| Self::Flags { flags, mask })
            }
            IPVS_SVC_ATTR_TIMEOUT => value::parse_u32(bytes).map(Self::Timeout),
            IPVS_SVC_ATTR_NETMASK => bytes.try_into().ok().map(Self::Netmask),
            IPVS_SVC_ATTR_STATS => StatsAttribute::parse_list(bytes).map(Self::Stats),
            IPVS_SVC_ATTR_PE_NAME => {
                value::parse_name(bytes).map(str::to_owned).map(Self::PersistenceEngine)
            }
            IPVS_SVC_ATTR_STATS64 => StatsAttribute::parse_list(bytes).map(Self::Stats64),
            _ => None,
        }
    }
}

attribute!(ServiceAttribute);
