//! Bridges of containers, and whether a container reaches a VIP that it serves itself.

use std::collections::BTreeSet;

use node::LinkFacts;
use vip::Observed;

use super::Check;

/// What is known of bridges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bridges<'a> {
    /// `bridge-nf-call-iptables`: bridged packets pass the firewall. `None`: `br_netfilter` isn't
    /// loaded.
    pub filtered: Option<bool>,
    /// All interfaces.
    pub links: &'a [LinkFacts],
    /// The kernel's table, with real servers that may be containers of this node.
    pub observed: Option<&'a Observed>,
}

/// Checks them.
#[must_use]
pub fn bridges(bridges: Bridges<'_>) -> Vec<Check> {
    let filtered = bridges.filtered == Some(true);
    let is = match bridges.filtered {
        None => "br_netfilter isn't loaded: bridged packets don't pass the firewall",
        Some(false) => "bridge-nf-call-iptables is 0: bridged packets don't pass the firewall",
        Some(true) => "bridge-nf-call-iptables is 1: bridged packets pass the firewall",
    };
    let mut checks = vec![Check::ok(is)];
    let serving = bridges.observed.map(serving).unwrap_or_default();
    let ports = bridges.links.iter().filter_map(|link| Some((link, link.port_of.as_ref()?)));
    let stuck =
        ports.filter(|(_, port)| filtered && !port.hairpin && serving.contains(&*port.bridge));
    checks.extend(stuck.map(|(link, port)| {
        Check::warning(
            format!(
                "{} of {} has no hairpin mode, and bridge-nf-call-iptables is 1: a container there \
                 gets no answer from a VIP that it serves itself by its own address",
                link.name, port.bridge
            ),
            format!(
                "`ip link set {} type bridge_slave hairpin on`; for all: Docker's userland proxy, \
                 or \"hairpinMode\": true in the CNI configuration",
                link.name
            ),
        )
    }));
    checks
}

/// The bridges behind which real servers are that have addresses of their own.
fn serving(observed: &Observed) -> BTreeSet<&str> {
    let servers = observed.our_services().flat_map(|(_, service)| service.servers.keys());
    let routes = &observed.node.routes;
    servers
        .filter_map(|server| {
            let (_, bridge) = routes.iter().find(|(net, _)| net.contains(&server.ip()))?;
            Some(bridge.as_str())
        })
        .collect()
}
