//! A minute of all targets.

use std::process::ExitCode;
use std::time::Duration;

fn main() -> anyhow::Result<ExitCode> {
    fuzz_targets::run_for(Duration::from_secs(60), &[])
}
