//! IPv6 forwarding, checked and switched on. It has a trap: a node that forwards ignores router
//! advertisements and drops the default routes it has from them, unless `accept_ra` is 2.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

const FORWARDING: &str = "net/ipv6/conf/all/forwarding";

/// `RTF_DEFAULT | RTF_ADDRCONF` of `linux/ipv6_route.h`: a default route by router advertisement.
/// These are the routes that the kernel purges (`rt6_purge_dflt_routers`).
const BY_ADVERTISEMENT: u32 = 0x0001_0000 | 0x0004_0000;

/// The state of IPv6 forwarding on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ipv6Forwarding {
    /// Forwarding is on.
    pub on: bool,
    /// Interfaces that would lose their default route if forwarding were switched on now.
    pub at_risk: BTreeSet<String>,
}

/// Reads the state in this network namespace. `None`: the kernel has no IPv6.
#[must_use]
pub fn read_ipv6_forwarding() -> Option<Ipv6Forwarding> {
    read_forwarding(Path::new("/proc"))
}

/// Switches forwarding on, after setting `accept_ra` to 2 on every interface that has a default
/// route by router advertisement. Returns a sentence for each change; none if it was on.
///
/// # Errors
/// When a sysctl can't be written. Forwarding isn't switched on then.
pub fn enable_ipv6_forwarding() -> io::Result<Vec<String>> {
    enable_forwarding(Path::new("/proc"))
}

fn read_forwarding(proc: &Path) -> Option<Ipv6Forwarding> {
    let on = read_setting(proc, FORWARDING)? == "1";
    let routes = fs::read_to_string(proc.join("thread-self/net/ipv6_route")).unwrap_or_default();
    let at_risk = interfaces_with_advertised_route(&routes)
        .filter(|name| read_setting(proc, &accept_ra(name)).is_some_and(|value| value != "2"));
    Some(Ipv6Forwarding { on, at_risk: at_risk.map(str::to_owned).collect() })
}

fn enable_forwarding(proc: &Path) -> io::Result<Vec<String>> {
    let Some(now) = read_forwarding(proc).filter(|now| !now.on) else { return Ok(Vec::new()) };
    let mut done = Vec::new();
    for interface in now.at_risk {
        let setting = accept_ra(&interface);
        fs::write(proc.join("sys").join(&setting), "2")?;
        done.push(format!(
            "{} is 2 now, so that its default route survives forwarding",
            setting.replace('/', ".")
        ));
    }
    fs::write(proc.join("sys").join(FORWARDING), "1")?;
    done.push(format!("{} is 1 now", FORWARDING.replace('/', ".")));
    Ok(done)
}

fn accept_ra(interface: &str) -> String {
    format!("net/ipv6/conf/{interface}/accept_ra")
}

fn read_setting(proc: &Path, setting: &str) -> Option<String> {
    let text = fs::read_to_string(proc.join("sys").join(setting)).ok()?;
    Some(text.trim().to_owned())
}

/// Lists the interfaces of default routes by advertisement in `/proc/net/ipv6_route`. Each line
/// has destination, prefix length, source, prefix length, next hop, metric, two counters, flags in
/// hex, and the interface.
fn interfaces_with_advertised_route(routes: &str) -> impl Iterator<Item = &str> {
    routes.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, length, _, _, _, _, _, _, flags, interface] = fields[..] else { return None };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let by_advertisement = flags & BY_ADVERTISEMENT == BY_ADVERTISEMENT;
        (length == "00" && by_advertisement).then_some(interface)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "\
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe80000000000000000000000000000a 00000400 00000001 00000000 00450003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe80000000000000000000000000000b 00000400 00000001 00000000 00000003     eth1
fd090000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00040001     eth2
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe80000000000000000000000000000c 00000400 00000001 00000000 00450003  eth3.10
garbage
";

    fn proc(forwarding: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("thread-self/net/ipv6_route", ROUTES);
        write("sys/net/ipv6/conf/all/forwarding", forwarding);
        for interface in ["eth0", "eth1", "eth2"] {
            write(&format!("sys/net/ipv6/conf/{interface}/accept_ra"), "1\n");
        }
        write("sys/net/ipv6/conf/eth3.10/accept_ra", "2\n");
        folder
    }

    #[test]
    fn only_default_routes_by_advertisement_are_at_risk() {
        let proc = proc("0\n");
        let found = read_forwarding(proc.path()).unwrap();
        assert_eq!(found, Ipv6Forwarding { on: false, at_risk: ["eth0".to_owned()].into() });
    }

    #[test]
    fn routes_are_made_safe_before_forwarding_is_switched_on() {
        let proc = proc("0\n");
        let done = enable_forwarding(proc.path()).unwrap();
        assert_eq!(done.len(), 2, "{done:?}");
        assert!(done[0].starts_with("net.ipv6.conf.eth0.accept_ra is 2 now"), "{done:?}");
        assert_eq!(done[1], "net.ipv6.conf.all.forwarding is 1 now");
        assert_eq!(
            read_forwarding(proc.path()),
            Some(Ipv6Forwarding { on: true, at_risk: [].into() })
        );
        assert!(enable_forwarding(proc.path()).unwrap().is_empty());
    }

    #[test]
    fn a_kernel_without_ipv6_has_nothing_to_switch_on() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(read_forwarding(empty.path()), None);
        assert!(enable_forwarding(empty.path()).unwrap().is_empty());
    }
}
