//! The configuration: the file, overridden by the environment and by flags, resolved once.

mod agent;
mod cluster;
mod file;
mod firewall;
mod ipvs;
mod key_error;
mod log;
mod marathon;
mod names;
mod node;
mod probe;
mod problem;
mod redacted;
#[cfg(test)]
mod reference;
mod relay;
mod secret_file;
mod server_url;

use std::net::Ipv4Addr;
use std::path::PathBuf;

use ipnet::IpNet;
use vip::firewall::LetIn;
use vip::nft::Modes;
use vip::{Policy, TableSettings, Timeouts};

pub use agent::{AgentSection, AgentSettings, check_socket};
pub use cluster::ClusterSection;
pub use file::{ConfigFile, DEFAULT_FILE, NotText, read_text};
pub use firewall::FirewallSection;
pub use ipvs::IpvsSection;
pub use key_error::{KeyError, KeyErrors, is_denied};
pub use log::{LogLevel, LogSection};
pub use marathon::{Access, Marathon, MarathonSection, Relays, Secrets, parse_urls};
pub use names::{Names, NamesSection, NodeResolver};
pub use node::{NodeSection, parse_interface, parse_node_address, parse_node_name};
pub use probe::{ProbeMode, ProbeSection, ProbeSettings};
pub use problem::{ConfigProblem, resolve_keys};
pub use relay::{RelaySection, RelaySettings, RelayTls};
pub use server_url::{ServerUrlError, parse_server_url};

/// The JSON schema of the file.
pub const SCHEMA: &str = include_str!("../../deploy/vipd.schema.json");

/// All settings, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The Marathons to read when a command names no other source.
    pub marathons: Vec<Marathon>,
    /// The dummy interface that holds the VIPs.
    pub interface: String,
    /// Source address of the node's own connections to VIPs, if set.
    pub node_address: Option<Ipv4Addr>,
    /// Modes of the nftables rules: masquerading and guarding.
    pub modes: Modes,
    /// Name of this node.
    pub node_name: String,
    /// The lock file.
    pub lock: PathBuf,
    /// Keep VIPs out of ARP on other interfaces.
    pub strict_arp: bool,
    /// Switch on IPv6 forwarding, or take that back; without a value, leave it as it is.
    pub ipv6_forwarding: Option<bool>,
    /// Addresses that may be VIPs.
    pub policy: Policy,
    /// Timeouts of the IPVS table; 0 leaves one as it is.
    pub timeouts: Timeouts,
    /// Handling of a firewall that drops traffic to VIPs.
    pub firewall: LetIn,
    /// Named VIPs and their DNS.
    pub names: Names,
    /// Probes of the hosts of real servers.
    pub probe: ProbeSettings,
    /// The level of the log in the file.
    pub log_level: LogLevel,
    /// A relay, whose files only `vipd relay` reads.
    pub relay: RelaySection,
    /// The running agent.
    pub agent: AgentSettings,
}

impl Config {
    /// Returns the settings that shape the table in addition to the labels.
    #[must_use]
    pub fn table_settings(&self) -> TableSettings {
        TableSettings {
            policy: self.policy.clone(),
            source: self.node_address,
            timeouts: self.timeouts,
            modes: self.modes,
            let_in: self.let_in(),
            names: self.names.vips.clone(),
        }
    }

    /// Returns the prefixes for which vipd inserts accept rules into the node's firewall.
    #[must_use]
    pub fn let_in(&self) -> Vec<IpNet> {
        match self.firewall {
            LetIn::Off => Vec::new(),
            LetIn::Insert => self.policy.allow.clone(),
        }
    }

    /// Returns what decides about sysctls where the kernel can't be asked about the rest.
    #[must_use]
    pub fn sysctl_needs(&self) -> ::node::SysctlNeeds {
        ::node::SysctlNeeds { strict_arp: self.strict_arp, ..::node::SysctlNeeds::default() }
    }

    /// Returns the settings that the kernel side needs.
    #[must_use]
    pub fn kernel_settings(&self) -> ::node::Settings {
        ::node::Settings {
            interface: self.interface.clone(),
            strict_arp: self.strict_arp,
            counters: true,
        }
    }
}
