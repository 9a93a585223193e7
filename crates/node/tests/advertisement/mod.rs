//! IPv6 forwarding on a node that has its default route by router advertisement.

use std::net::SocketAddrV6;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendto, setsockopt,
    socket, sockopt,
};
use node::inspect::{Ipv6Forwarding, read_ipv6_forwarding};
use testkit::netns;

/// A router advertisement that says "I am a router" for half an hour (RFC 4861, 4.2). The kernel
/// fills in the checksum.
const ADVERTISEMENT: [u8; 16] = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];

/// Makes a node with `eth0`, and a router at its other end.
fn link_a_router(router: &str) {
    netns::enter_netns();
    link_a_router_here(router);
}

fn link_a_router_here(router: &str) {
    netns::run_tool("ip", &format!("netns add {router}"));
    netns::run_tool("ip", &format!("link add eth0 type veth peer name lan netns {router}"));
    netns::run_tool("sysctl", "-qw net.ipv6.conf.eth0.accept_dad=0");
    netns::run_tool("ip", "link set eth0 up");
}

/// Has the router advertise itself, and waits until the node has its default route.
fn follow_the_router(router: &'static str) {
    std::thread::spawn(move || {
        netns::join_netns(router);
        netns::run_tool("sysctl", "-qw net.ipv6.conf.lan.accept_dad=0");
        netns::run_tool("ip", "link set lan up");
        let end = Instant::now() + Duration::from_secs(30);
        while let Err(error) = advertise() {
            // The link-local address may not be there yet.
            assert!(Instant::now() < end, "{error}");
            std::thread::sleep(Duration::from_millis(50));
        }
    })
    .join()
    .unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while !default_route().contains("proto ra") {
        assert!(Instant::now() < end, "no route came: {:?}", default_route());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn forwarding(router: &str) -> Ipv6Forwarding {
    Ipv6Forwarding::new(format!("/run/{router}/ipv6-forwarding").into())
}

fn advertise() -> nix::Result<()> {
    let (family, kind) = (AddressFamily::Inet6, SockType::Raw);
    let raw = socket(family, kind, SockFlag::empty(), SockProtocol::IcmpV6)?;
    // A router's word counts only from the same link: RFC 4861, 6.1.2.
    setsockopt(&raw, sockopt::Ipv6MulticastHops, &255)?;
    let index = nix::net::if_::if_nametoindex("lan")?;
    let everybody = SocketAddrV6::new("ff02::1".parse().unwrap(), 0, 0, index);
    let everybody = SockaddrIn6::from(everybody);
    sendto(raw.as_raw_fd(), &ADVERTISEMENT, &everybody, MsgFlags::empty()).map(drop)
}

fn default_route() -> String {
    netns::run_tool("ip", "-6 route show default")
}

#[test]
fn a_default_route_by_advertisement_outlives_forwarding() {
    link_a_router("router1");
    follow_the_router("router1");
    assert_eq!(read_ipv6_forwarding(), Some(false));
    let done = forwarding("router1").turn_on().unwrap();
    assert_eq!(done.len(), 2, "{done:?}");
    assert_eq!(netns::run_tool("sysctl", "-n net.ipv6.conf.all.forwarding"), "1\n");
    assert_eq!(netns::run_tool("sysctl", "-n net.ipv6.conf.eth0.accept_ra"), "2\n");
    assert!(default_route().contains("proto ra"), "the route is gone");
    assert!(forwarding("router1").turn_on().unwrap().is_empty(), "twice does nothing");
    forwarding("router1").turn_back().unwrap().unwrap();
    assert_eq!(netns::run_tool("sysctl", "-n net.ipv6.conf.all.forwarding"), "0\n");
    assert_eq!(netns::run_tool("sysctl", "-n net.ipv6.conf.eth0.accept_ra"), "1\n");
    assert!(default_route().contains("proto ra"), "the route is gone");
    netns::run_tool("ip", "netns del router1");
}

/// As at a boot, where the set-up is faster than the router.
#[test]
fn an_advertisement_after_forwarding_counts() {
    link_a_router("router3");
    forwarding("router3").turn_on().unwrap();
    follow_the_router("router3");
    netns::run_tool("ip", "netns del router3");
}

#[test]
fn an_interface_that_comes_after_forwarding_heeds_advertisements() {
    netns::enter_netns();
    forwarding("router4").turn_on().unwrap();
    link_a_router_here("router4");
    follow_the_router("router4");
    netns::run_tool("ip", "netns del router4");
}

#[test]
fn without_that_care_the_route_dies() {
    link_a_router("router2");
    follow_the_router("router2");
    netns::run_tool("sysctl", "-qw net.ipv6.conf.all.forwarding=1");
    assert_eq!(default_route(), "");
    netns::run_tool("ip", "netns del router2");
}
