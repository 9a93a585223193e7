//! Packages from the Python Package Index that tests need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::progress::Step;
use crate::tools;

/// A package, and the variable that tells a test where it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PythonPackage {
    name: &'static str,
    pub(crate) variable: &'static str,
}

/// The packages of all tests.
pub(crate) const PACKAGES: [PythonPackage; 2] = [
    // The client of Marathon that the simulator is tried with.
    PythonPackage { name: "marathon==0.13.0", variable: "MARATHON_PYTHON_CLIENT" },
    // The schemas of Kubernetes, version by version.
    PythonPackage { name: "kubernetes-validate==1.37.0", variable: "KUBERNETES_VALIDATE" },
];

/// Installs a package under `target`, once, and returns its directory. `None` where pip is missing
/// or can't get it: then its test has nothing to run.
pub(crate) fn ensure_python_package(package: PythonPackage, target: &Path) -> Option<PathBuf> {
    let name = package.name;
    let pip = || {
        let mut command = Command::new("python3");
        command
            .args(["-m", "pip", "--disable-pip-version-check"])
            .env("PATH", tools::search_path());
        command
    };
    let folder = target.join("tools").join(name.replace("==", "-"));
    if folder.is_dir() {
        return Some(folder);
    }
    let mut version = pip();
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    if !version.status().is_ok_and(|status| status.success()) {
        return None;
    }
    let step = Step::start(&format!("installing {name} from PyPI"));
    // Another name until it is complete.
    let fresh = folder.with_extension(std::process::id().to_string());
    let mut install = pip();
    install.args(["install", "--quiet", "--timeout", "10", "--retries", "1", "--target"]);
    let installed = install.arg(&fresh).arg(name).status().is_ok_and(|status| status.success())
        && fs::rename(&fresh, &folder).is_ok();
    step.end(if installed { "installed" } else { "not available: its test is skipped" });
    installed.then_some(folder)
}
