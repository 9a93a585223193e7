//! Docker's networking made by hand: its iptables rules and the userland proxy.
//!
//! The rules are those of Docker 20.10 to 27 with `"ip6tables": true`, with the userland proxy and
//! without.

use std::net::{IpAddr, SocketAddr};

use testkit::netns;

use super::serve::{Protocol, proxy};
use super::topology::{Family, Net, address, bridged};

/// The iptables variant that Docker would call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Firewall {
    /// iptables-nft: rules in nftables.
    Nft,
    /// iptables-legacy.
    Legacy,
}

impl Firewall {
    /// Finds the variant that this kernel supports, by trial in the network namespace of the calling
    /// thread, which is discarded.
    pub(super) fn of_this_kernel() -> Self {
        let has_nat = netns::try_run_tool("iptables-nft", "-t nat -N probe").is_ok();
        if has_nat { Self::Nft } else { Self::Legacy }
    }

    pub(super) fn tool(self, family: Family) -> &'static str {
        match (self, family) {
            (Self::Nft, Family::V4) => "iptables-nft",
            (Self::Nft, Family::V6) => "ip6tables-nft",
            (Self::Legacy, Family::V4) => "iptables-legacy",
            (Self::Legacy, Family::V6) => "ip6tables-legacy",
        }
    }
}

/// The daemon's own rules on a node.
pub(super) fn install(net: &Net, node: &str) {
    for family in [Family::V4, Family::V6] {
        let bridged = bridged(node, family);
        let loopback = if family == Family::V4 { "127.0.0.0/8" } else { "::1/128" };
        rules(
            net,
            node,
            family,
            &[
                "-t nat -N DOCKER",
                "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
                &format!("-t nat -A OUTPUT ! -d {loopback} -m addrtype --dst-type LOCAL -j DOCKER"),
                &format!("-t nat -A POSTROUTING -s {bridged} ! -o docker0 -j MASQUERADE"),
                "-P FORWARD DROP",
                "-N DOCKER",
                "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                "-A FORWARD -o docker0 -j DOCKER",
                "-A FORWARD -i docker0 -j ACCEPT",
                // An operator with routed containers beside Docker accepts their traffic, and one
                // who routes VIPs for other machines accepts the replies.
                "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                "-A FORWARD -i to-+ -j ACCEPT",
                "-A FORWARD -o to-+ -j ACCEPT",
            ],
        );
    }
}

/// Publishes port 80 of a container: `docker run -p PORT:80` for a protocol, in both families.
/// Without a proxy the host port is a DNAT rule and nothing else.
pub(super) fn publish(
    net: &Net,
    node: &str,
    container: &str,
    port: u16,
    protocol: Protocol,
    proxied: bool,
) {
    let word = protocol.word();
    for family in [Family::V4, Family::V6] {
        let at = address(container, family);
        let to: IpAddr = at.parse().unwrap();
        let to = SocketAddr::new(to, 80);
        // With a proxy, it handles traffic from the bridge.
        let from = if proxied { "! -i docker0" } else { "" };
        rules(
            net,
            node,
            family,
            &[
                &format!(
                    "-t nat -A DOCKER {from} -p {word} --dport {port} -j DNAT --to-destination {to}"
                ),
                &format!(
                    "-A DOCKER -d {at} ! -i docker0 -o docker0 -p {word} --dport 80 -j ACCEPT"
                ),
                &format!(
                    "-t nat -A POSTROUTING -s {at} -d {at} -p {word} --dport 80 -j MASQUERADE"
                ),
            ],
        );
        if proxied {
            let wildcard = if family == Family::V4 { "0.0.0.0" } else { "::" };
            let listen = SocketAddr::new(wildcard.parse().unwrap(), port);
            net.seat(node).run(move || proxy(listen, to, protocol));
        }
    }
}

/// Calls the tool once per rule.
fn rules(net: &Net, node: &str, family: Family, rules: &[&str]) {
    let tool = net.firewall.tool(family);
    for rule in rules {
        net.on(node, &format!("{tool} --wait {rule}"));
    }
}
