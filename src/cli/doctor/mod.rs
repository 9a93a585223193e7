mod examine;
mod fix;

use std::io::Write;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use clap::Args;

use super::args::{Global, Marathons};
use super::end::End;
use super::output::{self, Format};
use crate::doctor::{Diagnosis, Level};

/// Examine this node: is everything there that vipd needs, and does anything stand in its way?
///
/// Looks at the kernel, its modules and settings, at rights, limits, bridges, other users of IPVS,
/// whoever manages the interface, the agent, and at each Marathon. Changes nothing, except that
/// asking for IPVS may have the kernel load it. Each line that isn't ok comes with its remedy.
///
/// With --fix it does first what needs more than `CAP_NET_ADMIN`, so that `vipd run` needs no more
/// than that: it loads the modules, has them loaded at every boot, and sets the sysctls, IPv6
/// forwarding among them. Run that as root, once after installing or, as a set-up unit, at boot.
///
/// Exit status: 0 no error (there may be warnings), 1 errors, 2 trouble: --fix could not do it all.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd doctor
  vipd doctor --marathon http://marathon.example:8080
  vipd doctor --fix
  vipd doctor --output json")]
pub(super) struct Doctor {
    #[command(flatten)]
    marathons: Marathons,
    /// Set this node up for an agent with `CAP_NET_ADMIN` only, then examine it
    #[arg(long)]
    fix: bool,
    /// With --fix: don't examine it then. For a container that only sets a node up
    #[arg(long, requires = "fix")]
    no_examination: bool,
    /// With --fix: leave IPv6 forwarding as it is
    #[arg(long, requires = "fix")]
    no_ipv6_forwarding: bool,
    /// With --fix: file that has modules loaded at boot [default: /etc/modules-load.d/vipd.conf]
    #[arg(long, value_name = "FILE", requires = "fix")]
    modules_file: Option<PathBuf>,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl Doctor {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let config = global.config()?;
        let marathons = self.marathons.resolve(&config)?;
        let mut failed = false;
        if self.fix {
            let modules = self.modules_file.clone().unwrap_or_else(|| fix::MODULES_FILE.into());
            for step in fix::fix(&config, &modules, !self.no_ipv6_forwarding) {
                match step {
                    Ok(done) => output::note(&done),
                    Err(error) => {
                        failed = true;
                        output::complain(&error);
                    }
                }
            }
        }
        if self.no_examination {
            return Ok(if failed { End::Trouble } else { End::Fine });
        }
        let diagnosis = examine::examine(&config, &marathons);
        match self.output {
            Format::Text => print(&diagnosis)?,
            Format::Json => output::json(&serde_json::json!({
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

fn print(diagnosis: &Diagnosis) -> Result<()> {
    let mut out = anstream::stdout().lock();
    for group in &diagnosis.groups {
        writeln!(out, "{}", group.name)?;
        for check in &group.checks {
            let style = style(check.level);
            let word = check.level.as_str();
            writeln!(out, "  {style}{word:<7}{style:#}  {}", check.text)?;
            if let Some(remedy) = &check.remedy {
                writeln!(out, "           -> {remedy}")?;
            }
        }
    }
    writeln!(out, "{}", diagnosis.summary())?;
    Ok(())
}

fn style(level: Level) -> Style {
    match level {
        Level::Ok => AnsiColor::Green.on_default(),
        Level::Warning => AnsiColor::Yellow.on_default(),
        Level::Error => AnsiColor::Red.on_default(),
    }
}
