//! `[node]`: this node, its interface and its data path.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use vip::LocalServers;
use vip::nft::{Guard, Masquerade};

use super::key_error::KeyError;

/// The `[node]` section of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodeSection {
    /// Dummy interface that holds the VIPs.
    #[cfg_attr(test, schemars(regex(pattern = r"^[^\s/:%]{1,15}$")))]
    pub interface: String,
    /// Source address of connections to IPv4 VIPs that real servers see, one of this node. Unless
    /// set, vipd takes the source address of the routes to the real servers, and follows them when
    /// they change.
    pub address: Option<Ipv4Addr>,
    /// Source address that real servers see. `always`: this node's address, for clients on other
    /// hosts. `off`: the client's own address; replies must then be routed through this node.
    #[cfg_attr(test, schemars(with = "String", extend("enum" = ["always", "off"])))]
    pub masquerade: Masquerade,
    /// Ports of a VIP that have no service. `on`: they are closed. `off`: other listeners of this
    /// node may answer there.
    #[cfg_attr(test, schemars(with = "String", extend("enum" = ["on", "off"])))]
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
    /// Router advertisements still count (sysctl `accept_ra`). With `false`, it takes that back. Unless
    /// set, forwarding stays as it is.
    pub ipv6_forwarding: Option<bool>,
    /// Address by which real servers on this node are reached. `host-port`: the node's own.
    /// `container`: the container's. `auto`: whichever works.
    #[cfg_attr(test, schemars(with = "String", extend("enum" = ["auto", "host-port", "container"])))]
    pub local_servers: LocalServers,
}

impl NodeSection {
    /// Checks the values.
    ///
    /// # Errors
    /// When no node can have one of them.
    pub fn check(&self) -> Result<()> {
        let refuse = |key: &'static str, why: &dyn std::fmt::Display| {
            KeyError::new("node", key, format!("[node] {key}: {why}"))
        };
        parse_interface(&self.interface).map_err(|error| refuse("interface", &error))?;
        let address = self.address.map_or(Ok(Ipv4Addr::UNSPECIFIED), check_node_address);
        address.map_err(|error| refuse("address", &error))?;
        let name = self.name.as_deref().map(parse_node_name).transpose();
        name.map_err(|error| refuse("name", &error))?;
        ensure!(!self.lock.as_os_str().is_empty(), refuse("lock", &"is empty: name a file"));
        Ok(())
    }
}

/// Parses an address that a node can have, where others see it.
///
/// # Errors
/// When it is none.
pub fn parse_node_address(text: &str) -> Result<Ipv4Addr> {
    check_node_address(text.parse().context("write an IPv4 address: 10.0.0.7")?)
}

fn check_node_address(address: Ipv4Addr) -> Result<Ipv4Addr> {
    let is_nobodys = address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_broadcast();
    ensure!(!is_nobodys, "{address} can't be where real servers see this node: use one of its own");
    Ok(address)
}

/// Parses the name of a node, which others are told.
///
/// # Errors
/// When it is empty, or a line of text can't have it.
pub fn parse_node_name(text: &str) -> Result<String> {
    let is_name = !text.trim().is_empty() && !text.contains(char::is_control);
    ensure!(
        is_name,
        "{text:?} is no name: use one line of text, or leave it out for the host name"
    );
    Ok(text.to_owned())
}

/// The longest name of an interface: `IFNAMSIZ` of `linux/if.h`, less the byte that ends it.
const MAX_NAME: usize = 15;

/// A name that the kernel gives no interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} can't be the name of the interface: use 1 to {MAX_NAME} bytes without a space, a slash, a \
     colon or a percent sign, such as \"vipd0\""
)]
pub struct InterfaceNameError(String);

/// Takes the name of an interface that the kernel would take (`dev_valid_name`), and that nothing else
/// has. The kernel would put a number in the place of a percent sign.
///
/// # Errors
/// When the kernel wouldn't.
pub fn parse_interface(text: &str) -> Result<String, InterfaceNameError> {
    let is_valid = (1..=MAX_NAME).contains(&text.len())
        && !matches!(text, "." | ".." | "all" | "default" | "lo")
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "/:%".contains(c));
    if is_valid { Ok(text.to_owned()) } else { Err(InterfaceNameError(text.to_owned())) }
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
            ipv6_forwarding: None,
            local_servers: LocalServers::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_a_name_that_the_kernel_takes() {
        for name in ["vipd0", "v", "fifteen-bytes15", "eth0.100"] {
            assert_eq!(parse_interface(name).as_deref(), Ok(name));
        }
        for name in [
            "",
            "sixteen-bytes-16",
            "a b",
            "a/b",
            "a:b",
            "vip%d",
            ".",
            "..",
            "a\u{a0}b",
            "a\tb",
            "lo",
        ] {
            assert!(parse_interface(name).is_err(), "{name:?}");
        }
    }
}
