//! Facts about the node and the cluster that decisions depend on, beside labels and the IPVS table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::Protocol;

/// Facts about this node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeFacts {
    /// Addresses of this node on interfaces other than ours.
    pub own: BTreeSet<IpAddr>,
    /// Connected and other non-default routes of this node, with the interface.
    pub routes: BTreeMap<IpNet, String>,
    /// Resolvers of `/etc/resolv.conf`.
    pub resolvers: BTreeSet<IpAddr>,
    /// Directly connected networks: routes without a gateway.
    pub connected: BTreeSet<IpNet>,
    /// Gateways of this node's routes.
    pub gateways: BTreeSet<IpAddr>,
    /// Those of its default routes, which lead off the node for certain.
    pub uplinks: BTreeSet<IpAddr>,
    /// Broadcast and anycast addresses of connected networks.
    pub groups: BTreeSet<IpAddr>,
    /// Whether a route names another source than masquerading would choose, so that the routes to
    /// real servers matter where nftables translates addresses.
    pub names_sources: bool,
    /// The MTUs of the interfaces that routes lead over.
    pub mtus: BTreeMap<String, u32>,
    /// Sockets that listen on this node; `None` if unknown.
    pub listening: Option<Arc<BTreeSet<(Protocol, SocketAddr)>>>,
    /// Sentences on what of this couldn't be read.
    pub unread: BTreeSet<String>,
    /// Other dummy interfaces that hold VIPs of ours, perhaps since another name was configured. Those
    /// VIPs are not among the own addresses.
    pub former_interfaces: BTreeSet<String>,
}

/// Facts about the cluster: addresses that a VIP must not collide with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterFacts {
    /// Other nodes, as Marathon names them.
    pub nodes: BTreeSet<IpAddr>,
    /// Marathon's own servers, as far as they are among the URLs it is read from or have led, and
    /// those that it depends on: ZooKeeper's, and Mesos masters that it was told by address.
    pub masters: BTreeSet<IpAddr>,
    /// Addresses of tasks on container networks.
    pub tasks: BTreeSet<IpAddr>,
}

impl NodeFacts {
    /// Tells whether something on this node listens on one of its addresses; `None` if unknown.
    #[must_use]
    pub fn is_listening(&self, protocol: Protocol, at: SocketAddr) -> Option<bool> {
        let listening = self.listening.as_ref()?;
        let on =
            |address: IpAddr| listening.contains(&(protocol, SocketAddr::new(address, at.port())));
        // A listener on :: takes IPv4 too, unless it sets IPV6_V6ONLY, which is rare.
        let everywhere = on([0; 16].into()) || at.is_ipv4() && on([0; 4].into());
        Some(on(at.ip()) || everywhere)
    }

    /// Returns a sentence on each other interface that holds VIPs, with what to do.
    pub fn former_interface_notes(&self) -> impl Iterator<Item = (String, String)> {
        self.former_interfaces.iter().map(|name| {
            let what = format!(
                "{name} holds VIPs of vipd too, as it would if [node] interface had been {name} before"
            );
            (what, format!("if nothing else needs it, `ip link del {name}` once vipd is ready"))
        })
    }

    /// Tells whether an address is in a directly connected network.
    #[must_use]
    pub fn is_connected(&self, address: IpAddr) -> bool {
        self.connected.iter().any(|network| network.contains(&address))
    }
}
