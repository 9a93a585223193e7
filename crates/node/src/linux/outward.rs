//! Addresses that this node sends to a router, and interfaces whose packets it doesn't forward, for
//! `vipd doctor`.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use netlink_packet_route::route::RouteType;

use super::link::list_interfaces;
use super::route::{Route, entry_towards, is_as_wide_as_default, list_routes};
use super::socket::RouteSocket;
use crate::KernelError;

/// Finds those of some addresses that the routes of this thread's network namespace lead off the node to
/// a router: over a gateway, or by a default route.
///
/// # Errors
/// When the kernel can't be asked.
pub fn find_routed_outward(
    addresses: impl IntoIterator<Item = IpAddr>,
) -> Result<BTreeSet<IpAddr>, KernelError> {
    let mut socket = RouteSocket::open()?;
    let mut outward = BTreeSet::new();
    for address in addresses {
        if entry_towards(&mut socket, address)?.is_some_and(|entry| leads_outward(&entry)) {
            outward.insert(address);
        }
    }
    Ok(outward)
}

/// Finds the interfaces of this thread's network namespace that IPv4 routes lead over and whose packets the
/// kernel doesn't forward, though it forwards those of others: it asks the setting of the interface by
/// which a packet arrives (`IN_DEV_FORWARD` in `net/ipv4/route.c`). Of IPv6 only the setting of all
/// interfaces counts (`ip6_forward` in `net/ipv6/ip6_output.c`). `ours` is left out.
///
/// # Errors
/// When the kernel can't list its routes.
pub fn find_closed_interfaces(ours: &str) -> Result<Vec<String>, KernelError> {
    let mut socket = RouteSocket::open()?;
    let interfaces = list_interfaces(&mut socket)?;
    let routes = list_routes(&mut socket)?;
    let unicast = routes
        .iter()
        .filter(|route| route.kind == RouteType::Unicast && route.destination.addr().is_ipv4());
    let over = unicast.filter_map(|route| interfaces.get(&route.interface?));
    let over = over.filter(|interface| !interface.is_loopback && interface.name != ours);
    let names: BTreeSet<_> = over.map(|interface| interface.name.as_str()).collect();
    Ok(select_closed(names, Path::new("/proc/sys/net/ipv4")))
}

/// Selects the interfaces that are the exception. Where nothing is forwarded, none is.
fn select_closed<'a>(names: impl IntoIterator<Item = &'a str>, sysctls: &Path) -> Vec<String> {
    let is_off = |path: &Path| fs::read_to_string(path).is_ok_and(|value| value.trim() == "0");
    if is_off(&sysctls.join("ip_forward")) {
        return Vec::new();
    }
    let setting = |name: &str| sysctls.join("conf").join(name).join("forwarding");
    names.into_iter().filter(|name| is_off(&setting(name))).map(str::to_owned).collect()
}

fn leads_outward(entry: &Route) -> bool {
    let is_default = is_as_wide_as_default(&entry.destination);
    entry.kind == RouteType::Unicast && (is_default || !entry.gateways.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::route::tests::unicast_route;
    use super::*;

    #[test]
    fn only_an_exception_is_a_closed_interface() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, value: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value).unwrap();
        };
        write("ip_forward", "1\n");
        write("conf/eth0.100/forwarding", "0\n");
        write("conf/eth1/forwarding", "1\n");
        let closed = || select_closed(["eth0.100", "eth1", "gone"], folder.path());
        assert_eq!(closed(), ["eth0.100"]);
        write("ip_forward", "0\n");
        assert_eq!(closed(), [""; 0]);
    }

    #[test]
    fn a_part_of_the_default_route_leads_outward_as_the_whole_does() {
        let entry = unicast_route;
        for destination in ["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "2000::/3"] {
            assert!(leads_outward(&entry(destination)), "{destination}");
        }
        assert!(!leads_outward(&entry("3.3.0.0/16")));
        let gateways = vec![[10, 9, 0, 254].into()];
        assert!(leads_outward(&Route { gateways, ..entry("3.3.0.0/16") }));
        let kind = RouteType::BlackHole;
        assert!(!leads_outward(&Route { kind, ..entry("0.0.0.0/1") }));
    }
}
