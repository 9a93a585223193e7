//! Conversion of timeouts and of the version.

use super::attribute::get;
use crate::wire::{IpvsAttribute as A, IpvsCmd, IpvsMessage};
use crate::{EntryError, Info, Timeouts, Version};

impl TryFrom<&IpvsMessage> for Timeouts {
    type Error = EntryError;

    /// Parses the answer to `GET_CONFIG`. A kernel without TCP or UDP balancing leaves out their
    /// timeouts, which are 0 here.
    fn try_from(message: &IpvsMessage) -> Result<Self, EntryError> {
        if message.command != IpvsCmd::SET_CONFIG {
            return Err(EntryError::Missing("IPVS_CMD_SET_CONFIG"));
        }
        let seconds = |value: Result<&u32, EntryError>| value.copied().unwrap_or(0);
        let attributes = &message.attributes;
        Ok(Self {
            tcp: seconds(get!(attributes, A::TimeoutTcp, "IPVS_CMD_ATTR_TIMEOUT_TCP")),
            tcp_fin: seconds(get!(attributes, A::TimeoutTcpFin, "IPVS_CMD_ATTR_TIMEOUT_TCP_FIN")),
            udp: seconds(get!(attributes, A::TimeoutUdp, "IPVS_CMD_ATTR_TIMEOUT_UDP")),
        })
    }
}

/// Makes the request that sets the timeouts; the kernel answers `GET_CONFIG` with the same.
impl From<Timeouts> for IpvsMessage {
    fn from(timeouts: Timeouts) -> Self {
        Self {
            command: IpvsCmd::SET_CONFIG,
            attributes: vec![
                A::TimeoutTcp(timeouts.tcp),
                A::TimeoutTcpFin(timeouts.tcp_fin),
                A::TimeoutUdp(timeouts.udp),
            ],
        }
    }
}

impl TryFrom<&IpvsMessage> for Info {
    type Error = EntryError;

    /// Parses the answer to `GET_INFO`.
    fn try_from(message: &IpvsMessage) -> Result<Self, EntryError> {
        let attributes = &message.attributes;
        Ok(Self {
            version: Version(*get!(attributes, A::Version, "IPVS_INFO_ATTR_VERSION")?),
            connection_table_size: *get!(
                attributes,
                A::ConnectionTableSize,
                "IPVS_INFO_ATTR_CONN_TAB_SIZE"
            )?,
        })
    }
}

/// Makes the kernel's answer to `GET_INFO`.
impl From<Info> for IpvsMessage {
    fn from(info: Info) -> Self {
        Self {
            command: IpvsCmd::SET_INFO,
            attributes: vec![
                A::Version(info.version.0),
                A::ConnectionTableSize(info.connection_table_size),
            ],
        }
    }
}
