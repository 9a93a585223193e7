//! `vipd apply`.

use anyhow::{Result, bail};
use clap::Args;
use node::{Kernel, Lock, SysctlState};
use vip::Plan;

use super::args::{Sources, open_kernel};
use super::change::refuse_hold;
use super::end::{End, done_line, report_failures};
use super::global::Global;
use super::output::{self, Format};
use crate::report::plan::outcome_json;
use crate::sources::survey::Beside;

/// Apply the definitions to the kernel once
///
/// Makes the changes that `diff` shows, in the same order, and prints them. A second run changes
/// nothing. With a file of one app or an array of apps it adds and changes, but removes nothing.
/// A node that `vipd hold` holds stays as it is, also while no agent runs.
///
/// Exit status: 0 done or nothing to do, 2 error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd apply --marathon http://marathon.example:8080
  vipd apply --from mysql.json
  vipd apply --from apps.json --force")]
pub(super) struct Apply {
    #[command(flatten)]
    sources: Sources,
    /// Apply even if the node is held, or if that removes more than half of all VIPs or of all real
    /// servers
    #[arg(long)]
    force: bool,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl Apply {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let config = global.resolve_config()?;
        let _lock = Lock::take(&config.lock)?;
        if !self.force {
            refuse_hold(&config)?;
        }
        let wishes = self.sources.read_all(&config)?;
        let mut kernel = open_kernel(&config)?;
        let survey = wishes.survey_kernel(&config, &mut kernel, Beside::Alone)?;
        if !self.force {
            refuse_large_loss(&survey.plan)?;
        }
        for report in kernel.tune_sysctls(true) {
            match report.state {
                SysctlState::Already => {}
                SysctlState::Changed { .. } => output::print_note(&report.to_string()),
                SysctlState::Refused { .. }
                | SysctlState::Wrong { .. }
                | SysctlState::Unknown { .. } => {
                    output::print_warning(&report.to_string());
                }
            }
        }
        let outcome = kernel.apply_plan(survey.plan);
        match self.output {
            Format::Text => {
                output::warn_about_labels(&survey.desired.reports, &survey.findings);
                output::print_with(|out| {
                    for line in outcome.plan.describe(&survey.desired) {
                        output::print_line(out, &line)?;
                    }
                    match outcome.is_success() {
                        true => writeln!(out, "{}", done_line(&outcome.plan)),
                        false => Ok(()),
                    }
                })?;
            }
            Format::Json => {
                output::print_json(&outcome_json(&outcome, &survey.desired, &survey.findings))?;
            }
        }
        report_failures(&outcome)
    }
}

/// Refuses a plan that removes more than half of the table. Such a plan is more likely to come from
/// a broken Marathon than to be intended.
fn refuse_large_loss(plan: &Plan) -> Result<()> {
    let losses = plan.losses();
    if losses.is_suspicious() {
        bail!(
            "this would remove {} of {} VIPs and leave {} fewer of {} real servers, more than \
             half: check `vipd diff`, and use --force if that is intended",
            losses.services,
            losses.of_services,
            losses.servers,
            losses.of_servers
        );
    }
    Ok(())
}
