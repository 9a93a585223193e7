use std::io::Write;

use anyhow::Result;
use clap::Args;
use node::{Kernel, Lock};
use vip::{Desired, Plan};

use super::args::{Global, open_kernel};
use super::end::{End, done_line, report_failures};
use super::output;

/// Remove exactly what is vipd's: marked virtual services, the interface, the tables
///
/// Services without vipd's mark (keepalived's, docker's, your own) stay, and so does every table of
/// nftables but `ip vipd` and `ip6 vipd`.
///
/// Exit status: 0 done or nothing to do, 2 trouble; with --dry-run 1 if there is something to do.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd cleanup --dry-run
  vipd cleanup")]
pub(super) struct Cleanup {
    /// Show what would go, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Cleanup {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let config = global.config()?;
        let _lock = if self.dry_run { None } else { Some(Lock::take(&config.lock)?) };
        let mut kernel = open_kernel(&config)?;
        let observed = kernel.observe()?;
        let plan = Plan::cleanup(&observed);
        let mut out = anstream::stdout().lock();
        for line in plan.describe(&Desired::default()) {
            output::line(&mut out, &line)?;
        }
        for (key, _) in observed.unmarked_services() {
            writeln!(out, "  {key} stays: not vipd's")?;
        }
        if self.dry_run {
            writeln!(out, "{}", plan.summary())?;
            return Ok(if plan.is_empty() { End::Fine } else { End::Found });
        }
        let outcome = kernel.apply_plan(plan);
        if outcome.is_success() {
            writeln!(out, "{}", done_line(&outcome.plan))?;
        }
        report_failures(&outcome)
    }
}
