//! Runs a model, which is an ignored test.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::cargo::cargo_command;
use crate::progress::Step;

/// Runs the test that is a model, picked by these arguments, and returns what it prints.
pub(super) fn run_model(title: &str, test: &[&str], root: &Path) -> Result<String> {
    let step = Step::start(title);
    let output = cargo_command()
        .args(["test", "--release"])
        .args(test)
        .args(["--", "--ignored", "--nocapture"])
        .current_dir(root)
        .output()
        .context("cannot start cargo")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the model failed: {said}{complaints}");
    step.end("done");
    Ok(said)
}
