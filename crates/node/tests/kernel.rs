//! What [`LinuxKernel`] does to a real kernel, checked with `ip` and `ipvsadm`.
//!
//! Needs root and a kernel with IPVS and dummy interfaces. Every test works in a network namespace
//! of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot read the kernel should stop")]

mod advertisement;
mod dumps;
mod flows;
mod nft;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use node::{Kernel, KernelError, LinuxKernel, Monitor, Settings};
use testkit::{FakeKernel, cases, netns};
use vip::label::{Options, Scheduling};
use vip::ownership::MARK;
use vip::plan::{OpError, OpResult};
use vip::{Desired, DesiredService, Link, Member, Observed, Op, Plan, Scope, Selection, Vip, Why};

/// A kernel in a network namespace of its own.
fn kernel() -> LinuxKernel {
    netns::enter();
    LinuxKernel::open(Settings::default()).unwrap()
}

fn ip(args: &str) -> String {
    netns::run("ip", args)
}

fn ipvsadm(args: &str) -> String {
    netns::run("ipvsadm", args)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// These VIPs (port 80, TCP), each with these real servers.
fn desired(vips: &[&str], servers: &[&str]) -> Desired {
    let member = || Member {
        weight: 1,
        source: "m".into(),
        app: "/a".into(),
        task: "a.1".into(),
        why: Why::Healthy,
        local: None,
    };
    let members: BTreeMap<_, _> =
        servers.iter().map(|at| (at.parse().unwrap(), member())).collect();
    let service = DesiredService {
        options: Options::default(),
        apps: vec!["/a".into()],
        incomplete: false,
        selection: Selection { members, ..Selection::default() },
    };
    let services = vips.iter().map(|vip| (cases::vip(vip), service.clone())).collect();
    Desired { services, ..Desired::default() }
}

/// Without nftables, whether the kernel has them or not: `nft.rs` is about those, and with them a
/// node's own connections need no source from a route.
fn plan(kernel: &mut LinuxKernel, desired: &Desired) -> Plan {
    let observed = Observed { nft: vip::Nft::default(), ..kernel.observe().unwrap() };
    Plan::new(&observed, desired, Scope::Complete, "node1")
}

/// Plans and applies, and sees that nothing is left to do.
fn converge(kernel: &mut LinuxKernel, desired: &Desired) -> Plan {
    let first = plan(kernel, desired);
    let outcome = kernel.apply(first);
    let odd = outcome.results().find(|(_, result)| **result != OpResult::Done);
    assert_eq!(odd, None);
    assert_eq!(plan(kernel, desired).ops, []);
    outcome.plan
}

fn service<'a>(observed: &'a Observed, vip: &Vip) -> &'a vip::ObservedService {
    observed.service(vip).unwrap_or_else(|| panic!("{vip} is not there"))
}

/// Each operation in a call of its own, and the number it was refused with.
fn one_by_one(kernel: &mut impl Kernel, ops: &[(Op, i32)]) -> Vec<i32> {
    let each = ops.iter().map(|(op, _)| kernel.perform(&[op]).remove(0));
    each.map(|answer: Result<(), OpError>| answer.map_or_else(|error| error.errno(), |()| 0))
        .collect()
}

#[test]
fn the_fake_kernel_answers_as_this_one_does() {
    for (name, ops) in cases::all() {
        let expected: Vec<_> = ops.iter().map(|(_, errno)| *errno).collect();
        // A thread, and with it a network namespace, for each.
        let real = std::thread::spawn({
            let ops = ops.clone();
            move || one_by_one(&mut kernel(), &ops)
        });
        assert_eq!(real.join().unwrap(), expected, "the real kernel, {name}: {ops:#?}");
        let mut fake = FakeKernel::default();
        fake.state.node.own = [Ipv4Addr::LOCALHOST.into()].into();
        assert_eq!(one_by_one(&mut fake, &ops), expected, "the fake kernel, {name}: {ops:#?}");
    }
}

#[test]
fn a_plan_makes_the_interface_its_addresses_and_the_services() {
    let mut kernel = kernel();
    let wanted = desired(&["3.3.0.6", "3.3.0.7"], &["10.9.0.1:8080", "10.9.0.2:8080"]);
    converge(&mut kernel, &wanted);
    let link = ip("-d link show vipd0");
    for part in ["NOARP", "UP", "dummy", "addrgenmode none"] {
        assert!(link.contains(part), "{part} in {link}");
    }
    let shown = ip("-o addr show dev vipd0");
    assert!(shown.contains("inet 3.3.0.6/32 scope global vipd0"), "{shown}");
    assert!(!shown.contains("fe80"), "{shown}");
    let saved = ipvsadm("-Sn");
    assert!(saved.contains("-A -t 3.3.0.6:80 -s wlc -b flag-3"), "{saved}");
    assert!(saved.contains("-a -t 3.3.0.7:80 -r 10.9.0.2:8080 -m -w 1"), "{saved}");

    converge(&mut kernel, &desired(&["3.3.0.7"], &["10.9.0.2:8080"]));
    assert!(!ip("-o addr show dev vipd0").contains("3.3.0.6"));
    assert!(!ip("route show table local").contains("3.3.0.6"));
    let saved = ipvsadm("-Sn");
    assert!(!saved.contains("3.3.0.6") && !saved.contains("10.9.0.1"), "{saved}");

    let cleanup = Plan::cleanup(&kernel.observe().unwrap());
    assert!(kernel.apply(cleanup).is_success());
    assert_eq!((ipvsadm("-Sn"), ip("-o link").contains("vipd0")), (String::new(), false));
}

#[test]
fn ipv6_addresses_are_usable_at_once_and_never_a_source() {
    let mut kernel = kernel();
    converge(&mut kernel, &desired(&["fd01::6"], &["[fd09::1]:8080"]));
    let shown = ip("-o -6 addr show dev vipd0");
    for part in ["inet6 fd01::6/128", "nodad", "deprecated", "valid_lft forever"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(!shown.contains("tentative"), "{shown}");
    assert!(!ip("-6 route show dev vipd0").contains("fd01::6"));
    converge(&mut kernel, &desired(&[], &[]));
    assert_eq!(ip("-o -6 addr show dev vipd0"), "");
}

/// A node with 10.0.0.9 on `eth0`.
fn node_with_an_address() {
    ip("link add eth0 type dummy");
    ip("addr add 10.0.0.9/24 dev eth0");
    ip("link set eth0 up");
}

#[test]
fn the_reduced_mode_gives_the_nodes_own_connections_its_own_source() {
    let mut kernel = kernel();
    node_with_an_address();
    let mut wanted = desired(&["3.3.0.6", "fd01::6"], &[]);
    wanted.source = Some(address("10.0.0.9"));
    converge(&mut kernel, &wanted);
    assert!(ip("route get 3.3.0.6").contains("src 10.0.0.9"));
    let local = ip("route show table local 3.3.0.6");
    assert_eq!(local.lines().count(), 1, "{local}");
    for part in ["dev vipd0", "proto kernel", "scope host", "src 10.0.0.9"] {
        assert!(local.contains(part), "{part} in {local}");
    }

    // The whole mode from now on.
    wanted.source = None;
    converge(&mut kernel, &wanted);
    assert!(ip("route get 3.3.0.6").contains("src 3.3.0.6"));

    wanted.source = Some(address("10.0.0.9"));
    converge(&mut kernel, &wanted);
    converge(&mut kernel, &desired(&[], &[]));
    assert_eq!(ip("route show table local 3.3.0.6"), "");
}

#[test]
fn a_local_route_that_was_removed_is_put_back() {
    let mut kernel = kernel();
    node_with_an_address();
    let mut wanted = desired(&["3.3.0.6"], &[]);
    for (source, expected) in [(None, "src 3.3.0.6"), (Some("10.0.0.9"), "src 10.0.0.9")] {
        wanted.source = source.map(address);
        converge(&mut kernel, &wanted);
        ip("route del local 3.3.0.6 dev vipd0 table local");
        let repair = converge(&mut kernel, &wanted);
        assert!(matches!(repair.ops[..], [Op::SetSource { .. }]), "{:?}", repair.ops);
        assert!(ip("route get 3.3.0.6").contains(expected));
    }
}

#[test]
fn a_source_that_is_no_address_of_the_node_any_more_is_replaced() {
    let mut kernel = kernel();
    node_with_an_address();
    let mut wanted = desired(&["3.3.0.6"], &[]);
    wanted.source = Some(address("10.0.0.9"));
    converge(&mut kernel, &wanted);
    ip("addr del 10.0.0.9/24 dev eth0");
    ip("addr add 10.0.0.11/24 dev eth0");
    wanted.source = Some(address("10.0.0.11"));
    converge(&mut kernel, &wanted);
    assert!(ip("route get 3.3.0.6").contains("src 10.0.0.11"));
}

#[test]
fn a_link_that_went_down_is_raised_with_all_its_addresses() {
    let mut kernel = kernel();
    node_with_an_address();
    let mut wanted = desired(&["3.3.0.6", "fd01::6"], &[]);
    wanted.source = Some(address("10.0.0.9"));
    converge(&mut kernel, &wanted);
    ip("link set vipd0 down");
    assert_eq!(kernel.observe().unwrap().link, Link::Down);
    converge(&mut kernel, &wanted);
    let shown = ip("-o addr show dev vipd0");
    assert!(shown.contains("3.3.0.6") && shown.contains("fd01::6"), "{shown}");
    assert!(ip("route get 3.3.0.6").contains("src 10.0.0.9"));
    // The flap left two local routes; both modes and the end of it must cope.
    wanted.source = None;
    converge(&mut kernel, &wanted);
    converge(&mut kernel, &desired(&[], &[]));
    assert_eq!(ip("route show table local 3.3.0.6"), "");
}

#[test]
fn an_interface_that_was_deleted_is_made_again_with_all_its_addresses() {
    let mut kernel = kernel();
    let wanted = desired(&["3.3.0.6", "fd01::6"], &[]);
    converge(&mut kernel, &wanted);
    let services = ipvsadm("-Sn");
    ip("link del vipd0");
    let observed = kernel.observe().unwrap();
    assert_eq!((observed.link, observed.addresses.len()), (Link::Missing, 0));
    assert_eq!(observed.ours().count(), 2, "marked services are ours without the interface");
    let repair = converge(&mut kernel, &wanted);
    assert!(repair.ops.iter().all(|op| op.vip().is_none()), "{:?}", repair.ops);
    assert_eq!(ipvsadm("-Sn"), services);
}

#[test]
fn another_kind_of_interface_with_the_name_is_refused_and_left_alone() {
    let mut kernel = kernel();
    ip("link add vipd0 type bridge");
    let error = kernel.observe().unwrap_err();
    assert!(matches!(&error, KernelError::NotOurs { kind, .. } if kind == "bridge"), "{error}");
    let before = ip("-d link show vipd0");
    let vip = address("3.3.0.6");
    let ops = [
        Op::CreateLink,
        Op::RaiseLink,
        Op::Bind { address: vip, source: None },
        Op::Unbind { address: vip },
        Op::DeleteLink,
    ];
    let answers = kernel.perform(&ops.each_ref());
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    assert_eq!(ip("-d link show vipd0"), before);
}

#[test]
fn two_thousand_addresses_are_bound_listed_and_unbound() {
    let mut kernel = kernel();
    kernel.perform(&[&Op::CreateLink]).remove(0).unwrap();
    let vips: Vec<IpAddr> =
        (0..2000_u16).map(|n| [3, 4, n.to_be_bytes()[0], n.to_be_bytes()[1]].into()).collect();
    let bind: Vec<_> = vips.iter().map(|&address| Op::Bind { address, source: None }).collect();
    let answers = kernel.perform(&bind.iter().collect::<Vec<_>>());
    assert_eq!(answers, vec![Ok(()); 2000]);
    let observed = kernel.observe().unwrap();
    assert!(observed.addresses.keys().eq(&vips));
    assert_eq!(ip("-o addr show dev vipd0").lines().count(), 2000);
    let unbind: Vec<_> = vips.iter().map(|&address| Op::Unbind { address }).collect();
    let answers = kernel.perform(&unbind.iter().collect::<Vec<_>>());
    assert_eq!(answers, vec![Ok(()); 2000]);
    assert_eq!(ip("-o addr show dev vipd0"), "");
}

#[test]
fn the_counters_of_two_thousand_vips_are_read_without_their_servers() {
    let mut kernel = kernel();
    let vips: Vec<String> = (0..2000_u16)
        .map(|n| format!("3.4.{}.{}", n.to_be_bytes()[0], n.to_be_bytes()[1]))
        .collect();
    let vips: Vec<&str> = vips.iter().map(String::as_str).collect();
    let servers: Vec<String> = (1..=10).map(|n| format!("10.0.0.{n}:80")).collect();
    let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
    let desired = desired(&vips, &servers);
    let plan = Plan::new(&kernel.observe().unwrap(), &desired, Scope::Complete, "n");
    assert!(kernel.apply(plan).is_success());
    // Somebody else's is nobody's business.
    ipvsadm("-A -t 9.9.9.9:80 -s rr");
    let begun = std::time::Instant::now();
    let traffic = kernel.traffic().unwrap();
    let took = begun.elapsed();
    assert!(traffic.keys().eq(desired.services.keys()));
    let begun = std::time::Instant::now();
    kernel.observe().unwrap();
    let everything = begun.elapsed();
    // Also of a test that passes: `eprintln!` would be kept from the reader.
    let mut said = std::io::stderr();
    writeln!(said, "2,000 VIPs of 10 servers: counters in {took:?}, all in {everything:?}")
        .unwrap();
}

#[test]
fn answers_stay_with_their_operations_in_a_mixed_send() {
    let mut kernel = kernel();
    let vip = cases::vip("3.3.0.6");
    let bind = |text: &str| Op::Bind { address: address(text), source: None };
    let gone = |text: &str| Op::Unbind { address: address(text) };
    let server = |vip: &str| Op::DeleteServer {
        vip: cases::vip(vip),
        server: "10.9.0.1:80".parse().unwrap(),
    };
    let settings = Options::default().service_settings(nl_ipvs::Family::Inet);
    let ops = [
        bind("3.3.0.1"),
        Op::CreateLink,
        bind("3.3.0.1"),
        gone("3.3.0.2"),
        bind("3.3.0.1"),
        Op::AddService { vip, settings },
        server("3.3.0.6"),
        server("3.3.0.7"),
        gone("3.3.0.1"),
    ];
    let answers = kernel.perform(&ops.each_ref());
    let errnos: Vec<_> =
        answers.iter().map(|answer| answer.as_ref().map_or_else(OpError::errno, |()| 0)).collect();
    assert_eq!(errnos, [19, 0, 0, 99, 17, 0, 2, 3, 0]);
    assert_eq!(ip("-o addr show dev vipd0"), "");
}

#[test]
fn somebody_elses_services_are_seen_without_their_servers_and_left_alone() {
    let mut kernel = kernel();
    netns::run_with(
        "ipvsadm",
        "-R",
        "-A -t 3.3.0.6:80 -s rr\n-a -t 3.3.0.6:80 -r 10.9.0.1:80 -m\n\
         -A -f 7 -s wlc\n-a -f 7 -r 10.9.0.2:80 -m\n",
    );
    let before = ipvsadm("-Sn");
    let observed = kernel.observe().unwrap();
    assert_eq!(observed.unmarked().count(), 2);
    assert!(observed.unmarked().all(|(_, service)| service.servers.is_empty()));
    let plan = converge(&mut kernel, &desired(&["3.3.0.6"], &["10.9.0.9:80"]));
    assert_eq!((plan.ops.len(), plan.conflicts.len()), (0, 1));
    assert_eq!(ipvsadm("-Sn"), before);
    let cleanup = Plan::cleanup(&kernel.observe().unwrap());
    kernel.apply(cleanup);
    assert_eq!(ipvsadm("-Sn"), before);
}

#[test]
fn the_mark_survives_save_and_restore_and_one_that_was_lost_is_set_again() {
    let mut kernel = kernel();
    let vip = cases::vip("3.3.0.6");
    let wanted = desired(&["3.3.0.6"], &["10.9.0.1:80"]);
    converge(&mut kernel, &wanted);
    let saved = ipvsadm("-Sn");
    ipvsadm("-C");
    netns::run_with("ipvsadm", "-R", &saved);
    assert_eq!(plan(&mut kernel, &wanted).ops, []);

    ipvsadm("-E -t 3.3.0.6:80 -s rr");
    let observed = kernel.observe().unwrap();
    let edited = service(&observed, &vip);
    assert!(!edited.settings.flags.contains(MARK));
    assert_eq!(edited.servers.len(), 1, "one that may be ours is read with its servers");
    let repair = converge(&mut kernel, &wanted);
    assert!(matches!(repair.ops[..], [Op::SetService { .. }]), "{:?}", repair.ops);
    assert_eq!(ipvsadm("-Sn"), saved);
}

/// `ipvsadm -S` writes the flags of sh and mh by name and drops the third.
#[test]
fn a_hashing_service_that_was_saved_and_restored_is_marked_again() {
    let mut kernel = kernel();
    let vip = cases::vip("3.3.0.6");
    let mut wanted = desired(&["3.3.0.6"], &["10.9.0.1:80"]);
    wanted.services.get_mut(&vip).unwrap().options.scheduler = Scheduling::Sh;
    converge(&mut kernel, &wanted);
    let saved = ipvsadm("-Sn");
    ipvsadm("-C");
    netns::run_with("ipvsadm", "-R", &saved);
    assert!(!service(&kernel.observe().unwrap(), &vip).settings.flags.contains(MARK));
    let repair = converge(&mut kernel, &wanted);
    assert!(matches!(repair.ops[..], [Op::SetService { .. }]), "{:?}", repair.ops);
}

#[test]
fn a_table_that_was_cleared_is_made_again() {
    let mut kernel = kernel();
    let wanted = desired(&["3.3.0.6", "fd01::6"], &[]);
    converge(&mut kernel, &wanted);
    let saved = ipvsadm("-Sn");
    ipvsadm("-C");
    converge(&mut kernel, &wanted);
    assert_eq!(ipvsadm("-Sn"), saved);
}

#[test]
fn a_scheduler_the_kernel_lacks_is_named_with_the_cure() {
    let mut kernel = kernel();
    let vip = cases::vip("3.3.0.6");
    let mut settings = Options::default().service_settings(nl_ipvs::Family::Inet);
    settings.scheduler = nl_ipvs::Scheduler::new("nosuch").ok();
    let error = kernel.perform(&[&Op::AddService { vip, settings }]).remove(0).unwrap_err();
    assert!(error.message().contains("modprobe ip_vs_nosuch"), "{error}");
}

#[test]
fn with_lo_down_the_refusal_says_so() {
    netns::enter_bare();
    let mut kernel = LinuxKernel::open(Settings::default()).unwrap();
    let first = plan(&mut kernel, &desired(&["3.3.0.6"], &["10.9.0.1:80"]));
    let outcome = kernel.apply(first);
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
fn the_source_is_the_nodes_address_towards_the_first_server_elsewhere() {
    let mut kernel = kernel();
    let source = |kernel: &mut LinuxKernel, servers: &[&str]| {
        let servers: Vec<_> = servers.iter().map(|server| address(server)).collect();
        let found = kernel.source_address(&servers);
        found.unwrap().map(|source| source.to_string())
    };
    converge(&mut kernel, &desired(&["3.3.0.6"], &[]));
    assert_eq!(source(&mut kernel, &["10.0.0.7"]), None, "only a VIP and loopback are there");

    ip("link add eth0 type dummy");
    ip("link add eth1 type dummy");
    ip("addr add 192.168.7.1/24 dev eth1");
    ip("link set eth1 up");
    assert_eq!(source(&mut kernel, &[]).as_deref(), Some("192.168.7.1"), "the first there is");

    ip("addr add 10.0.0.9/24 dev eth0");
    ip("link set eth0 up");
    ip("route add default via 192.168.7.254");
    let here_and_there = ["fd09::1", "10.0.0.9", "10.0.0.7", "192.168.7.3"];
    assert_eq!(source(&mut kernel, &here_and_there).as_deref(), Some("10.0.0.9"));
    assert_eq!(source(&mut kernel, &["10.0.0.9"]).as_deref(), Some("192.168.7.1"));
    assert_eq!(source(&mut kernel, &[]).as_deref(), Some("192.168.7.1"));
}

#[test]
fn the_sysctls_are_set_once_and_then_left() {
    let _kernel = kernel();
    let reports = node::ensure_sysctls(false);
    assert!(reports.iter().all(|report| report.state.is_ok()), "{reports:?}");
    assert_eq!(netns::run("cat", "/proc/sys/net/ipv4/vs/conntrack"), "1\n");
    assert_eq!(netns::run("cat", "/proc/sys/net/ipv4/ip_forward"), "1\n");
    let again = node::ensure_sysctls(false);
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
    ] {
        while monitor.wait(QUIET).unwrap() {}
        ip(change);
        assert!(monitor.wait(SOON).unwrap(), "{change}");
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
    while monitor.wait(QUIET).unwrap() {}
    for turn in 0..3 {
        ip(&format!("link add veth{turn} type veth peer name peer{turn}"));
        ip(&format!("link set veth{turn} up"));
        ip(&format!("link set peer{turn} up"));
        ip(&format!("link del veth{turn}"));
    }
    assert!(!monitor.wait(QUIET).unwrap());
}

#[test]
fn a_scheduler_is_asked_for_without_making_a_service() {
    let mut kernel = kernel();
    for scheduler in Scheduling::all() {
        let name = scheduler.name();
        let has = kernel.has_scheduler(name).unwrap();
        assert_eq!(ipvsadm("-Sn"), "", "{name}");
        let taken = netns::try_run("ipvsadm", &format!("-A -f 7 -s {name}"));
        assert_eq!(has, Some(taken.is_ok()), "{name}: {taken:?}");
        ipvsadm("-C");
    }
    assert_eq!(kernel.has_scheduler("none-such").unwrap(), Some(false));
}
