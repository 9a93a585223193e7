//! Options that several commands share: the Marathons and the sources of definitions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use marathon::client::Url;
use node::LinuxKernel;

use crate::admin::client::{AgentClient, NoAgent};
use crate::agent::state_file::StateFiles;
use crate::config::{Access, Config, Marathon, MarathonSection, Secrets, parse_urls};
use crate::sources::once::DefinitionSource;
use crate::sources::survey::{Beside, GatheredClaims};

/// Files with what Marathon asks for. They take precedence over those of the configuration.
#[derive(Debug, Args)]
#[command(next_help_heading = "Access to Marathon")]
struct AccessFiles {
    /// File with the user for basic authentication; each of these files may be `credential:NAME`, a
    /// credential of the systemd unit
    #[arg(long, env = "VIPD_MARATHON_USER_FILE", value_name = "FILE", hide_short_help = true)]
    marathon_user_file: Option<PathBuf>,
    /// File with the password for basic authentication
    #[arg(long, env = "VIPD_MARATHON_PASSWORD_FILE", value_name = "FILE", hide_short_help = true)]
    marathon_password_file: Option<PathBuf>,
    /// File with the secret of a DC/OS service account, as JSON
    #[arg(
        long,
        env = "VIPD_MARATHON_SERVICE_ACCOUNT_FILE",
        value_name = "FILE",
        hide_short_help = true
    )]
    marathon_service_account_file: Option<PathBuf>,
    /// File with CA certificates to trust in addition to the system's, as PEM
    #[arg(long, env = "VIPD_MARATHON_CA_FILE", value_name = "FILE", hide_short_help = true)]
    marathon_ca_file: Option<PathBuf>,
    /// File with the client's certificate chain, as PEM
    #[arg(
        long,
        env = "VIPD_MARATHON_CLIENT_CERT_FILE",
        value_name = "FILE",
        hide_short_help = true
    )]
    marathon_client_cert_file: Option<PathBuf>,
    /// File with the private key of that certificate, as PEM
    #[arg(
        long,
        env = "VIPD_MARATHON_CLIENT_KEY_FILE",
        value_name = "FILE",
        hide_short_help = true
    )]
    marathon_client_key_file: Option<PathBuf>,
}

/// An error of such a file. The key that it names isn't one of the configuration.
#[derive(Debug, thiserror::Error)]
#[error("--marathon-*-file or VIPD_MARATHON_*_FILE")]
struct AccessFileError(#[source] anyhow::Error);

impl AccessFiles {
    fn to_section(&self) -> MarathonSection {
        MarathonSection {
            user_file: self.marathon_user_file.clone(),
            password_file: self.marathon_password_file.clone(),
            service_account_file: self.marathon_service_account_file.clone(),
            ca_file: self.marathon_ca_file.clone(),
            client_cert_file: self.marathon_client_cert_file.clone(),
            client_key_file: self.marathon_client_key_file.clone(),
            ..MarathonSection::default()
        }
    }

    /// Gives the Marathon what is in the files. They are for one: another must not get its secrets.
    fn apply_to(&self, marathons: &mut [Marathon], secrets: Secrets) -> Result<()> {
        let section = self.to_section();
        if section == MarathonSection::default() {
            return Ok(());
        }
        let [marathon] = marathons else {
            if marathons.is_empty() {
                return Ok(());
            }
            bail!(
                "--marathon-*-file and VIPD_MARATHON_*_FILE are for one Marathon, and there are {}: \
                 give each a [[marathon]] table in the configuration",
                marathons.len()
            );
        };
        let access = section.read_access(secrets).map_err(AccessFileError)?;
        marathon.access.auth = access.auth.or(marathon.access.auth.take());
        marathon.access.ca = access.ca.or(marathon.access.ca.take());
        marathon.access.identity = access.identity.or(marathon.access.identity.take());
        Ok(())
    }
}

/// Parses an address with a port that clients can know.
pub(super) fn parse_listen(text: &str) -> Result<SocketAddr> {
    let at: SocketAddr = text.parse().context("write an address with a port: 127.0.0.1:9614")?;
    ensure!(at.port() != 0, "use a port from 1 to 65535");
    Ok(at)
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
    #[command(flatten)]
    files: AccessFiles,
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
    #[command(flatten)]
    files: AccessFiles,
}

impl Marathons {
    /// Returns whether a flag names a Marathon.
    pub(super) fn is_named(&self) -> bool {
        !self.marathon.is_empty()
    }

    /// Lists the credentials that only the unit has, of flags and variables.
    pub(super) fn absent_credentials(&self) -> BTreeSet<String> {
        self.files.to_section().absent_credentials().map(ToOwned::to_owned).collect()
    }

    /// Returns the Marathons of the flags; without any, those of the configuration.
    pub(super) fn resolve_marathons(
        &self,
        config: &Config,
        secrets: Secrets,
    ) -> Result<Vec<Marathon>> {
        let mut marathons = match self.is_named() {
            true => parse_flags(&self.marathon, config)?,
            false => config.marathons.clone(),
        };
        check_distinct(&marathons)?;
        self.files.apply_to(&mut marathons, secrets)?;
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
        let mut marathons = match self.is_named() {
            true => parse_flags(&self.marathon, config)?,
            false => config.marathons.clone(),
        };
        check_distinct(&marathons)?;
        self.files.apply_to(&mut marathons, Secrets::Read)?;
        let files = self.from.iter().cloned().map(DefinitionSource::File);
        let marathons = marathons.into_iter().map(Box::new).map(DefinitionSource::Marathon);
        Ok(files.chain(marathons).collect())
    }
}

/// Describes the Marathons of flags, each with its URLs separated by commas.
fn parse_flags(flags: &[String], config: &Config) -> Result<Vec<Marathon>> {
    let parse =
        |urls: &String| Ok(marathon_of_flag(parse_urls(urls.split(',').map(str::trim))?, config));
    flags.iter().map(parse).collect()
}

/// Describes the Marathon of a flag. It gets the secrets of the configuration only if it has exactly
/// the URLs of a configured one.
fn marathon_of_flag(urls: Vec<Url>, config: &Config) -> Marathon {
    let known = config.marathons.iter().find(|known| known.urls == urls);
    known.cloned().unwrap_or_else(|| Marathon::new(urls, Access::default()))
}

/// Checks that no two Marathons have a name or a server in common: the tasks of one that is read twice
/// would count as those of two.
fn check_distinct(marathons: &[Marathon]) -> Result<()> {
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
