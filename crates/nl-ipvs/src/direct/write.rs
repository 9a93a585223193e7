use std::borrow::Borrow;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{NetlinkPayload, NetlinkSerializable};
use netlink_packet_generic::GenlMessage;

use super::writer::Writer;
use crate::convert::{NO_SCHEDULER, family_number, forward_number, netmask, tunnel_number};
use crate::wire::numbers::*;
use crate::wire::{IPVS_GENL_VERSION, IpvsCmd, IpvsMessage};
use crate::{
    Command, DestinationSettings, ForwardMethod, Scheduler, ServiceFlags, ServiceKey,
    ServiceSettings,
};

/// A command as it is sent, whole or borrowed: what [`Ipvs::batch`](crate::Ipvs::batch) gives to its
/// pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Request<C>(Kind<C>);

#[derive(Debug, Clone, PartialEq)]
enum Kind<C> {
    /// One of those that come by the thousand.
    Direct {
        command: C,
        family: u16,
        /// How many bytes it takes: who sends it asks several times.
        len: usize,
    },
    Message(GenlMessage<IpvsMessage>),
}

impl<C: Borrow<Command>> Request<C> {
    /// To the family of this number, which the kernel gives to IPVS when it is loaded.
    #[must_use]
    pub fn new(command: C, family: u16) -> Self {
        Self(match command.borrow() {
            Command::AddService { .. }
            | Command::SetService { .. }
            | Command::DeleteService { .. }
            | Command::AddDestination { .. }
            | Command::SetDestination { .. }
            | Command::DeleteDestination { .. } => {
                let len = write(Writer::new(None), command.borrow());
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
                write(Writer::new(Some(buffer)), command.borrow());
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

/// Writes a command as [`IpvsMessage`] would, and says how many bytes that takes.
fn write(mut writer: Writer<'_>, command: &Command) -> usize {
    match command {
        Command::AddService { key, settings } => {
            writer.header_of(IpvsCmd::NewService);
            service(&mut writer, key, Some((settings, ServiceFlags(u32::MAX))));
        }
        Command::SetService { key, settings, flags_mask } => {
            writer.header_of(IpvsCmd::SetService);
            service(&mut writer, key, Some((settings, *flags_mask)));
        }
        Command::DeleteService { key } => {
            writer.header_of(IpvsCmd::DelService);
            service(&mut writer, key, None);
        }
        Command::AddDestination { service: of, address, settings } => {
            writer.header_of(IpvsCmd::NewDest);
            service(&mut writer, of, None);
            destination(&mut writer, *address, Some(settings));
        }
        Command::SetDestination { service: of, address, settings } => {
            writer.header_of(IpvsCmd::SetDest);
            service(&mut writer, of, None);
            destination(&mut writer, *address, Some(settings));
        }
        Command::DeleteDestination { service: of, address } => {
            writer.header_of(IpvsCmd::DelDest);
            service(&mut writer, of, None);
            destination(&mut writer, *address, None);
        }
        _ => {}
    }
    writer.len()
}

impl Writer<'_> {
    /// `struct genlmsghdr`.
    fn header_of(&mut self, command: IpvsCmd) {
        self.raw(&[command.into(), IPVS_GENL_VERSION, 0, 0]);
    }

    fn address(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.bytes(kind, &v4.octets()),
            IpAddr::V6(v6) => self.bytes(kind, &v6.octets()),
        }
    }
}

fn service(
    writer: &mut Writer<'_>,
    key: &ServiceKey,
    settings: Option<(&ServiceSettings, ServiceFlags)>,
) {
    writer.nest(IPVS_CMD_ATTR_SERVICE, |writer| {
        writer.u16(IPVS_SVC_ATTR_AF, family_number(key.family()));
        match *key {
            ServiceKey::Address { protocol, address, port } => {
                writer.u16(IPVS_SVC_ATTR_PROTOCOL, protocol.0);
                writer.address(IPVS_SVC_ATTR_ADDR, address);
                writer.bytes(IPVS_SVC_ATTR_PORT, &port.to_be_bytes());
            }
            ServiceKey::Fwmark { mark, .. } => writer.u32(IPVS_SVC_ATTR_FWMARK, mark),
        }
        let Some((settings, mask)) = settings else { return };
        let name = settings.scheduler.as_ref().map_or(NO_SCHEDULER, Scheduler::as_str);
        writer.name(IPVS_SVC_ATTR_SCHED_NAME, name);
        let flags = [settings.flags.settable().0.to_ne_bytes(), mask.0.to_ne_bytes()];
        writer.bytes(IPVS_SVC_ATTR_FLAGS, flags.as_flattened());
        writer.u32(IPVS_SVC_ATTR_TIMEOUT, settings.timeout);
        writer.bytes(IPVS_SVC_ATTR_NETMASK, &netmask(key.family(), settings.prefix_len));
        if let Some(engine) = &settings.persistence_engine {
            writer.name(IPVS_SVC_ATTR_PE_NAME, engine);
        }
    });
}

fn destination(
    writer: &mut Writer<'_>,
    address: SocketAddr,
    settings: Option<&DestinationSettings>,
) {
    writer.nest(IPVS_CMD_ATTR_DEST, |writer| {
        writer.address(IPVS_DEST_ATTR_ADDR, address.ip());
        writer.bytes(IPVS_DEST_ATTR_PORT, &address.port().to_be_bytes());
        writer.u16(IPVS_DEST_ATTR_ADDR_FAMILY, family_number(address.ip().into()));
        let Some(settings) = settings else { return };
        writer.u32(IPVS_DEST_ATTR_FWD_METHOD, forward_number(settings.forward));
        writer.u32(IPVS_DEST_ATTR_WEIGHT, settings.weight);
        writer.u32(IPVS_DEST_ATTR_U_THRESH, settings.upper_threshold);
        writer.u32(IPVS_DEST_ATTR_L_THRESH, settings.lower_threshold);
        if settings.forward == ForwardMethod::Tunnel {
            writer.bytes(IPVS_DEST_ATTR_TUN_TYPE, &[tunnel_number(settings.tunnel.kind)]);
            writer.bytes(IPVS_DEST_ATTR_TUN_PORT, &settings.tunnel.port.to_be_bytes());
            writer.u16(IPVS_DEST_ATTR_TUN_FLAGS, settings.tunnel.flags);
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
