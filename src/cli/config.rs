//! `vipd config`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use vip::Printable;

use super::args::Marathons;
use super::end::End;
use super::file_user::FileUser;
use super::global::Global;
use super::output::{self, Format};
use super::reload::{
    check_hold, check_listen, check_listen_anew, check_owners, check_policy, create_clients,
    only_source,
};
use super::run::Run;
use crate::admin::HoldFiles;
use crate::admin::client::{AgentClient, NoAgent};
use crate::config::{
    AgentSection, AgentSettings, Config as Settings, ConfigProblem, SCHEMA, Secrets,
};

/// Check the configuration file, or print its schema
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd config check
  vipd config check vipd.toml
  vipd config schema")]
pub(super) struct Config {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    Check(Box<ConfigCheck>),
    Schema(ConfigSchema),
}

/// Reads the flags of a running agent.
type ReadAgent = fn(u32) -> Result<(Global, Run)>;

impl Config {
    pub(super) fn run(&self, global: &Global, read_agent: ReadAgent) -> Result<End> {
        match &self.command {
            ConfigCommand::Check(check) => check.run(global, read_agent),
            ConfigCommand::Schema(_) => {
                output::print_with(|out| out.write_all(SCHEMA.as_bytes()))?;
                Ok(End::Fine)
            }
        }
    }
}

/// Check a configuration file as the agent does before a start and a reload
///
/// Prints every problem with file, line, column, key, reason and remedy. Reads the files with secrets and
/// certificates that it names, except credentials that only the unit has. If an agent runs on this node,
/// it also checks that the agent can go on with it: that the new address is free, that a hold isn't lost,
/// and that it doesn't refuse more than half of the VIPs; that and a hold matter to a reload only.
/// Without an agent it checks that the address is free, and that a hold can be read. For root, it checks
/// that the owner of the agent's state, the user of the unit, may read all of it, too; of a FILE that
/// isn't the agent's, only the files that it names.
///
/// Exit status: 0 no problem, 1 problems, 2 error, or this user may not read all of it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd config check
  vipd config check vipd.toml
  vipd config check --relay
  vipd config check --output json")]
struct ConfigCheck {
    /// File to check [default: the one that the agent reads]
    file: Option<PathBuf>,
    /// Check with the flags of this process, a running `vipd run`, in place of its own
    ///
    /// As the unit does before a reload, whatever flags an overridden `ExecStart=` has.
    #[arg(long, value_name = "PID", conflicts_with = "file")]
    of_agent: Option<u32>,
    /// Check as `vipd relay` does before a start: with the files that `[relay]` names
    #[arg(long, conflicts_with = "of_agent")]
    relay: bool,
    #[command(flatten)]
    marathons: Marathons,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// Print the JSON schema of the configuration file, for editors and linters
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd config schema > vipd.schema.json")]
struct ConfigSchema {}

impl ConfigCheck {
    fn run(&self, agents: &Global, read_agent: ReadAgent) -> Result<End> {
        let (global, run) = match self.of_agent {
            Some(pid) => read_agent(pid).map(|(global, run)| (global, Some(run)))?,
            None => (agents.with_config_file(self.file.clone()), None),
        };
        let mut problems = self.find_problems(&global, run.as_ref());
        if problems.is_empty() {
            // One that is yet to be put in place gets other rights then.
            let is_in_place = self.file.as_ref().is_none_or(|_| global.is_same_file(agents));
            let global = global.clone();
            let global = if is_in_place { global } else { global.with_text_read() };
            problems = self.find_unreadable(&global, run.as_ref());
        }
        let path = global.config_path();
        match self.output {
            Format::Text => {
                output::print_with(|out| print_problems(out, path, &problems, self.relay))?;
            }
            Format::Json => output::print_json(&json!({
                "file": path,
                "ok": problems.is_empty(),
                "problems": problems,
            }))?,
        }
        Ok(match problems.iter().all(|problem| problem.is_denied) {
            _ if problems.is_empty() => End::Fine,
            true => End::Trouble,
            false => End::Found,
        })
    }

    /// Finds the problems, with the flags of an agent if there is one.
    fn find_problems(&self, global: &Global, run: Option<&Run>) -> Vec<ConfigProblem> {
        if self.file.is_none()
            && let Err(error) = global.check_config_rereadable()
        {
            return vec![ConfigProblem::of_file(&error)];
        }
        let marathons = run.map_or(&self.marathons, Run::marathons);
        let absent = global.absent_credentials(self.relay);
        for name in absent.union(&marathons.absent_credentials()) {
            output::print_note(&format!("not checked: credential {name} is in the unit only"));
        }
        let (mut config, mut problems) = match global.resolve_leniently(Secrets::ReadPresent) {
            Ok(resolved) => resolved,
            Err(error) => return vec![ConfigProblem::of_file(&error)],
        };
        if problems.iter().any(|problem| problem.is_denied && problem.line.is_none()) {
            return problems;
        }
        let are_known = !problems.iter().any(ConfigProblem::may_concern_marathons);
        let mut add = |error: anyhow::Error| {
            problems.push(ConfigProblem::of_error(&global.config_text(), &error));
        };
        if let Some(run) = run {
            run.override_config(&mut config);
        }
        match marathons.resolve_marathons(&config, Secrets::ReadPresent) {
            Err(error) => add(error),
            Ok(marathons) if marathons.is_empty() && are_known && self.relay => {
                add(anyhow!("no Marathon is configured: a relay reads one"));
            }
            Ok(marathons) if marathons.is_empty() && are_known => output::print_note(
                "the file names no Marathon: the agent needs --marathon or VIPD_MARATHON",
            ),
            Ok(marathons) => {
                if self.relay && marathons.len() > 1 {
                    output::print_note("a relay reads one Marathon: it needs --name");
                }
                let each = marathons.iter().map(std::slice::from_ref);
                each.filter_map(|one| create_clients(&config, one).err()).for_each(&mut add);
                if !self.relay {
                    check_owners(&config.policy, &marathons).err().into_iter().for_each(&mut add);
                }
            }
        }
        if self.relay {
            config.relay.check_files().into_iter().for_each(add);
        } else {
            problems.extend(find_start_problems(global, &config, self.file.is_some()));
        }
        problems
    }

    /// Finds the files that root may read, and the user of the unit may not: the owner of the agent's
    /// state.
    fn find_unreadable(&self, global: &Global, run: Option<&Run>) -> Vec<ConfigProblem> {
        let Ok((mut config, _)) = global.resolve_leniently(Secrets::Skip) else {
            return Vec::new();
        };
        if let Some(run) = run {
            run.override_config(&mut config);
        }
        let Some(user) = FileUser::owner_of(&config.agent.state) else { return Vec::new() };
        let (config, mut problems) = match global.resolve_leniently(Secrets::ReadPresent) {
            Ok(resolved) => resolved,
            Err(error) => (config, vec![ConfigProblem::of_file(&error)]),
        };
        let marathons = run.map_or(&self.marathons, Run::marathons);
        let of_flags = marathons.resolve_marathons(&config, Secrets::ReadPresent).err();
        let of_relay = if self.relay { config.relay.check_files() } else { Vec::new() };
        let errors = of_flags.into_iter().chain(of_relay);
        problems.extend(errors.map(|error| ConfigProblem::of_error(&global.config_text(), &error)));
        problems.retain(|problem| problem.is_denied);
        for problem in &mut problems {
            // This process may read all of it, so it is no doubt.
            problem.is_denied = false;
            let owner = format!(
                ": the unit runs as user {}, the owner of {}",
                user.uid(),
                config.agent.state.display()
            );
            problem.reason.push_str(&owner);
        }
        problems
    }
}

/// Finds what keeps an agent from starting, or the running one from reloading, beside the values
/// themselves. A file that the user names may be for another node.
fn find_start_problems(
    global: &Global,
    config: &Settings,
    is_file_named: bool,
) -> Vec<ConfigProblem> {
    let problem = |error: anyhow::Error| ConfigProblem::of_error(&global.config_text(), &error);
    let agent = match find_running_agent(config) {
        Ok(agent) => agent,
        Err(NoAgent::Denied { .. }) => {
            output::print_note(
                "not checked: whether the running agent can go on with it; this user may not ask it",
            );
            return Vec::new();
        }
        Err(_) => {
            let listen = check_listen_anew(&config.agent, is_file_named).err().map(problem);
            // It may be for root alone.
            let hold = HoldFiles::new(&config.agent)
                .read()
                .err()
                .map(|error| ConfigProblem::of_file(&error));
            return listen.into_iter().chain(hold.filter(|problem| !problem.is_denied)).collect();
        }
    };
    let told = agent.fetch_config().unwrap_or_default();
    let now = settings_of(&told, config);
    let now = now.as_ref();
    let listen = now.and_then(|now| check_listen(now, &config.agent).err());
    let hold = now.and_then(|now| check_hold(now, &config.agent).err());
    let policy = match agent.fetch_vips() {
        Ok(vips) => {
            let read = told["marathon"].as_array().into_iter().flatten();
            let only = only_source(read.filter_map(|each| each["name"].as_str()));
            check_policy(&config.policy, only.as_ref(), &vips).err()
        }
        Err(error) => {
            output::print_note(&format!(
                "not checked: whether most VIPs of the running agent would be refused: {error:#}"
            ));
            None
        }
    };
    let of_reload = hold.into_iter().chain(policy);
    let of_reload = of_reload.map(|error| ConfigProblem { is_reload_only: true, ..problem(error) });
    listen.map(problem).into_iter().chain(of_reload).collect()
}

/// Finds the agent that runs on this node.
fn find_running_agent(config: &Settings) -> Result<AgentClient, NoAgent> {
    let connect = AgentClient::connect;
    connect(&config.agent.socket).or_else(|none| {
        let usual = connect(&AgentSection::default().socket);
        // That this user may not ask is what counts.
        usual.map_err(|other| if matches!(none, NoAgent::Denied { .. }) { none } else { other })
    })
}

/// Reads the settings that a running agent has told: what a successor has to go on with.
fn settings_of(told: &Value, config: &Settings) -> Option<AgentSettings> {
    let told = &told["agent"];
    Some(AgentSettings {
        listen: told["listen"].as_str()?.parse().ok()?,
        socket: told["socket"].as_str()?.into(),
        state: told["state"].as_str()?.into(),
        ..config.agent.clone()
    })
}

fn print_problems(
    out: &mut dyn Write,
    path: &Path,
    problems: &[ConfigProblem],
    is_relays: bool,
) -> io::Result<()> {
    let path = path.display().to_string();
    for ConfigProblem { line, column, key, reason, .. } in problems {
        let place = [line, column].into_iter().flatten().map(|number| format!(":{number}"));
        let place: String = place.collect();
        let key = key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default();
        writeln!(out, "{}{place}: {}{}", Printable(&path), Printable(&key), Printable(reason))?;
    }
    let denied = problems.iter().filter(|problem| problem.is_denied).count();
    let count = problems.len() - denied;
    let (number, these, them) = match count {
        1 => ("1 problem".to_owned(), "this", "it"),
        many => (format!("{many} problems"), "these", "them"),
    };
    if problems.is_empty() {
        writeln!(out, "{}: no problem", Printable(&path))?;
    } else if count > 0 && is_relays {
        writeln!(out, "{number}: the relay would not start with {these}")?;
    } else if count > 0 && problems.iter().all(|problem| problem.is_reload_only) {
        writeln!(out, "{number}: a reload refuses {these}, and a restart takes {them}")?;
    } else if count > 0 {
        writeln!(out, "{number}: the agent would neither start nor reload with {these}")?;
    }
    if denied > 0 {
        let who = if is_relays { "relay" } else { "agent" };
        writeln!(
            out,
            "{}: not checked as a whole: this user may not read all of it, and the {who} wouldn't start \
             as this user; if it runs as another one, run this as root or as that user",
            Printable(&path)
        )?;
    }
    Ok(())
}
