//! `vipd cleanup`.

use anyhow::Result;
use clap::Args;
use node::Kernel;
use vip::{Line, Plan, Sign};

use super::change::Change;
use super::end::End;
use super::global::Global;

/// Remove everything that vipd created: its virtual services, interface and nftables tables
///
/// Leaves services without vipd's mark (keepalived's, Docker's, your own) and every nftables table
/// other than `ip vipd` and `ip6 vipd`.
///
/// Where the configuration can't be read, or a line of it that may name another interface or lock,
/// nothing is removed without --ignore-config or both --interface and --lock.
///
/// A node that `vipd hold` holds stays as it is without --force, also while no agent runs.
///
/// Exit status: 0 done or nothing to do, 2 error; with --dry-run, 1 if there is something to do.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd cleanup --dry-run
  vipd cleanup")]
pub(super) struct Cleanup {
    #[command(flatten)]
    change: Change,
}

impl Cleanup {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let (mut kernel, _lock) = self.change.open(global)?;
        let observed = kernel.observe()?;
        let stays = observed.unmarked_services().map(|(key, _)| format!("{key} stays: not vipd's"));
        let notes = stays.map(|text| Line::new(0, Sign::Plain, text)).collect();
        self.change.carry_out(&mut kernel, Plan::cleanup(&observed), notes)
    }
}
