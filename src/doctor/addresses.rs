//! Checks of the address that the node is told to use, and of addresses of VIP prefixes that are no VIP.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use vip::Observed;

use super::diagnosis::Check;

/// Facts about addresses that the settings name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressFacts<'a> {
    /// The setting `node.address`.
    pub own: Option<Ipv4Addr>,
    /// The setting `vip.allow`.
    pub prefixes: &'a [IpNet],
    /// The state of the kernel.
    pub observed: &'a Observed,
    /// The node forwards IPv4.
    pub forwards_ipv4: bool,
    /// The node forwards IPv6.
    pub forwards_ipv6: bool,
    /// The name servers of `/etc/resolv.conf`.
    pub nameservers: Vec<IpAddr>,
    /// Those of the [`unused_addresses`] that the node sends to a router.
    pub outward: BTreeSet<IpAddr>,
}

/// Checks the node's address, and each prefix whose unused addresses the node would send back to the
/// router that they come from.
#[must_use]
pub fn check_addresses(facts: &AddressFacts<'_>) -> Vec<Check> {
    let mut checks: Vec<_> =
        facts.own.map(|own| check_own(own, facts.observed)).into_iter().collect();
    let looping: BTreeSet<_> = unused_addresses(facts.prefixes, facts.observed)
        .filter(|(_, address)| match address {
            IpAddr::V4(_) => facts.forwards_ipv4,
            IpAddr::V6(_) => facts.forwards_ipv6,
        })
        .filter(|(_, address)| facts.outward.contains(address))
        .map(|(prefix, _)| prefix)
        .collect();
    let unread = facts.observed.node.unread.iter();
    checks.extend(unread.map(|why| {
        let advice = "let the user of the agent read it: VIPs are judged without it";
        Check::warning(why.clone(), advice)
    }));
    checks.extend(check_resolvers(&facts.nameservers, facts.observed));
    checks.extend(looping.into_iter().map(|prefix| {
        // A note: most nodes get no such packets, and other hosts of the prefix would be cut off.
        Check::note(
            format!(
                "addresses of {prefix} (vip.allow) that are no VIP leave by a router: if that router \
                 routes {prefix} to this node, their packets loop between the two"
            ),
            format!(
                "only if a router does, and no other hosts are in {prefix}: \
                 `ip route add blackhole {prefix}`"
            ),
        )
    }));
    checks
}

/// Checks that the resolvers of the node are known, which no VIP may have the address of. A note: a program
/// of this node may need none.
fn check_resolvers(nameservers: &[IpAddr], observed: &Observed) -> Option<Check> {
    let is_stub = !nameservers.is_empty() && nameservers.iter().all(IpAddr::is_loopback);
    let is_unknown =
        is_stub && observed.node.resolvers.is_empty() && observed.node.unread.is_empty();
    is_unknown.then(|| {
        Check::note(
            "/etc/resolv.conf names a resolver on this node, and the resolvers that it asks are unknown: \
             a VIP with the address of one isn't refused",
            "leave their addresses out of vip.allow and of labels",
        )
    })
}

fn check_own(own: Ipv4Addr, observed: &Observed) -> Check {
    match observed.node.own.contains(&own.into()) {
        true => Check::ok(format!("{own} (node.address) is an address of this node")),
        false => Check::warning(
            format!(
                "{own} (node.address) is no address of this node: it is ignored, and the routes to \
                 the real servers choose the source address of connections to VIPs"
            ),
            "set [node] address to an address of this node, give the node that address, or remove \
             the setting",
        ),
    }
}

/// Finds the first and the last address of each prefix that is no VIP, with the prefix. A route may
/// cover one half of it.
///
/// Single addresses are left out, since they are VIPs sooner or later; and so is the prefix of all
/// addresses, whose route is the default route.
pub fn unused_addresses<'a>(
    prefixes: &'a [IpNet],
    observed: &'a Observed,
) -> impl Iterator<Item = (IpNet, IpAddr)> + 'a {
    let is_unused = |address: &IpAddr| !observed.addresses.contains_key(address);
    let wide = prefixes.iter().map(IpNet::trunc);
    let wide = wide.filter(|net| net.prefix_len() > 0 && net.prefix_len() < net.max_prefix_len());
    wide.flat_map(move |net| {
        let last = Some(net.broadcast()).filter(is_unused);
        let ends = net.hosts().find(is_unused).into_iter().chain(last);
        ends.map(move |address| (net, address))
    })
}

#[cfg(test)]
mod tests {
    use vip::{Bound, NodeFacts};

    use super::super::diagnosis::Level;
    use super::*;

    const NODE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);

    fn node(vips: &[&str]) -> Observed {
        let vips = vips.iter().map(|vip| (vip.parse().unwrap(), Bound::default()));
        Observed {
            addresses: vips.collect(),
            node: NodeFacts { own: [NODE.into()].into(), ..NodeFacts::default() },
            ..Observed::default()
        }
    }

    fn prefixes(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_address_of_another_host_is_a_warning() {
        let observed = node(&[]);
        let level = |own| check_own(own, &observed).level;
        assert_eq!(level(NODE), Level::Ok);
        assert_eq!(level(Ipv4Addr::new(10, 0, 0, 8)), Level::Warning);
    }

    #[test]
    fn a_prefix_that_is_sent_back_is_noted_with_the_route_to_add() {
        let observed = node(&["3.0.0.1", "3.255.255.255"]);
        let prefixes =
            prefixes(&["3.0.0.0/8", "4.0.0.0/8", "5.5.5.5/32", "0.0.0.0/0", "fd01::/64"]);
        let found: Vec<_> = unused_addresses(&prefixes, &observed)
            .map(|(_, address)| address.to_string())
            .collect();
        assert_eq!(
            found,
            ["3.0.0.2", "4.0.0.1", "4.255.255.255", "fd01::", "fd01::ffff:ffff:ffff:ffff"]
        );
        let noted = |forwards_ipv4, forwards_ipv6, outward: &[&str]| {
            let outward = outward.iter().map(|address| address.parse().unwrap()).collect();
            let (prefixes, observed) = (&prefixes[..], &observed);
            let facts = AddressFacts {
                own: None,
                prefixes,
                observed,
                forwards_ipv4,
                forwards_ipv6,
                nameservers: Vec::new(),
                outward,
            };
            let checks = check_addresses(&facts);
            assert!(checks.iter().all(|check| check.level == Level::Ok), "{checks:?}");
            let remedy = |check: Check| {
                let remedy = check.remedy.unwrap();
                remedy.split('`').nth(1).unwrap().to_owned()
            };
            checks.into_iter().map(remedy).collect::<Vec<_>>()
        };
        let v4 = "ip route add blackhole 4.0.0.0/8";
        let v6 = "ip route add blackhole fd01::/64";
        let outward = ["4.0.0.1", "4.255.255.255", "fd01::"];
        assert_eq!(noted(true, true, &outward), [v4, v6]);
        assert_eq!(noted(true, false, &outward), [v4]);
        assert_eq!(noted(false, true, &outward), [v6]);
        assert_eq!(noted(true, true, &["4.255.255.255"]), [v4]);
        assert_eq!(noted(true, true, &[]), [""; 0]);
    }

    #[test]
    fn resolvers_that_nobody_knows_are_told() {
        let mut observed = node(&[]);
        let told = |observed: &Observed, servers: &[&str]| {
            let servers: Vec<IpAddr> = servers.iter().map(|it| it.parse().unwrap()).collect();
            check_resolvers(&servers, observed)
        };
        let check = told(&observed, &["127.0.0.1", "::1"]).unwrap();
        assert!(check.level == Level::Ok && check.remedy.is_some(), "{check:?}");
        assert_eq!(told(&observed, &[]), None);
        assert_eq!(told(&observed, &["127.0.0.1", "10.0.0.53"]), None);
        observed.node.resolvers = [[10, 0, 0, 53].into()].into();
        assert_eq!(told(&observed, &["127.0.0.53"]), None);
    }
}
