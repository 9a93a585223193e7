//! Commands that change services and real servers, written as bytes.

use std::borrow::Borrow;
use std::net::{IpAddr, SocketAddr};

use nl_pipeline::{Payload, Request};

use crate::convert::{EVERY_FLAG, NO_SCHEDULER, family_number, netmask_bytes};
use crate::wire::numbers::*;
use crate::wire::{IpvsCmd, IpvsMessage, write_header};
use crate::{Command, DestinationSettings, Scheduler, ServiceKey, ServiceSettings};

/// A command to the family of this number, owned or borrowed.
pub(crate) struct CommandRequest<C> {
    pub(crate) command: C,
    pub(crate) family: u16,
}

impl<C: Borrow<Command>> Request for CommandRequest<C> {
    fn message_type(&self) -> u16 {
        self.family
    }
    fn write_payload(&self, payload: &mut Payload<'_>) {
        self.command.borrow().write_payload(payload);
    }
}

impl Command {
    /// Writes the request that carries the command out, `struct genlmsghdr` included.
    ///
    /// The bytes are those of the [`IpvsMessage`] made from the command. Commands that come by the
    /// thousand are written without one.
    pub fn write_payload(&self, payload: &mut Payload<'_>) {
        match self {
            Self::AddService { key, settings } => {
                write_header(payload, IpvsCmd::NEW_SERVICE);
                write_service(payload, key, Some((settings, EVERY_FLAG)));
            }
            Self::SetService { key, settings, flags_mask } => {
                write_header(payload, IpvsCmd::SET_SERVICE);
                write_service(payload, key, Some((settings, flags_mask.bits())));
            }
            Self::DeleteService { key } => {
                write_header(payload, IpvsCmd::DEL_SERVICE);
                write_service(payload, key, None);
            }
            Self::AddDestination { service, address, settings } => {
                write_header(payload, IpvsCmd::NEW_DEST);
                write_service(payload, service, None);
                write_destination(payload, *address, Some(settings));
            }
            Self::SetDestination { service, address, settings } => {
                write_header(payload, IpvsCmd::SET_DEST);
                write_service(payload, service, None);
                write_destination(payload, *address, Some(settings));
            }
            Self::DeleteDestination { service, address } => {
                write_header(payload, IpvsCmd::DEL_DEST);
                write_service(payload, service, None);
                write_destination(payload, *address, None);
            }
            other => IpvsMessage::from(other).write_payload(payload),
        }
    }
}

fn write_address(payload: &mut Payload<'_>, kind: u16, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => payload.write_bytes(kind, &v4.octets()),
        IpAddr::V6(v6) => payload.write_bytes(kind, &v6.octets()),
    }
}

fn write_service(
    payload: &mut Payload<'_>,
    key: &ServiceKey,
    settings: Option<(&ServiceSettings, u32)>,
) {
    payload.write_nested(IPVS_CMD_ATTR_SERVICE, |payload| {
        payload.write_u16(IPVS_SVC_ATTR_AF, family_number(key.family()));
        match *key {
            ServiceKey::Address { protocol, address, port } => {
                payload.write_u16(IPVS_SVC_ATTR_PROTOCOL, protocol.0);
                write_address(payload, IPVS_SVC_ATTR_ADDR, address);
                payload.write_bytes(IPVS_SVC_ATTR_PORT, &port.to_be_bytes());
            }
            ServiceKey::Fwmark { mark, .. } => payload.write_u32(IPVS_SVC_ATTR_FWMARK, mark.get()),
        }
        let Some((settings, mask)) = settings else { return };
        let name = settings.scheduler.as_ref().map_or(NO_SCHEDULER, Scheduler::as_str);
        payload.write_name(IPVS_SVC_ATTR_SCHED_NAME, name);
        let flags = [settings.flags.bits().to_ne_bytes(), mask.to_ne_bytes()];
        payload.write_bytes(IPVS_SVC_ATTR_FLAGS, flags.as_flattened());
        payload.write_u32(IPVS_SVC_ATTR_TIMEOUT, settings.timeout);
        if let Some(netmask) = netmask_bytes(key.family(), settings.client_prefix) {
            payload.write_bytes(IPVS_SVC_ATTR_NETMASK, &netmask);
        }
        if let Some(engine) = &settings.persistence_engine {
            payload.write_name(IPVS_SVC_ATTR_PE_NAME, engine.as_str());
        }
    });
}

fn write_destination(
    payload: &mut Payload<'_>,
    address: SocketAddr,
    settings: Option<&DestinationSettings>,
) {
    payload.write_nested(IPVS_CMD_ATTR_DEST, |payload| {
        write_address(payload, IPVS_DEST_ATTR_ADDR, address.ip());
        payload.write_bytes(IPVS_DEST_ATTR_PORT, &address.port().to_be_bytes());
        payload.write_u16(IPVS_DEST_ATTR_ADDR_FAMILY, family_number(address.ip().into()));
        let Some(settings) = settings else { return };
        payload.write_u32(IPVS_DEST_ATTR_FWD_METHOD, settings.forward.number().into());
        payload.write_u32(IPVS_DEST_ATTR_WEIGHT, settings.weight);
        payload.write_u32(IPVS_DEST_ATTR_U_THRESH, settings.upper_threshold);
        payload.write_u32(IPVS_DEST_ATTR_L_THRESH, settings.lower_threshold);
        if settings.has_tunnel() {
            payload.write_u8(IPVS_DEST_ATTR_TUN_TYPE, settings.tunnel.kind.number());
            payload.write_bytes(IPVS_DEST_ATTR_TUN_PORT, &settings.tunnel.port.to_be_bytes());
            payload.write_u16(IPVS_DEST_ATTR_TUN_FLAGS, settings.tunnel.flags.0);
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ServiceFlags;
    use crate::direct::arbitrary;

    proptest! {
        #[test]
        fn a_command_has_the_bytes_of_its_message(
            service in arbitrary::service(),
            mask in any::<u32>(),
            address in arbitrary::address(),
            settings in arbitrary::destination_settings(),
        ) {
            let (key, flags_mask) = (service.key, ServiceFlags::from_bits(mask));
            for command in [
                Command::AddService { key, settings: service.settings.clone() },
                Command::SetService { key, settings: service.settings.clone(), flags_mask },
                Command::DeleteService { key },
                Command::AddDestination { service: key, address, settings },
                Command::SetDestination { service: key, address, settings },
                Command::DeleteDestination { service: key, address },
                Command::Zero(Some(key)),
                Command::Flush,
            ] {
                let mut direct = Vec::new();
                command.write_payload(&mut Payload::new(&mut direct));
                prop_assert_eq!(direct, IpvsMessage::from(&command).to_bytes(), "{:?}", command);
            }
        }
    }
}
