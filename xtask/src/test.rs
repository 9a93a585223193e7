//! `cargo xtask test`: runs every check.

use std::ffi::OsStr;
use std::io::stdout;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cargo::{Workspace, cargo_command};
use crate::cargo_tool::CARGO_DENY;
use crate::libtest::Tally;
use crate::machine::Machine;
use crate::package::BuildAhead;
use crate::progress::Step;
use crate::python_package::PACKAGES;
use crate::suite::Report;
use crate::summary::{self, Row};
use crate::supervised_child::{self, TimeLimits};
use crate::{kernel, package, published, published_builds, python_package, style, tools};

/// A cold build of a large dependency prints nothing for minutes.
const TIME_LIMITS: TimeLimits =
    TimeLimits { silence: Duration::from_secs(15 * 60), total: Duration::from_secs(60 * 60) };

/// The steps that cargo runs. `--all-targets` skips the tests that need a guest or a browser, since
/// they carry `test = false`.
const STEPS: [(&str, &[&str]); 7] = [
    ("formatting", &["fmt", "--all", "--check"]),
    ("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    (
        "clippy on the tests that need a guest or a browser",
        &[
            "clippy",
            "--workspace",
            "--test",
            "kernel",
            "--test",
            "package",
            "--test",
            "page",
            "--",
            "-D",
            "warnings",
        ],
    ),
    ("dependencies", &["deny", "check", "licenses", "bans", "sources"]),
    ("unit, integration and doc tests", &["test", "--workspace", "--no-fail-fast"]),
    ("fuzz targets, one minute", &["test", "--workspace", "--test", "minute"]),
    ("the status page in a browser", &["test", "--workspace", "--test", "page"]),
];

/// The tests that say nothing where nftables doesn't translate addresses, or log packets.
const WHOLE: [&str; 3] = ["datapath::", "refusals::", "silent_hosts::a_host_whose_echoes"];

/// The checks of the published crates that cargo doesn't make by one command. Some need other toolchains.
const PUBLISHED: [(&str, Check); 4] = [
    ("single features", published_builds::check_single_features),
    ("tests and examples in the packages", published_builds::check_packaged_tests),
    ("public API", published::compare_public_api),
    ("oldest Rust", published::check_oldest_rust),
];

/// A check that tells what it looked at.
type Check = fn() -> Result<String>;

/// A step that runs suites on some machine.
type OnMachine<'a> = &'a dyn Fn() -> Result<(Machine, Report)>;

/// Runs every step, even after a failure, and returns whether all passed.
pub(crate) fn run_test_steps(on: Option<Machine>) -> Result<bool> {
    let started = Instant::now();
    tools::ensure_installed(tools::ORACLES)?;
    tools::ensure_installed(tools::BROWSER)?;
    tools::ensure_installed(tools::READERS)?;
    tools::ensure_installed(tools::SHELLS)?;
    tools::ensure_installed(tools::NAME_SERVER)?;
    let workspace = Workspace::read_metadata()?;
    // The tests of the package need it at the end, and the steps before leave processors idle.
    let _ahead = BuildAhead::start(&workspace)?;
    let target = workspace.target_directory;
    let mut programs = tools::ensure_unpacked(tools::UNPACKED, &target)?;
    programs.extend(CARGO_DENY.ensure_installed(&target)?);
    let path = tools::path_with(&programs);
    let python_packages = PACKAGES
        .map(|package| (package.variable, python_package::ensure_python_package(package, &target)));
    let kernel_tests = |on, filters: &[String]| {
        let machine = Machine::choose(on)?;
        Ok((machine, kernel::report_kernel_tests(machine, filters)?))
    };
    let on_machines: [(&str, OnMachine<'_>); 3] = [
        ("kernel tests", &|| kernel_tests(on, &[])),
        ("the package on a node", &|| package::report_package_tests(None, on)),
        ("the whole data path", &|| kernel_tests(Some(Machine::WHOLE), &WHOLE.map(str::to_owned))),
    ];
    // The whole data path needs QEMU, as user-mode Linux doesn't translate addresses. Skipped when
    // a machine was asked for.
    let whole = on.is_none() && cfg!(target_arch = "x86_64");
    let on_machines = if whole { &on_machines[..] } else { &on_machines[..2] };
    let steps = [&STEPS[..], &published::STEPS].concat();
    let total = steps.len() + 1 + PUBLISHED.len() + on_machines.len();
    let mut rows = Vec::new();
    for (number, (name, args)) in steps.iter().enumerate() {
        let mut command = cargo_command();
        command.args(*args).env("PATH", &path);
        for (variable, folder) in &python_packages {
            command.envs(folder.as_ref().map(|folder| (variable, folder)));
        }
        rows.push(cargo_step(&format!("[{}/{total}] {name}", number + 1), name, command)?);
    }
    rows.push(style_step(&format!("[{}/{total}] style of the source", steps.len() + 1))?);
    for (name, check) in PUBLISHED {
        rows.push(published_step(&format!("[{}/{total}] {name}", rows.len() + 1), name, check));
    }

    let mut details = String::new();
    for (name, run) in on_machines {
        let step = Step::start(&format!("[{}/{total}] {name}", rows.len() + 1));
        let (row, detail) = machine_step(name, run());
        let took = step.end(if row.passed { "passed" } else { "FAILED" });
        rows.push(Row { took, ..row });
        details += &detail;
    }

    print!("{details}{}", summary::steps_table(&rows));
    let passed = rows.iter().all(|row| row.passed);
    let word = if passed { "all passed" } else { "FAILED" };
    println!("{word} after {}", crate::progress::format_duration(started.elapsed()));
    Ok(passed)
}

fn cargo_step(heading: &str, name: &str, mut command: Command) -> Result<Row> {
    let args: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    let step = Step::start(&format!("{heading}: cargo {}", args.join(" ")));
    let mut tally = Tally::default();
    let end = supervised_child::run_supervised(&mut command, TIME_LIMITS, &mut stdout(), |line| {
        tally.add_line(line);
    })?;
    let problem = end.problem();
    let took = step.end(problem.as_deref().unwrap_or("passed"));
    let counted = (tally.programs > 0).then(|| {
        format!("{} passed, {} failed in {} programs", tally.passed, tally.failed, tally.programs)
    });
    let note = counted.into_iter().chain(problem.clone()).collect::<Vec<_>>().join("; ");
    let passed = problem.is_none();
    Ok(Row { what: name.to_owned(), place: "this machine".to_owned(), note, passed, took })
}

/// Measures the source, prints the counts and fails where a bar is missed.
fn style_step(heading: &str) -> Result<Row> {
    let step = Step::start(heading);
    let style = style::measure_workspace()?;
    print!("{}", style::counts_table(&style));
    let passed = style::meets_bars(&style);
    let note = if passed { "" } else { "misses its bars: cargo xtask style --list" };
    let took = step.end(if passed { "passed" } else { "FAILED" });
    let (what, place) = ("style of the source".to_owned(), "this machine".to_owned());
    Ok(Row { what, place, note: note.to_owned(), passed, took })
}

/// Checks the published crates in one way.
fn published_step(heading: &str, name: &str, check: Check) -> Row {
    let step = Step::start(heading);
    let checked = check();
    let passed = checked.is_ok();
    let note = checked.unwrap_or_else(|error| format!("{error:#}"));
    let took = step.end(if passed { "passed" } else { "FAILED" });
    Row { what: name.to_owned(), place: "this machine".to_owned(), note, passed, took }
}

/// Makes the row of a step that ran on a machine, and the machine's summary. An error becomes a
/// failed row, so that the table is printed nevertheless.
fn machine_step(what: &str, result: Result<(Machine, Report)>) -> (Row, String) {
    let row = |place: String, note: String, passed: bool| Row {
        what: what.to_owned(),
        place,
        note,
        passed,
        took: Duration::ZERO,
    };
    match result {
        Ok((machine, report)) => {
            let sum = |count: fn(&Tally) -> usize| -> usize {
                report.outcomes.iter().map(|outcome| count(&outcome.tally)).sum()
            };
            let mut note = format!(
                "{} passed, {} failed, {} not on that kernel",
                sum(|tally| tally.passed as usize),
                sum(|tally| tally.failed as usize),
                sum(|tally| tally.lacks.len()),
            );
            let alone: usize = report.outcomes.iter().map(|of| of.passed_alone().len()).sum();
            if alone > 0 {
                note += &format!(", {alone} of them only alone");
            }
            let place = format!("{} {}", machine.title(), report.kernel);
            (row(place, note, report.passed()), summary::kernel_summary(machine.title(), &report))
        }
        Err(error) => (row("nowhere".to_owned(), format!("{error:#}"), false), String::new()),
    }
}
