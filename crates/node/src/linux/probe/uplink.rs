//! Whether this node's uplink has a carrier.

use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;

use crate::linux::route::NARROWEST;

/// The flag `RTF_UP` of `linux/route.h`.
const UP: u32 = 1;

/// `RTF_REJECT` there.
const REJECT: u32 = 0x0200;

/// Tells whether an interface with a default route of IPv4 has a carrier. True also if that can't be
/// known, or there is no such route.
#[must_use]
pub fn has_uplink() -> bool {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let mut interfaces = default_interfaces(&routes).peekable();
    interfaces.peek().is_none() || interfaces.any(has_carrier)
}

fn has_carrier(interface: &str) -> bool {
    match fs::read_to_string(format!("/sys/class/net/{interface}/carrier")) {
        Ok(carrier) => carrier.trim() == "1",
        // Another network namespace may be mounted there.
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// Finds the interfaces of default routes in the text of /proc/net/route. Parts of one count where there
/// is no whole one: VPN clients replace it so. One that refuses packets leads nowhere.
fn default_interfaces(routes: &str) -> impl Iterator<Item = &str> {
    let routes: Vec<_> = routes.lines().skip(1).filter_map(wide_route).collect();
    let has_whole = routes.iter().any(|(len, _)| *len == 0);
    routes.into_iter().filter(move |(len, _)| *len == 0 || !has_whole).map(|(_, name)| name)
}

/// Returns the prefix length and the interface of a route that is as wide as a default route.
fn wide_route(line: &str) -> Option<(u32, &str)> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let [interface, destination, _, flags, _, _, _, mask, ..] = fields[..] else { return None };
    let number = |text| u32::from_str_radix(text, 16).ok();
    let (flags, len) = (number(flags)?, number(mask)?.count_ones());
    // The kernel prints the number as it is in memory, in network order.
    let is_group = Ipv4Addr::from(number(destination)?.to_ne_bytes()).is_multicast();
    let leads_on = flags & UP != 0 && flags & REJECT == 0 && !is_group;
    (leads_on && len < u32::from(NARROWEST)).then_some((len, interface))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes_are_found() {
        let text = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n\
                    eth0\t00000000\t010000C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                    eth1\t00000000\t010000C0\t0002\t0\t0\t0\t00000000\t0\t0\t0\n\
                    eth2\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\nbad\n";
        assert_eq!(default_interfaces(text).collect::<Vec<_>>(), ["eth0"]);
        // What VPN clients put in its place counts where nothing else does.
        let halves = "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n\
                      tun1\t00000080\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n\
                      eth3\t000000E0\t00000000\t0001\t0\t0\t0\t000000F0\t0\t0\t0\n";
        let both = format!("{text}{halves}");
        assert_eq!(default_interfaces(&both).collect::<Vec<_>>(), ["eth0"]);
        let alone = format!("Iface\n{halves}");
        assert_eq!(default_interfaces(&alone).collect::<Vec<_>>(), ["tun0", "tun1"]);
        let refusing = "Iface\n*\t00000000\t00000000\t0201\t0\t0\t9999\t00000000\t0\t0\t0\n";
        assert_eq!(default_interfaces(refusing).count(), 0);
        assert_eq!(default_interfaces(&format!("{refusing}{halves}")).count(), 2);
        assert!(has_carrier("no-such-interface"));
    }
}
