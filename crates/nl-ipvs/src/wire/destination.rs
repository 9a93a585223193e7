//! Attributes of real servers.

use super::numbers::*;
use super::value::{self, Value, attribute};
use super::{RawAddress, RawAttribute, StatsAttribute};

/// An attribute of a real server (`IPVS_DEST_ATTR_*`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DestinationAttribute {
    /// The address.
    Address(RawAddress),
    /// The port; network byte order on the wire, host byte order here.
    Port(u16),
    /// Forwarding method (`IP_VS_CONN_F_FWD_MASK` bits).
    ForwardMethod(u32),
    /// Weight. The kernel reads it as a signed number and refuses negative ones.
    Weight(u32),
    /// Connections at which it gets no more.
    UpperThreshold(u32),
    /// Connections below which it gets new ones again.
    LowerThreshold(u32),
    /// Established connections; read only.
    ActiveConnections(u32),
    /// Other connections; read only.
    InactiveConnections(u32),
    /// Persistence templates; read only.
    PersistentConnections(u32),
    /// Counters of 32 and 64 bits.
    Stats(Vec<StatsAttribute>),
    /// Family of the address (Linux 3.18).
    Family(u16),
    /// Counters of 64 bits (Linux 4.1).
    Stats64(Vec<StatsAttribute>),
    /// Encapsulation (Linux 5.2).
    TunnelType(u8),
    /// UDP port of the far end; network byte order on the wire, host byte order here.
    TunnelPort(u16),
    /// Checksum flags, `IP_VS_TUNNEL_ENCAP_FLAG_*` (Linux 5.3).
    TunnelFlags(u16),
    /// An unknown attribute, one with an unexpected value, or padding.
    Other(RawAttribute),
}

impl DestinationAttribute {
    fn wire_parts(&self) -> (u16, Value<'_>) {
        match self {
            Self::Address(v) => (IPVS_DEST_ATTR_ADDR, v.wire_value()),
            Self::Port(v) => (IPVS_DEST_ATTR_PORT, Value::U16Be(*v)),
            Self::ForwardMethod(v) => (IPVS_DEST_ATTR_FWD_METHOD, Value::U32(*v)),
            Self::Weight(v) => (IPVS_DEST_ATTR_WEIGHT, Value::U32(*v)),
            Self::UpperThreshold(v) => (IPVS_DEST_ATTR_U_THRESH, Value::U32(*v)),
            Self::LowerThreshold(v) => (IPVS_DEST_ATTR_L_THRESH, Value::U32(*v)),
            Self::ActiveConnections(v) => (IPVS_DEST_ATTR_ACTIVE_CONNS, Value::U32(*v)),
            Self::InactiveConnections(v) => (IPVS_DEST_ATTR_INACT_CONNS, Value::U32(*v)),
            Self::PersistentConnections(v) => (IPVS_DEST_ATTR_PERSIST_CONNS, Value::U32(*v)),
            Self::Stats(v) => (IPVS_DEST_ATTR_STATS, Value::List(v)),
            Self::Family(v) => (IPVS_DEST_ATTR_ADDR_FAMILY, Value::U16(*v)),
            Self::Stats64(v) => (IPVS_DEST_ATTR_STATS64, Value::List(v)),
            Self::TunnelType(v) => (IPVS_DEST_ATTR_TUN_TYPE, Value::U8(*v)),
            Self::TunnelPort(v) => (IPVS_DEST_ATTR_TUN_PORT, Value::U16Be(*v)),
            Self::TunnelFlags(v) => (IPVS_DEST_ATTR_TUN_FLAGS, Value::U16(*v)),
            Self::Other(nla) => (nla.kind, Value::Raw(nla)),
        }
    }

    fn parse_known(kind: u16, bytes: &[u8]) -> Option<Self> {
        match kind {
            IPVS_DEST_ATTR_ADDR => RawAddress::parse(bytes).map(Self::Address),
            IPVS_DEST_ATTR_PORT => value::parse_u16_be(bytes).map(Self::Port),
            IPVS_DEST_ATTR_FWD_METHOD => value::parse_u32(bytes).map(Self::ForwardMethod),
            IPVS_DEST_ATTR_WEIGHT => value::parse_u32(bytes).map(Self::Weight),
            IPVS_DEST_ATTR_U_THRESH => value::parse_u32(bytes).map(Self::UpperThreshold),
            IPVS_DEST_ATTR_L_THRESH => value::parse_u32(bytes).map(Self::LowerThreshold),
            IPVS_DEST_ATTR_ACTIVE_CONNS => value::parse_u32(bytes).map(Self::ActiveConnections),
            IPVS_DEST_ATTR_INACT_CONNS => value::parse_u32(bytes).map(Self::InactiveConnections),
            IPVS_DEST_ATTR_PERSIST_CONNS => {
                value::parse_u32(bytes).map(Self::PersistentConnections)
            }
            IPVS_DEST_ATTR_STATS => StatsAttribute::parse_list(bytes).map(Self::Stats),
            IPVS_DEST_ATTR_ADDR_FAMILY => value::parse_u16(bytes).map(Self::Family),
            IPVS_DEST_ATTR_STATS64 => StatsAttribute::parse_list(bytes).map(Self::Stats64),
            IPVS_DEST_ATTR_TUN_TYPE => value::parse_u8(bytes).map(Self::TunnelType),
            IPVS_DEST_ATTR_TUN_PORT => value::parse_u16_be(bytes).map(Self::TunnelPort),
            IPVS_DEST_ATTR_TUN_FLAGS => value::parse_u16(bytes).map(Self::TunnelFlags),
            _ => None,
        }
    }
}

attribute!(DestinationAttribute);
