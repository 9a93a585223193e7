//! Options that several commands share: the Marathons and the sources of definitions.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use clap::Args;
use marathon::client::Url;
use node::LinuxKernel;

use crate::admin::client::{AgentClient, NoAgent};
use crate::agent::state_file::StateFiles;
use crate::config::{Access, Config, Marathon, parse_urls};
use crate::sources::once::DefinitionSource;
use crate::sources::survey::{Beside, GatheredClaims};

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
    let agent = match AgentClient::connect(socket) {
        Ok(agent) => agent,
        Err(NoAgent::Nobody(socket)) => {
            return Ok(beside_nobody(config, format!("no agent answers on {}", socket.display())));
        }
        Err(error) => return Ok(beside_nobody(config, error.to_string())),
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
