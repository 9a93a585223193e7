//! `[node]`: this node, its interface and its data path.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::Deserialize;
use vip::LocalServers;
use vip::nft::{Guard, Masquerade};

/// The `[node]` section of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodeSection {
    /// Dummy interface that holds the VIPs.
    pub interface: String,
    /// Source address of connections to IPv4 VIPs that real servers see, one of this node. Unless
    /// set, vipd takes the source address of the routes to the real servers, and follows them when
    /// they change.
    pub address: Option<Ipv4Addr>,
    /// Source address that real servers see. `always`: this node's address, for clients on other
    /// hosts. `off`: the client's own address; replies must then be routed through this node.
    #[cfg_attr(test, schemars(with = "String"))]
    pub masquerade: Masquerade,
    /// Ports of a VIP that have no service. `on`: they are closed. `off`: other listeners of this
    /// node may answer there.
    #[cfg_attr(test, schemars(with = "String"))]
    pub guard: Guard,
    /// Name of this node, which determines the order of its real servers. Unless set, the host
    /// name.
    pub name: Option<String>,
    /// Lock file that keeps two writers apart.
    pub lock: PathBuf,
    /// Keep VIPs out of ARP on other interfaces (sysctls `arp_ignore` and `arp_announce`).
    pub strict_arp: bool,
    /// Have `vipd doctor --fix`, which the packaged set-up runs, switch on IPv6 forwarding. Only IPv6
    /// VIPs need it: those whose real servers are in containers, or whose clients are on other hosts.
    /// Router advertisements still count (sysctl `accept_ra`). Back to `false`, it takes that back.
    pub ipv6_forwarding: bool,
    /// Address by which real servers on this node are reached. `host-port`: the node's own.
    /// `container`: the container's. `auto`: whichever works.
    #[cfg_attr(test, schemars(with = "String"))]
    pub local_servers: LocalServers,
}

impl Default for NodeSection {
    fn default() -> Self {
        Self {
            interface: "vipd0".into(),
            address: None,
            masquerade: Masquerade::default(),
            guard: Guard::default(),
            name: None,
            lock: ::node::Lock::DEFAULT_PATH.into(),
            strict_arp: false,
            ipv6_forwarding: false,
            local_servers: LocalServers::default(),
        }
    }
}
