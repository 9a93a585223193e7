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
    /// The addresses at which the node's name server answers (`[names]` of the configuration).
    #[serde(skip)]
    pub listen: Vec<IpAddr>,
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

/// The reason why an address may not be a VIP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefusal {
    /// An address with a special meaning.
    #[error("{0} is {1}, which can't be a VIP")]
    Special(IpAddr, SpecialAddress),
    /// An address of this node.
    #[error("{0} is an address of this node: binding it as a VIP would cut the node off")]
    OwnAddress(IpAddr),
    /// An address of another node.
    #[error("{0} is the address of a cluster node")]
    OtherNode(IpAddr),
    /// An address of a server that the cluster depends on.
    #[error("{0} is the address of a server of Marathon, Mesos or ZooKeeper")]
    Master(IpAddr),
    /// An address of a resolver.
    #[error("{0} is a DNS resolver of this node (/etc/resolv.conf)")]
    Resolver(IpAddr),
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
    /// # Errors
    /// Returns the most fundamental reason for the refusal.
    pub fn admit(
        &self,
        (source, app): (&SourceId, &str),
        (address, name): (IpAddr, Option<&VipName>),
        node: &NodeFacts,
        cluster: &ClusterFacts,
    ) -> Result<(), AddressRefusal> {
        if let Some(special) =
            SpecialAddress::from_address(address).filter(|special| !special.may_be_vip())
        {
            return Err(AddressRefusal::Special(address, special));
        }
        if node.own.contains(&address) {
            return Err(AddressRefusal::OwnAddress(address));
        }
        if cluster.nodes.contains(&address) {
            return Err(AddressRefusal::OtherNode(address));
        }
        if cluster.masters.contains(&address) {
            return Err(AddressRefusal::Master(address));
        }
        if self.listen.contains(&address) {
            return Err(AddressRefusal::NameServer(address));
        }
        if node.resolvers.contains(&address) {
            return Err(AddressRefusal::Resolver(address));
        }
        if cluster.tasks.contains(&address) {
            return Err(AddressRefusal::Task(address));
        }
        let allowed = self.allow.iter().any(|prefix| prefix.contains(&address));
        if !self.allow.is_empty() && !allowed && name.is_none() {
            return Err(AddressRefusal::NotAllowed(address));
        }
        if !allowed
            && let Some((net, link)) = node.routes.iter().find(|(net, _)| net.contains(&address))
        {
            return Err(AddressRefusal::Routed(address, *net, link.clone()));
        }
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
        policy.admit(app, (address.parse().unwrap(), None), node, &ClusterFacts::default())
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

    #[test]
    fn what_the_node_and_cluster_use_is_refused() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let node = NodeFacts {
            own: [ip("10.0.0.1")].into(),
            routes: [("172.17.0.0/16".parse().unwrap(), "docker0".to_owned())].into(),
            resolvers: [ip("10.0.0.53")].into(),
            ..NodeFacts::default()
        };
        let cluster = ClusterFacts {
            nodes: [ip("10.0.0.2")].into(),
            masters: [ip("10.0.0.9")].into(),
            tasks: [ip("9.0.1.3")].into(),
        };
        let app = (&SourceId::default(), "/a");
        let refusal = |address| {
            Policy::default().admit(app, (ip(address), None), &node, &cluster).unwrap_err()
        };
        assert!(matches!(refusal("10.0.0.1"), AddressRefusal::OwnAddress(_)));
        assert!(matches!(refusal("10.0.0.2"), AddressRefusal::OtherNode(_)));
        assert!(matches!(refusal("10.0.0.9"), AddressRefusal::Master(_)));
        assert!(matches!(refusal("10.0.0.53"), AddressRefusal::Resolver(_)));
        assert!(matches!(refusal("9.0.1.3"), AddressRefusal::Task(_)));
        assert!(matches!(refusal("172.17.0.2"), AddressRefusal::Routed(..)));
        let re_admitted =
            Policy { allow: vec!["172.17.0.0/24".parse().unwrap()], ..Policy::default() };
        assert_eq!(re_admitted.admit(app, (ip("172.17.0.2"), None), &node, &cluster), Ok(()));
        assert!(re_admitted.admit(app, (ip("10.0.0.1"), None), &node, &cluster).is_err());
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
            policy.admit((&SourceId::from("m"), app), (at, Some(&name)), &node, &cluster).is_ok()
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
