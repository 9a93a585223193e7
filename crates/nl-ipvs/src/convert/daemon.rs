//! Conversion of synchronisation daemons.

use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroU16};

use super::attribute::get;
use crate::wire::{DaemonAttribute as A, IpvsAttribute, IpvsCmd, IpvsMessage};
use crate::{Daemon, DaemonRole, EntryError, InterfaceName};

const IP_VS_STATE_MASTER: u32 = 1;
const IP_VS_STATE_BACKUP: u32 = 2;

impl TryFrom<&IpvsMessage> for Daemon {
    type Error = EntryError;

    /// Parses an entry of a dump of daemons.
    fn try_from(message: &IpvsMessage) -> Result<Self, EntryError> {
        let attributes = get!(&message.attributes, IpvsAttribute::Daemon, "IPVS_CMD_ATTR_DAEMON")?;
        let group = get!(attributes, A::Group, "IPVS_DAEMON_ATTR_MCAST_GROUP").ok();
        let group6 = get!(attributes, A::Group6, "IPVS_DAEMON_ATTR_MCAST_GROUP6").ok();
        let max_len = get!(attributes, A::MaxLen, "IPVS_DAEMON_ATTR_SYNC_MAXLEN").ok();
        let port = get!(attributes, A::Port, "IPVS_DAEMON_ATTR_MCAST_PORT").ok();
        let ttl = get!(attributes, A::Ttl, "IPVS_DAEMON_ATTR_MCAST_TTL").ok();
        let sync_id = *get!(attributes, A::SyncId, "IPVS_DAEMON_ATTR_SYNC_ID")?;
        Ok(Self {
            role: role_of_state(*get!(attributes, A::State, "IPVS_DAEMON_ATTR_STATE")?)?,
            interface: InterfaceName::new(get!(
                attributes,
                A::Interface,
                "IPVS_DAEMON_ATTR_MCAST_IFN"
            )?)
            .map_err(|_| EntryError::Missing("IPVS_DAEMON_ATTR_MCAST_IFN"))?,
            sync_id: u8::try_from(sync_id).map_err(|_| EntryError::Unknown {
                attribute: "IPVS_DAEMON_ATTR_SYNC_ID",
                value: sync_id.into(),
            })?,
            max_len: max_len.and_then(|len| NonZeroU16::new(*len)),
            group: group.copied().map(IpAddr::V4).or(group6.copied().map(IpAddr::V6)),
            port: port.and_then(|port| NonZeroU16::new(*port)),
            ttl: ttl.and_then(|ttl| NonZeroU8::new(*ttl)),
        })
    }
}

/// Makes the request that starts the daemon; the kernel writes the same in a dump.
impl From<&Daemon> for IpvsMessage {
    fn from(daemon: &Daemon) -> Self {
        let mut attributes = vec![
            state_attribute(daemon.role),
            A::Interface(daemon.interface.as_str().to_owned()),
            A::SyncId(daemon.sync_id.into()),
        ];
        attributes.extend(daemon.max_len.map(|len| A::MaxLen(len.get())));
        attributes.extend(daemon.group.map(|group| match group {
            IpAddr::V4(v4) => A::Group(v4),
            IpAddr::V6(v6) => A::Group6(v6),
        }));
        attributes.extend(daemon.port.map(|port| A::Port(port.get())));
        attributes.extend(daemon.ttl.map(|ttl| A::Ttl(ttl.get())));
        Self { command: IpvsCmd::NEW_DAEMON, attributes: vec![IpvsAttribute::Daemon(attributes)] }
    }
}

pub(super) fn state_attribute(role: DaemonRole) -> A {
    A::State(match role {
        DaemonRole::Master => IP_VS_STATE_MASTER,
        DaemonRole::Backup => IP_VS_STATE_BACKUP,
    })
}

/// Parses the role of the daemon that a request stops.
#[cfg(feature = "fake")]
pub(crate) fn parse_role(message: &IpvsMessage) -> Result<DaemonRole, EntryError> {
    let attributes = get!(&message.attributes, IpvsAttribute::Daemon, "IPVS_CMD_ATTR_DAEMON")?;
    role_of_state(*get!(attributes, A::State, "IPVS_DAEMON_ATTR_STATE")?)
}

fn role_of_state(state: u32) -> Result<DaemonRole, EntryError> {
    match state {
        IP_VS_STATE_MASTER => Ok(DaemonRole::Master),
        IP_VS_STATE_BACKUP => Ok(DaemonRole::Backup),
        other => {
            Err(EntryError::Unknown { attribute: "IPVS_DAEMON_ATTR_STATE", value: other.into() })
        }
    }
}
