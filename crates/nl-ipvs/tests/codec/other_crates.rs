//! What other programs send and read: facts from the tests of `cloudflare/ipvs` and
//! `moby/ipvs` for Go.
#![cfg(target_endian = "little")]

use nl_ipvs::wire::{DestinationAttribute as D, IpvsAttribute, IpvsMessage};
use nl_ipvs::{
    ClientPrefix, Command, Destination, DestinationSettings, EntryError, Service, ServiceFlags,
    ServiceKey, ServiceSettings, Timeouts, Tunnel, TunnelFlags,
};

use super::hex::hex;

/// A service as the kernel lists it: its family, its address, and what follows the port. Flags come
/// last and without a mask.
fn listed(family: &str, address: &str, netmask: &str) -> Vec<u8> {
    let inside = hex(&format!(
        "0600 0100 {family} 0000 0600 0200 0600 0000 1400 0300 {address}
         0600 0400 0050 0000 0700 0600 776c 6300 0800 0800 6801 0000
         0800 0900 {netmask} 0c00 0700 00000000 00000000"
    ));
    let len = u8::try_from(inside.len() + 4).expect("short");
    [&[1, 1, 0, 0, len, 0, 1, 0], inside.as_slice()].concat()
}

fn wlc(timeout: u32) -> ServiceSettings {
    let mut settings = ServiceSettings::new("wlc".parse().expect("a name"));
    settings.timeout = timeout;
    settings
}

#[test]
fn a_name_without_its_nul_and_flags_without_a_mask_are_read() {
    let v4 = listed("0200", "7f000101 00000000 00000000 00000000", "fffffffe");
    let mut settings = wlc(360);
    settings.client_prefix = ClientPrefix::v4(31).unwrap();
    let expected = Service::new(ServiceKey::tcp("127.0.1.1:80".parse().unwrap()), settings);
    assert_eq!(Service::from_entry(&v4), Ok(expected));

    let v6 = listed("0a00", "ff000000 00000000 00000000 00000000", "80000000");
    let expected = Service::new(ServiceKey::tcp("[ff00::]:80".parse().unwrap()), wlc(360));
    assert_eq!(Service::from_entry(&v6), Ok(expected));
}

/// The bytes of each attribute of the real server that a command sends, by its number.
fn sent(settings: DestinationSettings, server: &str) -> Vec<D> {
    let command = Command::AddDestination {
        service: ServiceKey::tcp("127.0.1.1:8080".parse().expect("an address")),
        address: server.parse().expect("an address"),
        settings,
    };
    let message = IpvsMessage::from(&command);
    match message.attributes.into_iter().next_back() {
        Some(IpvsAttribute::Destination(attributes)) => attributes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_real_server_is_sent_with_the_values_that_others_send() {
    // Direct routing and tunnels, IPv4 and IPv6: family, method, weight, thresholds and tunnel.
    let direct = DestinationSettings::route(1);
    let v4 = sent(direct, "127.0.1.1:80");
    for expected in [
        D::Family(2),
        D::Port(80),
        D::ForwardMethod(3),
        D::Weight(1),
        D::UpperThreshold(0),
        D::LowerThreshold(0),
    ] {
        assert!(v4.contains(&expected), "{expected:?} in {v4:?}");
    }
    assert!(sent(direct, "[2004:db8::3]:80").contains(&D::Family(10)));
    let gue = DestinationSettings::tunnel(Tunnel::gue(5580, TunnelFlags::REMOTE_CHECKSUM), 1);
    let tunnelled = sent(gue, "127.0.1.1:80");
    for expected in [D::ForwardMethod(2), D::TunnelType(1), D::TunnelPort(5580), D::TunnelFlags(2)]
    {
        assert!(tunnelled.contains(&expected), "{expected:?} in {tunnelled:?}");
    }
}

#[test]
fn a_netmask_is_read_by_its_leading_ones() {
    let netmasks = [
        ("00000000", ClientPrefix::v4(0)),
        ("ff000000", ClientPrefix::v4(8)),
        ("ffffff00", ClientPrefix::v4(24)),
        ("ffffffff", ClientPrefix::v4(32)),
        // Not a prefix: other programs can set it.
        ("0000ff00", ClientPrefix::v4(0)),
    ];
    for (netmask, expected) in netmasks {
        let entry = listed("0200", "7f000101 00000000 00000000 00000000", netmask);
        let read = Service::from_entry(&entry).unwrap();
        assert_eq!(read.settings.client_prefix, expected.unwrap(), "{netmask}");
    }
}

#[test]
fn a_persistent_service_is_sent_with_every_flag_in_the_mask() {
    let settings = wlc(0).persistent(300).with_flags(ServiceFlags::NONE);
    let key = ServiceKey::tcp("127.0.1.1:8080".parse().unwrap());
    let bytes = IpvsMessage::from(&Command::AddService { key, settings }).to_bytes();
    let flags = hex("0c00 0700 01000000 ffffffff");
    let timeout = hex("0800 0800 2c010000");
    for attribute in [flags, timeout] {
        assert!(bytes.windows(attribute.len()).any(|window| window == attribute), "{bytes:x?}");
    }
}

/// moby/ipvs guesses the family of an address without a family attribute from its zeros; here it is
/// that of the service.
#[test]
fn an_address_without_a_family_is_one_of_its_service() {
    let entry = |address: &str| {
        let inside = hex(&format!(
            "1400 0100 {address} 0600 0200 1388 0000 0800 0300 00000000 0800 0400 01000000
             0800 0500 00000000 0800 0600 00000000 0800 0700 00000000 0800 0800 00000000
             0800 0900 00000000"
        ));
        let len = u8::try_from(inside.len() + 4).expect("short");
        [&[5, 1, 0, 0, len, 0, 2, 0], inside.as_slice()].concat()
    };
    let cases = [
        ("0a000001 00000000 00000000 00000000", nl_ipvs::Family::Inet, "10.0.0.1:5000"),
        (
            "20010db8 3c4d0015 00000000 00001a00",
            nl_ipvs::Family::Inet6,
            "[2001:db8:3c4d:15::1a00]:5000",
        ),
        ("00000000 00000000 00000000 00000000", nl_ipvs::Family::Inet, "0.0.0.0:5000"),
        ("00000000 00000000 00000000 00000000", nl_ipvs::Family::Inet6, "[::]:5000"),
    ];
    for (address, family, expected) in cases {
        let read = Destination::from_entry(&entry(address), family).unwrap();
        assert_eq!(read.address, expected.parse().unwrap());
    }
}

#[test]
fn timeouts_are_sent_and_read_as_seconds() {
    let sent = Timeouts { tcp: 900, tcp_fin: 901, udp: 902 };
    let bytes = IpvsMessage::from(&Command::SetTimeouts(sent)).to_bytes();
    assert_eq!(bytes, hex("0c010000 0800 0400 84030000 0800 0500 85030000 0800 0600 86030000"));
    let answer = hex("0c010000 0800 0400 46000000 0800 0500 1e000000 0800 0600 28000000");
    let read = Timeouts::try_from(&IpvsMessage::parse(&answer).unwrap());
    assert_eq!(read, Ok(Timeouts { tcp: 70, tcp_fin: 30, udp: 40 }));
}

/// The tests of cloudflare/ipvs have real servers without thresholds and counters. No kernel lists
/// one like that: what lacks them isn't read as zeros here.
#[test]
fn a_real_server_without_its_counters_is_incomplete() {
    let inside = "1400 0100 7f000101 00000000 00000000 00000000 0800 0300 03000000
                  0800 0400 01000000 0600 0200 00500000 0600 0b00 02000000";
    let entry = [&hex("05010000 3800 0200")[..], &hex(inside)].concat();
    assert_eq!(
        Destination::from_entry(&entry, nl_ipvs::Family::Inet),
        Err(EntryError::Missing("IPVS_DEST_ATTR_U_THRESH"))
    );
}
