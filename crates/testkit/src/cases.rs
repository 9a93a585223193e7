//! Operations with the kernel's answer to each, checked against both the real kernel and the fake
//! one.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use nl_ipvs::{ClientPrefix, DestinationSettings, Scheduler, ServiceSettings, errno};
use vip::label::Options;
use vip::{LocalRoute, Op, Protocol, Vip};

/// A name, and operations in order, each with the errno of the kernel's refusal, 0 for success.
pub type Case = (&'static str, Vec<(Op, i32)>);

/// Makes a TCP VIP on port 80.
///
/// # Panics
/// If `address` is not an IP address.
#[must_use]
pub fn tcp_vip(address: &str) -> Vip {
    let address = parse_ip(address);
    let port = NonZeroU16::MIN.saturating_add(79);
    Vip { address, port, protocol: Protocol::Tcp }
}

fn parse_ip(address: &str) -> IpAddr {
    address.parse().unwrap_or_else(|_| panic!("{address} is no address"))
}

fn parse_socket(address: &str) -> SocketAddr {
    address.parse().unwrap_or_else(|_| panic!("{address} is no socket address"))
}

fn default_settings() -> ServiceSettings {
    Options::default().service_settings()
}

fn add_service(vip: Vip) -> Op {
    Op::AddService { vip, settings: default_settings() }
}

fn add_service_with(vip: Vip, change: impl FnOnce(&mut ServiceSettings)) -> Op {
    let mut settings = default_settings();
    change(&mut settings);
    Op::AddService { vip, settings }
}

fn set_service_with(vip: Vip, change: impl FnOnce(&mut ServiceSettings)) -> Op {
    let before = default_settings();
    let mut settings = before.clone();
    change(&mut settings);
    Op::SetService { vip, before: before.into(), settings }
}

fn add_server(vip: Vip, server: &str, settings: DestinationSettings) -> Op {
    Op::AddServer { vip, server: parse_socket(server), settings }
}

fn set_server(vip: Vip, server: &str, settings: DestinationSettings) -> Op {
    let before = with_weight(1);
    Op::SetServer { vip, server: parse_socket(server), before: before.into(), settings }
}

fn delete_server(vip: Vip, server: &str) -> Op {
    Op::DeleteServer { vip, server: parse_socket(server) }
}

fn with_weight(weight: u32) -> DestinationSettings {
    DestinationSettings::masquerade(weight)
}

fn unknown_scheduler(settings: &mut ServiceSettings) {
    settings.scheduler = Scheduler::new("nosuch").ok();
}

fn prefix_of_the_other_family(settings: &mut ServiceSettings) {
    settings.client_prefix = ClientPrefix::v4(24).unwrap_or_default();
}

/// Returns all cases. Each starts with an empty table, no interface, and 127.0.0.1 on `lo`.
#[must_use]
pub fn all_cases() -> Vec<Case> {
    vec![service_case(), server_case(), ipv6_server_case(), address_case(), link_case()]
}

fn service_case() -> Case {
    let (v4, v6) = (tcp_vip("3.3.0.6"), tcp_vip("fd01::6"));
    let gone = Op::DeleteService { vip: v4, servers: Vec::new() };
    (
        "services",
        vec![
            (set_service_with(v4, |_| {}), errno::ESRCH),
            (gone.clone(), errno::ESRCH),
            (add_service_with(v4, unknown_scheduler), errno::ENOENT),
            (add_service(v4), 0),
            (add_service(v4), errno::EEXIST),
            (add_service_with(v4, unknown_scheduler), errno::EEXIST),
            (set_service_with(v4, unknown_scheduler), errno::ENOENT),
            (set_service_with(v4, |settings| settings.scheduler = Scheduler::new("rr").ok()), 0),
            (add_service_with(v6, prefix_of_the_other_family), errno::EINVAL),
            (
                add_service_with(v6, |settings| settings.persistence_engine = "no".parse().ok()),
                errno::ENOENT,
            ),
            (add_service(v6), 0),
            (gone.clone(), 0),
            (gone, errno::ESRCH),
        ],
    )
}

fn server_case() -> Case {
    let (vip, absent) = (tcp_vip("3.3.0.6"), tcp_vip("3.3.0.7"));
    let (one, two) = ("10.9.0.1:8080", "10.9.0.2:8080");
    let thresholds = with_weight(1).with_thresholds(1, 2);
    (
        "servers",
        vec![
            (add_server(absent, one, with_weight(1)), errno::ESRCH),
            (set_server(absent, one, with_weight(1)), errno::ESRCH),
            (delete_server(absent, one), errno::ESRCH),
            (add_service(vip), 0),
            (set_server(vip, one, with_weight(1)), errno::ENOENT),
            (delete_server(vip, one), errno::ENOENT),
            (add_server(vip, one, with_weight(1)), 0),
            (add_server(vip, one, with_weight(1)), errno::EEXIST),
            (set_server(vip, one, with_weight(0)), 0),
            (set_server(vip, one, with_weight(u32::MAX)), errno::ERANGE),
            (add_server(vip, two, with_weight(1 << 31)), errno::ERANGE),
            (add_server(vip, two, with_weight(i32::MAX as u32)), 0),
            (set_server(vip, two, thresholds), errno::ERANGE),
            (add_server(vip, "224.0.0.9:80", with_weight(1)), errno::EINVAL),
            (add_server(vip, "255.255.255.255:80", with_weight(1)), errno::EINVAL),
            (add_server(vip, "[fd01::9]:80", with_weight(1)), errno::EINVAL),
            (delete_server(vip, one), 0),
            (delete_server(vip, one), errno::ENOENT),
        ],
    )
}

fn ipv6_server_case() -> Case {
    let vip = tcp_vip("fd01::6");
    (
        "servers of an IPv6 service",
        vec![
            (add_service(vip), 0),
            (add_server(vip, "[fd09::1]:80", with_weight(1)), 0),
            (add_server(vip, "[fd09::1]:80", with_weight(1)), errno::EEXIST),
            (add_server(vip, "[ff02::9]:80", with_weight(1)), errno::EINVAL),
            (add_server(vip, "[::]:80", with_weight(1)), errno::EINVAL),
            (add_server(vip, "10.9.0.1:80", with_weight(1)), errno::EINVAL),
            (set_server(vip, "[fd09::2]:80", with_weight(1)), errno::ENOENT),
            (delete_server(vip, "[fd09::2]:80"), errno::ENOENT),
        ],
    )
}

fn address_case() -> Case {
    let (v4, other, v6) = (parse_ip("3.3.0.6"), parse_ip("3.3.0.7"), parse_ip("fd01::6"));
    let (local, foreign) = (Some(parse_ip("127.0.0.1")), Some(parse_ip("10.99.0.1")));
    let route = |source| LocalRoute { source, mtu: None };
    let bind = |address, source| Op::Bind { address, route: route(source), names: false };
    let source = |address, source| {
        let (before, route) = (LocalRoute::default(), route(source));
        Op::SetRoute { address, before, route }
    };
    let unbind = |address| Op::Unbind { address };
    (
        "addresses",
        vec![
            (bind(v4, None), errno::ENODEV),
            (unbind(v4), errno::ENODEV),
            (source(v4, None), errno::ENODEV),
            (Op::CreateLink, 0),
            (unbind(v4), errno::EADDRNOTAVAIL),
            (unbind(v6), errno::EADDRNOTAVAIL),
            (bind(v4, None), 0),
            (bind(v4, None), errno::EEXIST),
            (bind(v6, None), 0),
            (bind(v6, None), errno::EEXIST),
            (bind(v6, Some(v6)), errno::EOPNOTSUPP),
            (source(v4, local), 0),
            (source(v4, local), 0),
            (source(v4, None), 0),
            (source(v4, None), 0),
            (source(v4, foreign), errno::EINVAL),
            (bind(other, foreign), errno::EINVAL),
            (source(other, local), 0),
            (source(v6, None), 0),
            (unbind(other), 0),
            (unbind(v4), 0),
            (unbind(v4), errno::EADDRNOTAVAIL),
            (unbind(v6), 0),
        ],
    )
}

fn link_case() -> Case {
    (
        "interface",
        vec![
            (Op::RaiseLink, errno::ENODEV),
            (Op::DeleteLink, errno::ENODEV),
            (Op::CreateLink, 0),
            (Op::CreateLink, errno::EEXIST),
            (Op::RaiseLink, 0),
            (Op::DeleteLink, 0),
            (Op::DeleteLink, errno::ENODEV),
        ],
    )
}
