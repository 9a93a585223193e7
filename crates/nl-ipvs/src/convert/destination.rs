//! Conversion of real servers.

use std::net::SocketAddr;

use super::attribute::get;
use super::family::{family_number, family_of_number};
use crate::wire::{DestinationAttribute as A, IpvsAttribute, IpvsCmd, IpvsMessage, RawAddress};
use crate::{
    Destination, DestinationSettings, EntryError, Family, ForwardMethod, Tunnel, TunnelKind,
};

/// `IP_VS_CONN_F_FWD_MASK`.
const FORWARD_MASK: u32 = 7;

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
        Self { command: IpvsCmd::NewDest, attributes: vec![IpvsAttribute::Destination(attributes)] }
    }
}

fn parse_address(attributes: &[A], service: Family) -> Result<SocketAddr, EntryError> {
    let family = match get!(attributes, A::Family, "IPVS_DEST_ATTR_ADDR_FAMILY") {
        Ok(number) => family_of_number(*number, "IPVS_DEST_ATTR_ADDR_FAMILY")?,
        Err(_) => service,
    };
    let ip = get!(attributes, A::Address, "IPVS_DEST_ATTR_ADDR")?
        .to_ip(family)
        .ok_or(EntryError::Missing("IPVS_DEST_ATTR_ADDR"))?;
    Ok(SocketAddr::new(ip, *get!(attributes, A::Port, "IPVS_DEST_ATTR_PORT")?))
}

fn parse_settings(attributes: &[A]) -> Result<DestinationSettings, EntryError> {
    let kind = get!(attributes, A::TunnelType, "IPVS_DEST_ATTR_TUN_TYPE");
    let port = get!(attributes, A::TunnelPort, "IPVS_DEST_ATTR_TUN_PORT");
    let flags = get!(attributes, A::TunnelFlags, "IPVS_DEST_ATTR_TUN_FLAGS");
    Ok(DestinationSettings {
        forward: forward_method(*get!(attributes, A::ForwardMethod, "IPVS_DEST_ATTR_FWD_METHOD")?),
        weight: *get!(attributes, A::Weight, "IPVS_DEST_ATTR_WEIGHT")?,
        upper_threshold: *get!(attributes, A::UpperThreshold, "IPVS_DEST_ATTR_U_THRESH")?,
        lower_threshold: *get!(attributes, A::LowerThreshold, "IPVS_DEST_ATTR_L_THRESH")?,
        // Absent before Linux 5.2 and 5.3, which have IP in IP only.
        tunnel: Tunnel {
            kind: kind.map_or(TunnelKind::IpIp, |number| tunnel_kind(*number)),
            port: port.copied().unwrap_or(0),
            flags: flags.copied().unwrap_or(0),
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
        A::ForwardMethod(forward_number(settings.forward)),
        A::Weight(settings.weight),
        A::UpperThreshold(settings.upper_threshold),
        A::LowerThreshold(settings.lower_threshold),
    ];
    if settings.forward == ForwardMethod::Tunnel {
        attributes.extend([
            A::TunnelType(tunnel_number(settings.tunnel.kind)),
            A::TunnelPort(settings.tunnel.port),
            A::TunnelFlags(settings.tunnel.flags),
        ]);
    }
    attributes
}

pub(crate) fn forward_method(flags: u32) -> ForwardMethod {
    match flags & FORWARD_MASK {
        0 => ForwardMethod::Masquerade,
        1 => ForwardMethod::Local,
        2 => ForwardMethod::Tunnel,
        3 => ForwardMethod::Route,
        4 => ForwardMethod::Bypass,
        other => ForwardMethod::Other(other),
    }
}

pub(crate) fn forward_number(method: ForwardMethod) -> u32 {
    match method {
        ForwardMethod::Masquerade => 0,
        ForwardMethod::Local => 1,
        ForwardMethod::Tunnel => 2,
        ForwardMethod::Route => 3,
        ForwardMethod::Bypass => 4,
        ForwardMethod::Other(number) => number,
    }
}

pub(crate) fn tunnel_kind(number: u8) -> TunnelKind {
    match number {
        0 => TunnelKind::IpIp,
        1 => TunnelKind::Gue,
        2 => TunnelKind::Gre,
        other => TunnelKind::Other(other),
    }
}

pub(crate) fn tunnel_number(kind: TunnelKind) -> u8 {
    match kind {
        TunnelKind::IpIp => 0,
        TunnelKind::Gue => 1,
        TunnelKind::Gre => 2,
        TunnelKind::Other(number) => number,
    }
}
