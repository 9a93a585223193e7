//! Options of every command, and the configuration that file, environment and flags result in.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};
use ipnet::IpNet;
use vip::firewall::LetIn;
use vip::nft::{Guard, LostSyns, Masquerade, Modes};

use super::output;
use crate::config::{
    Config, ConfigFile, ConfigProblem, DEFAULT_FILE, KeyError, LogLevel, Marathon, MarathonSection,
    NotText, ProbeMode, RelaySection, Secrets, check_socket, parse_interface, parse_node_address,
    parse_node_name, read_text, resolve_keys,
};
use crate::logging;

/// Options of every command. A flag overrides the environment, which overrides the file.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct Global {
    /// Configuration file [default: /etc/vipd/vipd.toml, if it exists]
    #[arg(long, global = true, env = "VIPD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Dummy interface for the VIPs [default: vipd0]
    #[arg(
        long,
        global = true,
        env = "VIPD_INTERFACE",
        value_name = "NAME",
        value_parser = parse_interface
    )]
    interface: Option<String>,
    /// Source address that real servers see, for IPv4 [default: from the routes]
    #[arg(
        long,
        global = true,
        env = "VIPD_NODE_ADDRESS",
        value_name = "IPV4",
        value_parser = parse_node_address
    )]
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
    #[arg(
        long,
        global = true,
        env = "VIPD_NODE_NAME",
        value_name = "NAME",
        value_parser = parse_node_name
    )]
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
    #[arg(
        long,
        global = true,
        env = "VIPD_SOCKET",
        value_name = "FILE",
        value_parser = PathBufValueParser::new().try_map(check_socket)
    )]
    socket: Option<PathBuf>,
    /// Log filter for standard error, such as `info` or `vipd=debug` [default: warn; `run` and `dns`:
    /// as `[log] level` says]
    #[arg(
        long,
        global = true,
        env = "VIPD_LOG",
        value_name = "FILTER",
        value_parser = logging::parse_filter
    )]
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
    /// The text of the file, if it was read for all who ask for it: a pipe or the like gives it only once.
    #[arg(skip)]
    piped: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl Global {
    /// Checks that the configuration can be read once more. A pipe, as in `--config /dev/stdin`, gives
    /// it only once, and then an empty one, or nothing at all; so does a terminal or a device.
    pub(super) fn check_config_rereadable(&self) -> Result<()> {
        self.config.as_deref().map_or(Ok(()), check_rereadable)
    }

    /// Returns the same options with another file, if there is one.
    pub(super) fn with_config_file(&self, file: Option<PathBuf>) -> Self {
        match file {
            None => self.clone(),
            file => Self { config: file, piped: None, ..self.clone() }.with_pipe_read(),
        }
    }

    /// Reads a file that gives its text only once, for all who ask for it. An error comes again when it is
    /// read.
    pub(super) fn with_pipe_read(self) -> Self {
        match self.check_config_rereadable() {
            Ok(()) => Self { piped: None, ..self },
            Err(_) => self.with_text_read(),
        }
    }

    /// Reads the file now, for all who ask for it later with other rights. An error comes again when it is
    /// read.
    pub(super) fn with_text_read(self) -> Self {
        Self { piped: self.read_text().ok().flatten(), ..self }
    }

    /// Returns whether both read the same file.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        let find = |global: &Self| std::fs::canonicalize(global.config_path()).ok();
        find(self).is_some_and(|path| Some(path) == find(other))
    }

    fn read_text(&self) -> Result<Option<String>> {
        match &self.piped {
            Some(text) => Ok(Some(text.clone())),
            None => read_text(self.config.as_deref()),
        }
    }

    /// Returns the flags with which another command of vipd means the same node.
    pub(super) fn to_flags(&self) -> Vec<String> {
        // How it logs doesn't change what node it means. Nothing else may be left out.
        let Self {
            config,
            interface,
            node_address,
            masquerade,
            guard,
            firewall,
            node_name,
            vip_allow,
            lock,
            socket,
            log: _,
            log_format: _,
            color: _,
            // Another command reads it itself.
            piped: _,
        } = self;
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let prefixes: Vec<_> = vip_allow.iter().map(ToString::to_string).collect();
        let flags = [
            ("--config", path(config)),
            ("--interface", interface.clone()),
            ("--node-address", node_address.map(|address| address.to_string())),
            ("--masquerade", masquerade.map(|mode| mode.to_string())),
            ("--guard", guard.map(|mode| mode.to_string())),
            ("--firewall", firewall.map(|mode| mode.to_string())),
            ("--node-name", node_name.clone()),
            ("--vip-allow", Some(prefixes.join(",")).filter(|text| !text.is_empty())),
            ("--lock", path(lock)),
            ("--socket", path(socket)),
            ("--color", Some("never".to_owned())),
        ];
        let given =
            flags.into_iter().filter_map(|(flag, value)| Some(format!("{flag}={}", value?)));
        given.collect()
    }

    /// Returns the text of the file; empty if it can't be read.
    pub(super) fn config_text(&self) -> String {
        self.read_text().ok().flatten().unwrap_or_default()
    }

    /// Returns the path of the file.
    pub(super) fn config_path(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE))
    }

    /// Resolves file, environment and flags.
    ///
    /// # Errors
    /// When there is any problem in the file. The error has all of them.
    pub(super) fn resolve_config(&self) -> Result<Config> {
        let text = self.read_text()?.unwrap_or_default();
        let (config, problems) =
            resolve_keys(&text, |file| self.resolve_file(file, Secrets::Read))?;
        if !problems.is_empty() {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let path = self.config_path().display();
            bail!("{path} is not a valid configuration: {}", problems.join("; "));
        }
        Ok(config)
    }

    /// Resolves file, environment and flags as far as they are valid, and warns about the rest: for
    /// commands that work whatever the file says. Reads no secrets, so nobody can ask its Marathons.
    ///
    /// # Errors
    /// When `--config` names a file that can't be read, or a flag is wrong.
    pub(super) fn resolve_node_config(&self) -> Result<Config> {
        let (config, problems) = self.resolve_leniently(Secrets::Skip)?;
        for warning in self.describe_ignored(&problems) {
            output::print_warning(&warning);
        }
        Ok(config)
    }

    /// Resolves as [`Global::resolve_node_config`] does, for commands that change the kernel by
    /// themselves: not if the file may name another interface or lock than is known, unless they are to
    /// go on all the same.
    ///
    /// # Errors
    /// As [`Global::resolve_node_config`], or when the interface or the lock isn't known.
    pub(super) fn resolve_writer_config(&self, go_on: bool) -> Result<Config> {
        let (config, problems) = self.resolve_leniently(Secrets::Skip)?;
        let is_known = go_on || (self.interface.is_some() && self.lock.is_some());
        if let Some(problem) = problems.iter().find(|problem| problem.may_concern_node())
            && !is_known
        {
            let path = self.config_path().display();
            let problem = match problem.line {
                Some(_) => format!("{path} {problem}"),
                None => problem.to_string(),
            };
            bail!(
                "{problem}: it may name another interface or lock than {} and {}; mend it, or use \
                 --interface and --lock, or --ignore-config to go on with these",
                config.interface,
                config.lock.display()
            );
        }
        for warning in self.describe_ignored(&problems) {
            output::print_warning(&warning);
        }
        Ok(config)
    }

    /// Returns the filter of the log of an agent or a name server, which the file may set.
    pub(super) fn file_log_level(&self) -> LogLevel {
        let text = self.config_text();
        resolve_keys(&text, Ok).map(|(file, _)| file.log.level).unwrap_or_default()
    }

    /// Resolves file, environment and flags as far as they are valid, and returns the problems of the
    /// file. If one may be about a Marathon, there are no Marathons.
    ///
    /// # Errors
    /// When `--config` names a file that can't be read, or a flag is wrong.
    pub(super) fn resolve_leniently(
        &self,
        secrets: Secrets,
    ) -> Result<(Config, Vec<ConfigProblem>)> {
        let mut unreadable = None;
        let text = match self.read_text() {
            Ok(text) => text.unwrap_or_default(),
            Err(error) => {
                let legible = error.downcast_ref().map(|NotText { legible, .. }| legible.clone());
                if legible.is_none() && self.config.is_some() {
                    return Err(error);
                }
                unreadable = Some(ConfigProblem::of_file(&error));
                // Its other lines may name the socket and the lock.
                legible.unwrap_or_default()
            }
        };
        let resolve = |file| self.resolve_file(file, secrets);
        let (mut config, mut problems) = resolve_keys(&text, resolve)?;
        problems.splice(0..0, unreadable);
        // Without its credentials or its authority, a Marathon would be asked otherwise than is meant.
        if problems.iter().any(ConfigProblem::may_concern_marathons) {
            config.marathons.clear();
        }
        Ok((config, problems))
    }

    /// Describes the problems whose keys were passed over, one sentence each.
    pub(super) fn describe_ignored(&self, problems: &[ConfigProblem]) -> Vec<String> {
        let path = self.config_path().display();
        let describe = |problem: &ConfigProblem| match problem.line {
            Some(_) => format!("{path} {problem}: ignored; `vipd config check` shows all problems"),
            None => format!("{problem}: going on with what is legible, and the defaults"),
        };
        problems.iter().map(describe).collect()
    }

    /// Lists the credentials in the file that only the unit has: those for Marathons, and for a relay.
    pub(super) fn absent_credentials(&self, is_relays: bool) -> BTreeSet<String> {
        let file = resolve_keys(&self.config_text(), Ok).map(|(file, _)| file).unwrap_or_default();
        let relay = is_relays.then_some(&file.relay);
        let absent = file.marathon.iter().flat_map(MarathonSection::absent_credentials);
        let absent = absent.chain(relay.into_iter().flat_map(RelaySection::absent_credentials));
        absent.map(ToOwned::to_owned).collect()
    }

    /// Resolves a parsed file with environment and flags.
    fn resolve_file(&self, file: ConfigFile, secrets: Secrets) -> Result<Config> {
        let marathons = resolve_marathons(&file.marathon, secrets)?;
        file.node.check()?;
        let mut policy = file.vip;
        policy.local_servers = file.node.local_servers;
        policy.cluster = file.cluster.resolve()?;
        if !self.vip_allow.is_empty() {
            policy.allow.clone_from(&self.vip_allow);
        }
        let names = file.names.resolve()?;
        let listen = names.vips.iter().flat_map(|vips| &vips.listen);
        policy.listen = listen.map(SocketAddr::ip).collect();
        policy.upstreams = names.upstreams.iter().map(SocketAddr::ip).collect();
        let probe = file.probe.resolve()?;
        let lost_syns = match probe.mode {
            ProbeMode::Act | ProbeMode::Observe => LostSyns::Logged,
            ProbeMode::Off => LostSyns::Ignored,
        };
        file.relay.check()?;
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
            ipv6_forwarding: file.node.ipv6_forwarding,
            timeouts: file.ipvs.resolve()?,
            firewall: file.firewall.resolve(self.firewall, &policy)?,
            policy,
            names,
            probe,
            log_level: file.log.level,
            relay: file.relay,
            agent,
        })
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

fn resolve_marathons(sections: &[MarathonSection], secrets: Secrets) -> Result<Vec<Marathon>> {
    let resolve = |(index, section): (usize, &MarathonSection)| {
        section.resolve(secrets).map_err(|mut error| {
            KeyError::set_index(&mut error, index);
            error
        })
    };
    sections.iter().enumerate().map(resolve).collect()
}

/// Reads the host name; empty if there is none.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
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
    use clap::{CommandFactory, Parser};

    use super::*;

    /// A command line with nothing but the options of every command.
    #[derive(Debug, clap::Parser)]
    struct CommandLine {
        #[command(flatten)]
        global: Global,
    }

    #[test]
    fn another_command_gets_every_flag_that_decides_what_node_is_meant() {
        let values = [
            ("config", "/etc/vipd/other.toml"),
            ("interface", "vip7"),
            ("node-address", "10.0.0.7"),
            ("masquerade", "off"),
            ("guard", "off"),
            ("firewall", "insert"),
            ("node-name", "node7"),
            ("vip-allow", "3.0.0.0/8,fd01::/64"),
            ("lock", "/run/other/lock"),
            ("socket", "/run/other/socket"),
        ];
        let given: Vec<_> =
            values.iter().map(|(flag, value)| format!("--{flag}={value}")).collect();
        let words = ["vipd".to_owned()].into_iter().chain(given.clone());
        let global = CommandLine::parse_from(words).global;
        let passed = global.to_flags();
        assert_eq!(passed.iter().filter(|flag| !flag.starts_with("--color")).count(), given.len());
        assert!(given.iter().all(|flag| passed.contains(flag)), "{passed:?}");
        // How it logs, and where, is its own affair.
        let own = ["log", "log-format", "color", "help"];
        let command = CommandLine::command();
        let flags = command.get_arguments().filter_map(clap::Arg::get_long);
        for flag in flags.filter(|flag| !own.contains(flag)) {
            assert!(values.iter().any(|(known, _)| *known == flag), "--{flag} is passed to nobody");
        }
    }

    #[test]
    fn no_app_may_take_an_address_that_the_configuration_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vipd.toml");
        let text = r#"
            [cluster]
            addresses = ["10.9.0.1", "10.9.1.0/24"]
            [names]
            listen = ["198.51.100.7"]
            forward = true
            upstreams = ["10.9.2.1", "10.9.2.2:5353"]
        "#;
        std::fs::write(&path, text).unwrap();
        let config = format!("--config={}", path.display());
        let global = CommandLine::parse_from(["vipd".to_owned(), config]).global;
        let policy = global.resolve_node_config().unwrap().policy;
        let app = (&vip::SourceId::default(), "/a");
        let (node, cluster) = (vip::NodeFacts::default(), vip::ClusterFacts::default());
        for address in ["10.9.0.1", "10.9.1.7", "198.51.100.7", "10.9.2.1", "10.9.2.2"] {
            let at = (address.parse().unwrap(), None);
            let admitted = policy.admit(app, at, vip::Past::New, &node, &cluster);
            assert!(admitted.is_err(), "{address}");
        }
    }

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
