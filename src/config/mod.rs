//! The configuration: file, then environment, then flags, resolved once.

mod agent;
mod firewall;
mod ipvs;
mod marathon;
#[cfg(test)]
mod reference;
mod shown;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ipnet::IpNet;
use serde::Deserialize;
use vip::firewall::LetIn;
use vip::nft::{Guard, Masquerade, Modes};
use vip::{LocalServers, Policy, TableSettings, Timeouts};

pub use agent::{Agent, AgentFile};
pub use firewall::FirewallFile;
pub use ipvs::IpvsFile;
pub use marathon::{Access, Marathon, MarathonFile, parse_urls};

/// Read when it exists and `--config` names no other file.
pub const DEFAULT_FILE: &str = "/etc/vipd/vipd.toml";

/// The configuration file. Every key is optional; an unknown key is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct File {
    /// One table for each Marathon of the cluster.
    pub marathon: Vec<MarathonFile>,
    /// The running agent.
    pub agent: AgentFile,
    /// This node.
    pub node: NodeFile,
    /// Which addresses may be VIPs.
    #[cfg_attr(test, schemars(with = "reference::PolicyFile"))]
    pub vip: Policy,
    /// Settings of the whole IPVS table. What isn't set, or 0, stays as it is in the kernel.
    pub ipvs: IpvsFile,
    /// The node's own firewall.
    pub firewall: FirewallFile,
}

/// `[node]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodeFile {
    /// The dummy interface that holds the VIPs; `vipd0` unless set.
    pub interface: Option<String>,
    /// The source address of this node's own connections to VIPs. Unless it is set, it is the one
    /// from which the routes say that real servers are reached, and follows it.
    pub address: Option<Ipv4Addr>,
    /// `always`, the default: clients elsewhere get this node's address as their source towards
    /// real servers. `off`: real servers see clients' own addresses, and must answer through this
    /// node.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub masquerade: Option<Masquerade>,
    /// `on`, the default: a VIP's ports without a service are closed. `off`: other listeners of this
    /// node may answer there.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub guard: Option<Guard>,
    /// This node's name, which shuffles the order of real servers; the host's name unless set.
    pub name: Option<String>,
    /// The lock that keeps two writers apart; `/run/vipd/lock` unless set.
    pub lock: Option<PathBuf>,
    /// Keeps VIPs out of ARP on other interfaces (sysctls `arp_ignore` and `arp_announce`); off
    /// unless set.
    pub strict_arp: bool,
    /// How real servers on this node are reached: `auto`, the default, by what works; `host-port`;
    /// or `container`, by the container's own address.
    #[cfg_attr(test, schemars(with = "String"))]
    pub local_servers: LocalServers,
}

/// All settings, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The Marathons to read when a command names no other source.
    pub marathons: Vec<Marathon>,
    /// The dummy interface.
    pub interface: String,
    /// The node's address, if set.
    pub node_address: Option<Ipv4Addr>,
    /// What the rules of nftables do.
    pub modes: Modes,
    /// The node's name.
    pub node_name: String,
    /// The lock file.
    pub lock: PathBuf,
    /// Whether VIPs are kept out of ARP on other interfaces.
    pub strict_arp: bool,
    /// Which addresses may be VIPs.
    pub policy: Policy,
    /// After how long connections are to be forgotten; 0 leaves it as it is.
    pub timeouts: Timeouts,
    /// What is done about a firewall that drops traffic to VIPs.
    pub firewall: LetIn,
    /// The running agent.
    pub agent: Agent,
}

impl Config {
    /// The settings that shape the table beside the labels.
    #[must_use]
    pub fn table_settings(&self) -> TableSettings {
        TableSettings {
            policy: self.policy.clone(),
            source: self.node_address,
            timeouts: self.timeouts,
            modes: self.modes,
            let_in: self.let_in(),
        }
    }

    /// The VIPs that vipd's own rules let in.
    #[must_use]
    pub fn let_in(&self) -> Vec<IpNet> {
        match self.firewall {
            LetIn::Off => Vec::new(),
            LetIn::Insert => self.policy.allow.clone(),
        }
    }

    /// What the kernel's side has to know.
    #[must_use]
    pub fn kernel(&self) -> node::Settings {
        node::Settings {
            interface: self.interface.clone(),
            strict_arp: self.strict_arp,
            counters: true,
        }
    }
}

impl File {
    /// Reads the file at `path`, or the default one where it exists.
    ///
    /// # Errors
    /// When it can't be read or parsed; the text names line and column.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        let named = path.is_some();
        let path = path.unwrap_or(Path::new(DEFAULT_FILE));
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text)
                .with_context(|| format!("{} is not a valid configuration", path.display())),
            Err(error) if !named && error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let before = text.get(..error.span().unwrap_or_default().start).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            anyhow::anyhow!("line {line}, column {column}: {}", without_values(error.message()))
        })
    }
}

/// A TOML error's text without what stands in quotes: that is a value, and may be a secret that
/// landed in the wrong place. Keys stand in backticks.
fn without_values(message: &str) -> String {
    let parts = message.split('"').enumerate();
    parts.map(|(number, part)| if number % 2 == 0 { part } else { "\"...\"" }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read() {
        let file = File::parse(
            r#"
            [[marathon]]
            urls = ["http://m1:8080", "http://m2:8080"]
            user = "vipd"
            password-file = "/etc/vipd/password"
            name = "main"
            ca-file = "/etc/vipd/ca.pem"
            client-cert-file = "/etc/vipd/cert.pem"
            client-key-file = "/etc/vipd/key.pem"
            proxy = "http://proxy:3128"

            [[marathon]]
            urls = ["http://other:8080"]
            service-account-file = "/etc/vipd/account.json"

            [agent]
            state = "/var/lib/vipd"
            socket = "/run/vipd/agent.sock"
            listen = "127.0.0.1:9614"
            sync-period = 30
            linger = 60
            agents = 200

            [node]
            interface = "vipd0"
            address = "10.0.0.7"
            masquerade = "off"
            guard = "off"
            name = "node7"
            lock = "/run/vipd/lock"
            strict-arp = true
            local-servers = "host-port"

            [ipvs]
            tcp-timeout = 7200
            tcp-fin-timeout = 60
            udp-timeout = 30

            [firewall]
            allow = "insert"

            [vip]
            allow = ["3.0.0.0/8", "fd01::/64"]
            [vip.owner]
            "3.3.0.0/16" = "/shop"
            "#,
        )
        .unwrap();
        assert_eq!(file.marathon[0].urls.len(), 2);
        assert_eq!(file.node.address, Some(Ipv4Addr::new(10, 0, 0, 7)));
        assert_eq!(file.node.masquerade, Some(Masquerade::Off));
        assert_eq!(file.node.guard, Some(Guard::Off));
        assert_eq!((file.vip.allow.len(), file.vip.owner.len()), (2, 1));
    }

    /// The configuration that is installed, with every line that is commented out put in force.
    fn installed() -> String {
        let is_key =
            |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase() || "[\"".contains(c));
        let text = include_str!("../../deploy/vipd.toml");
        let lines = text.lines().map(|line| match line.strip_prefix('#') {
            Some(rest) if is_key(rest) => rest,
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_file_that_is_installed_changes_nothing_and_holds_with_all_its_keys() {
        let as_it_is = File::parse(include_str!("../../deploy/vipd.toml")).unwrap();
        assert_eq!(as_it_is, File::default());
        let file = File::parse(&installed()).unwrap();
        assert_eq!((file.marathon.len(), file.vip.owner.len()), (1, 1));
    }

    #[test]
    fn the_file_that_is_installed_has_every_key_there_is() {
        let installed = installed();
        for table in ["[[marathon]]", "[agent]", "[node]", "[ipvs]", "[firewall]", "[vip]"] {
            let error =
                File::parse(&format!("{table}\nno-such-key = 1\n")).unwrap_err().to_string();
            // serde names what it would have taken.
            let (_, known) = error.split_once("expected one of ").unwrap_or_else(|| {
                error.split_once("expected ").unwrap_or_else(|| panic!("{table}: {error}"))
            });
            for key in known.split('`').skip(1).step_by(2) {
                let there = installed.lines().any(|line| {
                    line.starts_with(&format!("{key} = ")) || line == format!("[vip.{key}]")
                });
                assert!(there, "deploy/vipd.toml lacks {table} {key}");
            }
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_column() {
        let error = File::parse("[node]\ninterfase = \"vipd0\"\n").unwrap_err().to_string();
        assert!(error.contains("line 2, column 1"), "{error}");
        assert!(error.contains("interfase"), "{error}");
    }

    #[test]
    fn no_error_repeats_a_value() {
        let error = File::parse("[[marathon]]\nurls = \"http://vipd:hunter2@m1:8080\"\n");
        let error = format!("{:#}", error.unwrap_err());
        assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
        let error = parse_urls(["http://m1:8080", "http://vipd:hunter2@m1:8080"]).unwrap_err();
        assert!(!format!("{error:#}").contains("hunter2"), "{error:#}");
    }
}
