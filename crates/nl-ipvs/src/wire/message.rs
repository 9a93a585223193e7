//! Messages of the IPVS family and their top-level attributes.

use nl_pipeline::{Attribute, Payload, Request, parse_attributes};

use super::numbers::*;
use super::value::{self, List, Value, Written};
use super::{DaemonAttribute, DestinationAttribute, IpvsCmd, RawAttribute, ServiceAttribute};
use crate::EntryError;

/// The name of the generic netlink family.
pub const IPVS_GENL_NAME: &str = "IPVS";
pub(crate) const IPVS_GENL_VERSION: u8 = 1;

/// The length of `struct genlmsghdr`.
pub(crate) const GENL_HEADER_LEN: usize = 4;

/// One message of the IPVS family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpvsMessage {
    /// The command.
    pub command: IpvsCmd,
    /// The attributes.
    pub attributes: Vec<IpvsAttribute>,
}

/// A top-level attribute (`IPVS_CMD_ATTR_*`; in an answer to [`IpvsCmd::GET_INFO`],
/// `IPVS_INFO_ATTR_*`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IpvsAttribute {
    /// A virtual service.
    Service(Vec<ServiceAttribute>),
    /// A real server.
    Destination(Vec<DestinationAttribute>),
    /// A connection synchronisation daemon.
    Daemon(Vec<DaemonAttribute>),
    /// Seconds after which an idle TCP connection is forgotten.
    TimeoutTcp(u32),
    /// Seconds after which a TCP connection is forgotten that had a FIN.
    TimeoutTcpFin(u32),
    /// Seconds after which an idle UDP connection is forgotten.
    TimeoutUdp(u32),
    /// Version of IPVS, one byte for each number; only with [`IpvsCmd::SET_INFO`].
    Version(u32),
    /// Buckets of the connection table; only with [`IpvsCmd::SET_INFO`].
    ConnectionTableSize(u32),
    /// An unknown attribute, or one with an unexpected value.
    Other(RawAttribute),
}

impl IpvsAttribute {
    fn wire_parts(&self) -> (u16, Value<'_>) {
        match self {
            Self::Service(v) => (IPVS_CMD_ATTR_SERVICE, Value::List(v)),
            Self::Destination(v) => (IPVS_CMD_ATTR_DEST, Value::List(v)),
            Self::Daemon(v) => (IPVS_CMD_ATTR_DAEMON, Value::List(v)),
            Self::TimeoutTcp(v) => (IPVS_CMD_ATTR_TIMEOUT_TCP, Value::U32(*v)),
            Self::TimeoutTcpFin(v) => (IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, Value::U32(*v)),
            Self::TimeoutUdp(v) => (IPVS_CMD_ATTR_TIMEOUT_UDP, Value::U32(*v)),
            Self::Version(v) => (IPVS_INFO_ATTR_VERSION, Value::U32(*v)),
            Self::ConnectionTableSize(v) => (IPVS_INFO_ATTR_CONN_TAB_SIZE, Value::U32(*v)),
            Self::Other(nla) => (nla.kind, Value::Raw(nla)),
        }
    }

    /// Parses a known attribute. The numbers 1 and 2 have another meaning in an answer to
    /// `GET_INFO`.
    fn parse_known(command: IpvsCmd, kind: u16, bytes: &[u8]) -> Option<Self> {
        if command == IpvsCmd::SET_INFO {
            return match kind {
                IPVS_INFO_ATTR_VERSION => value::parse_u32(bytes).map(Self::Version),
                IPVS_INFO_ATTR_CONN_TAB_SIZE => {
                    value::parse_u32(bytes).map(Self::ConnectionTableSize)
                }
                _ => None,
            };
        }
        match kind {
            IPVS_CMD_ATTR_SERVICE => ServiceAttribute::parse_list(bytes).map(Self::Service),
            IPVS_CMD_ATTR_DEST => DestinationAttribute::parse_list(bytes).map(Self::Destination),
            IPVS_CMD_ATTR_DAEMON => DaemonAttribute::parse_list(bytes).map(Self::Daemon),
            IPVS_CMD_ATTR_TIMEOUT_TCP => value::parse_u32(bytes).map(Self::TimeoutTcp),
            IPVS_CMD_ATTR_TIMEOUT_TCP_FIN => value::parse_u32(bytes).map(Self::TimeoutTcpFin),
            IPVS_CMD_ATTR_TIMEOUT_UDP => value::parse_u32(bytes).map(Self::TimeoutUdp),
            _ => None,
        }
    }

    fn parse(command: IpvsCmd, read: Attribute<'_>) -> Self {
        let known = Self::parse_known(command, read.number(), read.value);
        known.unwrap_or_else(|| Self::Other(read.into()))
    }
}

impl Written for IpvsAttribute {
    fn kind_and_value(&self) -> (u16, Value<'_>) {
        self.wire_parts()
    }
}

impl IpvsMessage {
    /// Parses a message, `struct genlmsghdr` included.
    ///
    /// # Errors
    /// When the lengths of its attributes don't add up.
    pub fn parse(payload: &[u8]) -> Result<Self, EntryError> {
        let (command, bytes) = split_header(payload)?;
        let attributes = parse_attributes(bytes);
        let attributes = attributes.map(|read| Ok(IpvsAttribute::parse(command, read?)));
        Ok(Self { command, attributes: attributes.collect::<Result<_, EntryError>>()? })
    }

    /// Writes the message, `struct genlmsghdr` included.
    pub fn write_payload(&self, payload: &mut Payload<'_>) {
        write_header(payload, self.command);
        self.attributes.write_list(payload);
    }

    /// Returns the message as bytes, `struct genlmsghdr` included.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_payload(&mut Payload::new(&mut bytes));
        bytes
    }
}

/// Splits off `struct genlmsghdr`. Returns the command, and the attributes after it.
pub(crate) fn split_header(payload: &[u8]) -> Result<(IpvsCmd, &[u8]), EntryError> {
    match payload.split_first_chunk::<GENL_HEADER_LEN>() {
        Some(([command, ..], attributes)) => Ok((IpvsCmd(*command), attributes)),
        None => Err(EntryError::Malformed(format!("{} bytes", payload.len()))),
    }
}

/// Writes `struct genlmsghdr`.
pub(crate) fn write_header(payload: &mut Payload<'_>, command: IpvsCmd) {
    payload.write_raw(&[command.0, IPVS_GENL_VERSION, 0, 0]);
}

/// A message to the family of this number, which the kernel assigns when `ip_vs` is loaded.
pub(crate) struct Framed<'a> {
    pub(crate) message: &'a IpvsMessage,
    pub(crate) family: u16,
}

impl Request for Framed<'_> {
    fn message_type(&self) -> u16 {
        self.family
    }
    fn write_payload(&self, payload: &mut Payload<'_>) {
        self.message.write_payload(payload);
    }
}
