//! Whether this node's uplink has a carrier.

use std::fs;
use std::io::ErrorKind;

/// The flag `RTF_UP` of `linux/route.h`.
const UP: u32 = 1;

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

/// Finds the interfaces of default routes in the text of /proc/net/route.
fn default_interfaces(routes: &str) -> impl Iterator<Item = &str> {
    routes.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [interface, destination, _, flags, _, _, _, mask, ..] = fields[..] else { return None };
        let is_up = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & UP != 0);
        (is_up && destination == "00000000" && mask == "00000000").then_some(interface)
    })
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
        assert!(has_carrier("no-such-interface"));
    }
}
