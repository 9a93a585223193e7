//! Conversion of virtual services.

use super::attribute::{find_attribute, get};
use super::family::{family_number, family_of_number};
use crate::wire::{IpvsAttribute, IpvsCmd, IpvsMessage, RawAddress, ServiceAttribute as A};
use crate::{
    EntryError, Family, Protocol, Scheduler, Service, ServiceFlags, ServiceKey, ServiceSettings,
};

/// The kernel's name for "no scheduler".
pub(crate) const NO_SCHEDULER: &str = "none";

impl TryFrom<&IpvsMessage> for Service {
    type Error = EntryError;

    /// Parses an entry of a dump of services, or the answer to `GET_SERVICE`.
    fn try_from(message: &IpvsMessage) -> Result<Self, EntryError> {
        let attributes =
            get!(&message.attributes, IpvsAttribute::Service, "IPVS_CMD_ATTR_SERVICE")?;
        let key = parse_key(attributes)?;
        let wide = get!(attributes, A::Stats64, "IPVS_SVC_ATTR_STATS64").ok();
        let narrow = get!(attributes, A::Stats, "IPVS_SVC_ATTR_STATS").ok();
        Ok(Self {
            key,
            settings: parse_settings(key.family(), attributes)?,
            stats: super::stats::parse_stats(wide, narrow),
        })
    }
}

/// Makes the entry that the kernel would write in a dump.
impl From<&Service> for IpvsMessage {
    fn from(service: &Service) -> Self {
        let mut attributes = key_attributes(&service.key);
        attributes.extend(settings_attributes(
            service.key.family(),
            &service.settings,
            service.settings.flags,
            ServiceFlags(u32::MAX),
        ));
        attributes.push(A::Stats64(super::stats::stats_attributes(service.stats)));
        Self { command: IpvsCmd::NewService, attributes: vec![IpvsAttribute::Service(attributes)] }
    }
}

fn parse_key(attributes: &[A]) -> Result<ServiceKey, EntryError> {
    let family =
        family_of_number(*get!(attributes, A::Family, "IPVS_SVC_ATTR_AF")?, "IPVS_SVC_ATTR_AF")?;
    if let Ok(mark) = get!(attributes, A::Fwmark, "IPVS_SVC_ATTR_FWMARK") {
        return Ok(ServiceKey::Fwmark { family, mark: *mark });
    }
    Ok(ServiceKey::Address {
        protocol: Protocol(*get!(attributes, A::Protocol, "IPVS_SVC_ATTR_PROTOCOL")?),
        address: get!(attributes, A::Address, "IPVS_SVC_ATTR_ADDR")?
            .to_ip(family)
            .ok_or(EntryError::Missing("IPVS_SVC_ATTR_ADDR"))?,
        port: *get!(attributes, A::Port, "IPVS_SVC_ATTR_PORT")?,
    })
}

fn parse_settings(family: Family, attributes: &[A]) -> Result<ServiceSettings, EntryError> {
    let flags = find_attribute(attributes, "IPVS_SVC_ATTR_FLAGS", |attribute| match attribute {
        A::Flags { flags, .. } => Some(ServiceFlags(*flags)),
        _ => None,
    })?;
    let name = get!(attributes, A::Scheduler, "IPVS_SVC_ATTR_SCHED_NAME")?;
    let engine = get!(attributes, A::PersistenceEngine, "IPVS_SVC_ATTR_PE_NAME").ok();
    Ok(ServiceSettings {
        scheduler: parse_scheduler(name)?,
        flags,
        timeout: *get!(attributes, A::Timeout, "IPVS_SVC_ATTR_TIMEOUT")?,
        prefix_len: prefix_len(family, *get!(attributes, A::Netmask, "IPVS_SVC_ATTR_NETMASK")?)?,
        persistence_engine: engine.cloned(),
    })
}

pub(crate) fn parse_scheduler(name: &str) -> Result<Option<Scheduler>, EntryError> {
    match name {
        NO_SCHEDULER => Ok(None),
        name => Scheduler::new(name)
            .map(Some)
            .map_err(|_| EntryError::Missing("IPVS_SVC_ATTR_SCHED_NAME")),
    }
}

pub(super) fn key_attributes(key: &ServiceKey) -> Vec<A> {
    let family = A::Family(family_number(key.family()));
    match *key {
        ServiceKey::Address { protocol, address, port } => vec![
            family,
            A::Protocol(protocol.0),
            A::Address(RawAddress::from(address)),
            A::Port(port),
        ],
        ServiceKey::Fwmark { mark, .. } => vec![family, A::Fwmark(mark)],
    }
}

pub(super) fn settings_attributes(
    family: Family,
    settings: &ServiceSettings,
    flags: ServiceFlags,
    mask: ServiceFlags,
) -> Vec<A> {
    let scheduler = settings.scheduler.as_ref().map_or(NO_SCHEDULER, Scheduler::as_str);
    let mut attributes = vec![
        A::Scheduler(scheduler.to_owned()),
        A::Flags { flags: flags.0, mask: mask.0 },
        A::Timeout(settings.timeout),
        A::Netmask(netmask_bytes(family, settings.prefix_len)),
    ];
    // Without this attribute, a service loses the engine it had.
    attributes.extend(settings.persistence_engine.clone().map(A::PersistenceEngine));
    attributes
}

pub(crate) fn netmask_bytes(family: Family, prefix_len: u8) -> [u8; 4] {
    match family {
        Family::Inet => {
            let host_bits = 32_u32.saturating_sub(prefix_len.into());
            u32::MAX.checked_shl(host_bits).unwrap_or(0).to_be_bytes()
        }
        Family::Inet6 => u32::from(prefix_len).to_ne_bytes(),
    }
}

pub(crate) fn prefix_len(family: Family, netmask: [u8; 4]) -> Result<u8, EntryError> {
    let bits = match family {
        Family::Inet => u32::from_be_bytes(netmask).leading_ones(),
        Family::Inet6 => u32::from_ne_bytes(netmask),
    };
    u8::try_from(bits)
        .map_err(|_| EntryError::Unknown { attribute: "IPVS_SVC_ATTR_NETMASK", value: bits.into() })
}
