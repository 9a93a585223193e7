//! The network of the matrix.
//!
//! ```text
//! lan 10.77.0.1 ─┬─ n1 10.77.0.11 ─┬─ docker0 172.17.0.1 ─┬─ n1b 172.17.0.2   a client, and its own server
//!                │                 │                      └─ n1s 172.17.0.3   a server
//!                │                 ├─ n1r 10.88.1.2   a client and its own server, routed
//!                │                 └─ n1t 10.88.1.3   a server, routed
//!                ├─ n2 10.77.0.12 ── the same as n1
//!                ├─ n3 10.77.0.13    no containers
//!                └─ n4 10.77.0.14    no vipd: routes the VIPs via n1
//! ```
//!
//! IPv6 is built alike: `fd77::11`, docker0 `fd17:1::1`, routed `fd88:1::2`.

use std::collections::BTreeMap;

use testkit::netns;

use super::docker::{self, Firewall};
use super::seat::Seat;

/// The nodes with vipd.
pub(super) const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// The two nodes that run containers.
pub(super) const HOSTS: [&str; 2] = ["n1", "n2"];

/// The VIPs' networks, which n4 routes via n1.
pub(super) const VIPS: [&str; 2] = ["3.0.0.0/8", "fd03::/16"];

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

pub(super) struct Net {
    seats: BTreeMap<&'static str, Seat>,
    pub(super) firewall: Firewall,
}

impl Net {
    /// Builds the network, with Docker's rules made by one variant of iptables.
    pub(super) fn build(firewall: Firewall) -> Self {
        let mut net = Self { seats: BTreeMap::new(), firewall };
        net.namespace("lan");
        ip("-n lan link add lan type bridge");
        ip("-n lan addr add 10.77.0.1/24 dev lan");
        ip("-n lan -6 addr add fd77::1/64 dev lan nodad");
        ip("-n lan link set lan up");
        for node in ["n1", "n2", "n3", "n4"] {
            net.node(node);
        }
        for node in HOSTS {
            net.containers(node);
        }
        for network in VIPS {
            let via = if network.contains(':') { "fd77::11" } else { "10.77.0.11" };
            ip(&format!("-n n4 route add {network} via {via}"));
        }
        // Containers of one node reach those of the other, and all nodes have routes to them.
        for (at, of) in
            [("n2", "n1"), ("n1", "n2"), ("n3", "n1"), ("n3", "n2"), ("n4", "n1"), ("n4", "n2")]
        {
            let number = number(of);
            ip(&format!("-n {at} route add 10.88.{number}.0/24 via {}", address(of, Family::V4)));
            ip(&format!("-n {at} -6 route add fd88:{number}::/64 via {}", address(of, Family::V6)));
        }
        net
    }

    fn namespace(&mut self, name: &'static str) {
        ip(&format!("netns add {name}"));
        ip(&format!("-n {name} link set lo up"));
        self.seats.insert(name, Seat::take(name));
    }

    fn node(&mut self, node: &'static str) {
        self.namespace(node);
        ip(&format!("-n lan link add to-{node} type veth peer name eth0 netns {node}"));
        ip(&format!("-n lan link set to-{node} master lan up"));
        ip(&format!("-n {node} addr add {}/24 dev eth0", address(node, Family::V4)));
        ip(&format!("-n {node} -6 addr add {}/64 dev eth0 nodad", address(node, Family::V6)));
        ip(&format!("-n {node} link set eth0 up"));
        ip(&format!("-n {node} route add default via 10.77.0.1"));
        ip(&format!("-n {node} -6 route add default via fd77::1"));
        self.set(node, "net/ipv6/conf/all/forwarding", "1");
        // A listener on [::] takes IPv6 only, as in Go.
        self.set(node, "net/ipv6/bindv6only", "1");
    }

    fn containers(&mut self, node: &'static str) {
        let number = number(node);
        ip(&format!("-n {node} link add docker0 type bridge"));
        ip(&format!("-n {node} addr add 172.17.0.1/16 dev docker0"));
        ip(&format!("-n {node} -6 addr add fd17:{number}::1/64 dev docker0 nodad"));
        ip(&format!("-n {node} link set docker0 up"));
        for container in containers_of(node) {
            self.namespace(container);
            ip(&format!(
                "-n {node} link add to-{container} type veth peer name eth0 netns {container}"
            ));
            if is_routed(container) {
                self.route_to(node, container);
            } else {
                ip(&format!("-n {node} link set to-{container} master docker0 up"));
                let (v4, v6) = (address(container, Family::V4), address(container, Family::V6));
                ip(&format!("-n {container} addr add {v4}/16 dev eth0"));
                ip(&format!("-n {container} -6 addr add {v6}/64 dev eth0 nodad"));
                ip(&format!("-n {container} link set eth0 up"));
                ip(&format!("-n {container} route add default via 172.17.0.1"));
                ip(&format!("-n {container} -6 route add default via fd17:{number}::1"));
            }
        }
        docker::install(self, node);
    }

    /// Attaches a container as Calico does: by a veth pair and a route.
    fn route_to(&self, node: &str, container: &str) {
        let (v4, v6) = (address(container, Family::V4), address(container, Family::V6));
        ip(&format!("-n {node} link set to-{container} up"));
        ip(&format!("-n {node} -6 addr add fe80::1/64 dev to-{container} nodad"));
        ip(&format!("-n {container} addr add {v4}/32 dev eth0"));
        ip(&format!("-n {container} -6 addr add {v6}/128 dev eth0 nodad"));
        ip(&format!("-n {container} link set eth0 up"));
        ip(&format!("-n {node} route add {v4}/32 dev to-{container}"));
        ip(&format!("-n {node} -6 route add {v6}/128 dev to-{container}"));
        let gateway = address(node, Family::V4);
        ip(&format!("-n {container} route add {gateway}/32 dev eth0"));
        ip(&format!("-n {container} route add default via {gateway}"));
        ip(&format!("-n {container} -6 route add default via fe80::1 dev eth0"));
    }

    /// Writes a kernel setting of a namespace.
    pub(super) fn set(&self, namespace: &str, setting: &str, value: &str) {
        let path = format!("/proc/sys/{setting}");
        let value = value.to_owned();
        self.seat(namespace).run(move || {
            std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
        });
    }

    pub(super) fn seat(&self, namespace: &str) -> &Seat {
        &self.seats[namespace]
    }

    /// Runs a tool in a namespace.
    #[track_caller]
    pub(super) fn on(&self, namespace: &str, line: &str) -> String {
        netns::run_tool("ip", &format!("netns exec {namespace} {line}"))
    }
}

#[track_caller]
fn ip(args: &str) {
    netns::run_tool("ip", args);
}

/// The containers of a node: `b` and `s` on its bridge, `r` and `t` routed.
pub(super) fn containers_of(node: &str) -> [&'static str; 4] {
    match node {
        "n1" => ["n1b", "n1s", "n1r", "n1t"],
        _ => ["n2b", "n2s", "n2r", "n2t"],
    }
}

fn is_routed(container: &str) -> bool {
    container.ends_with(['r', 't'])
}

/// 1 of `n1` and of its containers.
fn number(name: &str) -> char {
    name.chars().nth(1).unwrap()
}

/// The network of a node's bridge.
pub(super) fn bridged(node: &str, family: Family) -> String {
    match family {
        Family::V4 => "172.17.0.0/16".to_owned(),
        Family::V6 => format!("fd17:{}::/64", number(node)),
    }
}

/// The address of a node or container.
pub(super) fn address(name: &str, family: Family) -> String {
    let number = number(name);
    let place = if name.ends_with(['b', 'r']) { 2 } else { 3 };
    match (family, name.len(), is_routed(name)) {
        (Family::V4, 2, _) => format!("10.77.0.1{number}"),
        (Family::V6, 2, _) => format!("fd77::1{number}"),
        (Family::V4, _, true) => format!("10.88.{number}.{place}"),
        (Family::V6, _, true) => format!("fd88:{number}::{place}"),
        (Family::V4, _, false) => format!("172.17.0.{place}"),
        (Family::V6, _, false) => format!("fd17:{number}::{place}"),
    }
}
