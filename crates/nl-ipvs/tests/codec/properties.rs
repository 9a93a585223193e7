//! Properties of the codec, on arbitrary messages.

use netlink_packet_core::{DefaultNla, Emitable, ParseableParametrized};
use netlink_packet_generic::{GenlFamily, GenlHeader};
use nl_ipvs::wire::{
    DaemonAttribute, DestinationAttribute, IpvsAttribute, IpvsCmd, IpvsMessage, ServiceAttribute,
    StatsAttribute,
};
use nl_ipvs::{
    Command, Daemon, Destination, Dump, EntryError, Family, Info, Service, ServiceFlags, Timeouts,
    Version,
};
use proptest::prelude::*;

use super::arbitrary;

fn emit(message: &IpvsMessage) -> Vec<u8> {
    let mut bytes = vec![0xAA; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

/// Over the wire and back.
fn carried(message: &IpvsMessage) -> IpvsMessage {
    let header = GenlHeader { cmd: message.command(), version: message.version() };
    IpvsMessage::parse_with_param(&emit(message), header).expect("own lengths add up")
}

/// Bytes in which attributes are likely, so that the readers get below the first length.
fn attribute_soup() -> impl Strategy<Value = Vec<u8>> {
    let leaf = (0..20_u16, prop::collection::vec(any::<u8>(), 0..20))
        .prop_map(|(kind, value)| attribute(kind, &value));
    leaf.prop_recursive(3, 40, 8, |inner| {
        (0..20_u16, prop::collection::vec(inner, 0..8))
            .prop_map(|(kind, values)| attribute(kind, &values.concat()))
    })
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes =
        u16::try_from(value.len() + 4).expect("a short attribute").to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn unknown() -> impl Strategy<Value = DefaultNla> {
    (100..200_u16, prop::collection::vec(any::<u8>(), 0..30))
        .prop_map(|(kind, value)| DefaultNla::new(kind, value))
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused_never_a_panic(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..300), attribute_soup()],
        cmd in 0..20_u8,
    ) {
        let header = GenlHeader { cmd, version: 1 };
        if let Ok(message) = IpvsMessage::parse_with_param(&bytes, header) {
            prop_assert_eq!(&carried(&message), &message);
            let _ = Service::try_from(&message);
            let _ = Destination::from_message(&message, Family::Inet);
            let _ = Daemon::try_from(&message);
            let _ = Timeouts::try_from(&message);
            let _ = Info::try_from(&message);
        }
    }

    #[test]
    fn entries_are_read_as_their_messages_are(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            attribute_soup(),
            arbitrary::service().prop_map(|service| emit(&IpvsMessage::from(&service))),
            arbitrary::destination().prop_map(|server| emit(&IpvsMessage::from(&server))),
        ],
        change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut bytes = bytes;
        if let (Some((at, byte)), false) = (change, bytes.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let entry = [&[1, 1, 0, 0], bytes.as_slice()].concat();
        let service = Service::from_entry(&entry);
        let server = Destination::from_entry(&entry, Family::Inet6);
        match IpvsMessage::parse_with_param(&bytes, GenlHeader { cmd: 1, version: 1 }) {
            Ok(message) => {
                prop_assert_eq!(service, Service::try_from(&message));
                prop_assert_eq!(server, Destination::from_message(&message, Family::Inet6));
            }
            Err(_) => {
                prop_assert!(matches!(service, Err(EntryError::Malformed(_))));
                prop_assert!(matches!(server, Err(EntryError::Malformed(_))));
            }
        }
    }

    #[test]
    fn a_service_is_read_back_as_it_was_written(service in arbitrary::service()) {
        prop_assert_eq!(Service::try_from(&carried(&IpvsMessage::from(&service))).unwrap(), service);
    }

    #[test]
    fn a_real_server_is_read_back_as_it_was_written(server in arbitrary::destination()) {
        let message = carried(&IpvsMessage::from(&server));
        for family in [Family::Inet, Family::Inet6] {
            prop_assert_eq!(&Destination::from_message(&message, family).unwrap(), &server);
        }
    }

    #[test]
    fn a_daemon_is_read_back_as_it_was_written(daemon in arbitrary::daemon()) {
        prop_assert_eq!(Daemon::try_from(&carried(&IpvsMessage::from(&daemon))).unwrap(), daemon);
    }

    #[test]
    fn timeouts_and_info_are_read_back_as_they_were_written(n in any::<[u32; 3]>()) {
        let timeouts = Timeouts { tcp: n[0], tcp_fin: n[1], udp: n[2] };
        prop_assert_eq!(Timeouts::try_from(&carried(&timeouts.into())).unwrap(), timeouts);
        let info = Info { version: Version(n[0]), connection_table_size: n[1] };
        prop_assert_eq!(Info::try_from(&carried(&info.into())).unwrap(), info);
    }

    #[test]
    fn what_a_command_sets_is_what_the_kernel_reads(
        service in arbitrary::service(),
        address in arbitrary::address(),
        settings in arbitrary::destination_settings(),
    ) {
        let key = service.key;
        let add = Command::AddService { key, settings: service.settings.clone() };
        let read = Service::try_from(&carried(&IpvsMessage::from(&add))).unwrap();
        prop_assert_eq!(read.settings.flags, service.settings.flags.settable());
        prop_assert_eq!(read.settings.scheduler, service.settings.scheduler);
        let add = Command::AddDestination { service: key, address, settings };
        let message = carried(&IpvsMessage::from(&add));
        prop_assert_eq!(&message, &IpvsMessage::from(&add));
        prop_assert_eq!(message.attributes.len(), 2);
    }

    #[test]
    fn unknown_attributes_survive_at_every_level(nla in unknown(), cmd in any::<u8>()) {
        let command = IpvsCmd::from(cmd);
        prop_assume!(command != IpvsCmd::SetInfo);
        let stats = vec![StatsAttribute::Other(nla.clone())];
        let message = IpvsMessage {
            command,
            attributes: vec![
                IpvsAttribute::Service(vec![
                    ServiceAttribute::Other(nla.clone()),
                    ServiceAttribute::Stats(stats.clone()),
                    ServiceAttribute::Stats64(stats.clone()),
                ]),
                IpvsAttribute::Destination(vec![
                    DestinationAttribute::Other(nla.clone()),
                    DestinationAttribute::Stats64(stats),
                ]),
                IpvsAttribute::Daemon(vec![DaemonAttribute::Other(nla.clone())]),
                IpvsAttribute::Other(nla),
            ],
        };
        prop_assert_eq!(carried(&message), message);
    }

    #[test]
    fn a_dump_keeps_each_entry_once_as_it_came_last(
        services in prop::collection::vec(arbitrary::service(), 0..20),
        flags in any::<u32>(),
    ) {
        let mut later = services.clone();
        for service in &mut later {
            service.settings.flags = ServiceFlags(flags);
        }
        let twice = services.iter().chain(&later).cloned().map(Ok);
        let dump = Dump::collect(twice, |service| service.key);
        let once = Dump::collect(later.into_iter().map(Ok), |service| service.key);
        prop_assert_eq!(dump, once);
    }
}

#[test]
fn every_command_has_the_number_of_the_kernels_enum() {
    for number in 0..=u8::MAX {
        assert_eq!(u8::from(IpvsCmd::from(number)), number);
        let named = (1..=17).contains(&number);
        assert_eq!(matches!(IpvsCmd::from(number), IpvsCmd::Other(_)), !named);
    }
    assert_eq!(u8::from(IpvsCmd::NewDest), 5);
    assert_eq!(u8::from(IpvsCmd::SetInfo), 14);
    assert_eq!(u8::from(IpvsCmd::Flush), 17);
}
