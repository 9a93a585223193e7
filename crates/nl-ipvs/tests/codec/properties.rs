//! Properties of the codec, on arbitrary messages.

use nl_ipvs::wire::{
    DaemonAttribute, DestinationAttribute, IpvsAttribute, IpvsCmd, IpvsMessage, RawAttribute,
    ServiceAttribute, StatsAttribute,
};
use nl_ipvs::{
    Command, Daemon, Destination, Dump, EntryError, Family, ForwardMethod, Info, Protocol, Service,
    ServiceFlags, ServiceKey, Timeouts, TunnelKind,
};
use proptest::prelude::*;

use super::arbitrary;

/// Over the wire and back.
fn carried(message: &IpvsMessage) -> IpvsMessage {
    IpvsMessage::parse(&message.to_bytes()).expect("own lengths add up")
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

fn unknown() -> impl Strategy<Value = RawAttribute> {
    (100..200_u16, prop::collection::vec(any::<u8>(), 0..30))
        .prop_map(|(kind, value)| RawAttribute::new(kind, value))
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused_never_a_panic(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..300), attribute_soup()],
        cmd in 0..20_u8,
    ) {
        let bytes = [&[cmd, 1, 0, 0], bytes.as_slice()].concat();
        if let Ok(message) = IpvsMessage::parse(&bytes) {
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
            arbitrary::service().prop_map(|service| IpvsMessage::from(&service).to_bytes().split_off(4)),
            arbitrary::destination().prop_map(|server| IpvsMessage::from(&server).to_bytes().split_off(4)),
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
        match IpvsMessage::parse(&entry) {
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
    fn timeouts_are_read_back_as_they_were_written(n in any::<[u32; 3]>()) {
        let timeouts = Timeouts { tcp: n[0], tcp_fin: n[1], udp: n[2] };
        prop_assert_eq!(Timeouts::try_from(&carried(&timeouts.into())).unwrap(), timeouts);
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
        prop_assert_eq!(read.settings, service.settings);
        let add = Command::AddDestination { service: key, address, settings };
        let message = carried(&IpvsMessage::from(&add));
        prop_assert_eq!(&message, &IpvsMessage::from(&add));
        prop_assert_eq!(message.attributes.len(), 2);
    }

    #[test]
    fn unknown_attributes_survive_at_every_level(nla in unknown(), cmd in any::<u8>()) {
        let command = IpvsCmd(cmd);
        prop_assume!(command != IpvsCmd::SET_INFO);
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
            service.settings.flags = ServiceFlags::from_bits(flags);
        }
        let twice = services.iter().chain(&later).cloned().map(Ok);
        let dump = Dump::collect(twice, |service| service.key);
        let once = Dump::collect(later.into_iter().map(Ok), |service| service.key);
        prop_assert_eq!(dump, once);
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_parsed_to_the_same(
        service in arbitrary::service(),
        settings in arbitrary::destination_settings(),
        daemon in arbitrary::daemon(),
    ) {
        fn again<T: std::fmt::Display + std::str::FromStr>(value: &T) -> Option<T> {
            value.to_string().parse().ok()
        }
        prop_assert_eq!(again(&service.key), Some(service.key));
        prop_assert_eq!(again(&service.settings.flags), Some(service.settings.flags));
        prop_assert_eq!(again(&service.settings.client_prefix), Some(service.settings.client_prefix));
        if let Some(scheduler) = service.settings.scheduler {
            prop_assert_eq!(again(&scheduler), Some(scheduler));
        }
        prop_assert_eq!(again(&settings.forward), Some(settings.forward));
        prop_assert_eq!(again(&settings.tunnel.kind), Some(settings.tunnel.kind));
        prop_assert_eq!(again(&daemon.role), Some(daemon.role));
        prop_assert_eq!(again(&daemon.interface), Some(daemon.interface));
    }

    #[test]
    fn arbitrary_text_is_parsed_or_refused_never_a_panic(text in ".{0,40}") {
        let _ = text.parse::<ServiceKey>();
        let _ = text.parse::<ServiceFlags>();
        let _ = text.parse::<nl_ipvs::ClientPrefix>();
        let _ = text.parse::<ForwardMethod>();
        let _ = text.parse::<TunnelKind>();
        let _ = text.parse::<Protocol>();
    }
}

#[test]
fn a_number_is_one_value_only() {
    for bits in 0..0x200_u32 {
        let method = ForwardMethod::from_bits(bits);
        assert_eq!(u32::from(method.number()), bits & 7, "the kernel reads three bits");
        assert_eq!(ForwardMethod::from_bits(method.number().into()), method);
    }
    for number in 0..=u8::MAX {
        assert_eq!(TunnelKind::from_number(number).number(), number);
    }
    assert!("forward-264".parse::<ForwardMethod>().is_err());
    assert_eq!("forward-0".parse(), Ok(ForwardMethod::Masquerade));
}

#[test]
fn text_that_stands_for_nothing_says_what_does() {
    let error = "10.0.0.1:80".parse::<ServiceKey>().unwrap_err().to_string();
    assert!(
        error.starts_with("\"10.0.0.1:80\" is not a virtual service: `10.0.0.1:80/tcp`"),
        "{error}"
    );
    for text in ["fwmark 0", "fwmark", "10.0.0.1/tcp", "[::1]:80/xyz", "fwmark 7 (IPv4)"] {
        assert!(text.parse::<ServiceKey>().is_err(), "{text}");
    }
    assert!("flag-4".parse::<ServiceFlags>().is_err());
}

#[test]
fn every_command_has_the_number_of_the_kernels_enum() {
    assert_eq!((IpvsCmd::NEW_SERVICE.0, IpvsCmd::NEW_DEST.0), (1, 5));
    assert_eq!((IpvsCmd::SET_INFO.0, IpvsCmd::FLUSH.0), (14, 17));
    assert_eq!(format!("{:?}", IpvsCmd::GET_DEST), "IpvsCmd::GET_DEST");
    assert_eq!(format!("{:?} {:?}", IpvsCmd(0), IpvsCmd(18)), "IpvsCmd(0) IpvsCmd(18)");
}
