//! The policy on addresses: which may be VIPs on this node.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::naming::VipName;
use crate::reserved::Reserved;
use crate::special_address::SpecialAddress;
use crate::{ClusterFacts, LocalServers, NodeFacts, SourceId};

/// The operator's policy (`[vip]` of the configuration).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// If not empty, every VIP must lie in one of these prefixes; such a VIP is admitted even if it
    /// collides with a route of this node.
    pub allow: Vec<IpNet>,
    /// Prefixes and names that only some apps may claim.
    pub owner: BTreeMap<Reserved, Reservation>,
    /// Addresses of the cluster's servers, beside those that [`ClusterFacts`] has (`[cluster]` of the
    /// configuration).
    #[serde(skip)]
    pub cluster: Vec<IpNet>,
    /// The addresses at which the node's name server answers (`[names]` of the configuration).
    #[serde(skip)]
    pub listen: Vec<IpAddr>,
    /// The servers that the node's name server asks about other names (`[names]` of the configuration).
    #[serde(skip)]
    pub upstreams: Vec<IpAddr>,
    /// The endpoint to use for real servers on this node (`[node]` of the configuration).
    #[serde(skip)]
    pub local_servers: LocalServers,
}

/// The apps that may claim VIPs in a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "a path such as \"/shop\", or a table with `source` and `path`")]
pub enum Reservation {
    /// Those at or below a path, whichever source they are from.
    AnySource(String),
    /// Those at or below a path of one source.
    OneSource(SourcePath),
}

/// A path of apps of one source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SourcePath {
    /// The name of the source.
    pub source: String,
    /// The path.
    pub path: String,
}

impl Reservation {
    /// Tells whether the apps include this one.
    fn includes(&self, source: &SourceId, app: &str) -> bool {
        match self {
            Self::AnySource(path) => is_at_or_below(app, path),
            Self::OneSource(only) => {
                only.source == source.as_str() && is_at_or_below(app, &only.path)
            }
        }
    }
}

/// Writes `/shop`, or `/shop of main`.
impl fmt::Display for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnySource(path) => f.write_str(path),
            Self::OneSource(SourcePath { source, path }) => write!(f, "{path} of {source}"),
        }
    }
}

/// The past of an address as a VIP of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// It never served.
    New,
    /// It served.
    Served,
    /// It served, and our interface holds it still.
    Bound,
}

/// The reason why an address may not be a VIP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefusal {
    /// An address with a special meaning.
    #[error("{0} is {1}, which can't be a VIP")]
    Special(IpAddr, SpecialAddress),
    /// An address of this node.
    #[error("{0} is an address of this node: binding it as a VIP would cut the node off")]
    OwnAddress(IpAddr),
    /// An address of another node, or another server of the cluster.
    #[error("{0} is the address of a server of the cluster")]
    OtherNode(IpAddr),
    /// An address of a server that the cluster depends on.
    #[error("{0} is the address of a server of Marathon, Mesos or ZooKeeper")]
    Master(IpAddr),
    /// An address of a gateway.
    #[error("{0} is a gateway of this node's routes")]
    Gateway(IpAddr),
    /// A broadcast or anycast address.
    #[error("{0} is a broadcast or anycast address of a network of this node")]
    Group(IpAddr),
    /// An address of a resolver.
    #[error(
        "{0} is a DNS resolver of this node (/etc/resolv.conf): if this VIP is to be that resolver, put \
         {0} itself in vip.allow, beside the prefixes of all other VIPs"
    )]
    Resolver(IpAddr),
    /// An address of a server that the node's name server asks.
    #[error(
        "{0} is a server that vipd's name server asks ([names] upstreams): if this VIP is to be that \
         server, put {0} itself in vip.allow, beside the prefixes of all other VIPs"
    )]
    Upstream(IpAddr),
    /// The address at which the node's name server answers.
    #[error("{0} is the address of this node's name server ([names] listen)")]
    NameServer(IpAddr),
    /// The address of a task's container.
    #[error("{0} is the own address of a task")]
    Task(IpAddr),
    /// An address in a network that this node has a route to.
    #[error(
        "{0} lies in {1}, a network that this node reaches by {2}: put the prefix in vip.allow if \
         it is free for VIPs"
    )]
    Routed(IpAddr, IpNet, String),
    /// An address outside of the allowed prefixes.
    #[error("{0} is outside vip.allow of this node's configuration")]
    NotAllowed(IpAddr),
    /// An address reserved for other apps.
    #[error("{0} lies in {1}, which vip.owner reserves for {2}")]
    Reserved(IpAddr, Reserved, Reservation),
    /// A name reserved for other apps.
    #[error("the name {0} is one of {1}, which vip.owner reserves for {2}")]
    ReservedName(VipName, Reserved, Reservation),
}

impl Policy {
    /// Checks that `app` of a source may claim `address` as a VIP. A `name` has its address by the
    /// settings of names, so it needs no other permission to lie there.
    ///
    /// An address that serves already stays although something new on the node or in the cluster speaks
    /// against it, which is returned: a route, a resolver, the address of a container. So does one that
    /// our interface holds when another one gets it, too: packets to it come to this node as before.
    ///
    /// # Errors
    /// Returns the most fundamental reason for the refusal.
    pub fn admit(
        &self,
        (source, app): (&SourceId, &str),
        (address, name): (IpAddr, Option<&VipName>),
        past: Past,
        node: &NodeFacts,
        cluster: &ClusterFacts,
    ) -> Result<Option<AddressRefusal>, AddressRefusal> {
        self.check_always(address, past, node, cluster)?;
        let covering = self.allow.iter().filter(|prefix| prefix.contains(&address));
        let allowed = covering.clone().next().is_some();
        if !self.allow.is_empty() && !allowed && name.is_none() {
            return Err(AddressRefusal::NotAllowed(address));
        }
        self.check_owner((source, app), (address, name))?;
        // A prefix of one address is about this very address.
        let is_named =
            covering.clone().any(|prefix| prefix.prefix_len() == prefix.max_prefix_len());
        let route = node.routes.iter().find(|(net, _)| net.contains(&address));
        let objection = if node.own.contains(&address) {
            Some(AddressRefusal::OwnAddress(address))
        } else if node.resolvers.contains(&address) && !is_named {
            Some(AddressRefusal::Resolver(address))
        } else if self.upstreams.contains(&address) && !is_named {
            Some(AddressRefusal::Upstream(address))
        } else if cluster.tasks.contains(&address) {
            Some(AddressRefusal::Task(address))
        } else {
            let route = route.filter(|_| !allowed);
            route.map(|(net, link)| AddressRefusal::Routed(address, *net, link.clone()))
        };
        match objection {
            Some(refusal) if past == Past::New => Err(refusal),
            objection => Ok(objection),
        }
    }

    /// Refuses addresses that are never VIPs, whatever the configuration says. One of this node's own is
    /// cut off when it is bound as a VIP, not when it is bound already.
    fn check_always(
        &self,
        address: IpAddr,
        past: Past,
        node: &NodeFacts,
        cluster: &ClusterFacts,
    ) -> Result<(), AddressRefusal> {
        if let Some(special) =
            SpecialAddress::from_address(address).filter(|special| !special.may_be_vip())
        {
            return Err(AddressRefusal::Special(address, special));
        }
        if node.own.contains(&address) && past != Past::Bound {
            return Err(AddressRefusal::OwnAddress(address));
        }
        if self.is_of_cluster(address) || cluster.nodes.contains(&address) {
            return Err(AddressRefusal::OtherNode(address));
        }
        if cluster.masters.contains(&address) {
            return Err(AddressRefusal::Master(address));
        }
        if self.listen.contains(&address) {
            return Err(AddressRefusal::NameServer(address));
        }
        if node.gateways.contains(&address) {
            return Err(AddressRefusal::Gateway(address));
        }
        if node.groups.contains(&address) {
            return Err(AddressRefusal::Group(address));
        }
        Ok(())
    }

    /// Tells whether `cluster` has an address; a narrower prefix of `allow` makes an exception.
    fn is_of_cluster(&self, address: IpAddr) -> bool {
        let narrowest = |prefixes: &[IpNet]| {
            let covering = prefixes.iter().filter(|prefix| prefix.contains(&address));
            covering.map(IpNet::prefix_len).max()
        };
        let of_cluster = narrowest(&self.cluster);
        of_cluster.is_some() && narrowest(&self.allow) <= of_cluster
    }

    /// Refuses what `owner` reserves for other apps.
    fn check_owner(
        &self,
        (source, app): (&SourceId, &str),
        (address, name): (IpAddr, Option<&VipName>),
    ) -> Result<(), AddressRefusal> {
        let excludes = |(_, owner): &(&Reserved, &Reservation)| !owner.includes(source, app);
        let of_name = name.and_then(|name| {
            let (reserved, owner) =
                self.reserved_for(|reserved| reserved.has_name(name)).filter(excludes)?;
            Some(AddressRefusal::ReservedName(name.clone(), reserved.clone(), owner.clone()))
        });
        let of_address = || {
            let (reserved, owner) =
                self.reserved_for(|reserved| reserved.has_address(address)).filter(excludes)?;
            Some(AddressRefusal::Reserved(address, reserved.clone(), owner.clone()))
        };
        of_name.or_else(of_address).map_or(Ok(()), Err)
    }

    /// Returns the narrowest part of `owner` that covers something.
    fn reserved_for(
        &self,
        covers: impl Fn(&Reserved) -> bool,
    ) -> Option<(&Reserved, &Reservation)> {
        let covering = self.owner.iter().filter(|(reserved, _)| covers(reserved));
        covering.max_by_key(|(reserved, _)| reserved.narrowness())
    }
}

/// Tells whether an app is at or below a path: `/shop/db` is at or below `/shop` and `/shop/db`,
/// not `/sho`.
fn is_at_or_below(app: &str, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    app.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(
        policy: &Policy,
        app: &str,
        address: &str,
        node: &NodeFacts,
    ) -> Result<(), AddressRefusal> {
        let app = (&SourceId::from("main"), app);
        let at = (address.parse().unwrap(), None);
        policy.admit(app, at, Past::New, node, &ClusterFacts::default()).map(drop)
    }

    fn plain(address: &str) -> Result<(), AddressRefusal> {
        admit(&Policy::default(), "/a", address, &NodeFacts::default())
    }

    #[test]
    fn special_addresses_are_never_vips() {
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "169.254.1.1",
            "224.0.0.1",
            "239.1.1.1",
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(matches!(plain(address), Err(AddressRefusal::Special(..))), "{address}");
        }
    }

    #[test]
    fn public_private_and_unique_local_addresses_may_be() {
        for address in
            ["3.3.0.6", "10.1.2.3", "192.168.0.9", "100.64.0.1", "fd01:c::254", "2001:db8::1"]
        {
            assert_eq!(plain(address), Ok(()), "{address}");
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A node and a cluster in which an address of each kind is in use.
    fn in_use(route: (&str, &str), resolver: &str) -> (NodeFacts, ClusterFacts) {
        let (network, interface) = route;
        let node = NodeFacts {
            own: [ip("10.0.0.1")].into(),
            routes: [(network.parse().unwrap(), interface.to_owned())].into(),
            resolvers: [ip(resolver)].into(),
            gateways: [ip("10.0.0.254")].into(),
            groups: [ip("10.0.0.255")].into(),
            ..NodeFacts::default()
        };
        let cluster = ClusterFacts {
            nodes: [ip("10.0.0.2")].into(),
            masters: [ip("10.0.0.9")].into(),
            tasks: [ip("9.0.1.3")].into(),
        };
        (node, cluster)
    }

    #[test]
    fn what_the_node_and_cluster_use_is_refused() {
        let (node, cluster) = in_use(("172.17.0.0/16", "docker0"), "10.0.0.53");
        let app = (&SourceId::default(), "/a");
        let refusal = |address| {
            Policy::default()
                .admit(app, (ip(address), None), Past::New, &node, &cluster)
                .unwrap_err()
        };
        assert!(matches!(refusal("10.0.0.1"), AddressRefusal::OwnAddress(_)));
        assert!(matches!(refusal("10.0.0.2"), AddressRefusal::OtherNode(_)));
        assert!(matches!(refusal("10.0.0.9"), AddressRefusal::Master(_)));
        assert!(matches!(refusal("10.0.0.53"), AddressRefusal::Resolver(_)));
        assert!(matches!(refusal("9.0.1.3"), AddressRefusal::Task(_)));
        assert!(matches!(refusal("172.17.0.2"), AddressRefusal::Routed(..)));
        assert!(matches!(refusal("10.0.0.254"), AddressRefusal::Gateway(_)));
        assert!(matches!(refusal("10.0.0.255"), AddressRefusal::Group(_)));
        let re_admitted =
            Policy { allow: vec!["172.17.0.0/24".parse().unwrap()], ..Policy::default() };
        assert_eq!(
            re_admitted.admit(app, (ip("172.17.0.2"), None), Past::New, &node, &cluster),
            Ok(None)
        );
        assert!(
            re_admitted.admit(app, (ip("10.0.0.1"), None), Past::Served, &node, &cluster).is_err()
        );
    }

    #[test]
    fn what_serves_stays_unless_it_may_never_be_a_vip() {
        let (node, cluster) = in_use(("3.0.0.0/8", "tun0"), "4.4.0.53");
        let app = (&SourceId::default(), "/a");
        let admit = |policy: &Policy, address: &str, past: Past| {
            policy.admit(app, (ip(address), None), past, &node, &cluster)
        };
        let policy = Policy::default();
        for address in ["3.3.0.6", "4.4.0.53", "9.0.1.3"] {
            let refusal = admit(&policy, address, Past::New).unwrap_err();
            assert_eq!(admit(&policy, address, Past::Served), Ok(Some(refusal)), "{address}");
        }
        // Binding it cuts the node off, and it is bound.
        let own = AddressRefusal::OwnAddress(ip("10.0.0.1"));
        assert_eq!(admit(&policy, "10.0.0.1", Past::Bound), Ok(Some(own)));
        assert!(admit(&policy, "10.0.0.2", Past::Bound).is_err());
        let policy = Policy { cluster: vec!["10.5.0.0/24".parse().unwrap()], ..Policy::default() };
        for address in
            ["10.0.0.1", "10.0.0.2", "10.5.0.7", "10.0.0.9", "10.0.0.254", "10.0.0.255", "0.0.0.0"]
        {
            assert!(admit(&policy, address, Past::Served).is_err(), "{address}");
        }
        // A narrower prefix that is free for VIPs is an exception.
        let free = Policy {
            cluster: vec!["10.0.0.0/8".parse().unwrap()],
            allow: vec!["10.200.0.0/16".parse().unwrap()],
            ..Policy::default()
        };
        assert_eq!(admit(&free, "10.200.0.6", Past::New), Ok(None));
        assert!(admit(&free, "10.201.0.6", Past::Served).is_err());
        // The operator's settings are obeyed at once.
        let elsewhere = Policy { allow: vec!["5.0.0.0/8".parse().unwrap()], ..Policy::default() };
        assert!(admit(&elsewhere, "3.3.0.6", Past::Served).is_err());
        // So is a server that the name server asks.
        let asks = Policy { upstreams: vec![ip("5.3.0.53")], ..Policy::default() };
        let asked = AddressRefusal::Upstream(ip("5.3.0.53"));
        assert_eq!(admit(&asks, "5.3.0.53", Past::New), Err(asked.clone()));
        assert_eq!(admit(&asks, "5.3.0.53", Past::Served), Ok(Some(asked)));
        let named = Policy { allow: vec!["5.3.0.53/32".parse().unwrap()], ..asks };
        assert_eq!(admit(&named, "5.3.0.53", Past::New), Ok(None));
        // A prefix that happens to cover a resolver doesn't give it away; its own address does.
        let allow =
            |prefix: &str| Policy { allow: vec![prefix.parse().unwrap()], ..policy.clone() };
        assert!(admit(&allow("4.4.0.0/16"), "4.4.0.53", Past::New).is_err());
        assert_eq!(admit(&allow("4.4.0.53/32"), "4.4.0.53", Past::New), Ok(None));
    }

    #[test]
    fn allow_and_owner_limit_who_may_claim_what() {
        let policy = Policy {
            allow: vec!["3.0.0.0/8".parse().unwrap()],
            owner: [
                ("3.3.0.0/16".parse().unwrap(), Reservation::AnySource("/shop".to_owned())),
                ("3.3.7.0/24".parse().unwrap(), Reservation::AnySource("/bank/".to_owned())),
            ]
            .into(),
            ..Policy::default()
        };
        let node = NodeFacts::default();
        assert!(matches!(
            admit(&policy, "/a", "4.4.0.7", &node),
            Err(AddressRefusal::NotAllowed(_))
        ));
        assert_eq!(admit(&policy, "/a", "3.9.0.1", &node), Ok(()));
        assert_eq!(admit(&policy, "/shop/db", "3.3.0.6", &node), Ok(()));
        assert!(matches!(
            admit(&policy, "/shopping", "3.3.0.6", &node),
            Err(AddressRefusal::Reserved(..))
        ));
        assert_eq!(admit(&policy, "/bank", "3.3.7.1", &node), Ok(()));
        assert!(admit(&policy, "/shop", "3.3.7.1", &node).is_err());
    }

    #[test]
    fn names_may_be_reserved_and_the_narrowest_decides() {
        let reserved = |text: &str, path: &str| {
            (text.parse().unwrap(), Reservation::AnySource(path.to_owned()))
        };
        let owner = [
            reserved("shop-*", "/shop"),
            reserved("shop-db.marathon", "/bank"),
            reserved("11.0.0.0/8", "/all"),
        ];
        let policy = Policy { owner: owner.into(), ..Policy::default() };
        let admit = |app: &str, name: &str, address: &str| {
            let (name, at) = (name.parse().unwrap(), address.parse().unwrap());
            let (node, cluster) = (NodeFacts::default(), ClusterFacts::default());
            let app = (&SourceId::from("m"), app);
            policy.admit(app, (at, Some(&name)), Past::New, &node, &cluster).is_ok()
        };
        assert!(admit("/shop/web", "shop-web.marathon", "12.0.0.1"));
        assert!(!admit("/evil", "shop-web.marathon", "12.0.0.1"));
        assert!(admit("/bank", "shop-db.marathon", "12.0.0.1"));
        assert!(!admit("/shop", "shop-db.marathon", "12.0.0.1"));
        assert!(admit("/evil", "shop.marathon", "12.0.0.1"));
        // The address counts as well.
        assert!(!admit("/shop", "shop-web.marathon", "11.0.0.1"));
    }

    #[test]
    fn a_prefix_may_be_reserved_for_the_apps_of_one_source() {
        let reserved = |source: &str| {
            let only = SourcePath { source: source.to_owned(), path: "/shop".to_owned() };
            let owner = [("3.3.0.0/16".parse().unwrap(), Reservation::OneSource(only))].into();
            Policy { owner, ..Policy::default() }
        };
        let node = NodeFacts::default();
        assert_eq!(admit(&reserved("main"), "/shop/db", "3.3.0.6", &node), Ok(()));
        assert!(admit(&reserved("main"), "/bank", "3.3.0.6", &node).is_err());
        let refusal = admit(&reserved("other"), "/shop/db", "3.3.0.6", &node).unwrap_err();
        let text = "3.3.0.6 lies in 3.3.0.0/16, which vip.owner reserves for /shop of other";
        assert_eq!(refusal.to_string(), text);
    }
}
