//! The end of a command: its exit status, and what it says of the operations that it did.

use std::process::ExitCode;

use anyhow::Result;
use vip::plan::OpResult;
use vip::{Outcome, Plan};

use super::output;

/// The result of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// 0: nothing to do, done, clean.
    Fine,
    /// 1: there are changes, or findings.
    Found,
    /// 2: something failed, and was reported.
    Trouble,
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        match end {
            End::Fine => Self::SUCCESS,
            End::Found => Self::from(1),
            End::Trouble => Self::from(2),
        }
    }
}

/// Summarizes a plan of which every operation succeeded.
pub(super) fn done_line(plan: &Plan) -> String {
    match plan.is_empty() {
        true => plan.summary(),
        false => format!("done: {}", plan.summary_done()),
    }
}

/// Prints every operation that the kernel refused, and how many were skipped because of these.
pub(super) fn report_failures(outcome: &Outcome) -> Result<End> {
    for (op, error) in outcome.failures() {
        output::print_error(&anyhow::anyhow!("{op}: {error}"));
    }
    let skipped = outcome.results().filter(|(_, result)| **result == OpResult::Skipped).count();
    if skipped > 0 {
        output::print_error(&anyhow::anyhow!(
            "{skipped} operations that depend on these were not tried"
        ));
    }
    Ok(if outcome.is_success() { End::Fine } else { End::Trouble })
}
