//! cargo-deny, which checks the licences, duplicates and origins of dependencies. No Debian release
//! has it: it is built once, from crates.io.

use std::fs;
use std::io::stdout;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cargo::cargo_command;
use crate::progress::Step;
use crate::supervised_child::{TimeLimits, run_supervised};
use crate::tools;

const NAME: &str = "cargo-deny";
const VERSION: &str = "0.20.2";

/// Two idle processors build it in two minutes; a busy machine takes far longer.
const TIME_LIMITS: TimeLimits =
    TimeLimits { silence: Duration::from_secs(15 * 60), total: Duration::from_secs(60 * 60) };

/// Installs cargo-deny under `target` unless PATH has one, and returns the directories to add to
/// PATH.
pub(crate) fn ensure_cargo_deny(target: &Path) -> Result<Vec<PathBuf>> {
    if tools::find_program(NAME).is_some() {
        return Ok(Vec::new());
    }
    let root = target.join("tools").join(format!("{NAME}-{VERSION}"));
    let programs = root.join("bin");
    if !programs.join(NAME).is_file() {
        install_cargo_deny(&root)?;
    }
    Ok(vec![programs])
}

/// Builds cargo-deny and shows cargo's progress. Without optimization and debug information, which
/// would take more time than all its runs.
fn install_cargo_deny(root: &Path) -> Result<()> {
    let step =
        Step::start(&format!("installing {NAME} {VERSION} from crates.io, which takes minutes"));
    // Kept when the build is interrupted, so that the next one goes on from there.
    let build = root.join("build");
    let mut command = cargo_command();
    command.args(["install", "--locked", "--debug", "--version", VERSION, NAME]);
    command.arg("--root").arg(root).arg("--target-dir").arg(&build);
    command.env("CARGO_PROFILE_DEV_DEBUG", "0");
    let end = run_supervised(&mut command, TIME_LIMITS, &mut stdout(), |_| {})?;
    let problem = end.problem();
    step.end(problem.as_deref().unwrap_or("installed"));
    ensure!(problem.is_none(), "cannot install {NAME}: cargo's messages are above");
    fs::remove_dir_all(build)?;
    Ok(())
}
