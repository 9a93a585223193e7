//! Messages of the IPVS family and their top-level attributes.

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, ErrorContext, NLA_F_NESTED, Nla, NlaBuffer, NlasIterator,
    Parseable, ParseableParametrized,
};
use netlink_packet_generic::{GenlFamily, GenlHeader};

use super::numbers::*;
use super::value::{self, Value, Written};
use super::{DaemonAttribute, DestinationAttribute, IpvsCmd, ServiceAttribute};

const IPVS_GENL_NAME: &str = "IPVS";
pub(crate) const IPVS_GENL_VERSION: u8 = 1;

/// One message of the IPVS family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpvsMessage {
    /// The command.
    pub command: IpvsCmd,
    /// The attributes.
    pub attributes: Vec<IpvsAttribute>,
}

/// A top-level attribute (`IPVS_CMD_ATTR_*`; in an answer to [`IpvsCmd::GetInfo`],
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
    /// Version of IPVS, one byte for each number; only with [`IpvsCmd::SetInfo`].
    Version(u32),
    /// Buckets of the connection table; only with [`IpvsCmd::SetInfo`].
    ConnectionTableSize(u32),
    /// An unknown attribute, or one with an unexpected value.
    Other(DefaultNla),
}

impl IpvsAttribute {
    fn wire_parts(&self) -> (u16, Value<'_>) {
        match self {
            Self::Service(v) => (IPVS_CMD_ATTR_SERVICE | NLA_F_NESTED, Value::List(v)),
            Self::Destination(v) => (IPVS_CMD_ATTR_DEST | NLA_F_NESTED, Value::List(v)),
            Self::Daemon(v) => (IPVS_CMD_ATTR_DAEMON | NLA_F_NESTED, Value::List(v)),
            Self::TimeoutTcp(v) => (IPVS_CMD_ATTR_TIMEOUT_TCP, Value::U32(*v)),
            Self::TimeoutTcpFin(v) => (IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, Value::U32(*v)),
            Self::TimeoutUdp(v) => (IPVS_CMD_ATTR_TIMEOUT_UDP, Value::U32(*v)),
            Self::Version(v) => (IPVS_INFO_ATTR_VERSION, Value::U32(*v)),
            Self::ConnectionTableSize(v) => (IPVS_INFO_ATTR_CONN_TAB_SIZE, Value::U32(*v)),
            Self::Other(nla) => (nla.kind(), Value::Raw(nla)),
        }
    }

    /// Parses a known attribute. The numbers 1 and 2 have another meaning in an answer to
    /// `GET_INFO`.
    fn parse_known(command: IpvsCmd, kind: u16, bytes: &[u8]) -> Option<Self> {
        if command == IpvsCmd::SetInfo {
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

    fn parse(command: IpvsCmd, nla: &NlaBuffer<&[u8]>) -> Result<Self, DecodeError> {
        match Self::parse_known(command, nla.kind(), nla.value()) {
            Some(attribute) => Ok(attribute),
            None => DefaultNla::parse(nla).map(Self::Other),
        }
    }
}

impl Written for IpvsAttribute {
    fn kind_and_value(&self) -> (u16, Value<'_>) {
        self.wire_parts()
    }
}

impl Nla for IpvsAttribute {
    fn value_len(&self) -> usize {
        self.wire_parts().1.len()
    }
    fn kind(&self) -> u16 {
        self.wire_parts().0
    }
    fn emit_value(&self, buffer: &mut [u8]) {
        self.wire_parts().1.emit(buffer);
    }
}

impl GenlFamily for IpvsMessage {
    fn family_name() -> &'static str {
        IPVS_GENL_NAME
    }
    fn command(&self) -> u8 {
        self.command.into()
    }
    fn version(&self) -> u8 {
        IPVS_GENL_VERSION
    }
}

impl Emitable for IpvsMessage {
    fn buffer_len(&self) -> usize {
        value::attributes_len(&self.attributes)
    }
    fn emit(&self, buffer: &mut [u8]) {
        value::emit_attributes(&self.attributes, buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for IpvsMessage {
    fn parse_with_param(bytes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        let command = header.cmd.into();
        let attributes = NlasIterator::new(bytes)
            .map(|nla| nla.and_then(|nla| IpvsAttribute::parse(command, &nla)))
            .collect::<Result<_, _>>()
            .with_context(|| format!("attributes of the IPVS message {command:?}"))?;
        Ok(Self { command, attributes })
    }
}
