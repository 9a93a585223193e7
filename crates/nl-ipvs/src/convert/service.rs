//! Conversion of virtual services.

use std::num::NonZeroU32;

use super::attribute::{find_attribute, get};
use super::family::{family_number, family_of_number};
use crate::wire::{IpvsAttribute, IpvsCmd, IpvsMessage, RawAddress, ServiceAttribute as A};
use crate::{
    ClientPrefix, EntryError, Family, PersistenceEngine, Protocol, Scheduler, Service,
    ServiceFlags, ServiceKey, ServiceSettings,
};

/// The mask of every flag, as other programs send it.
pub(crate) const EVERY_FLAG: u32 = u32::MAX;

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
        attributes.extend(settings_attributes(service.key.family(), &service.settings, EVERY_FLAG));
        attributes.push(A::Stats64(super::stats::stats_attributes(service.stats)));
        Self { command: IpvsCmd::NEW_SERVICE, attributes: vec![IpvsAttribute::Service(attributes)] }
    }
}

pub(crate) fn parse_key(attributes: &[A]) -> Result<ServiceKey, EntryError> {
    let family =
        family_of_number(*get!(attributes, A::Family, "IPVS_SVC_ATTR_AF")?, "IPVS_SVC_ATTR_AF")?;
    if let Ok(mark) = get!(attributes, A::Fwmark, "IPVS_SVC_ATTR_FWMARK") {
        return Ok(ServiceKey::Fwmark { family, mark: parse_mark(*mark)? });
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
        A::Flags { flags, .. } => Some(ServiceFlags::from_bits(*flags)),
        _ => None,
    })?;
    let name = get!(attributes, A::Scheduler, "IPVS_SVC_ATTR_SCHED_NAME")?;
    let engine = get!(attributes, A::PersistenceEngine, "IPVS_SVC_ATTR_PE_NAME").ok();
    Ok(ServiceSettings {
        scheduler: parse_scheduler(name)?,
        flags,
        timeout: *get!(attributes, A::Timeout, "IPVS_SVC_ATTR_TIMEOUT")?,
        client_prefix: parse_prefix(
            family,
            *get!(attributes, A::Netmask, "IPVS_SVC_ATTR_NETMASK")?,
        )?,
        persistence_engine: engine.map(|name| parse_engine(name)).transpose()?,
    })
}

pub(crate) fn parse_mark(mark: u32) -> Result<NonZeroU32, EntryError> {
    NonZeroU32::new(mark)
        .ok_or(EntryError::Unknown { attribute: "IPVS_SVC_ATTR_FWMARK", value: mark.into() })
}

pub(crate) fn parse_engine(name: &str) -> Result<PersistenceEngine, EntryError> {
    PersistenceEngine::new(name).map_err(|_| EntryError::Missing("IPVS_SVC_ATTR_PE_NAME"))
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
        ServiceKey::Fwmark { mark, .. } => vec![family, A::Fwmark(mark.get())],
    }
}

pub(super) fn settings_attributes(family: Family, settings: &ServiceSettings, mask: u32) -> Vec<A> {
    let scheduler = settings.scheduler.as_ref().map_or(NO_SCHEDULER, Scheduler::as_str);
    let mut attributes = vec![
        A::Scheduler(scheduler.to_owned()),
        A::Flags { flags: settings.flags.bits(), mask },
        A::Timeout(settings.timeout),
    ];
    attributes.extend(netmask_bytes(family, settings.client_prefix).map(A::Netmask));
    // Without this attribute, a service loses the engine it had.
    let engine = settings.persistence_engine.as_ref();
    attributes.extend(engine.map(|name| A::PersistenceEngine(name.as_str().to_owned())));
    attributes
}

/// Returns the value of the netmask attribute. A prefix of the other family has none: the kernel
/// refuses a service without the attribute, where it could take any value for another prefix.
pub(crate) fn netmask_bytes(family: Family, prefix: ClientPrefix) -> Option<[u8; 4]> {
    let len = prefix.len(family)?;
    Some(match family {
        Family::Inet => {
            let host_bits = 32_u32.saturating_sub(len.into());
            u32::MAX.checked_shl(host_bits).unwrap_or(0).to_be_bytes()
        }
        Family::Inet6 => u32::from(len).to_ne_bytes(),
    })
}

/// Parses the value of the netmask attribute. Of a netmask with holes, which other programs can
/// set, only the leading ones are read.
pub(crate) fn parse_prefix(family: Family, netmask: [u8; 4]) -> Result<ClientPrefix, EntryError> {
    let bits = match family {
        Family::Inet => u32::from_be_bytes(netmask).leading_ones(),
        Family::Inet6 => u32::from_ne_bytes(netmask),
    };
    let prefix = u8::try_from(bits).ok().and_then(|len| ClientPrefix::new(family, len).ok());
    prefix.ok_or(EntryError::Unknown { attribute: "IPVS_SVC_ATTR_NETMASK", value: bits.into() })
}
