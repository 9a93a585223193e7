//! Runs fuzz targets in a plain loop: `fuzz-targets SECONDS [TARGET...]`, all of them without a name.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

fn main() -> Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let seconds = args.next().unwrap_or_else(|| "60".to_owned());
    let seconds = seconds.parse().context("usage: fuzz-targets SECONDS [TARGET...]")?;
    fuzz_targets::run_for(Duration::from_secs(seconds), &args.collect::<Vec<_>>())
}
