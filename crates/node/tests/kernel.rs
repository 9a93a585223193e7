//! What [`LinuxKernel`] does to a real kernel, checked with `ip` and `ipvsadm`.
//!
//! Needs root and a kernel with IPVS and dummy interfaces. Every test works in a network namespace
//! of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot read the kernel should stop")]

mod advertisement;
mod dumps;
mod facts;
mod flows;
mod link;
mod nft;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

use node::{Kernel, LinuxKernel, Settings};
use testkit::{FakeKernel, cases, netns};
use vip::label::{Options, Scheduling};
use vip::ownership::MARK;
use vip::plan::{OpError, OpResult};
use vip::{
    Desired, DesiredService, LocalRoute, Member, Observed, Op, Plan, Scope, Selection, Vip, Why,
};

/// A kernel in a network namespace of its own.
fn kernel() -> LinuxKernel {
    netns::enter_netns();
    LinuxKernel::open(Settings::default()).unwrap()
}

fn ip(args: &str) -> String {
    netns::run_tool("ip", args)
}

fn ipvsadm(args: &str) -> String {
    netns::run_tool("ipvsadm", args)
}

/// A node with 10.0.0.9 on `eth0`.
fn node_with_an_address() {
    ip("link add eth0 type dummy");
    ip("addr add 10.0.0.9/24 dev eth0");
    ip("link set eth0 up");
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
        silent: None,
    };
    let members: BTreeMap<_, _> =
        servers.iter().map(|at| (at.parse().unwrap(), member())).collect();
    let service = DesiredService {
        options: Options::default(),
        apps: vec!["/a".into()],
        incomplete: false,
        suspended: false,
        selection: Selection { members, ..Selection::default() },
    };
    let services = vips.iter().map(|vip| (cases::tcp_vip(vip), service.clone())).collect();
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
    let outcome = kernel.apply_plan(first);
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
    for (name, ops) in cases::all_cases() {
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
    assert!(shown.contains("inet 3.3.0.6/32 scope host vipd0"), "{shown}");
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
    assert!(kernel.apply_plan(cleanup).is_success());
    assert_eq!((ipvsadm("-Sn"), ip("-o link").contains("vipd0")), (String::new(), false));
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
    assert!(kernel.apply_plan(plan).is_success());
    // Somebody else's is nobody's business.
    ipvsadm("-A -t 9.9.9.9:80 -s rr");
    let begun = std::time::Instant::now();
    let traffic = kernel.read_traffic().unwrap();
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
    let vip = cases::tcp_vip("3.3.0.6");
    let bind = |text: &str| Op::Bind {
        address: address(text),
        route: LocalRoute::default(),
        names: false,
    };
    let gone = |text: &str| Op::Unbind { address: address(text) };
    let server = |vip: &str| Op::DeleteServer {
        vip: cases::tcp_vip(vip),
        server: "10.9.0.1:80".parse().unwrap(),
    };
    let settings = Options::default().service_settings();
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
    netns::run_tool_with_input(
        "ipvsadm",
        "-R",
        "-A -t 3.3.0.6:80 -s rr\n-a -t 3.3.0.6:80 -r 10.9.0.1:80 -m\n\
         -A -f 7 -s wlc\n-a -f 7 -r 10.9.0.2:80 -m\n",
    );
    let before = ipvsadm("-Sn");
    let observed = kernel.observe().unwrap();
    assert_eq!(observed.unmarked_services().count(), 2);
    assert!(observed.unmarked_services().all(|(_, service)| service.servers.is_empty()));
    let plan = converge(&mut kernel, &desired(&["3.3.0.6"], &["10.9.0.9:80"]));
    assert_eq!((plan.ops.len(), plan.conflicts.len()), (0, 1));
    assert_eq!(ipvsadm("-Sn"), before);
    let cleanup = Plan::cleanup(&kernel.observe().unwrap());
    kernel.apply_plan(cleanup);
    assert_eq!(ipvsadm("-Sn"), before);
}

#[test]
fn the_mark_survives_save_and_restore_and_one_that_was_lost_is_set_again() {
    let mut kernel = kernel();
    let vip = cases::tcp_vip("3.3.0.6");
    let wanted = desired(&["3.3.0.6"], &["10.9.0.1:80"]);
    converge(&mut kernel, &wanted);
    let saved = ipvsadm("-Sn");
    ipvsadm("-C");
    netns::run_tool_with_input("ipvsadm", "-R", &saved);
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
    let vip = cases::tcp_vip("3.3.0.6");
    let mut wanted = desired(&["3.3.0.6"], &["10.9.0.1:80"]);
    wanted.services.get_mut(&vip).unwrap().options.scheduler = Scheduling::Sh;
    converge(&mut kernel, &wanted);
    let saved = ipvsadm("-Sn");
    ipvsadm("-C");
    netns::run_tool_with_input("ipvsadm", "-R", &saved);
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
    let vip = cases::tcp_vip("3.3.0.6");
    let mut settings = Options::default().service_settings();
    settings.scheduler = nl_ipvs::Scheduler::new("nosuch").ok();
    let error = kernel.perform(&[&Op::AddService { vip, settings }]).remove(0).unwrap_err();
    assert!(error.message().contains("modprobe ip_vs_nosuch"), "{error}");
}

#[test]
fn a_scheduler_is_asked_for_without_making_a_service() {
    let mut kernel = kernel();
    for scheduler in Scheduling::ALL {
        let name = scheduler.name();
        let has = kernel.has_scheduler(name).unwrap();
        assert_eq!(ipvsadm("-Sn"), "", "{name}");
        let taken = netns::try_run_tool("ipvsadm", &format!("-A -f 7 -s {name}"));
        assert_eq!(has, Some(taken.is_ok()), "{name}: {taken:?}");
        ipvsadm("-C");
    }
    assert_eq!(kernel.has_scheduler("none-such").unwrap(), Some(false));
}
