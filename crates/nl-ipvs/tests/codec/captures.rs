//! What Linux 6.1 answered, after:
//!
//! ```sh
//! ipvsadm -A -t 10.96.0.1:80 -s rr -p 300
//! ipvsadm -a -t 10.96.0.1:80 -r 10.0.0.1 -i -w 70000 --tun-type gue --tun-port 6081 --tun-csum
//! ipvsadm -A -f 7 -6 -s rr
//! ```
#![cfg(target_endian = "little")]

use nl_ipvs::wire::IpvsMessage;
use nl_ipvs::{
    Destination, DestinationSettings, Family, Scheduler, Service, ServiceKey, ServiceSettings,
    Tunnel, TunnelFlags,
};

use super::hex::hex;

const SERVICE: &str = "
    01010000 5401 0100 060001000200000006000200060000001400030
    00a60000100000000000000000000000006000400005000000700060072720000
    0c00070003000000ffffffff080008002c01000008000900ffffffff";

/// Counters of an idle service, both sets, with the padding between 64-bit values.
const SERVICE_STATS: &str = "
    60000a00 0800010000000000 0800020000000000 0800030000000000 0c000400 0000000000000000
    04000b00 0c000500 0000000000000000 0800060000000000 0800070000000000 0800080000000000
    0800090000000000 08000a0000000000
    a0000c00 0c000100 0000000000000000 04000b00 0c000200 0000000000000000 04000b00
    0c000300 0000000000000000 04000b00 0c000400 0000000000000000 04000b00 0c000500
    0000000000000000 04000b00 0c000600 0000000000000000 04000b00 0c000700 0000000000000000
    04000b00 0c000800 0000000000000000 04000b00 0c000900 0000000000000000 04000b00
    0c000a00 0000000000000000";

const FWMARK: &str = "
    01010000 3c01 0100 060001000a0000000800050007000000070006007272
    00000c00070002000000ffffffff08000800000000000800090080000000";

/// As above, but padding begins elsewhere: what stands before is four bytes longer.
const SHIFTED_STATS: &str = "
    64000a00 0800010000000000 0800020000000000 0800030000000000 04000b00
    0c000400 0000000000000000 04000b00 0c000500 0000000000000000 0800060000000000
    0800070000000000 0800080000000000 0800090000000000 08000a0000000000
    a0000c00 0c000100 0000000000000000 04000b00 0c000200 0000000000000000 04000b00
    0c000300 0000000000000000 04000b00 0c000400 0000000000000000 04000b00 0c000500
    0000000000000000 04000b00 0c000600 0000000000000000 04000b00 0c000700 0000000000000000
    04000b00 0c000800 0000000000000000 04000b00 0c000900 0000000000000000 04000b00
    0c000a00 0000000000000000";

const DESTINATION: &str = "
    05010000 7c01 0200 140001000a00000100000000000000000000000006000200005000000800030002000000
    080004007011010005000d000100000006000e0017c1000006000f0001000000
    0800050000000000080006000000000008000700000000000800080000000000080009000000000006000b0002000000";

/// The message, and the same once more after a round trip.
fn read(parts: [&str; 2]) -> IpvsMessage {
    let bytes = hex(&parts.concat());
    let message = IpvsMessage::parse(&bytes).expect("the kernel's lengths add up");
    let again = message.to_bytes();
    // Kernels don't set NLA_F_NESTED in these, so the bytes differ but not their number.
    assert_eq!(again.len(), bytes.len());
    assert_eq!(IpvsMessage::parse(&again).as_ref(), Ok(&message));
    message
}

fn rr() -> ServiceSettings {
    ServiceSettings::new(Scheduler::new("rr").expect("a name"))
}

#[test]
fn a_persistent_service_is_read() {
    let key = ServiceKey::tcp("10.96.0.1:80".parse().unwrap());
    assert_eq!(
        Service::try_from(&read([SERVICE, SERVICE_STATS])),
        Ok(Service::new(key, rr().persistent(300)))
    );
}

#[test]
fn an_ipv6_service_by_firewall_mark_is_read() {
    let key = ServiceKey::fwmark(Family::Inet6, 7.try_into().unwrap());
    assert_eq!(Service::try_from(&read([FWMARK, SHIFTED_STATS])), Ok(Service::new(key, rr())));
}

#[test]
fn a_real_server_behind_a_gue_tunnel_is_read() {
    let tunnel = Tunnel::gue(6081, TunnelFlags::CHECKSUM);
    assert_eq!(
        Destination::from_message(&read([DESTINATION, SHIFTED_STATS]), Family::Inet),
        Ok(Destination::new(
            "10.0.0.1:80".parse().unwrap(),
            DestinationSettings::tunnel(tunnel, 70_000)
        ))
    );
}
