//! The configuration file, as it is parsed.

use std::io::{ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use node::folder::open_named_file;
use serde::Deserialize;
use vip::Policy;

use super::agent::AgentSection;
use super::cluster::ClusterSection;
use super::firewall::FirewallSection;
use super::ipvs::IpvsSection;
use super::log::LogSection;
use super::marathon::MarathonSection;
use super::names::NamesSection;
use super::node::NodeSection;
use super::probe::ProbeSection;
use super::relay::RelaySection;

/// The largest configuration file. None is nearly as large.
const MAX_FILE: u64 = 1 << 20;

/// Path of the file that is read, if it exists, when `--config` names no other.
pub const DEFAULT_FILE: &str = "/etc/vipd/vipd.toml";

/// The configuration file. Every key is optional; an unknown key is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfigFile {
    /// One Marathon of the cluster; may be repeated.
    pub marathon: Vec<MarathonSection>,
    /// The running agent.
    pub agent: AgentSection,
    /// This node.
    pub node: NodeSection,
    /// Addresses that may be VIPs.
    #[cfg_attr(test, schemars(with = "super::reference::PolicySection"))]
    pub vip: Policy,
    /// Named VIPs and their DNS.
    pub names: NamesSection,
    /// Timeouts of the whole IPVS table, in seconds. A timeout that is unset, or 0, is left as it is
    /// in the kernel.
    pub ipvs: IpvsSection,
    /// The node's own firewall.
    pub firewall: FirewallSection,
    /// Servers of the cluster.
    pub cluster: ClusterSection,
    /// Probes of the hosts of real servers.
    pub probe: ProbeSection,
    /// The log.
    pub log: LogSection,
    /// A relay, `vipd relay`, which reads Marathon for many agents.
    pub relay: RelaySection,
}

/// Reads the file at `path`; without one the default file. `None`: there is no default file.
///
/// # Errors
/// When the file can't be read, is too large, or is no text ([`NotText`]).
pub fn read_text(path: Option<&Path>) -> Result<Option<String>> {
    let named = path.is_some();
    let path = path.unwrap_or(Path::new(DEFAULT_FILE));
    let mut bytes = Vec::new();
    // A pipe is read too, and a device may have no end.
    let read =
        open_named_file(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > MAX_FILE => {
            bail!("{} is larger than 1 MiB: is it the right file?", path.display())
        }
        Ok(_) => {
            let text = String::from_utf8(bytes).map_err(|error| NotText::of(error.as_bytes()));
            Ok(Some(text.with_context(|| format!("cannot read {}", path.display()))?))
        }
        Err(error) if !named && error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The file has a byte that is no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} has a byte that is not UTF-8: save the file as UTF-8")]
pub struct NotText {
    line: usize,
    /// The file with a placeholder for each such byte.
    pub legible: String,
}

impl NotText {
    /// Finds the first such byte.
    fn of(bytes: &[u8]) -> Self {
        let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        let legible = String::from_utf8_lossy(bytes).into_owned();
        Self { line: 1 + valid.matches('\n').count(), legible }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::Ipv4Addr;

    use vip::nft::{Guard, Masquerade};

    use super::super::resolve_keys;
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile> {
        let (file, problems) = resolve_keys(text, Ok)?;
        problems.first().map_or(Ok(file), |first| Err(anyhow::anyhow!("{first}")))
    }

    #[test]
    fn every_key_is_read() {
        let file = parse(
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
            framework = "marathon-user"

            [[marathon]]
            urls = ["http://other:8080"]
            user-file = "/etc/vipd/user"
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
            ipv6-forwarding = true
            local-servers = "host-port"

            [names]
            enabled = false
            range = ["10.64.0.0/16"]
            zones = ["vip.example"]
            listen = ["10.64.0.1:53"]
            clients = ["172.16.0.0/12"]
            forward = true
            upstreams = ["10.0.0.53"]
            resolver = "resolved"

            [ipvs]
            tcp-timeout = 7200
            tcp-fin-timeout = 60
            udp-timeout = 30

            [firewall]
            allow = "insert"

            [cluster]
            addresses = ["10.0.0.0/24", "10.1.0.7"]

            [probe]
            mode = "observe"
            interval = "500ms"

            [log]
            level = "debug"

            [vip]
            allow = ["3.0.0.0/8", "fd01::/64"]
            [vip.owner]
            "3.3.0.0/16" = "/shop"
            "shop-*" = "/shop"
            "#,
        )
        .unwrap();
        assert_eq!(file.marathon[0].urls.len(), 2);
        assert_eq!(file.node.address, Some(Ipv4Addr::new(10, 0, 0, 7)));
        assert_eq!(file.node.masquerade, Masquerade::Off);
        assert_eq!(file.node.guard, Guard::Off);
        assert_eq!(file.probe.mode, super::super::ProbeMode::Observe);
        assert_eq!((file.vip.allow.len(), file.vip.owner.len()), (2, 2));
    }

    /// The installed configuration.
    pub(in crate::config) const INSTALLED: &str = include_str!("../../deploy/vipd.toml");

    /// The installed configuration with every commented-out key put in force.
    pub(in crate::config) fn with_every_key() -> String {
        let is_key =
            |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase() || "[\"".contains(c));
        let lines = INSTALLED.lines().map(|line| match line.strip_prefix('#') {
            Some(rest) if is_key(rest) => rest,
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_file_that_is_installed_changes_nothing_and_holds_with_all_its_keys() {
        let as_it_is = parse(INSTALLED).unwrap();
        assert_eq!(as_it_is, ConfigFile::default());
        let file = parse(&with_every_key()).unwrap();
        assert_eq!((file.marathon.len(), file.vip.owner.len()), (1, 2));
    }

    #[test]
    fn the_file_that_is_installed_has_every_key_there_is() {
        let installed = with_every_key();
        for table in [
            "[[marathon]]",
            "[agent]",
            "[node]",
            "[ipvs]",
            "[firewall]",
            "[cluster]",
            "[names]",
            "[probe]",
            "[log]",
            "[relay]",
            "[vip]",
        ] {
            let error = parse(&format!("{table}\nno-such-key = 1\n")).unwrap_err().to_string();
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
        let error = parse("[node]\ninterfase = \"vipd0\"\n").unwrap_err().to_string();
        assert!(error.contains("line 2, column 1"), "{error}");
        assert!(error.contains("interfase"), "{error}");
    }
}
