//! `vipd doctor`.

mod examine;
mod fix;

use std::io::{self, Write};
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use clap::Args;
use vip::Printable;

use super::args::Marathons;
use super::end::End;
use super::global::Global;
use super::output::{self, Format};
use crate::config::Secrets;
use crate::doctor::{Diagnosis, Group, Level, check_configuration};

/// Check that this node has what vipd needs, and that nothing interferes
///
/// Checks the kernel, its modules and settings, privileges, limits, bridges, other users of IPVS,
/// managers of the interface, the agent, and each Marathon. Changes nothing, except that the kernel
/// may load IPVS when it is asked for it. Each warning and error comes with a remedy.
///
/// --fix first does what needs more than `CAP_NET_ADMIN`, so that `vipd run` needs only that: it
/// loads the modules, has them loaded at boot, and sets the sysctls, including IPv6 forwarding. Run
/// it as root, once after the installation or from a set-up unit at boot.
///
/// Exit status: 0 no errors (there may be warnings), 1 errors, 2 --fix could not do everything.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd doctor
  vipd doctor --marathon http://marathon.example:8080
  vipd doctor --fix
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
    /// With --fix: don't enable IPv6 forwarding
    #[arg(long, requires = "fix")]
    no_ipv6_forwarding: bool,
    /// With --fix: list of modules to load at boot [default: /etc/modules-load.d/vipd.conf]
    #[arg(long, value_name = "FILE", requires = "fix")]
    modules_file: Option<PathBuf>,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl Doctor {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let (config, problems) = global.resolve_leniently(Secrets::Read)?;
        let marathons = self.marathons.resolve_marathons(&config)?;
        let mut failed = false;
        if self.fix {
            let modules = self.modules_file.clone().unwrap_or_else(|| fix::MODULES_FILE.into());
            for step in fix::fix_node(&config, &modules, !self.no_ipv6_forwarding) {
                match step {
                    Ok(done) => output::print_note(&done),
                    Err(error) => {
                        failed = true;
                        output::print_error(&error);
                    }
                }
            }
        }
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
