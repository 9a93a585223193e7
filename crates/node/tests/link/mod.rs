//! Our interface and its addresses, with the routes of the reduced mode.

use std::net::IpAddr;

use node::{Kernel, KernelError};
use vip::{Link, LocalRoute, Op};

use super::{address, converge, desired, ip, ipvsadm, kernel, node_with_an_address};

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

#[test]
fn no_address_of_ours_becomes_the_source_of_other_connections() {
    let mut kernel = kernel();
    let wanted = desired(&["3.3.0.6", "fd01::6"], &[]);
    converge(&mut kernel, &wanted);
    // An interface without an address borrows one: the first of the node, whatever interface has it.
    ip("link add up0 type dummy");
    ip("link set up0 up");
    ip("route add 10.5.0.0/16 dev up0");
    assert!(!ip("route get 10.5.0.1").contains("src 3.3.0.6"));
    // As an older version bound it.
    ip("addr del 3.3.0.6/32 dev vipd0");
    ip("addr add 3.3.0.6/32 dev vipd0");
    ip("-6 addr change fd01::6/128 dev vipd0 preferred_lft forever");
    assert!(ip("route get 10.5.0.1").contains("src 3.3.0.6"));
    let repair = converge(&mut kernel, &wanted);
    assert!(repair.ops.iter().all(|op| matches!(op, Op::Rebind { .. })), "{:?}", repair.ops);
    assert_eq!(repair.ops.len(), 2);
    assert!(!ip("route get 10.5.0.1").contains("src 3.3.0.6"));
    assert!(ip("route get 3.3.0.6").contains("local 3.3.0.6"));
}

#[test]
fn the_reduced_mode_gives_the_nodes_own_connections_its_own_source() {
    let mut kernel = kernel();
    node_with_an_address();
    let mut wanted = desired(&["3.3.0.6", "fd01::6"], &[]);
    wanted.set_source(Some([10, 0, 0, 9].into()));
    converge(&mut kernel, &wanted);
    assert!(ip("route get 3.3.0.6").contains("src 10.0.0.9"));
    let local = ip("route show table local 3.3.0.6");
    assert_eq!(local.lines().count(), 1, "{local}");
    for part in ["dev vipd0", "proto kernel", "scope host", "src 10.0.0.9"] {
        assert!(local.contains(part), "{part} in {local}");
    }

    // The whole mode from now on.
    wanted.set_source(None);
    converge(&mut kernel, &wanted);
    assert!(ip("route get 3.3.0.6").contains("src 3.3.0.6"));

    wanted.set_source(Some([10, 0, 0, 9].into()));
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
        wanted.set_source(source.map(|source: &str| source.parse().unwrap()));
        converge(&mut kernel, &wanted);
        ip("route del local 3.3.0.6 dev vipd0 table local");
        let repair = converge(&mut kernel, &wanted);
        assert!(matches!(repair.ops[..], [Op::SetRoute { .. }]), "{:?}", repair.ops);
        assert!(ip("route get 3.3.0.6").contains(expected));
    }
}

#[test]
fn a_source_that_is_no_address_of_the_node_any_more_is_replaced() {
    let mut kernel = kernel();
    node_with_an_address();
    let mut wanted = desired(&["3.3.0.6"], &[]);
    wanted.set_source(Some([10, 0, 0, 9].into()));
    converge(&mut kernel, &wanted);
    ip("addr del 10.0.0.9/24 dev eth0");
    ip("addr add 10.0.0.11/24 dev eth0");
    wanted.set_source(Some([10, 0, 0, 11].into()));
    converge(&mut kernel, &wanted);
    assert!(ip("route get 3.3.0.6").contains("src 10.0.0.11"));
}

#[test]
fn a_link_that_went_down_is_raised_with_all_its_addresses() {
    let mut kernel = kernel();
    node_with_an_address();
    let mut wanted = desired(&["3.3.0.6", "fd01::6"], &[]);
    wanted.set_source(Some([10, 0, 0, 9].into()));
    converge(&mut kernel, &wanted);
    ip("link set vipd0 down");
    assert_eq!(kernel.observe().unwrap().link, Link::Down);
    converge(&mut kernel, &wanted);
    let shown = ip("-o addr show dev vipd0");
    assert!(shown.contains("3.3.0.6") && shown.contains("fd01::6"), "{shown}");
    assert!(ip("route get 3.3.0.6").contains("src 10.0.0.9"));
    // The flap left two local routes; both modes and the end of it must cope.
    wanted.set_source(None);
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
    assert_eq!(
        observed.our_services().count(),
        2,
        "marked services are ours without the interface"
    );
    let repair = converge(&mut kernel, &wanted);
    // The table stays as it is; what clients sent meanwhile is forgotten.
    let is_of_table = |op: &&Op| op.vip().is_some() && !matches!(op, Op::ForgetFlows { .. });
    assert_eq!(repair.ops.iter().find(is_of_table), None);
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
        Op::Bind { address: vip, route: LocalRoute::default(), names: false },
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
    let bind: Vec<_> = vips
        .iter()
        .map(|&address| Op::Bind { address, route: LocalRoute::default(), names: false })
        .collect();
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
