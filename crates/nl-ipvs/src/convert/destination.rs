//! Conversion of real servers.

use std::net::SocketAddr;

use super::attribute::get;
use super::family::{family_number, family_of_number};
use crate::wire::{DestinationAttribute as A, IpvsAttribute, IpvsCmd, IpvsMessage, RawAddress};
use crate::{
    Destination, DestinationSettings, EntryError, Family, ForwardMethod, Tunnel, TunnelFlags,
    TunnelKind,
};

impl Destination {
    /// Parses an entry of a dump of real servers. Kernels before 3.18 don't tell the address
    /// family, which is that of the service then.
    ///
    /// # Errors
    /// When an essential attribute is missing or has no known meaning.
    pub fn from_message(message: &IpvsMessage, service: Family) -> Result<Self, EntryError> {
        let attributes =
            get!(&message.attributes, IpvsAttribute::Destination, "IPVS_CMD_ATTR_DEST")?;
        let wide = get!(attributes, A::Stats64, "IPVS_DEST_ATTR_STATS64").ok();
        let narrow = get!(attributes, A::Stats, "IPVS_DEST_ATTR_STATS").ok();
        Ok(Self {
            address: parse_address(attributes, service)?,
            settings: parse_settings(attributes)?,
            active_connections: *get!(
                attributes,
                A::ActiveConnections,
                "IPVS_DEST_ATTR_ACTIVE_CONNS"
            )?,
            inactive_connections: *get!(
                attributes,
                A::InactiveConnections,
                "IPVS_DEST_ATTR_INACT_CONNS"
            )?,
            persistent_connections: *get!(
                attributes,
                A::PersistentConnections,
                "IPVS_DEST_ATTR_PERSIST_CONNS"
            )?,
            stats: super::stats::parse_stats(wide, narrow),
        })
    }
}

/// Makes the entry that the kernel would write in a dump.
impl From<&Destination> for IpvsMessage {
    fn from(destination: &Destination) -> Self {
        let mut attributes = key_attributes(destination.address);
        attributes.extend(settings_attributes(&destination.settings));
        attributes.extend([
            A::ActiveConnections(destination.active_connections),
            A::InactiveConnections(destination.inactive_connections),
            A::PersistentConnections(destination.persistent_connections),
            A::Stats64(super::stats::stats_attributes(destination.stats)),
        ]);
        Self {
            command: IpvsCmd::NEW_DEST,
            attributes: vec![IpvsAttribute::Destination(attributes)],
        }
    }
}

pub(crate) fn parse_address(attributes: &[A], service: Family) -> Result<SocketAddr, EntryError> {
    let family = match get!(attributes, A::Family, "IPVS_DEST_ATTR_ADDR_FAMILY") {
        Ok(number) => family_of_number(*number, "IPVS_DEST_ATTR_ADDR_FAMILY")?,
        Err(_) => service,
    };
    let ip = get!(attributes, A::Address, "IPVS_DEST_ATTR_ADDR")?
        .to_ip(family)
        .ok_or(EntryError::Missing("IPVS_DEST_ATTR_ADDR"))?;
    Ok(SocketAddr::new(ip, *get!(attributes, A::Port, "IPVS_DEST_ATTR_PORT")?))
}

pub(crate) fn parse_settings(attributes: &[A]) -> Result<DestinationSettings, EntryError> {
    let kind = get!(attributes, A::TunnelType, "IPVS_DEST_ATTR_TUN_TYPE");
    let port = get!(attributes, A::TunnelPort, "IPVS_DEST_ATTR_TUN_PORT");
    let flags = get!(attributes, A::TunnelFlags, "IPVS_DEST_ATTR_TUN_FLAGS");
    Ok(DestinationSettings {
        forward: ForwardMethod::from_bits(*get!(
            attributes,
            A::ForwardMethod,
            "IPVS_DEST_ATTR_FWD_METHOD"
        )?),
        weight: *get!(attributes, A::Weight, "IPVS_DEST_ATTR_WEIGHT")?,
        upper_threshold: *get!(attributes, A::UpperThreshold, "IPVS_DEST_ATTR_U_THRESH")?,
        lower_threshold: *get!(attributes, A::LowerThreshold, "IPVS_DEST_ATTR_L_THRESH")?,
        // Absent before Linux 5.2 and 5.3, which have IP in IP only.
        tunnel: Tunnel {
            kind: kind.map_or(TunnelKind::IpIp, |number| TunnelKind::from_number(*number)),
            port: port.copied().unwrap_or(0),
            flags: TunnelFlags(flags.copied().unwrap_or(0)),
        },
    })
}

pub(super) fn key_attributes(address: SocketAddr) -> Vec<A> {
    vec![
        A::Address(RawAddress::from(address.ip())),
        A::Port(address.port()),
        A::Family(family_number(address.ip().into())),
    ]
}

pub(super) fn settings_attributes(settings: &DestinationSettings) -> Vec<A> {
    let mut attributes = vec![
        A::ForwardMethod(settings.forward.number().into()),
        A::Weight(settings.weight),
        A::UpperThreshold(settings.upper_threshold),
        A::LowerThreshold(settings.lower_threshold),
    ];
    if settings.has_tunnel() {
        attributes.extend([
            A::TunnelType(settings.tunnel.kind.number()),
            A::TunnelPort(settings.tunnel.port),
            A::TunnelFlags(settings.tunnel.flags.0),
        ]);
    }
    attributes
}
