//! `vipd cleanup`.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use node::{Kernel, Lock};
use vip::{Desired, Plan};

use super::args::{Global, open_kernel};
use super::end::{End, done_line, report_failures};
use super::output;

/// Remove everything that vipd created: its virtual services, interface and nftables tables
///
/// Leaves services without vipd's mark (keepalived's, Docker's, your own) and every nftables table
/// other than `ip vipd` and `ip6 vipd`.
///
/// Exit status: 0 done or nothing to do, 2 error; with --dry-run, 1 if there is something to do.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd cleanup --dry-run
  vipd cleanup")]
pub(super) struct Cleanup {
    /// Show what would be removed, without changing anything
    #[arg(long)]
    dry_run: bool,
}

impl Cleanup {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let config = global.resolve_config()?;
        let _lock = if self.dry_run { None } else { Some(Lock::take(&config.lock)?) };
        let mut kernel = open_kernel(&config)?;
        let observed = kernel.observe()?;
        let plan = Plan::cleanup(&observed);
        let mut out = anstream::stdout().lock();
        for line in plan.describe(&Desired::default()) {
            output::print_line(&mut out, &line)?;
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
