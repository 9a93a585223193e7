//! What is found of the node itself, and what it announces.

use std::collections::BTreeSet;
use std::time::Duration;

use node::{Kernel, LinuxKernel, Monitor, Settings};
use testkit::netns;

use super::{address, converge, desired, ip, kernel, node_with_an_address, plan};

#[test]
fn with_lo_down_the_refusal_says_so() {
    netns::enter_bare_netns();
    let mut kernel = LinuxKernel::open(Settings::default()).unwrap();
    let first = plan(&mut kernel, &desired(&["3.3.0.6"], &["10.9.0.1:80"]));
    let outcome = kernel.apply_plan(first);
    let (_, error) = outcome.failures().next().expect("no real server can be added");
    assert!(error.message().contains("ip link set lo up"), "{error}");
}

#[test]
fn facts_of_the_node_leave_our_interface_out() {
    let mut kernel = kernel();
    node_with_an_address();
    ip("-6 addr add fd0a::9/64 dev eth0 nodad");
    ip("route add default via 10.0.0.1");
    ip("route add 10.5.0.0/16 via 10.0.0.2");
    ip("route add 10.6.0.0/16 via 10.0.0.2 table 100");
    converge(&mut kernel, &desired(&["3.3.0.6", "fd01::6"], &[]));
    let facts = kernel.observe().unwrap().node;
    for own in ["127.0.0.1", "::1", "10.0.0.9", "fd0a::9"] {
        assert!(facts.own.contains(&address(own)), "{own} in {:?}", facts.own);
    }
    assert!(!facts.own.contains(&address("3.3.0.6")) && !facts.own.contains(&address("fd01::6")));
    let routes: Vec<_> = facts.routes.iter().map(|(net, link)| format!("{net} {link}")).collect();
    for route in ["10.0.0.0/24 eth0", "10.5.0.0/16 eth0", "fd0a::/64 eth0"] {
        assert!(routes.iter().any(|seen| seen == route), "{route} in {routes:?}");
    }
    for prefix in ["0.0.0.0/0", "10.6.", "3.3.", "fd01", "fe80", "ff00"] {
        assert!(!routes.iter().any(|seen| seen.starts_with(prefix)), "{prefix} in {routes:?}");
    }
}

#[test]
fn the_way_to_a_server_is_the_nodes_address_towards_it() {
    let mut kernel = kernel();
    let otherwise = |kernel: &mut LinuxKernel| {
        let ways = kernel.find_ways(&BTreeSet::new()).unwrap();
        ways.otherwise.map(|source| source.to_string())
    };
    let ways = |kernel: &mut LinuxKernel, servers: &[&str]| {
        let asked = servers.iter().map(|server| address(server)).collect();
        let ways = kernel.find_ways(&asked).unwrap();
        assert_eq!(ways.towards.keys().copied().collect::<BTreeSet<_>>(), asked);
        let told = ways.towards.values();
        let told = told.map(|way| way.source.map(|source| source.to_string()));
        told.collect::<Vec<_>>()
    };
    converge(&mut kernel, &desired(&["3.3.0.6"], &[]));
    assert_eq!(ways(&mut kernel, &["10.0.0.7"]), [None], "only a VIP and loopback are there");
    assert_eq!(otherwise(&mut kernel), None);

    ip("link add eth0 type dummy");
    ip("link add eth1 type dummy");
    ip("addr add 192.168.7.1/24 dev eth1");
    ip("link set eth1 up");
    assert_eq!(otherwise(&mut kernel).as_deref(), Some("192.168.7.1"), "the first there is");

    ip("addr add 10.0.0.9/24 dev eth0");
    ip("link set eth0 up");
    ip("route add default via 192.168.7.254");
    let (first, second) = (Some("10.0.0.9".to_owned()), Some("192.168.7.1".to_owned()));
    let told = ways(&mut kernel, &["10.0.0.7", "10.0.0.9", "192.168.7.3", "8.8.8.8", "fd09::1"]);
    let by_router = second.clone();
    assert_eq!(told, [by_router, first, None, second.clone(), None], "8.8.8.8 comes first");
    assert_eq!(otherwise(&mut kernel), second);
}

#[test]
fn a_source_that_a_route_names_is_told_where_masquerading_would_choose_another() {
    let mut kernel = kernel();
    let named = |kernel: &mut LinuxKernel, server: &str| {
        let ways = kernel.find_ways(&[address(server)].into()).unwrap();
        let named = ways.towards[&address(server)].named.map(|source| source.to_string());
        (named, kernel.observe().unwrap().node.names_sources)
    };
    node_with_an_address();
    ip("addr add 10.0.0.10/24 dev eth0");
    ip("addr add 10.3.0.1/24 dev eth0");
    ip("-6 addr add fd0a::9/64 dev eth0 nodad");
    ip("-6 addr add fd0a::10/64 dev eth0 nodad");
    // As DHCP clients name it, and the kernel for a network of its own.
    ip("route add default via 10.0.0.1 src 10.0.0.9");
    ip("route add 10.7.0.0/16 via 10.3.0.7 src 10.3.0.1");
    for server in ["10.0.0.7", "10.3.0.7", "10.7.0.1", "8.8.8.8", "fd0a::7", "127.0.0.1"] {
        assert_eq!(named(&mut kernel, server), (None, false), "{server}");
    }
    for (route, server, source) in [
        ("10.5.0.0/16 via 10.0.0.1 src 10.0.0.10", "10.5.0.1", "10.0.0.10"),
        ("10.5.0.0/16 via 10.0.0.1 src 10.3.0.1", "10.5.0.1", "10.3.0.1"),
        ("10.5.0.0/16 dev eth0 src 10.0.0.9 table 100", "10.5.0.1", ""),
        ("10.5.0.0/16 dev eth0 src 10.0.0.10 table 100", "10.5.0.1", ""),
        ("fd0a:5::/64 via fd0a::1 src fd0a::9", "fd0a:5::1", "fd0a::9"),
    ] {
        ip(&format!("route add {route}"));
        let (told, names) = named(&mut kernel, server);
        assert_eq!(told.as_deref(), Some(source).filter(|source| !source.is_empty()), "{route}");
        // Another table may be in use by some rule.
        assert_eq!(names, !route.contains("src 10.0.0.9 "), "{route}");
        ip(&format!("route del {route}"));
    }
}

#[test]
fn the_sysctls_are_set_once_and_then_left() {
    let _kernel = kernel();
    let reports = node::ensure_sysctls(node::SysctlNeeds::default());
    assert!(reports.iter().all(|report| report.state.is_ok()), "{reports:?}");
    assert_eq!(netns::run_tool("cat", "/proc/sys/net/ipv4/vs/conntrack"), "1\n");
    assert_eq!(netns::run_tool("cat", "/proc/sys/net/ipv4/ip_forward"), "1\n");
    let again = node::ensure_sysctls(node::SysctlNeeds::default());
    let untouched =
        |report: &node::SysctlReport| matches!(report.state, node::SysctlState::Already);
    assert!(again.iter().all(untouched), "{again:?}");
}

/// What is announced within this time of what is done.
const SOON: Duration = Duration::from_secs(5);
/// Nothing more is announced after this time.
const QUIET: Duration = Duration::from_millis(200);

#[test]
fn changes_of_our_interface_and_of_the_nodes_addresses_are_announced() {
    let mut kernel = kernel();
    let mut both = desired(&["3.3.0.6"], &["10.0.0.1:1"]);
    both.services.extend(desired(&["fd01::6"], &["[fd01::1:1]:1"]).services);
    converge(&mut kernel, &both);
    ip("link add eth7 type dummy");
    ip("link set eth7 up");
    let mut monitor = Monitor::open("vipd0").unwrap();
    for change in [
        "addr del 3.3.0.6/32 dev vipd0",
        "addr add 3.3.0.7/32 dev vipd0",
        "-6 addr del fd01::6/128 dev vipd0",
        "route del local 3.3.0.7 dev vipd0 table local",
        "link set vipd0 down",
        "link del vipd0",
        "link add vipd0 type dummy",
        "addr add 10.7.0.1/24 dev eth7",
        "route add default via 10.7.0.2",
        "route add 10.8.0.0/16 via 10.7.0.3 table 100",
        "rule add to 10.8.0.0/16 table 100",
        "rule del to 10.8.0.0/16 table 100",
        "-6 rule add to fd0a::/64 table 100",
    ] {
        while monitor.wait_for_change(QUIET).unwrap() {}
        ip(change);
        assert!(monitor.wait_for_change(SOON).unwrap(), "{change}");
    }
}

#[test]
fn containers_that_come_and_go_are_not_announced() {
    let mut kernel = kernel();
    converge(&mut kernel, &desired(&["3.3.0.6"], &[]));
    ip("link add docker0 type bridge");
    ip("addr add 172.17.0.1/16 dev docker0");
    ip("link set docker0 up");
    let mut monitor = Monitor::open("vipd0").unwrap();
    while monitor.wait_for_change(QUIET).unwrap() {}
    for turn in 0..3 {
        ip(&format!("link add veth{turn} type veth peer name peer{turn}"));
        ip(&format!("link set veth{turn} up"));
        ip(&format!("link set peer{turn} up"));
        ip(&format!("link del veth{turn}"));
    }
    assert!(!monitor.wait_for_change(QUIET).unwrap());
}
