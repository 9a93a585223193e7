//! Options that several commands share, and the configuration that they result in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use ipnet::IpNet;
use marathon::client::Url;
use node::LinuxKernel;
use vip::firewall::LetIn;
use vip::nft::{Guard, LostSyns, Masquerade, Modes};

use crate::admin::client::AgentClient;
use crate::agent::state_file::StateFiles;
use crate::config::{Access, Config, ConfigFile, Marathon, MarathonSection, ProbeMode, parse_urls};
use crate::logging;
use crate::sources::once::DefinitionSource;
use crate::sources::survey::{Beside, GatheredClaims};

/// Options of every command. A flag overrides the environment, which overrides the file.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct Global {
    /// Configuration file [default: /etc/vipd/vipd.toml, if it exists]
    #[arg(long, global = true, env = "VIPD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Dummy interface for the VIPs [default: vipd0]
    #[arg(long, global = true, env = "VIPD_INTERFACE", value_name = "NAME")]
    interface: Option<String>,
    /// Source address that real servers see, for IPv4 [default: from the routes]
    #[arg(long, global = true, env = "VIPD_NODE_ADDRESS", value_name = "IPV4")]
    node_address: Option<Ipv4Addr>,
    /// Masquerade clients elsewhere with this node's address: always or off [default: always]
    #[arg(
        long,
        global = true,
        env = "VIPD_MASQUERADE",
        value_name = "WHEN",
        hide_short_help = true
    )]
    masquerade: Option<Masquerade>,
    /// Close a VIP's ports that have no service: on or off [default: on]
    #[arg(long, global = true, env = "VIPD_GUARD", value_name = "MODE", hide_short_help = true)]
    guard: Option<Guard>,
    /// If this node's firewall drops traffic to VIPs: off (report it) or insert (a rule of vipd's
    /// before all others) [default: off]
    #[arg(long, global = true, env = "VIPD_FIREWALL", value_name = "MODE", hide_short_help = true)]
    firewall: Option<LetIn>,
    /// Name of this node, which shuffles the order of real servers [default: the host name]
    #[arg(long, global = true, env = "VIPD_NODE_NAME", value_name = "NAME")]
    node_name: Option<String>,
    /// Prefixes that VIPs must be in; there they may collide with routes of this node
    #[arg(
        long,
        global = true,
        env = "VIPD_VIP_ALLOW",
        value_name = "PREFIX",
        value_delimiter = ','
    )]
    vip_allow: Vec<IpNet>,
    /// Lock file that allows only one writer [default: /run/vipd/lock]
    #[arg(long, global = true, env = "VIPD_LOCK", value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Unix socket of the running agent [default: /run/vipd/agent.sock]
    #[arg(long, global = true, env = "VIPD_SOCKET", value_name = "FILE")]
    socket: Option<PathBuf>,
    /// Log filter for standard error, such as `info` or `vipd=debug` [default: warn; `run`: info]
    #[arg(long, global = true, env = "VIPD_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// Log format: text for people and journald, or one JSON object per line
    #[arg(
        long,
        global = true,
        env = "VIPD_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log_format: logging::Format,
    /// Use of colours
    #[arg(long, global = true, env = "VIPD_COLOR", value_name = "WHEN", default_value = "auto")]
    color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// The sources of definitions.
#[derive(Debug, Args)]
pub(super) struct Sources {
    /// Read a saved definition, or a saved answer of Marathon; `-` is standard input; repeatable
    ///
    /// One app, an array of apps, or an answer of `/v2/apps?embed=apps.tasks`, `/v2/groups` or
    /// `/v2/pods/::status`, recognized by its shape. Single apps and arrays are incomplete: nothing
    /// is removed because it is missing from them.
    #[arg(long, value_name = "FILE", help_heading = "Sources")]
    from: Vec<String>,
    /// Read a Marathon; separate several URLs of it with commas; repeat for several Marathons
    #[arg(
        long,
        value_name = "URL[,URL]",
        env = "VIPD_MARATHON",
        hide_env_values = true,
        help_heading = "Sources"
    )]
    marathon: Vec<String>,
    /// Assume that there are no pods, so that a saved answer of `/v2/apps` is complete
    ///
    /// Without it, VIPs that no app claims are removed only if the sources include pods, as a live
    /// Marathon and an answer of `/v2/groups` do.
    #[arg(long, help_heading = "Sources")]
    no_pods: bool,
}

/// The Marathons to watch.
#[derive(Debug, Args)]
pub(super) struct Marathons {
    /// Watch a Marathon; separate several URLs of it with commas; repeat for several Marathons
    #[arg(
        long,
        value_name = "URL[,URL]",
        env = "VIPD_MARATHON",
        hide_env_values = true,
        help_heading = "Sources"
    )]
    marathon: Vec<String>,
}

impl Marathons {
    /// Returns whether a flag names a Marathon.
    pub(super) fn is_named(&self) -> bool {
        !self.marathon.is_empty()
    }

    /// Returns the Marathons of the flags; without any, those of the configuration.
    pub(super) fn resolve_marathons(&self, config: &Config) -> Result<Vec<Marathon>> {
        let named = self
            .marathon
            .iter()
            .map(|urls| Ok(marathon_of_flag(parse_urls(urls.split(',').map(str::trim))?, config)));
        let named = named.collect::<Result<Vec<_>>>()?;
        let marathons = if named.is_empty() { config.marathons.clone() } else { named };
        check_distinct(marathons.iter())?;
        Ok(marathons)
    }
}

impl Global {
    /// Checks that the configuration can be read once more. A pipe, as in `--config /dev/stdin`, gives
    /// it only once, and then an empty one, or nothing at all; so does a terminal or a device.
    pub(super) fn check_config_rereadable(&self) -> Result<()> {
        self.config.as_deref().map_or(Ok(()), check_rereadable)
    }

    /// Resolves file, environment and flags.
    pub(super) fn resolve_config(&self) -> Result<Config> {
        let file = ConfigFile::read_or_default(self.config.as_deref())?;
        let marathons = file.marathon.iter().map(MarathonSection::resolve);
        let marathons = marathons.collect::<Result<_>>()?;
        let mut policy = file.vip;
        policy.local_servers = file.node.local_servers;
        policy.cluster = file.cluster.resolve()?;
        if !self.vip_allow.is_empty() {
            policy.allow.clone_from(&self.vip_allow);
        }
        let names = file.names.resolve()?;
        let listen = names.vips.iter().flat_map(|vips| &vips.listen);
        policy.listen = listen.map(SocketAddr::ip).collect();
        let probe = file.probe.resolve()?;
        let lost_syns = match probe.mode {
            ProbeMode::Act | ProbeMode::Observe => LostSyns::Logged,
            ProbeMode::Off => LostSyns::Ignored,
        };
        let mut agent = file.agent.resolve()?;
        if let Some(socket) = &self.socket {
            agent.socket.clone_from(socket);
        }
        Ok(Config {
            marathons,
            interface: self.interface.clone().unwrap_or(file.node.interface),
            node_address: self.node_address.or(file.node.address),
            modes: Modes {
                masquerade: self.masquerade.unwrap_or(file.node.masquerade),
                guard: self.guard.unwrap_or(file.node.guard),
                lost_syns,
            },
            node_name: self.node_name.clone().or(file.node.name).unwrap_or_else(host_name),
            lock: self.lock.clone().unwrap_or(file.node.lock),
            strict_arp: file.node.strict_arp,
            timeouts: file.ipvs.resolve()?,
            firewall: file.firewall.resolve(self.firewall, &policy)?,
            policy,
            names,
            probe,
            agent,
        })
    }

    /// Reads the file alone. Without `--config`, one that this user may not read counts as missing: the
    /// name server needs none.
    pub(super) fn read_config_file(&self) -> Result<ConfigFile> {
        match ConfigFile::read_or_default(self.config.as_deref()) {
            Err(error) if self.config.is_none() && is_forbidden(&error) => {
                tracing::warn!("{error:#}: going on without it");
                Ok(ConfigFile::default())
            }
            file => file,
        }
    }

    /// Starts logging to standard error, with `filter` as the default, and sets the use of colours.
    pub(super) fn start_logging(&self, filter: &str) {
        match self.color {
            Color::Auto => {}
            Color::Always => anstream::ColorChoice::Always.write_global(),
            Color::Never => anstream::ColorChoice::Never.write_global(),
        }
        logging::start_logging(self.log.as_deref().unwrap_or(filter), self.log_format);
    }
}

fn is_forbidden(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::PermissionDenied)
}

/// Reads the host name; empty if there is none.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

impl Sources {
    /// Reads the sources.
    pub(super) fn read_all(&self, config: &Config) -> Result<GatheredClaims> {
        GatheredClaims::read_sources(&self.resolve_sources(config)?, self.no_pods, config)
    }

    /// Returns whether a flag names a source.
    pub(super) fn is_named(&self) -> bool {
        !self.from.is_empty() || !self.marathon.is_empty()
    }

    /// Returns whether neither flags nor the configuration name a source.
    pub(super) fn is_empty(&self, config: &Config) -> bool {
        self.from.is_empty() && self.marathon.is_empty() && config.marathons.is_empty()
    }

    /// Returns the sources of the flags; without any, the Marathons of the configuration.
    fn resolve_sources(&self, config: &Config) -> Result<Vec<DefinitionSource>> {
        let files = self.from.iter().cloned().map(DefinitionSource::File);
        let marathons = self.marathon.iter().map(|urls| {
            let urls = parse_urls(urls.split(',').map(str::trim))?;
            Ok(DefinitionSource::Marathon(Box::new(marathon_of_flag(urls, config))))
        });
        let named = files.map(Ok).chain(marathons).collect::<Result<Vec<_>>>()?;
        let sources: Vec<_> = match named.is_empty() {
            true => config
                .marathons
                .iter()
                .cloned()
                .map(Box::new)
                .map(DefinitionSource::Marathon)
                .collect(),
            false => named,
        };
        check_distinct(sources.iter().filter_map(|source| match source {
            DefinitionSource::Marathon(marathon) => Some(&**marathon),
            DefinitionSource::File(_) => None,
        }))?;
        Ok(sources)
    }
}

/// Describes the Marathon of a flag. It gets the secrets of the configuration only if it has exactly
/// the URLs of a configured one.
fn marathon_of_flag(urls: Vec<Url>, config: &Config) -> Marathon {
    let known = config.marathons.iter().find(|known| known.urls == urls);
    known.cloned().unwrap_or_else(|| Marathon::new(urls, Access::default()))
}

/// Checks that no two Marathons have a name or a server in common: the tasks of one that is read twice
/// would count as those of two.
fn check_distinct<'a>(marathons: impl Iterator<Item = &'a Marathon>) -> Result<()> {
    let mut names = BTreeSet::new();
    let mut servers = BTreeMap::new();
    for marathon in marathons {
        let name = &marathon.name;
        if !names.insert(name) {
            bail!("two Marathons are named {name}: give each its own name, or remove one");
        }
        for url in &marathon.urls {
            if let Some(other) = servers.insert(url, name).filter(|other| *other != name) {
                bail!("{url} is a server of the Marathons {other} and {name}: remove it from one");
            }
        }
    }
    Ok(())
}

/// Opens the kernel with the settings of the configuration.
pub(super) fn open_kernel(config: &Config) -> Result<LinuxKernel> {
    Ok(LinuxKernel::open(config.kernel_settings())?)
}

/// Asks the agent on this node, if one runs, for the facts that only it knows.
pub(super) fn ask_agent(config: &Config) -> Result<Beside> {
    let socket = &config.agent.socket;
    let Some(agent) = AgentClient::find_listening(socket) else {
        return Ok(beside_nobody(config, format!("no agent answers on {}", socket.display())));
    };
    Ok(match agent.fetch_local_facts()? {
        Some(facts) => Beside::Agent(facts),
        None => beside_nobody(config, "the agent is of an older version".to_owned()),
    })
}

/// Reads what the last agent saved. A user who may not read it decides without.
fn beside_nobody(config: &Config, why: String) -> Beside {
    let served = StateFiles::new(config.agent.state.clone()).load_served().unwrap_or_default();
    Beside::Nobody { why, served }
}

fn check_rereadable(path: &Path) -> Result<()> {
    // One that is missing is reported when it is read, and /dev/null is the same each time.
    let is_null = || std::fs::canonicalize(path).is_ok_and(|at| at == Path::new("/dev/null"));
    if std::fs::metadata(path).is_ok_and(|about| !about.is_file()) && !is_null() {
        bail!("{} is no regular file, and can be read only once: restart instead", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_is_read_once_more() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        assert!(check_rereadable(&file).is_ok(), "it is reported when it is read");
        std::fs::write(&file, "").unwrap();
        assert!(check_rereadable(&file).is_ok());
        assert!(check_rereadable(Path::new("/dev/null")).is_ok());
        for other in [Path::new("/dev/zero"), folder.path()] {
            let refused = check_rereadable(other).unwrap_err().to_string();
            assert!(refused.contains("can be read only once"), "{refused}");
        }
    }
}
