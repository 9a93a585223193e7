//! What the name server must know about its node. Somebody else reads it from the kernel.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;

/// What the kernel says about the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// The addresses that are bound in this kernel.
    pub addresses: HashSet<IpAddr>,
    /// The networks of the node's containers.
    pub container_networks: Vec<IpNet>,
}

impl NodeFacts {
    /// Returns whether a query from `client` is answered: one of the node itself, or of a container.
    #[must_use]
    pub fn is_local_client(&self, client: IpAddr) -> bool {
        client.is_loopback()
            || self.addresses.contains(&client)
            || self.container_networks.iter().any(|network| network.contains(&client))
    }
}
