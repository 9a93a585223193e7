use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use ipnet::IpNet;
use marathon::client::Url;
use node::LinuxKernel;
use vip::firewall::LetIn;
use vip::nft::{Guard, Masquerade, Modes};

use crate::admin::client::Agent;
use crate::config::{Access, Config, ConfigFile, Marathon, MarathonSection, parse_urls};
use crate::logging;
use crate::sources::once::DefinitionSource;
use crate::sources::survey::{Beside, GatheredClaims};

/// Options of every command. The file gives the defaults, the environment beats it, flags beat
/// both.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct Global {
    /// Configuration file [default: /etc/vipd/vipd.toml where it exists]
    #[arg(long, global = true, env = "VIPD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Dummy interface that holds the VIPs [default: vipd0]
    #[arg(long, global = true, env = "VIPD_INTERFACE", value_name = "NAME")]
    interface: Option<String>,
    /// Source address of this node's own connections to VIPs [default: from the routes]
    #[arg(long, global = true, env = "VIPD_NODE_ADDRESS", value_name = "IPV4")]
    node_address: Option<Ipv4Addr>,
    /// Whether clients elsewhere get this node's address as their source: always or off
    /// [default: always]
    #[arg(
        long,
        global = true,
        env = "VIPD_MASQUERADE",
        value_name = "WHEN",
        hide_short_help = true
    )]
    masquerade: Option<Masquerade>,
    /// Whether a VIP's ports without a service are closed: on or off [default: on]
    #[arg(long, global = true, env = "VIPD_GUARD", value_name = "MODE", hide_short_help = true)]
    guard: Option<Guard>,
    /// What to do about a firewall of this node that drops traffic to VIPs: off (tell of it) or
    /// insert (a rule of vipd's before all others) [default: off]
    #[arg(long, global = true, env = "VIPD_FIREWALL", value_name = "MODE", hide_short_help = true)]
    firewall: Option<LetIn>,
    /// This node's name, which shuffles the order of real servers [default: the host's name]
    #[arg(long, global = true, env = "VIPD_NODE_NAME", value_name = "NAME")]
    node_name: Option<String>,
    /// Prefixes that VIPs must lie in; inside them they may collide with routes of this node
    #[arg(
        long,
        global = true,
        env = "VIPD_VIP_ALLOW",
        value_name = "PREFIX",
        value_delimiter = ','
    )]
    vip_allow: Vec<IpNet>,
    /// Lock file that keeps two writers apart [default: /run/vipd/lock]
    #[arg(long, global = true, env = "VIPD_LOCK", value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Unix socket on which a running agent is asked [default: /run/vipd/agent.sock]
    #[arg(long, global = true, env = "VIPD_SOCKET", value_name = "FILE")]
    socket: Option<PathBuf>,
    /// What to log to standard error, as `info` or `vipd=debug` [default: warn; of `run`: info]
    #[arg(long, global = true, env = "VIPD_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// How to log: lines for people and journald, or an object a line
    #[arg(
        long,
        global = true,
        env = "VIPD_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log_format: logging::Format,
    /// When to use colours
    #[arg(long, global = true, env = "VIPD_COLOR", value_name = "WHEN", default_value = "auto")]
    color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// Where definitions are read from.
#[derive(Debug, Args)]
pub(super) struct Sources {
    /// Read a saved definition or answer of Marathon; `-` is standard input; may be repeated
    ///
    /// One app, an array of apps, or an answer of `/v2/apps?embed=apps.tasks`, `/v2/groups` or
    /// `/v2/pods/::status`: told apart by shape. Single apps and arrays are a part of the truth:
    /// nothing is removed because of what they don't say.
    #[arg(long, value_name = "FILE", help_heading = "Sources")]
    from: Vec<String>,
    /// Read a Marathon; several URLs of one Marathon with commas; repeat for several Marathons
    #[arg(
        long,
        value_name = "URL[,URL]",
        env = "VIPD_MARATHON",
        hide_env_values = true,
        help_heading = "Sources"
    )]
    marathon: Vec<String>,
    /// Take it that there are no pods: a saved answer of `/v2/apps` is then the whole truth
    ///
    /// Without it, VIPs that no app claims are removed only if the sources tell of pods too, as a
    /// live Marathon and an answer of `/v2/groups` do.
    #[arg(long, help_heading = "Sources")]
    no_pods: bool,
}

/// The Marathons that an agent listens to.
#[derive(Debug, Args)]
pub(super) struct Marathons {
    /// Listen to a Marathon; several URLs of one Marathon with commas; repeat for several Marathons
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
    /// Those named by flags; without any, those of the configuration.
    pub(super) fn resolve(&self, config: &Config) -> Result<Vec<Marathon>> {
        let named = self
            .marathon
            .iter()
            .map(|urls| Ok(named_by_flag(parse_urls(urls.split(',').map(str::trim))?, config)));
        let named = named.collect::<Result<Vec<_>>>()?;
        let marathons = if named.is_empty() { config.marathons.clone() } else { named };
        let mut names = BTreeSet::new();
        if let Some(twice) = marathons.iter().find(|marathon| !names.insert(&marathon.name)) {
            bail!("two Marathons are called {}: give each another name", twice.name);
        }
        Ok(marathons)
    }
}

impl Global {
    /// Resolves file, environment and flags.
    pub(super) fn config(&self) -> Result<Config> {
        let file = ConfigFile::read_or_default(self.config.as_deref())?;
        let marathons = file.marathon.iter().map(MarathonSection::resolve);
        let marathons = marathons.collect::<Result<_>>()?;
        let mut policy = file.vip;
        policy.local_servers = file.node.local_servers;
        if !self.vip_allow.is_empty() {
            policy.allow.clone_from(&self.vip_allow);
        }
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
            },
            node_name: self.node_name.clone().or(file.node.name).unwrap_or_else(host_name),
            lock: self.lock.clone().unwrap_or(file.node.lock),
            strict_arp: file.node.strict_arp,
            timeouts: file.ipvs.resolve()?,
            firewall: file.firewall.resolve(self.firewall, &policy)?,
            policy,
            agent,
        })
    }

    /// Sends the log to standard error, with this filter if no other was named, and settles the use
    /// of colours.
    pub(super) fn start_logging(&self, filter: &str) {
        match self.color {
            Color::Auto => {}
            Color::Always => anstream::ColorChoice::Always.write_global(),
            Color::Never => anstream::ColorChoice::Never.write_global(),
        }
        logging::start_logging(self.log.as_deref().unwrap_or(filter), self.log_format);
    }
}

/// The host's name; a node without one has the order that the empty name gives.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

impl Sources {
    /// Reads the sources.
    pub(super) fn read(&self, config: &Config) -> Result<GatheredClaims> {
        GatheredClaims::read_sources(&self.resolve(config)?, self.no_pods)
    }

    /// Whether flags name a source.
    pub(super) fn is_named(&self) -> bool {
        !self.from.is_empty() || !self.marathon.is_empty()
    }

    /// Whether neither flags nor configuration name a source.
    pub(super) fn is_empty(&self, config: &Config) -> bool {
        self.from.is_empty() && self.marathon.is_empty() && config.marathons.is_empty()
    }

    /// The sources named by flags; without any, the Marathons of the configuration.
    fn resolve(&self, config: &Config) -> Result<Vec<DefinitionSource>> {
        let files = self.from.iter().cloned().map(DefinitionSource::File);
        let marathons = self.marathon.iter().map(|urls| {
            let urls = parse_urls(urls.split(',').map(str::trim))?;
            Ok(DefinitionSource::Marathon(Box::new(named_by_flag(urls, config))))
        });
        let named = files.map(Ok).chain(marathons).collect::<Result<Vec<_>>>()?;
        Ok(if named.is_empty() {
            config.marathons.iter().cloned().map(Box::new).map(DefinitionSource::Marathon).collect()
        } else {
            named
        })
    }
}

/// The secrets that the configuration has for a Marathon go to no other one.
fn named_by_flag(urls: Vec<Url>, config: &Config) -> Marathon {
    let known = config.marathons.iter().find(|known| known.urls == urls);
    known.cloned().unwrap_or_else(|| Marathon::new(urls, Access::default()))
}

/// Opens the kernel as the configuration says.
pub(super) fn open_kernel(config: &Config) -> Result<LinuxKernel> {
    Ok(LinuxKernel::open(config.kernel_settings())?)
}

/// Asks the agent of this node, if one runs, for what only it knows.
pub(super) fn ask_agent(config: &Config) -> Result<Beside> {
    let socket = &config.agent.socket;
    let Some(agent) = Agent::find(socket) else {
        return Ok(Beside::Nobody(format!("no agent answers on {}", socket.display())));
    };
    Ok(match agent.local_facts()? {
        Some(facts) => Beside::Agent(facts),
        None => Beside::Nobody("the agent is of an older version".to_owned()),
    })
}
