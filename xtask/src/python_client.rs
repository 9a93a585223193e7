//! The Python client of Marathon that the simulator is tried with, from the Python Package Index.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::progress::Step;
use crate::tools;

const PACKAGE: &str = "marathon==0.13.0";

/// The variable that tells the simulator's test where the client is.
pub(crate) const VARIABLE: &str = "MARATHON_PYTHON_CLIENT";

/// Installs the client under `target`, once, and returns its directory. `None` where pip is missing
/// or can't get it: then its test has nothing to run.
pub(crate) fn ensure_python_client(target: &Path) -> Option<PathBuf> {
    let pip = || {
        let mut command = Command::new("python3");
        command
            .args(["-m", "pip", "--disable-pip-version-check"])
            .env("PATH", tools::search_path());
        command
    };
    let folder = target.join("tools").join(PACKAGE.replace("==", "-"));
    if folder.is_dir() {
        return Some(folder);
    }
    let mut version = pip();
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    if !version.status().is_ok_and(|status| status.success()) {
        return None;
    }
    let step = Step::start(&format!("installing {PACKAGE} from PyPI"));
    // Another name until it is complete.
    let fresh = folder.with_extension(std::process::id().to_string());
    let mut install = pip();
    install.args(["install", "--quiet", "--timeout", "10", "--retries", "1", "--target"]);
    let installed = install.arg(&fresh).arg(PACKAGE).status().is_ok_and(|status| status.success())
        && fs::rename(&fresh, &folder).is_ok();
    step.end(if installed { "installed" } else { "not available: its test is skipped" });
    installed.then_some(folder)
}
