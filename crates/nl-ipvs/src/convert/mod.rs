//! Between the messages of [`wire`](crate::wire) and the types of [`types`](crate::types).

mod command;
mod config;
mod daemon;
mod destination;
mod service;
mod stats;

pub(crate) use destination::{forward, forward_number, tunnel_kind, tunnel_number};
pub(crate) use service::{NO_SCHEDULER, netmask, prefix_len, scheduler};
pub(crate) use stats::field;

use crate::wire::{IpvsAttribute, IpvsCmd, IpvsMessage};
use crate::{EntryError, Family, ServiceKey};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

pub(crate) fn family_number(family: Family) -> u16 {
    match family {
        Family::Inet => AF_INET,
        Family::Inet6 => AF_INET6,
    }
}

pub(crate) fn family(number: u16, attribute: &'static str) -> Result<Family, EntryError> {
    match number {
        AF_INET => Ok(Family::Inet),
        AF_INET6 => Ok(Family::Inet6),
        other => Err(EntryError::Unknown { attribute, value: other.into() }),
    }
}

/// Requests that read.
impl IpvsMessage {
    /// Asks for one service, or for all of them when sent as a dump without a key.
    #[must_use]
    pub fn get_service(key: Option<&ServiceKey>) -> Self {
        let attributes =
            key.map(|key| IpvsAttribute::Service(service::key_attributes(key))).into_iter();
        Self { command: IpvsCmd::GetService, attributes: attributes.collect() }
    }

    /// Asks for the real servers of a service; to be sent as a dump.
    #[must_use]
    pub fn get_destinations(key: &ServiceKey) -> Self {
        Self {
            command: IpvsCmd::GetDest,
            attributes: vec![IpvsAttribute::Service(service::key_attributes(key))],
        }
    }

    /// A request without attributes: `GET_INFO`, `GET_CONFIG`, a dump of daemons, `FLUSH`.
    #[must_use]
    pub fn bare(command: IpvsCmd) -> Self {
        Self { command, attributes: Vec::new() }
    }
}

/// The first attribute that `pick` takes.
fn find<'a, A, T>(
    attributes: &'a [A],
    name: &'static str,
    pick: impl Fn(&'a A) -> Option<T>,
) -> Result<T, EntryError> {
    attributes.iter().find_map(pick).ok_or(EntryError::Missing(name))
}

/// The value of one kind of attribute among many.
macro_rules! get {
    ($attributes:expr, $kind:path, $name:literal) => {
        crate::convert::find($attributes, $name, |attribute| match attribute {
            $kind(value) => Some(value),
            _ => None,
        })
    };
}
use get;
