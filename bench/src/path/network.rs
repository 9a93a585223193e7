//! The network of the paths: a node with a container, a real server, and a client elsewhere.

use testkit::netns::run_tool;

const NAMESPACES: [&str; 5] = ["lan", "node", "container", "server", "outside"];

pub(super) const NODE: &str = "10.77.0.11";
pub(super) const SERVER: &str = "10.77.0.12";
/// The port of the real server, and of a program on the node.
pub(super) const PORT: u16 = 9000;
pub(super) const VIP_PORT: u16 = 80;

/// Returns the address of VIP `number`, counted from 1.
pub(super) fn vip(number: usize) -> String {
    format!("3.3.{}.{}", number / 250, number % 250)
}

pub(super) fn ip(args: &str) {
    run_tool("ip", args);
}

/// Makes it, with Docker's rules on the node or without.
pub(super) fn build_network(has_docker: bool) {
    for namespace in NAMESPACES {
        ip(&format!("netns add {namespace}"));
        ip(&format!("-n {namespace} link set lo up"));
    }
    ip("-n lan link add lan type bridge");
    ip("-n lan addr add 10.77.0.1/24 dev lan");
    ip("-n lan link set lan up");
    for (host, address) in [("node", NODE), ("server", SERVER), ("outside", "10.77.0.13")] {
        ip(&format!("-n lan link add to-{host} type veth peer name eth0 netns {host}"));
        ip(&format!("-n lan link set to-{host} master lan up"));
        ip(&format!("-n {host} addr add {address}/24 dev eth0"));
        ip(&format!("-n {host} link set eth0 up"));
        ip(&format!("-n {host} route add default via 10.77.0.1"));
    }
    ip("-n outside route add 3.0.0.0/8 via 10.77.0.11");
    ip("-n server route add 172.17.0.0/16 via 10.77.0.11");
    ip("-n node link add docker0 type bridge");
    ip("-n node addr add 172.17.0.1/16 dev docker0");
    ip("-n node link set docker0 up");
    ip("-n node link add to-container type veth peer name eth0 netns container");
    ip("-n node link set to-container master docker0 up");
    ip("-n container addr add 172.17.0.2/16 dev eth0");
    ip("-n container link set eth0 up");
    ip("-n container route add default via 172.17.0.1");
    on_node("sysctl -qw net.ipv4.ip_forward=1");
    if has_docker {
        for rule in DOCKER {
            on_node(&format!("iptables-nft --wait {rule}"));
        }
    }
    // Neighbours answer before anything is measured.
    for (from, to) in
        [("node", SERVER), ("container", SERVER), ("outside", NODE), ("outside", SERVER)]
    {
        ip(&format!("netns exec {from} ping -c 1 -W 10 {to}"));
    }
}

pub(super) fn tear_down_network() {
    for namespace in NAMESPACES {
        ip(&format!("netns del {namespace}"));
    }
}

/// Docker's rules without a published port.
const DOCKER: [&str; 10] = [
    "-t nat -N DOCKER",
    "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "-t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
    "-t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
    "-t nat -A DOCKER -i docker0 -j RETURN",
    "-N DOCKER",
    "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A FORWARD -o docker0 -j DOCKER",
    "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
    "-A FORWARD -i docker0 -o docker0 -j ACCEPT",
];

pub(super) fn on_node(line: &str) -> String {
    run_tool("ip", &format!("netns exec node {line}"))
}
