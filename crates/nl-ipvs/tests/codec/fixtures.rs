//! Messages as a kernel writes or takes them. Bytes are those of a little-endian machine.
#![cfg(target_endian = "little")]

use netlink_packet_core::{DefaultNla, Emitable, ParseableParametrized};
use netlink_packet_generic::GenlHeader;
use nl_ipvs::wire::{IpvsAttribute, IpvsMessage, ServiceAttribute};
use nl_ipvs::{
    Command, Destination, EntryError, Family, ForwardMethod, Info, Protocol, Scheduler, Service,
    ServiceFlags, ServiceKey, ServiceSettings, Stats, Tunnel, TunnelKind, Version,
};

use super::hex::hex;

const NEW_SERVICE: u8 = 1;
const NEW_DEST: u8 = 5;
const SET_INFO: u8 = 14;

/// A nested attribute, the way kernels write them in dumps: without `NLA_F_NESTED`.
fn nest(kind: u16, inner: &str) -> String {
    let len = u16::try_from(hex(inner).len() + 4).expect("a short attribute");
    format!("{:04x}{:04x}{inner}", len.swap_bytes(), kind.swap_bytes())
}

fn parse(cmd: u8, text: &str) -> IpvsMessage {
    let bytes = hex(text);
    let message = IpvsMessage::parse_with_param(&bytes, GenlHeader { cmd, version: 1 })
        .expect("lengths that add up");
    assert_eq!(message.buffer_len(), bytes.len(), "the size survives a round trip");
    message
}

fn emit(message: &IpvsMessage) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

fn rr() -> Option<Scheduler> {
    Scheduler::new("rr").ok()
}

#[test]
fn a_new_service_is_written_as_the_kernel_takes_it() {
    let key = ServiceKey::tcp("10.96.0.1:80".parse().unwrap());
    let settings = ServiceSettings::new(Family::Inet, rr().unwrap());
    let message = IpvsMessage::from(&Command::AddService { key, settings });
    assert_eq!(
        emit(&message),
        hex("48000180 06000100 02000000 06000200 06000000 08000300 0a600001 06000400
             00500000 07000600 72720000 0c000700 00000000 ffffffff 08000800 00000000
             08000900 ffffffff")
    );
}

#[test]
fn a_dumped_service_has_16_bytes_of_address_the_hashed_flag_and_padding() {
    let attributes = [
        "06000100 02000000 06000200 06000000 14000300 0a600001 00000000 00000000 00000000
         06000400 00500000 07000600 72720000
         0c000700 02000000 ffffffff 08000800 00000000 08000900 ffffffff",
        &nest(10, "08000100 05000000 04000b00 0c000400 0001000000000000 08000600 01000000"),
        &nest(12, "04000b00 0c000100 0500000000000000 0c000400 0002000000000000"),
        "04000c00 04000d00",
    ];
    let message = parse(NEW_SERVICE, &nest(1, &attributes.concat()));
    let service = Service::try_from(&message).unwrap();
    assert_eq!(
        service,
        Service {
            key: ServiceKey::tcp("10.96.0.1:80".parse().unwrap()),
            settings: ServiceSettings {
                flags: ServiceFlags::HASHED,
                ..ServiceSettings::new(Family::Inet, rr().unwrap())
            },
            stats: Stats { connections: 5, in_bytes: 512, ..Stats::default() },
        }
    );
    assert_eq!(service.settings.flags.settable(), ServiceFlags::NONE);
}

#[test]
fn without_64_bit_counters_those_of_32_bits_are_read() {
    let message = parse(
        NEW_SERVICE,
        &nest(
            1,
            "06000100 02000000 08000500 07000000 07000600 72720000
             0c000700 02000000 ffffffff 08000800 00000000 08000900 ffffffff
             18000a00 08000100 05000000 0c000400 0001000000000000",
        ),
    );
    let stats = Service::try_from(&message).unwrap().stats;
    assert_eq!(stats, Stats { connections: 5, in_bytes: 256, ..Stats::default() });
}

#[test]
fn ipv6_has_a_prefix_length_where_ipv4_has_a_netmask() {
    let message = parse(
        NEW_SERVICE,
        &nest(
            1,
            "06000100 0a000000 06000200 11000000 14000300 fd000000 00000000 00000000 00000001
             06000400 00350000 07000600 72720000
             0c000700 03000000 ffffffff 08000800 2c010000 08000900 40000000 08000b00 73697000",
        ),
    );
    let service = Service::try_from(&message).unwrap();
    assert_eq!(service.key, ServiceKey::udp("[fd00::1]:53".parse().unwrap()));
    assert_eq!(service.settings.prefix_len, 64);
    assert_eq!(service.settings.timeout, 300);
    assert_eq!(service.settings.persistence_engine.as_deref(), Some("sip"));
    assert!(service.settings.flags.contains(ServiceFlags::PERSISTENT));
}

#[test]
fn a_service_by_firewall_mark_has_a_family_and_a_mark_only() {
    let key = ServiceKey::Fwmark { family: Family::Inet6, mark: 7 };
    let message = IpvsMessage::from(&Command::DeleteService { key });
    assert_eq!(emit(&message), hex("14000180 06000100 0a000000 08000500 07000000"));
}

#[test]
fn a_service_without_a_scheduler_is_spelt_none() {
    let key = ServiceKey::tcp("10.96.0.1:80".parse().unwrap());
    let settings =
        ServiceSettings { scheduler: None, ..ServiceSettings::new(Family::Inet, rr().unwrap()) };
    let message = IpvsMessage::from(&Command::AddService { key, settings });
    assert_eq!(Service::try_from(&message).unwrap().settings.scheduler, None);
    let IpvsAttribute::Service(attributes) = &message.attributes[0] else { panic!("{message:?}") };
    assert!(attributes.contains(&ServiceAttribute::Scheduler("none".to_owned())));
}

#[test]
fn the_kernels_own_flag_is_never_sent() {
    let key = ServiceKey::tcp("10.96.0.1:80".parse().unwrap());
    let flags = ServiceFlags::HASHED | ServiceFlags::SCHED_3;
    let settings = ServiceSettings { flags, ..ServiceSettings::new(Family::Inet, rr().unwrap()) };
    let add = Command::AddService { key, settings: settings.clone() };
    let set = Command::SetService { key, settings, flags_mask: ServiceFlags::HASHED };
    for command in [add, set] {
        let service = Service::try_from(&IpvsMessage::from(&command)).unwrap();
        assert_eq!(service.settings.flags, ServiceFlags::SCHED_3);
    }
}

const DESTINATION: &str = "
    14000100 0a000001 00000000 00000000 00000000
    06000200 1f900000 08000300 02010000 08000400 70110100
    08000500 0a000000 08000600 05000000
    08000700 01000000 08000800 02000000 08000900 03000000
    06000b00 02000000 05000d00 01000000 06000e00 17c10000 06000f00 01000000";

#[test]
fn a_dumped_real_server_may_weigh_more_than_16_bits_and_have_a_tunnel() {
    let message = parse(NEW_DEST, &nest(2, DESTINATION));
    let server = Destination::from_message(&message, Family::Inet6).unwrap();
    assert_eq!(server.address, "10.0.0.1:8080".parse().unwrap());
    assert_eq!(server.settings.forward, ForwardMethod::Tunnel, "other bits are not the method");
    assert_eq!(server.settings.weight, 70_000);
    assert_eq!((server.settings.upper_threshold, server.settings.lower_threshold), (10, 5));
    assert_eq!(server.settings.tunnel, Tunnel { kind: TunnelKind::Gue, port: 6081, flags: 1 });
    assert_eq!(
        (server.active_connections, server.inactive_connections, server.persistent_connections),
        (1, 2, 3)
    );
}

#[test]
fn before_linux_3_18_a_real_server_has_the_family_of_its_service() {
    let old = "14000100 fd000000 00000000 00000000 00000001
        06000200 00500000 08000300 00000000 08000400 01000000
        08000500 00000000 08000600 00000000
        08000700 00000000 08000800 00000000 08000900 00000000";
    let server = Destination::from_message(&parse(NEW_DEST, &nest(2, old)), Family::Inet6).unwrap();
    assert_eq!(server.address, "[fd00::1]:80".parse().unwrap());
    assert_eq!(server.settings.tunnel, Tunnel::default());
}

#[test]
fn an_entry_that_lacks_something_essential_says_what() {
    let without_port = "1c000100 06000100 02000000 06000200 06000000 08000300 0a600001";
    let error = Service::try_from(&parse(NEW_SERVICE, without_port)).unwrap_err();
    assert_eq!(error, EntryError::Missing("IPVS_SVC_ATTR_PORT"));
    let strange_family = "0c000100 06000100 63000000";
    let error = Service::try_from(&parse(NEW_SERVICE, strange_family)).unwrap_err();
    assert_eq!(error, EntryError::Unknown { attribute: "IPVS_SVC_ATTR_AF", value: 99 });
    let no_service = Service::try_from(&parse(NEW_SERVICE, "08000400 00000000")).unwrap_err();
    assert_eq!(no_service, EntryError::Missing("IPVS_CMD_ATTR_SERVICE"));
}

#[test]
fn unknown_attributes_and_unexpected_sizes_are_carried_unchanged() {
    // Attribute 99, a family of one byte, a nested attribute 200 and an empty padding.
    let bytes = hex("18000180 0600630001020000 0500010002000000 04000c00 0700c80061620000");
    let message =
        IpvsMessage::parse_with_param(&bytes, GenlHeader { cmd: 77, version: 1 }).unwrap();
    assert_eq!(message.attributes[1], IpvsAttribute::Other(DefaultNla::new(200, b"ab\0".to_vec())));
    assert_eq!(emit(&message)[..20], bytes[..20]);
    let again =
        IpvsMessage::parse_with_param(&emit(&message), GenlHeader { cmd: 77, version: 1 }).unwrap();
    assert_eq!(again, message);
}

#[test]
fn the_numbers_1_and_2_mean_something_else_in_the_answer_to_get_info() {
    let info = Info::try_from(&parse(SET_INFO, "08000100 01020100 08000200 00100000")).unwrap();
    assert_eq!(info, Info { version: Version(0x01_02_01), connection_table_size: 4096 });
    assert_eq!(info.version.to_string(), "1.2.1");
}

#[test]
fn an_absurdly_long_name_is_cut_but_stays_too_long_for_the_kernel() {
    let key = ServiceKey::tcp("10.96.0.1:80".parse().unwrap());
    let settings = ServiceSettings {
        persistence_engine: Some("x".repeat(100_000)),
        ..ServiceSettings::new(Family::Inet, rr().unwrap())
    };
    assert!(emit(&IpvsMessage::from(&Command::AddService { key, settings })).len() < 400);
}

#[test]
fn every_protocol_number_is_carried() {
    let key = ServiceKey::Address {
        protocol: Protocol(47),
        address: "10.96.0.1".parse().unwrap(),
        port: 0,
    };
    let settings = ServiceSettings::new(Family::Inet, rr().unwrap());
    let message = IpvsMessage::from(&Command::AddService { key, settings });
    assert_eq!(Service::try_from(&message).unwrap().key, key);
}
