//! Checks of container bridges: whether a container can reach a VIP that it serves itself.

use std::collections::BTreeSet;

use node::LinkFacts;
use vip::Observed;

use super::diagnosis::Check;

/// Facts about the bridges of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BridgeFacts<'a> {
    /// The value of `bridge-nf-call-iptables`, by which bridged packets pass the firewall. `None`:
    /// `br_netfilter` isn't loaded.
    pub filtered: Option<bool>,
    /// All interfaces.
    pub links: &'a [LinkFacts],
    /// The IPVS table, whose real servers may be containers of this node.
    pub observed: Option<&'a Observed>,
}

/// Checks the ports of bridges that have real servers behind them.
#[must_use]
pub fn check_bridges(facts: BridgeFacts<'_>) -> Vec<Check> {
    let filtered = facts.filtered == Some(true);
    let text = match facts.filtered {
        None => "br_netfilter isn't loaded: bridged packets don't pass the firewall",
        Some(false) => "bridge-nf-call-iptables is 0: bridged packets don't pass the firewall",
        Some(true) => "bridge-nf-call-iptables is 1: bridged packets pass the firewall",
    };
    let mut checks = vec![Check::ok(text)];
    let serving = facts.observed.map(bridges_with_servers).unwrap_or_default();
    let ports = facts.links.iter().filter_map(|link| Some((link, link.port_of.as_ref()?)));
    let stuck =
        ports.filter(|(_, port)| filtered && !port.hairpin && serving.contains(&*port.bridge));
    checks.extend(stuck.map(|(link, port)| {
        Check::warning(
            format!(
                "{} of {} has no hairpin mode, and bridge-nf-call-iptables is 1: a container there \
                 gets no reply from a VIP that it serves by its own address",
                link.name, port.bridge
            ),
            format!(
                "`ip link set {} type bridge_slave hairpin on`; for all containers: Docker's \
                 userland proxy, or \"hairpinMode\": true in the CNI configuration",
                link.name
            ),
        )
    }));
    checks
}

/// Returns the bridges with real servers behind them that have addresses of their own.
fn bridges_with_servers(observed: &Observed) -> BTreeSet<&str> {
    let servers = observed.our_services().flat_map(|(_, service)| service.servers.keys());
    let routes = &observed.node.routes;
    servers
        .filter_map(|server| {
            let (_, bridge) = routes.iter().find(|(net, _)| net.contains(&server.ip()))?;
            Some(bridge.as_str())
        })
        .collect()
}
