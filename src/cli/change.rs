//! What `adopt` and `cleanup` have in common: changes of the kernel that no definition asks for.

use anyhow::{Result, bail};
use clap::Args;
use node::{Kernel, LinuxKernel, Lock};
use vip::{Desired, Line, Plan};

use super::args::open_kernel;
use super::end::{End, done_line, report_failures};
use super::global::Global;
use super::output::{self, Format};
use crate::admin::HoldFiles;
use crate::config::Config;
use crate::report::plan::{outcome_json, plan_json};

/// Options of a command that changes the kernel by itself.
#[derive(Debug, Args)]
pub(super) struct Change {
    /// Show what would be changed, without changing anything
    #[arg(long)]
    dry_run: bool,
    /// Go on, with the valid keys and the defaults, where the configuration may name another
    /// interface or lock than can be read
    #[arg(long)]
    ignore_config: bool,
    /// Go on even if the node is held
    #[arg(long)]
    force: bool,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl Change {
    /// Opens the kernel, as its only writer unless nothing is to be changed. Refuses to change a node that
    /// is held, unless that is intended.
    pub(super) fn open(&self, global: &Global) -> Result<(LinuxKernel, Option<Lock>)> {
        let config = global.resolve_writer_config(self.ignore_config)?;
        let lock = if self.dry_run { None } else { Some(Lock::take(&config.lock)?) };
        if !self.dry_run && !self.force {
            refuse_hold(&config)?;
        }
        Ok((open_kernel(&config)?, lock))
    }

    /// Carries a plan out, or shows it. `notes` follow its lines in text.
    pub(super) fn carry_out(
        &self,
        kernel: &mut LinuxKernel,
        plan: Plan,
        notes: Vec<Line>,
    ) -> Result<End> {
        let nothing = Desired::default();
        if self.output == Format::Text {
            let mut lines = plan.describe(&nothing);
            lines.extend(notes);
            output::print_lines(&lines)?;
        }
        if self.dry_run {
            match self.output {
                Format::Text => output::print_with(|out| writeln!(out, "{}", plan.summary()))?,
                Format::Json => output::print_json(&plan_json(&plan, &nothing, &[]))?,
            }
            return Ok(if plan.is_empty() { End::Fine } else { End::Found });
        }
        let outcome = kernel.apply_plan(plan);
        match self.output {
            Format::Json => output::print_json(&outcome_json(&outcome, &nothing, &[]))?,
            Format::Text if outcome.is_success() => {
                output::print_with(|out| writeln!(out, "{}", done_line(&outcome.plan)))?;
            }
            Format::Text => {}
        }
        report_failures(&outcome)
    }
}

/// Refuses to change a node that is held. No agent runs: it would have the lock.
pub(super) fn refuse_hold(config: &Config) -> Result<()> {
    if let Some(hold) = HoldFiles::new(&config.agent).read()? {
        bail!(
            "the node is {hold}: start the agent and run `vipd release`, or use --force if a change \
             is intended"
        );
    }
    Ok(())
}
