//! `vipd doctor`.

pub(super) mod ask_relay;
mod examine;
mod fix;
mod relays;

use std::io::{self, Write};
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use clap::Args;
use node::inspect::Ipv6Forwarding;
use vip::Printable;

use super::args::Marathons;
use super::end::End;
use super::global::Global;
use super::output::{self, Format};
use crate::config::{ConfigProblem, Secrets};
use crate::doctor::{Diagnosis, Group, Level, check_configuration};

/// Check that this node has what vipd needs, and that nothing interferes
///
/// Checks the kernel, its modules and settings, privileges, limits, bridges, other users of IPVS,
/// managers of the interface, the agent, and each Marathon with its relays. Changes nothing, except
/// that the kernel may load IPVS when it is asked for it. Each warning and error comes with a remedy.
///
/// --fix first does what needs more than `CAP_NET_ADMIN`, so that `vipd run` needs only that: it
/// loads the modules and sets the sysctls; with `[node] ipv6-forwarding`, also that. Run it as root
/// at every boot, as the packaged set-up does.
///
/// Exit status: 0 no errors (there may be warnings), 1 errors, 2 --fix could not do everything.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd doctor
  vipd doctor --marathon http://marathon.example:8080
  vipd doctor --fix
  vipd doctor --undo
  vipd doctor --output json")]
pub(super) struct Doctor {
    #[command(flatten)]
    marathons: Marathons,
    /// Set up this node for an agent with only `CAP_NET_ADMIN`, then check it
    #[arg(long)]
    fix: bool,
    /// With --fix: skip the checks, for a container that only sets up a node
    #[arg(long, requires = "fix")]
    no_examination: bool,
    /// With --fix: switch on IPv6 forwarding, as `[node] ipv6-forwarding = true` does
    #[arg(long, requires = "fix")]
    ipv6_forwarding: bool,
    /// Take back IPv6 forwarding, if --fix has switched it on, and check nothing
    #[arg(long, conflicts_with_all = ["fix", "output", "marathon"])]
    undo: bool,
    /// Where --fix records for --undo how IPv6 forwarding was
    #[arg(long, value_name = "FILE", default_value = Ipv6Forwarding::DEFAULT_RECORD)]
    undo_file: PathBuf,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl Doctor {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let ipv6 = Ipv6Forwarding::new(self.undo_file.clone());
        if self.undo {
            return Ok(if report_steps(fix::undo_forwarding(&ipv6)) {
                End::Fine
            } else {
                End::Trouble
            });
        }
        let (mut config, problems) = global.resolve_leniently(Secrets::Read)?;
        if self.ipv6_forwarding {
            config.ipv6_forwarding = Some(true);
        } else if problems.iter().any(ConfigProblem::may_concern_node) {
            config.ipv6_forwarding = config.ipv6_forwarding.filter(|is_wanted| *is_wanted);
        }
        let marathons = self.marathons.resolve_marathons(&config, Secrets::Read)?;
        let failed = self.fix && !report_steps(fix::fix_node(&config, &ipv6));
        if self.no_examination {
            return Ok(if failed { End::Trouble } else { End::Fine });
        }
        let mut diagnosis = examine::examine_node(&config, &marathons);
        let checks = check_configuration(global.config_path(), &problems);
        diagnosis.groups.insert(0, Group { name: "configuration", checks });
        match self.output {
            Format::Text => output::print_with(|out| print_diagnosis(out, &diagnosis))?,
            Format::Json => output::print_json(&serde_json::json!({
                "groups": diagnosis.groups,
                "level": diagnosis.worst_level(),
                "summary": diagnosis.summary(),
            }))?,
        }
        Ok(match diagnosis.worst_level() {
            _ if failed => End::Trouble,
            Level::Error => End::Found,
            Level::Warning | Level::Ok => End::Fine,
        })
    }
}

/// Prints what was done and what failed. Returns true if nothing failed.
fn report_steps(steps: impl IntoIterator<Item = Result<String>>) -> bool {
    let mut is_fine = true;
    for step in steps {
        match step {
            Ok(done) => output::print_note(&done),
            Err(error) => {
                is_fine = false;
                output::print_error(&error);
            }
        }
    }
    is_fine
}

fn print_diagnosis(out: &mut dyn Write, diagnosis: &Diagnosis) -> io::Result<()> {
    for group in &diagnosis.groups {
        writeln!(out, "{}", Printable(group.name))?;
        for check in &group.checks {
            let style = level_style(check.level);
            let word = check.level.as_str();
            writeln!(out, "  {style}{word:<7}{style:#}  {}", Printable(&check.text))?;
            if let Some(remedy) = &check.remedy {
                writeln!(out, "           -> {}", Printable(remedy))?;
            }
        }
    }
    writeln!(out, "{}", diagnosis.summary())
}

fn level_style(level: Level) -> Style {
    match level {
        Level::Ok => AnsiColor::Green.on_default(),
        Level::Warning => AnsiColor::Yellow.on_default(),
        Level::Error => AnsiColor::Red.on_default(),
    }
}
