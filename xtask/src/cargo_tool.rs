//! Programs from crates.io that check the source. No Debian release has them: each is built once.

use std::fs;
use std::io::stdout;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cargo::cargo_command;
use crate::progress::Step;
use crate::supervised_child::{TimeLimits, run_supervised};
use crate::tools;

/// A program from crates.io.
pub(crate) struct CargoTool {
    name: &'static str,
    version: &'static str,
}

/// The check of the licences, duplicates and origins of dependencies.
pub(crate) const CARGO_DENY: CargoTool = CargoTool { name: "cargo-deny", version: "0.20.2" };

/// The list of the public API of a crate.
pub(crate) const CARGO_PUBLIC_API: CargoTool =
    CargoTool { name: "cargo-public-api", version: "0.52.0" };

/// The check of an API against an earlier one.
pub(crate) const CARGO_SEMVER_CHECKS: CargoTool =
    CargoTool { name: "cargo-semver-checks", version: "0.51.0" };

/// Two idle processors build one in two minutes; a busy machine takes far longer.
const TIME_LIMITS: TimeLimits =
    TimeLimits { silence: Duration::from_secs(15 * 60), total: Duration::from_secs(60 * 60) };

impl CargoTool {
    /// Installs the program under `target` unless PATH has one, and returns the directories to add
    /// to PATH.
    pub(crate) fn ensure_installed(&self, target: &Path) -> Result<Vec<PathBuf>> {
        let Self { name, version } = self;
        if tools::find_program(name).is_some() {
            return Ok(Vec::new());
        }
        let root = target.join("tools").join(format!("{name}-{version}"));
        let programs = root.join("bin");
        if !programs.join(name).is_file() {
            self.install(&root)?;
        }
        Ok(vec![programs])
    }

    /// Builds the program and shows cargo's progress. Without optimization and debug information,
    /// which would take more time than all its runs.
    fn install(&self, root: &Path) -> Result<()> {
        let Self { name, version } = self;
        let step = Step::start(&format!(
            "installing {name} {version} from crates.io, which takes minutes"
        ));
        // Kept when the build is interrupted, so that the next one goes on from there.
        let build = root.join("build");
        let mut command = cargo_command();
        command.args(["install", "--locked", "--debug", "--version", version, name]);
        command.arg("--root").arg(root).arg("--target-dir").arg(&build);
        command.env("CARGO_PROFILE_DEV_DEBUG", "0");
        let end = run_supervised(&mut command, TIME_LIMITS, &mut stdout(), |_| {})?;
        let problem = end.problem();
        step.end(problem.as_deref().unwrap_or("installed"));
        ensure!(problem.is_none(), "cannot install {name}: cargo's messages are above");
        fs::remove_dir_all(build)?;
        Ok(())
    }
}
