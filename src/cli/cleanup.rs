//! `vipd cleanup`.

use anyhow::Result;
use clap::Args;
use node::{Kernel, Lock};
use vip::{Desired, Line, Plan, Sign};

use super::args::open_kernel;
use super::end::{End, done_line, report_failures};
use super::global::Global;
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
        let config = global.resolve_node_config()?;
        let _lock = if self.dry_run { None } else { Some(Lock::take(&config.lock)?) };
        let mut kernel = open_kernel(&config)?;
        let observed = kernel.observe()?;
        let plan = Plan::cleanup(&observed);
        let mut lines = plan.describe(&Desired::default());
        let stays = observed.unmarked_services().map(|(key, _)| format!("{key} stays: not vipd's"));
        lines.extend(stays.map(|text| Line::new(0, Sign::Plain, text)));
        output::print_lines(&lines)?;
        if self.dry_run {
            output::print_with(|out| writeln!(out, "{}", plan.summary()))?;
            return Ok(if plan.is_empty() { End::Fine } else { End::Found });
        }
        let outcome = kernel.apply_plan(plan);
        if outcome.is_success() {
            output::print_with(|out| writeln!(out, "{}", done_line(&outcome.plan)))?;
        }
        report_failures(&outcome)
    }
}
