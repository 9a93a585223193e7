//! Commands that change services and real servers, written as bytes.

use std::borrow::Borrow;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{NetlinkPayload, NetlinkSerializable};
use netlink_packet_generic::GenlMessage;

use super::writer::Writer;
use crate::convert::{NO_SCHEDULER, family_number, forward_number, netmask_bytes, tunnel_number};
use crate::wire::numbers::*;
use crate::wire::{IPVS_GENL_VERSION, IpvsCmd, IpvsMessage};
use crate::{
    Command, DestinationSettings, ForwardMethod, Scheduler, ServiceFlags, ServiceKey,
    ServiceSettings,
};

/// A command ready to be sent, owned or borrowed. [`Ipvs::batch`](crate::Ipvs::batch) passes these to
/// its pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Request<C>(Kind<C>);

#[derive(Debug, Clone, PartialEq)]
enum Kind<C> {
    /// A command that comes by the thousand, written without an [`IpvsMessage`].
    Direct {
        command: C,
        family: u16,
        /// The length in bytes, kept because the sender asks for it several times.
        len: usize,
    },
    Message(GenlMessage<IpvsMessage>),
}

impl<C: Borrow<Command>> Request<C> {
    /// Makes a request to the family of this number, which the kernel assigns when `ip_vs` is
    /// loaded.
    #[must_use]
    pub fn new(command: C, family: u16) -> Self {
        Self(match command.borrow() {
            Command::AddService { .. }
            | Command::SetService { .. }
            | Command::DeleteService { .. }
            | Command::AddDestination { .. }
            | Command::SetDestination { .. }
            | Command::DeleteDestination { .. } => {
                let len = write_command(Writer::new(None), command.borrow());
                Kind::Direct { command, family, len }
            }
            other => {
                let mut message = GenlMessage::from_payload(IpvsMessage::from(other));
                message.set_resolved_family_id(family);
                Kind::Message(message)
            }
        })
    }
}

impl<C: Borrow<Command>> NetlinkSerializable for Request<C> {
    fn message_type(&self) -> u16 {
        match &self.0 {
            Kind::Direct { family, .. } => *family,
            Kind::Message(message) => message.message_type(),
        }
    }

    fn buffer_len(&self) -> usize {
        match &self.0 {
            Kind::Direct { len, .. } => *len,
            Kind::Message(message) => NetlinkSerializable::buffer_len(message),
        }
    }

    fn serialize(&self, buffer: &mut [u8]) {
        match &self.0 {
            Kind::Direct { command, .. } => {
                write_command(Writer::new(Some(buffer)), command.borrow());
            }
            Kind::Message(message) => message.serialize(buffer),
        }
    }
}

impl<C> From<Request<C>> for NetlinkPayload<Request<C>> {
    fn from(request: Request<C>) -> Self {
        Self::InnerMessage(request)
    }
}

/// Writes a command as [`IpvsMessage`] would, and returns the number of bytes.
fn write_command(mut writer: Writer<'_>, command: &Command) -> usize {
    match command {
        Command::AddService { key, settings } => {
            writer.write_genl_header(IpvsCmd::NewService);
            write_service(&mut writer, key, Some((settings, ServiceFlags(u32::MAX))));
        }
        Command::SetService { key, settings, flags_mask } => {
            writer.write_genl_header(IpvsCmd::SetService);
            write_service(&mut writer, key, Some((settings, *flags_mask)));
        }
        Command::DeleteService { key } => {
            writer.write_genl_header(IpvsCmd::DelService);
            write_service(&mut writer, key, None);
        }
        Command::AddDestination { service: of, address, settings } => {
            writer.write_genl_header(IpvsCmd::NewDest);
            write_service(&mut writer, of, None);
            write_destination(&mut writer, *address, Some(settings));
        }
        Command::SetDestination { service: of, address, settings } => {
            writer.write_genl_header(IpvsCmd::SetDest);
            write_service(&mut writer, of, None);
            write_destination(&mut writer, *address, Some(settings));
        }
        Command::DeleteDestination { service: of, address } => {
            writer.write_genl_header(IpvsCmd::DelDest);
            write_service(&mut writer, of, None);
            write_destination(&mut writer, *address, None);
        }
        _ => {}
    }
    writer.len()
}

impl Writer<'_> {
    /// Writes `struct genlmsghdr`.
    fn write_genl_header(&mut self, command: IpvsCmd) {
        self.write_raw(&[command.into(), IPVS_GENL_VERSION, 0, 0]);
    }

    fn write_address(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.write_bytes(kind, &v4.octets()),
            IpAddr::V6(v6) => self.write_bytes(kind, &v6.octets()),
        }
    }
}

fn write_service(
    writer: &mut Writer<'_>,
    key: &ServiceKey,
    settings: Option<(&ServiceSettings, ServiceFlags)>,
) {
    writer.write_nested(IPVS_CMD_ATTR_SERVICE, |writer| {
        writer.write_u16(IPVS_SVC_ATTR_AF, family_number(key.family()));
        match *key {
            ServiceKey::Address { protocol, address, port } => {
                writer.write_u16(IPVS_SVC_ATTR_PROTOCOL, protocol.0);
                writer.write_address(IPVS_SVC_ATTR_ADDR, address);
                writer.write_bytes(IPVS_SVC_ATTR_PORT, &port.to_be_bytes());
            }
            ServiceKey::Fwmark { mark, .. } => writer.write_u32(IPVS_SVC_ATTR_FWMARK, mark),
        }
        let Some((settings, mask)) = settings else { return };
        let name = settings.scheduler.as_ref().map_or(NO_SCHEDULER, Scheduler::as_str);
        writer.write_name(IPVS_SVC_ATTR_SCHED_NAME, name);
        let flags = [settings.flags.settable().0.to_ne_bytes(), mask.0.to_ne_bytes()];
        writer.write_bytes(IPVS_SVC_ATTR_FLAGS, flags.as_flattened());
        writer.write_u32(IPVS_SVC_ATTR_TIMEOUT, settings.timeout);
        writer
            .write_bytes(IPVS_SVC_ATTR_NETMASK, &netmask_bytes(key.family(), settings.prefix_len));
        if let Some(engine) = &settings.persistence_engine {
            writer.write_name(IPVS_SVC_ATTR_PE_NAME, engine);
        }
    });
}

fn write_destination(
    writer: &mut Writer<'_>,
    address: SocketAddr,
    settings: Option<&DestinationSettings>,
) {
    writer.write_nested(IPVS_CMD_ATTR_DEST, |writer| {
        writer.write_address(IPVS_DEST_ATTR_ADDR, address.ip());
        writer.write_bytes(IPVS_DEST_ATTR_PORT, &address.port().to_be_bytes());
        writer.write_u16(IPVS_DEST_ATTR_ADDR_FAMILY, family_number(address.ip().into()));
        let Some(settings) = settings else { return };
        writer.write_u32(IPVS_DEST_ATTR_FWD_METHOD, forward_number(settings.forward));
        writer.write_u32(IPVS_DEST_ATTR_WEIGHT, settings.weight);
        writer.write_u32(IPVS_DEST_ATTR_U_THRESH, settings.upper_threshold);
        writer.write_u32(IPVS_DEST_ATTR_L_THRESH, settings.lower_threshold);
        if settings.forward == ForwardMethod::Tunnel {
            writer.write_bytes(IPVS_DEST_ATTR_TUN_TYPE, &[tunnel_number(settings.tunnel.kind)]);
            writer.write_bytes(IPVS_DEST_ATTR_TUN_PORT, &settings.tunnel.port.to_be_bytes());
            writer.write_u16(IPVS_DEST_ATTR_TUN_FLAGS, settings.tunnel.flags);
        }
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Family;
    use crate::direct::arbitrary;

    /// As the request and as the message, in places that aren't empty.
    fn both(command: &Command) -> [Vec<u8>; 2] {
        let bytes = |request: &dyn NetlinkSerializable| {
            let mut bytes = vec![0xAA; request.buffer_len()];
            request.serialize(&mut bytes);
            bytes
        };
        let message = GenlMessage::from_payload(IpvsMessage::from(command));
        [bytes(&Request::new(command, 7)), bytes(&message)]
    }

    proptest! {
        #[test]
        fn a_command_has_the_bytes_of_its_message(
            service in arbitrary::service(),
            mask in any::<u32>(),
            address in arbitrary::address(),
            settings in arbitrary::destination_settings(),
        ) {
            let (key, flags_mask) = (service.key, ServiceFlags(mask));
            for command in [
                Command::AddService { key, settings: service.settings.clone() },
                Command::SetService { key, settings: service.settings.clone(), flags_mask },
                Command::DeleteService { key },
                Command::AddDestination { service: key, address, settings },
                Command::SetDestination { service: key, address, settings },
                Command::DeleteDestination { service: key, address },
            ] {
                let [direct, message] = both(&command);
                prop_assert_eq!(direct, message, "{:?}", command);
            }
        }
    }

    #[test]
    fn what_is_not_written_directly_is_a_message() {
        let request = Request::new(Command::Flush, 7);
        assert!(matches!(request.0, Kind::Message(_)));
        assert_eq!((request.message_type(), request.buffer_len()), (7, 4));
        let key = ServiceKey::Fwmark { family: Family::Inet, mark: 1 };
        assert!(matches!(
            Request::new(Command::DeleteService { key }, 7).0,
            Kind::Direct { family: 7, .. }
        ));
    }
}
