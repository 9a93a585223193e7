//! The source address of connections to a VIP: that of the way to its real servers.
//!
//! Where nftables translates addresses, masquerading chooses an address of the outgoing interface,
//! whatever the route says. Where a route names another source, that one counts, for each real
//! server.
//!
//! Where nftables can't translate addresses, a client on the node would take the VIP itself as its
//! source, and replies would never leave the real server's own network stack. So the local route of
//! each VIP names a source, and there is one rule for which: the address that this node has towards
//! the first of the VIP's real servers that it has a way to. The agents' own addresses come first,
//! since the way to a container often begins at a bridge that no other node can reach.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::{DesiredService, Vip};

/// Answers of the kernel's routing table, as far as somebody asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ways {
    /// The ways to real servers.
    pub towards: BTreeMap<IpAddr, Way>,
    /// The source where no real server decides: towards the default router, else the first global
    /// address of the node. `None`: the node has no IPv4 address.
    pub otherwise: Option<Ipv4Addr>,
}

/// The MTU of the way to a real server on this node: that of `lo`, unless somebody changed it.
pub const LOOPBACK_MTU: u32 = 65_536;

/// The way to a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Way {
    /// The source of packets to an IPv4 real server. `None`: there is no way to it, or it is this
    /// node.
    pub source: Option<Ipv4Addr>,
    /// The source that the route names where masquerading would choose another one.
    pub named: Option<IpAddr>,
    /// The MTU of its first link, or that of the route; [`LOOPBACK_MTU`] if it is this node. `None`:
    /// there is no way to it.
    pub mtu: Option<u32>,
    /// The MTU of a narrower link further away, as long as the kernel remembers it.
    pub learnt: Option<u32>,
}

impl Way {
    /// Tells whether this is another way than an earlier one. A real server without any way may soon
    /// have the same again.
    pub(crate) fn has_replaced(&self, earlier: &Self) -> bool {
        self.mtu.is_some() && (self.mtu, self.source) != (earlier.mtu, earlier.source)
    }
}

impl Ways {
    /// Applies the rule to the services of one address, the ways to whose real servers are known.
    /// `nodes` are the agents' own addresses.
    pub(crate) fn source_for<'a>(
        &self,
        services: impl Iterator<Item = &'a DesiredService>,
        nodes: &BTreeSet<IpAddr>,
    ) -> Option<Ipv4Addr> {
        let servers = services.flat_map(|service| service.selection.members.keys());
        let mut servers: Vec<IpAddr> = servers.map(SocketAddr::ip).collect();
        // Those of one agent are neighbours, and each is looked up once.
        servers.dedup();
        let mut servers: Vec<_> =
            servers.into_iter().map(|server| (!nodes.contains(&server), server)).collect();
        servers.sort_unstable();
        let mut sources = servers.iter().filter_map(|(_, server)| self.towards.get(server)?.source);
        sources.next().or(self.otherwise)
    }

    /// Returns the source to translate to towards a real server; `None` if masquerading chooses it
    /// anyway, or nobody has asked for the way yet.
    pub(crate) fn named_source(&self, server: IpAddr) -> Option<IpAddr> {
        self.towards.get(&server).and_then(|way| way.named)
    }

    /// Takes in newer answers.
    pub(crate) fn update(&mut self, newer: Self) {
        self.towards.extend(newer.towards);
        self.otherwise = newer.otherwise;
    }
}

/// Groups `services` by address.
pub(crate) fn by_address(
    services: &BTreeMap<Vip, DesiredService>,
) -> impl Iterator<Item = (IpAddr, impl Iterator<Item = &DesiredService> + Clone)> {
    let addresses: BTreeSet<IpAddr> = services.keys().map(|vip| vip.address).collect();
    addresses
        .into_iter()
        .map(|address| (address, services.range(Vip::all_on(address)).map(|(_, service)| service)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Member, Selection, Why};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn service(servers: &[&str]) -> DesiredService {
        let member = |server: &&str| {
            let (source, app, task) = (Default::default(), "/a".into(), "a.1".into());
            let (why, local, silent) = (Why::Healthy, None, None);
            let member = Member { weight: 1, source, app, task, why, local, silent };
            (format!("{server}:80").parse().unwrap(), member)
        };
        let members = servers.iter().map(member).collect();
        let selection = Selection { members, ..Selection::default() };
        DesiredService { selection, ..DesiredService::default() }
    }

    fn ways(towards: &[(&str, Option<&str>)]) -> Ways {
        let towards = towards.iter().map(|(server, source)| {
            (address(server), Way { source: source.map(|s| s.parse().unwrap()), ..Way::default() })
        });
        Ways { towards: towards.collect(), otherwise: Some([10, 9, 0, 1].into()) }
    }

    fn source(ways: &Ways, servers: &[&str], nodes: &[&str]) -> Option<Ipv4Addr> {
        let nodes = nodes.iter().map(|node| address(node)).collect();
        ways.source_for([service(servers)].iter(), &nodes)
    }

    #[test]
    fn the_way_to_the_first_server_with_one_decides() {
        let ways = ways(&[
            ("10.1.0.5", None),
            ("10.2.0.5", Some("10.2.0.1")),
            ("172.17.0.2", Some("172.17.0.1")),
        ]);
        let known = |text: &str| Some(text.parse().unwrap());
        assert_eq!(source(&ways, &["10.2.0.5"], &[]), known("10.2.0.1"));
        assert_eq!(source(&ways, &["10.1.0.5", "10.2.0.5"], &[]), known("10.2.0.1"));
        assert_eq!(source(&ways, &["10.1.0.5"], &[]), known("10.9.0.1"), "no way: the default");
        assert_eq!(source(&ways, &[], &[]), known("10.9.0.1"), "no server: the default");
    }

    #[test]
    fn agents_come_before_containers() {
        let ways = ways(&[("10.2.0.5", Some("10.2.0.1")), ("10.1.0.9", Some("10.1.0.1"))]);
        let servers = ["10.1.0.9", "10.2.0.5"];
        let known = |text: &str| Some(text.parse().unwrap());
        assert_eq!(source(&ways, &servers, &[]), known("10.1.0.1"));
        assert_eq!(source(&ways, &servers, &["10.2.0.5"]), known("10.2.0.1"));
    }
}
