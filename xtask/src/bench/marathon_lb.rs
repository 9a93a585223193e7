//! `cargo xtask bench marathon-lb`: how soon new connections leave a task that has ended, beside marathon-lb.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::figures::Figures;
use super::log::{self, Log};
use crate::machine::Machine;
use crate::suite::Suite;
use crate::tools;

const SOURCE: &str = "https://github.com/mesosphere/marathon-lb";

/// Tools that marathon-lb runs.
const TOOLS: &[tools::Tool] = &[
    tools::tool("git", "git"),
    tools::tool("haproxy", "haproxy"),
    tools::tool("pidof", "sysvinit-utils"),
    tools::tool("pkill", "procps"),
];

/// The Debian packages of the modules that marathon-lb imports.
const MODULES: &str = "python3-cryptography python3-dateutil python3-jwt python3-pycurl python3-requests \
                       python3-six";

/// Returns a checkout of marathon-lb. It may be there already, where its source can't be had.
pub(super) fn ensure_checkout(target: &Path) -> Result<PathBuf> {
    tools::ensure_installed(TOOLS)?;
    let imports = Command::new("/usr/bin/python3")
        .args(["-c", "import cryptography, dateutil, jwt, pycurl, requests, six"])
        .status();
    ensure!(
        imports.is_ok_and(|status| status.success()),
        "marathon-lb imports more than this machine has: run `apt-get install {MODULES}`"
    );
    let folder = target.join("tools/marathon-lb");
    if !folder.join("marathon_lb.py").exists() {
        let mut clone = Command::new("git");
        clone.args(["clone", "--quiet", "--depth", "1", SOURCE]).arg(&folder);
        let status = clone.status().context("cannot start git")?;
        ensure!(status.success(), "no marathon-lb: put a checkout of it at {}", folder.display());
    }
    Ok(folder)
}

/// Measures on a kernel of its own, and prints both medians and their ratio.
pub(super) fn measure_beside(
    bench: &Path,
    vipd: &Path,
    checkout: &Path,
    root: &Path,
    output: &mut Log,
) -> Result<bool> {
    let suite = Suite {
        name: "reaction beside marathon-lb".to_owned(),
        dir: root.to_owned(),
        program: bench.to_owned(),
        args: ["marathon-lb".into(), vipd.display().to_string(), checkout.display().to_string()]
            .into(),
        programs: None,
        packages: Vec::new(),
        libtest: false,
        systemd: false,
    };
    let report = Machine::Uml.run_suites_into(&[suite], &mut output.file)?;
    let mut figures = Figures::default();
    for outcome in &report.outcomes {
        outcome.tally.figures.iter().for_each(|line| figures.add_line(line));
        log::print_rows(&outcome.tally.figures);
        if let Some(problem) = &outcome.problem {
            println!("{}: {problem}", outcome.name);
        }
    }
    if let Some(ratio) = figures.ratio("beside/marathon-lb", "beside/vipd") {
        println!("\nmarathon-lb takes {ratio:.0} times as long as vipd");
    }
    Ok(report.passed())
}
