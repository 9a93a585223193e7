//! The source address of the node's own connections to a VIP: that of the way to its real servers.
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
    /// The source of packets to a real server. `None`: there is no way to it, or it is this node.
    pub towards: BTreeMap<IpAddr, Option<Ipv4Addr>>,
    /// The source where no real server decides: towards the default router, else the first global
    /// address of the node. `None`: the node has no IPv4 address.
    pub otherwise: Option<Ipv4Addr>,
}

/// The source for one VIP address, or what is missing to choose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The source to bind the address with, if there is one.
    Known(Option<Ipv4Addr>),
    /// The real server to ask the kernel about first.
    Ask(IpAddr),
}

impl Ways {
    /// Applies the rule to the services of one address. `nodes` are the agents' own addresses.
    pub(crate) fn source_for<'a>(
        &self,
        services: impl Iterator<Item = &'a DesiredService>,
        nodes: &BTreeSet<IpAddr>,
    ) -> Source {
        let servers = services.flat_map(|service| service.selection.members.keys());
        let mut servers: Vec<IpAddr> = servers.map(SocketAddr::ip).collect();
        // Those of one agent are neighbours, and each is looked up once.
        servers.dedup();
        let mut servers: Vec<_> =
            servers.into_iter().map(|server| (!nodes.contains(&server), server)).collect();
        servers.sort_unstable();
        for (_, server) in servers {
            match self.towards.get(&server) {
                Some(Some(source)) => return Source::Known(Some(*source)),
                Some(None) => {}
                None => return Source::Ask(server),
            }
        }
        Source::Known(self.otherwise)
    }

    /// Takes in newer answers.
    pub(crate) fn update(&mut self, newer: Self) {
        self.towards.extend(newer.towards);
        self.otherwise = newer.otherwise;
    }
}

/// Groups `services` by address, the IPv4 ones only.
pub(crate) fn by_address(
    services: &BTreeMap<Vip, DesiredService>,
) -> impl Iterator<Item = (IpAddr, impl Iterator<Item = &DesiredService>)> {
    let addresses: BTreeSet<IpAddr> =
        services.keys().map(|vip| vip.address).filter(IpAddr::is_ipv4).collect();
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
            let member = Member { weight: 1, source, app, task, why: Why::Healthy, local: None };
            (format!("{server}:80").parse().unwrap(), member)
        };
        let members = servers.iter().map(member).collect();
        let selection = Selection { members, ..Selection::default() };
        DesiredService { selection, ..DesiredService::default() }
    }

    fn ways(towards: &[(&str, Option<&str>)]) -> Ways {
        let towards = towards
            .iter()
            .map(|(server, source)| (address(server), source.map(|s| s.parse().unwrap())));
        Ways { towards: towards.collect(), otherwise: Some([10, 9, 0, 1].into()) }
    }

    fn source(ways: &Ways, servers: &[&str], nodes: &[&str]) -> Source {
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
        let known = |text: &str| Source::Known(Some(text.parse().unwrap()));
        assert_eq!(source(&ways, &["10.2.0.5"], &[]), known("10.2.0.1"));
        assert_eq!(source(&ways, &["10.1.0.5", "10.2.0.5"], &[]), known("10.2.0.1"));
        assert_eq!(source(&ways, &["10.1.0.5"], &[]), known("10.9.0.1"), "no way: the default");
        assert_eq!(source(&ways, &[], &[]), known("10.9.0.1"), "no server: the default");
    }

    #[test]
    fn agents_come_before_containers() {
        let ways = ways(&[("10.2.0.5", Some("10.2.0.1")), ("10.1.0.9", Some("10.1.0.1"))]);
        let servers = ["10.1.0.9", "10.2.0.5"];
        let known = |text: &str| Source::Known(Some(text.parse().unwrap()));
        assert_eq!(source(&ways, &servers, &[]), known("10.1.0.1"));
        assert_eq!(source(&ways, &servers, &["10.2.0.5"]), known("10.2.0.1"));
    }

    #[test]
    fn a_way_that_is_not_known_is_asked_for_before_any_later_one_counts() {
        let ways = ways(&[("10.2.0.5", Some("10.2.0.1"))]);
        let asked = source(&ways, &["10.1.0.5", "10.2.0.5"], &[]);
        assert_eq!(asked, Source::Ask(address("10.1.0.5")));
    }
}
