//! The command line: one file per command.

mod accept;
mod adopt;
mod agent;
mod apply;
mod args;
mod change;
mod check;
mod cleanup;
mod complete;
mod config;
mod diff;
mod dns;
mod doctor;
mod end;
mod events;
mod explain;
mod file_user;
mod generate;
mod global;
mod hold;
mod lost_lock;
mod man;
mod names;
mod output;
mod parse;
mod relay;
mod reload;
mod report;
mod run;
mod signals;
mod status;
mod trial;
mod unquoted;
mod version;
mod watch;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{CommandFactory, Parser, Subcommand};

use end::End;
use global::Global;

/// Virtual IP addresses for Marathon apps, balanced by IPVS, the load balancer in the Linux kernel.
///
/// An app sets a label on a port, `VIP_0: "3.3.0.6:3306"`. Every node that runs vipd then reaches a
/// healthy instance of the app at 3.3.0.6:3306. vipd writes the IPVS table, a dummy interface with
/// its addresses and routes, two nftables tables, and four sysctls. `ipvsadm -Ln` and
/// `nft list ruleset` show the result.
#[derive(Debug, Parser)]
#[command(
    name = "vipd",
    version = crate::version::describe_build(),
    max_term_width = 100,
    propagate_version = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Diff(diff::Diff),
    Apply(apply::Apply),
    Adopt(adopt::Adopt),
    Status(status::Status),
    Events(events::Events),
    Explain(explain::Explain),
    Try(trial::Try),
    Names(names::Names),
    Hold(hold::Hold),
    Release(hold::Release),
    Accept(accept::Accept),
    Check(check::Check),
    Config(config::Config),
    Doctor(doctor::Doctor),
    Report(report::Report),
    Cleanup(cleanup::Cleanup),
    Dns(dns::Dns),
    Relay(relay::RelayCommand),
    Generate(generate::Generate),
    #[command(hide = true)]
    CompleteValues(complete::CompleteValues),
    Version(version::Version),
}

/// Parses the command line and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    // The first thing: what comes before it ends the process.
    let signals = match signals::Signals::block() {
        Ok(signals) => signals,
        Err(error) => {
            output::print_error(&error);
            return End::Trouble.into();
        }
    };
    let words: Vec<_> = std::env::args_os().collect();
    let cli = match parse::parse_words(&words) {
        Ok(Cli { global, command }) => Cli { global: global.with_pipe_read(), command },
        Err(usage) => return print_usage(&usage),
    };
    // An agent and a name server report only to their log. A command prints its results, so it logs warnings only.
    let filter = match cli.command {
        Command::Run(_) | Command::Dns(_) | Command::Relay(_) => {
            let level = cli.global.file_log_level();
            format!("warn,vipd={level},dns={level}")
        }
        _ => "warn".to_owned(),
    };
    cli.global.start_logging(&filter);
    match cli.run_command(signals) {
        Ok(end) => end.into(),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::print_error(&error);
            End::Trouble.into()
        }
    }
}

/// Reads the command line of a process that is a `vipd run`. Its variables are taken to be those of this
/// process, as they are in one unit.
fn read_agent_command(pid: u32) -> Result<(Global, run::Run)> {
    let path = format!("/proc/{pid}/cmdline");
    let line = std::fs::read(&path).with_context(|| format!("cannot read {path}"))?;
    let words = line.strip_suffix(b"\0").unwrap_or(&line).split(|byte| *byte == 0);
    let words: Vec<_> = words.map(|word| OsStr::from_bytes(word).to_owned()).collect();
    match parse::parse_words(&words) {
        Ok(Cli { global, command: Command::Run(run) }) => Ok((global, run)),
        _ => bail!("process {pid} is no `vipd run` with flags of this version"),
    }
}

/// Reads the options of every command from flags. `None`: one of them is wrong.
fn read_global_options(flags: Vec<String>) -> Option<Global> {
    let words = ["vipd".to_owned()].into_iter().chain(flags).chain(["version".to_owned()]);
    let words: Vec<_> = words.map(OsString::from).collect();
    parse::parse_words(&words).ok().map(|cli: Cli| cli.global)
}

impl Cli {
    fn run_command(&self, signals: signals::Signals) -> Result<End> {
        // Those who stop in good order; signals end all others.
        match &self.command {
            Command::Run(run) => return run.run(&self.global, &signals),
            Command::Dns(dns) => return dns.run(&self.global, &signals),
            Command::Relay(relay) => return relay.run(&self.global, &signals),
            _ => signals.unblock()?,
        }
        match &self.command {
            Command::Run(_) | Command::Dns(_) | Command::Relay(_) => Ok(End::Fine),
            Command::Diff(diff) => diff.run(&self.global),
            Command::Apply(apply) => apply.run(&self.global),
            Command::Adopt(adopt) => adopt.run(&self.global),
            Command::Status(status) => status.run(&self.global),
            Command::Events(events) => events.run(&self.global),
            Command::Explain(explain) => explain.run(&self.global),
            Command::Try(trial) => trial.run(&self.global),
            Command::Names(names) => names.run(&self.global),
            Command::Hold(hold) => hold.run(&self.global),
            Command::Release(release) => release.run(&self.global),
            Command::Accept(accept) => accept.run(&self.global),
            Command::Check(check) => check.run(&self.global),
            Command::Config(config) => config.run(&self.global, read_agent_command),
            Command::Doctor(doctor) => doctor.run(&self.global),
            Command::Report(report) => report.run(&self.global),
            Command::Cleanup(cleanup) => cleanup.run(&self.global),
            Command::Generate(generate) => generate.run(Self::command()),
            Command::CompleteValues(complete) => complete.run(Self::command(), read_global_options),
            Command::Version(version) => version.run(),
        }
    }
}

/// Prints help, the version or an error of usage, as `Cli::parse` does, but without passing over in
/// silence that help could not be printed.
fn print_usage(usage: &clap::Error) -> ExitCode {
    match usage.print().and_then(|()| io::stdout().flush()) {
        Err(error) if !usage.use_stderr() && error.kind() != io::ErrorKind::BrokenPipe => {
            output::print_error(
                &anyhow::Error::new(error).context("cannot write to standard output"),
            );
            End::Trouble.into()
        }
        _ => u8::try_from(usage.exit_code()).map_or_else(|_| End::Trouble.into(), ExitCode::from),
    }
}

/// Returns whether the reader of the output is gone, as in `vipd diff | head`: that is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
