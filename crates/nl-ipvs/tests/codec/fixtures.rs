//! Messages as a kernel writes or takes them. Bytes are those of a little-endian machine.
#![cfg(target_endian = "little")]

use nl_ipvs::wire::{IpvsAttribute, IpvsMessage, RawAttribute, ServiceAttribute};
use nl_ipvs::{
    ClientPrefix, Command, Destination, EntryError, Family, ForwardMethod, Protocol, Scheduler,
    Service, ServiceFlags, ServiceKey, ServiceSettings, Stats, Tunnel, TunnelFlags, Version,
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
    let bytes = [&[cmd, 1, 0, 0], hex(text).as_slice()].concat();
    let message = IpvsMessage::parse(&bytes).expect("lengths that add up");
    assert_eq!(message.to_bytes().len(), bytes.len(), "the size survives a round trip");
    message
}

/// The bytes after the generic netlink header.
fn emit(message: &IpvsMessage) -> Vec<u8> {
    message.to_bytes().split_off(4)
}

fn rr() -> ServiceSettings {
    ServiceSettings::new(Scheduler::new("rr").expect("a name"))
}

fn stats(connections: u64, in_bytes: u64) -> Stats {
    let mut stats = Stats::default();
    stats.connections = connections;
    stats.in_bytes = in_bytes;
    stats
}

#[test]
fn a_new_service_is_written_as_the_kernel_takes_it() {
    let key = ServiceKey::tcp("10.96.0.1:80".parse().unwrap());
    let message = IpvsMessage::from(&Command::AddService { key, settings: rr() });
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
    let key = ServiceKey::tcp("10.96.0.1:80".parse().unwrap());
    let mut service = Service::new(key, rr());
    service.stats = stats(5, 512);
    assert_eq!(Service::try_from(&message).unwrap(), service, "equal to what was set");
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
    assert_eq!(Service::try_from(&message).unwrap().stats, stats(5, 256));
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
    assert_eq!(service.settings.client_prefix, ClientPrefix::v6(64).unwrap());
    assert_eq!(service.settings.timeout, 300);
    assert_eq!(service.settings.persistence_engine, "sip".parse().ok());
    assert!(service.settings.flags.contains(ServiceFlags::PERSISTENT));
}

#[test]
fn a_service_by_firewall_mark_has_a_family_and_a_mark_only() {
    let key = ServiceKey::fwmark(Family::Inet6, 7.try_into().unwrap());
    let message = IpvsMessage::from(&Command::DeleteService { key });
    assert_eq!(emit(&message), hex("14000180 06000100 0a000000 08000500 07000000"));
}

#[test]
fn a_service_without_a_scheduler_is_spelt_none() {
    let key = ServiceKey::tcp("10.96.0.1:80".parse().unwrap());
    let settings = ServiceSettings::without_scheduler();
    let message = IpvsMessage::from(&Command::AddService { key, settings });
    assert_eq!(Service::try_from(&message).unwrap().settings.scheduler, None);
    let IpvsAttribute::Service(attributes) = &message.attributes[0] else { panic!("{message:?}") };
    assert!(attributes.contains(&ServiceAttribute::Scheduler("none".to_owned())));
}

#[test]
fn the_kernels_own_flag_is_never_sent() {
    let key = ServiceKey::tcp("10.96.0.1:80".parse().unwrap());
    let flags = ServiceFlags::from_bits(u32::MAX);
    let settings = rr().with_flags(flags);
    let add = Command::AddService { key, settings: settings.clone() };
    let set = Command::SetService { key, settings, flags_mask: !ServiceFlags::NONE };
    for command in [add, set] {
        let message = IpvsMessage::from(&command);
        let IpvsAttribute::Service(attributes) = &message.attributes[0] else { panic!() };
        let sent = attributes.iter().find_map(|attribute| match attribute {
            ServiceAttribute::Flags { flags, .. } => Some(*flags),
            _ => None,
        });
        assert_eq!(sent, Some(0xffff_fffd));
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
    assert_eq!(server.settings.tunnel, Tunnel::gue(6081, TunnelFlags::CHECKSUM));
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
    let bytes =
        hex("4d010000 18000180 0600630001020000 0500010002000000 04000c00 0700c80061620000");
    let message = IpvsMessage::parse(&bytes).unwrap();
    assert_eq!(
        message.attributes[1],
        IpvsAttribute::Other(RawAttribute::new(200, b"ab\0".to_vec()))
    );
    assert_eq!(message.to_bytes()[..24], bytes[..24]);
    assert_eq!(IpvsMessage::parse(&message.to_bytes()), Ok(message));
}

#[test]
fn the_numbers_1_and_2_mean_something_else_in_the_answer_to_get_info() {
    let message = parse(SET_INFO, "08000100 01020100 08000200 00100000");
    let info = nl_ipvs::Info::try_from(&message).unwrap();
    assert_eq!((info.version, info.connection_table_size), (Version(0x01_02_01), 4096));
    assert_eq!(info.version.to_string(), "1.2.1");
}

#[test]
fn an_absurdly_long_name_is_left_out() {
    let name = ServiceAttribute::Scheduler("x".repeat(100_000));
    let attributes = vec![IpvsAttribute::Service(vec![name])];
    let message = IpvsMessage { attributes, ..IpvsMessage::get_service(None) };
    assert_eq!(emit(&message), hex("08000180 04000600"));
}

#[test]
fn a_prefix_of_the_other_family_is_left_out_so_that_the_kernel_refuses_it() {
    let key = ServiceKey::tcp("10.96.0.1:80".parse().unwrap());
    let mut settings = rr();
    settings.client_prefix = ClientPrefix::v6(64).unwrap();
    let message = IpvsMessage::from(&Command::AddService { key, settings });
    let missing = EntryError::Missing("IPVS_SVC_ATTR_NETMASK");
    assert_eq!(Service::try_from(&message), Err(missing));
}

#[test]
fn a_firewall_mark_of_0_has_no_meaning() {
    let mark = "14000100 06000100 02000000 08000500 00000000";
    let error = Service::try_from(&parse(NEW_SERVICE, mark)).unwrap_err();
    assert_eq!(error, EntryError::Unknown { attribute: "IPVS_SVC_ATTR_FWMARK", value: 0 });
}

#[test]
fn a_message_cut_short_is_malformed_and_says_so_once() {
    let error = IpvsMessage::parse(&[1, 1, 0, 0, 9]).unwrap_err();
    let text = "an entry of the kernel's answer is malformed: an attribute's length doesn't add up";
    assert_eq!(error.to_string(), text);
    assert!(matches!(IpvsMessage::parse(&[1, 1]), Err(EntryError::Malformed(_))));
}

#[test]
fn every_protocol_number_is_carried() {
    let key = ServiceKey::Address {
        protocol: Protocol(47),
        address: "10.96.0.1".parse().unwrap(),
        port: 0,
    };
    let message = IpvsMessage::from(&Command::AddService { key, settings: rr() });
    assert_eq!(Service::try_from(&message).unwrap().key, key);
}
