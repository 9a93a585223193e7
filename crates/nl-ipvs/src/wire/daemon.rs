//! Attributes of synchronisation daemons.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::RawAttribute;
use super::value::{self, Value, attribute};

const IPVS_DAEMON_ATTR_STATE: u16 = 1;
const IPVS_DAEMON_ATTR_MCAST_IFN: u16 = 2;
const IPVS_DAEMON_ATTR_SYNC_ID: u16 = 3;
const IPVS_DAEMON_ATTR_SYNC_MAXLEN: u16 = 4;
const IPVS_DAEMON_ATTR_MCAST_GROUP: u16 = 5;
const IPVS_DAEMON_ATTR_MCAST_GROUP6: u16 = 6;
const IPVS_DAEMON_ATTR_MCAST_PORT: u16 = 7;
const IPVS_DAEMON_ATTR_MCAST_TTL: u16 = 8;

/// An attribute of a connection synchronisation daemon (`IPVS_DAEMON_ATTR_*`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DaemonAttribute {
    /// `IP_VS_STATE_MASTER` or `IP_VS_STATE_BACKUP`.
    State(u32),
    /// Interface it multicasts on.
    Interface(String),
    /// Sync id of the group of directors.
    SyncId(u32),
    /// Largest UDP payload in bytes (Linux 4.3, as all below).
    MaxLen(u16),
    /// IPv4 multicast group.
    Group(Ipv4Addr),
    /// IPv6 multicast group.
    Group6(Ipv6Addr),
    /// First UDP port; host byte order, unlike every other port of this protocol.
    Port(u16),
    /// Multicast time to live.
    Ttl(u8),
    /// An unknown attribute, one with an unexpected value, or padding.
    Other(RawAttribute),
}

impl DaemonAttribute {
    fn wire_parts(&self) -> (u16, Value<'_>) {
        match self {
            Self::State(v) => (IPVS_DAEMON_ATTR_STATE, Value::U32(*v)),
            Self::Interface(v) => (IPVS_DAEMON_ATTR_MCAST_IFN, Value::Name(v)),
            Self::SyncId(v) => (IPVS_DAEMON_ATTR_SYNC_ID, Value::U32(*v)),
            Self::MaxLen(v) => (IPVS_DAEMON_ATTR_SYNC_MAXLEN, Value::U16(*v)),
            Self::Group(v) => (IPVS_DAEMON_ATTR_MCAST_GROUP, Value::V4(*v)),
            Self::Group6(v) => (IPVS_DAEMON_ATTR_MCAST_GROUP6, Value::V6(*v)),
            Self::Port(v) => (IPVS_DAEMON_ATTR_MCAST_PORT, Value::U16(*v)),
            Self::Ttl(v) => (IPVS_DAEMON_ATTR_MCAST_TTL, Value::U8(*v)),
            Self::Other(nla) => (nla.kind, Value::Raw(nla)),
        }
    }

    fn parse_known(kind: u16, bytes: &[u8]) -> Option<Self> {
        match kind {
            IPVS_DAEMON_ATTR_STATE => value::parse_u32(bytes).map(Self::State),
            IPVS_DAEMON_ATTR_MCAST_IFN => {
                value::parse_name(bytes).map(str::to_owned).map(Self::Interface)
            }
            IPVS_DAEMON_ATTR_SYNC_ID => value::parse_u32(bytes).map(Self::SyncId),
            IPVS_DAEMON_ATTR_SYNC_MAXLEN => value::parse_u16(bytes).map(Self::MaxLen),
            IPVS_DAEMON_ATTR_MCAST_GROUP => value::parse_v4(bytes).map(Self::Group),
            IPVS_DAEMON_ATTR_MCAST_GROUP6 => value::parse_v6(bytes).map(Self::Group6),
            IPVS_DAEMON_ATTR_MCAST_PORT => value::parse_u16(bytes).map(Self::Port),
            IPVS_DAEMON_ATTR_MCAST_TTL => value::parse_u8(bytes).map(Self::Ttl),
            _ => None,
        }
    }
}

attribute!(DaemonAttribute);
