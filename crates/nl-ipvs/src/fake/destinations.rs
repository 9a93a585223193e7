//! The real servers of a kernel in memory. The order of checks is the kernel's.

use std::net::{IpAddr, SocketAddr};

use super::table::Held;
use crate::wire::{DestinationAttribute, IpvsAttribute, IpvsCmd, IpvsMessage};
use crate::{Destination, DestinationSettings, Family, ForwardMethod, TunnelKind, convert, errno};

impl Held {
    pub(super) fn find_destination(&mut self, address: SocketAddr) -> Option<&mut Destination> {
        self.destinations.iter_mut().find(|each| is_same(each.address, address))
    }

    /// Makes a real server, or takes back the one of this address that was deleted.
    fn new_destination(
        &mut self,
        address: SocketAddr,
        settings: DestinationSettings,
    ) -> Destination {
        match self.deleted.iter().position(|each| is_same(each.address, address)) {
            Some(place) => Destination { settings, ..self.deleted.remove(place) },
            None => Destination::new(address, settings),
        }
    }

    pub(super) fn has_mixed_families(&self) -> bool {
        let family = self.service.key.family();
        self.destinations.iter().any(|each| Family::from(each.address.ip()) != family)
    }

    pub(super) fn change_destination(
        &mut self,
        message: &IpvsMessage,
        synchronised: bool,
    ) -> Result<(), i32> {
        let attributes = destination_attributes(message)?;
        let family = self.service.key.family();
        let address = convert::parse_address(attributes, family).map_err(|_| errno::EINVAL)?;
        if message.command == IpvsCmd::DEL_DEST {
            let held = self.destinations.iter().position(|each| each.address == address);
            self.deleted.push(self.destinations.remove(held.ok_or(errno::ENOENT)?));
            return Ok(());
        }
        let settings = convert::parse_settings(attributes).map_err(|_| errno::EINVAL)?;
        let mixed = Family::from(address.ip()) != family;
        if mixed && (synchronised || settings.forward != ForwardMethod::Tunnel) {
            return Err(errno::EINVAL);
        }
        check_settings(&settings)?;
        match (message.command, self.find_destination(address)) {
            (IpvsCmd::NEW_DEST, Some(_)) => Err(errno::EEXIST),
            (IpvsCmd::NEW_DEST, None) if !is_unicast(address.ip()) => Err(errno::EINVAL),
            (IpvsCmd::NEW_DEST, None) => {
                let added = self.new_destination(address, settings);
                self.destinations.insert(0, added);
                Ok(())
            }
            (_, None) => Err(errno::ENOENT),
            (_, Some(held)) => {
                held.settings = settings;
                Ok(())
            }
        }
    }
}

/// Compares what the kernel knows of an address: no scope and no flow label.
fn is_same(held: SocketAddr, given: SocketAddr) -> bool {
    (held.ip(), held.port()) == (given.ip(), given.port())
}

fn destination_attributes(message: &IpvsMessage) -> Result<&[DestinationAttribute], i32> {
    let found = message.attributes.iter().find_map(|attribute| match attribute {
        IpvsAttribute::Destination(attributes) => Some(attributes.as_slice()),
        _ => None,
    });
    found.ok_or(errno::EINVAL)
}

fn check_settings(settings: &DestinationSettings) -> Result<(), i32> {
    let (upper, lower) = (settings.upper_threshold, settings.lower_threshold);
    let tunnel = settings.tunnel;
    if settings.weight > i32::MAX.unsigned_abs() || lower > upper {
        Err(errno::ERANGE)
    } else if tunnel.kind == TunnelKind::Gue && tunnel.port == 0 {
        Err(errno::EINVAL)
    } else {
        Ok(())
    }
}

/// Returns true for an address that a host can have, as Linux since 5.3 sees it. The node itself has none of
/// the others.
fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified()),
        IpAddr::V6(v6) => {
            !(v6.is_multicast() || v6.is_unspecified() || v6.is_unicast_link_local())
                && v6.to_ipv4_mapped().is_none()
        }
    }
}
