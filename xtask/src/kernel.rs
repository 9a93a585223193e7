//! `cargo xtask kernel`: runs the tests that need a kernel with IPVS.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{Built, Workspace};
use crate::machine::Machine;
use crate::progress::Step;
use crate::suite::{Report, Suite};
use crate::summary;

/// Builds and runs the tests, prints the summary and returns whether all passed.
pub(crate) fn run_kernel_tests(on: Option<Machine>, filters: &[String]) -> Result<bool> {
    let machine = Machine::choose(on)?;
    let report = report_kernel_tests(machine, filters)?;
    print!("{}", summary::kernel_summary(machine.title(), &report));
    Ok(report.passed())
}

/// Builds and runs the tests that take minutes each, which other runs leave out.
pub(crate) fn run_soak(on: Option<Machine>) -> Result<bool> {
    let machine = Machine::choose(on)?;
    let mut suites = build_suites(&["soak::".to_owned(), "--ignored".to_owned()], &[])?;
    suites.retain(|suite| suite.name.starts_with("vipd "));
    let report = machine.run_suites(&suites)?;
    print!("{}", summary::kernel_summary(machine.title(), &report));
    Ok(report.passed())
}

/// Builds and runs the tests.
pub(crate) fn report_kernel_tests(machine: Machine, filters: &[String]) -> Result<Report> {
    let suites = build_suites(filters, &machine.download_packages()?)?;
    let report = machine.run_tests(&suites, filters)?;
    let executed: u32 = report.outcomes.iter().map(|outcome| outcome.tally.executed_tests()).sum();
    ensure!(
        filters.is_empty() || executed > 0 || !report.passed(),
        "no kernel test has {filters:?} in its name: `cargo xtask kernel --list` shows them"
    );
    Ok(report)
}

/// Prints the names of the tests. Any kernel will do.
pub(crate) fn list_kernel_tests(filters: &[String]) -> Result<bool> {
    for suite in build_suites(filters, &[])? {
        println!("{}:", suite.name);
        let status = Command::new(&suite.program)
            .arg("--list")
            .args(filters)
            .current_dir(&suite.dir)
            .status()
            .with_context(|| format!("cannot start {}", suite.program.display()))?;
        ensure!(status.success(), "{} --list failed ({status})", suite.program.display());
    }
    Ok(true)
}

fn build_suites(filters: &[String], packages: &[(String, PathBuf)]) -> Result<Vec<Suite>> {
    let workspace = Workspace::read_metadata()?;
    let step = Step::start("building the kernel tests and the programs they start");
    let tests = workspace.build_kernel_tests()?;
    ensure!(!tests.is_empty(), "no test target `kernel` with `test = false` was built");
    let programs = workspace.build_programs()?;
    step.end("built");
    let programs = programs.first().and_then(|built| built.executable.parent());
    let suite =
        |built| Suite { packages: packages.to_vec(), ..kernel_suite(built, programs, filters) };
    Ok(tests.into_iter().map(suite).collect())
}

fn kernel_suite(built: Built, programs: Option<&Path>, filters: &[String]) -> Suite {
    // One at a time, since the tests share a kernel and user-mode Linux has one processor.
    let mut args = vec!["--test-threads=1".to_owned()];
    args.extend_from_slice(filters);
    Suite {
        name: format!("{} kernel tests", built.package),
        dir: built.dir,
        program: built.executable,
        args,
        programs: programs.map(Path::to_owned),
        packages: Vec::new(),
        libtest: true,
        systemd: false,
    }
}
