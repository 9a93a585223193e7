//! Suites: programs that run on a kernel with IPVS, and their outcomes.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::libtest::Tally;
use crate::progress::{Step, format_duration};
use crate::supervised_child::{self, TimeLimits};
use crate::tools;

/// Time limits of a suite. User-mode Linux is several times slower than the machine, QEMU many
/// times.
pub(crate) const TIME_LIMITS: TimeLimits =
    TimeLimits { silence: Duration::from_secs(8 * 60), total: Duration::from_secs(60 * 60) };

/// A program to run on a kernel with IPVS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Suite {
    /// Name for people.
    pub(crate) name: String,
    /// Working directory.
    pub(crate) dir: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// Directory of the workspace's own programs, the first in the suite's PATH.
    pub(crate) programs: Option<PathBuf>,
    /// Packages, or directories of them, that the suite may unpack into the root of a guest, by the
    /// variables that name them.
    pub(crate) packages: Vec<(String, PathBuf)>,
    /// True for Rust's test runner, which must print a closing line.
    pub(crate) libtest: bool,
    /// True if the suite needs a guest that runs systemd, as a node does. A guest without systemd
    /// boots faster.
    pub(crate) systemd: bool,
}

/// Result of a suite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    /// The reason of a failure; `None` for success.
    pub(crate) problem: Option<String>,
    pub(crate) tally: Tally,
    pub(crate) took: Duration,
}

impl Outcome {
    /// Takes in the outcome of the failed tests in a guest of their own.
    pub(crate) fn add_rerun(&mut self, rerun: Self) {
        self.took += rerun.took;
        // Names that are no tests would run nothing, and so pass.
        let ran = rerun.tally.executed_tests() as usize;
        if rerun.problem.is_none() && ran == self.tally.failures.len() {
            self.problem = None;
            self.tally.failed = 0;
            self.tally.passed += rerun.tally.passed;
            self.tally.lacks.extend(rerun.tally.lacks);
        }
    }

    /// Returns the tests that failed beside other guests and passed alone.
    pub(crate) fn passed_alone(&self) -> &[String] {
        if self.problem.is_none() { &self.tally.failures } else { &[] }
    }

    /// Makes the outcome of a suite that did not run to its end.
    pub(crate) fn unfinished(suite: &Suite, why: &str) -> Self {
        Self {
            name: suite.name.clone(),
            problem: Some(format!("no result: {why}")),
            tally: Tally::default(),
            took: Duration::ZERO,
        }
    }
}

/// The outcomes of all suites on a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The kernel's release, as `uname -r` prints it.
    pub(crate) kernel: String,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Report {
    /// Returns true if every suite ran and passed.
    pub(crate) fn passed(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.problem.is_none())
    }
}

/// Deals the tests of each suite out to so many parts, which can run at the same time. No part is empty,
/// so that there may be fewer.
pub(crate) fn split_suites(
    suites: &[Suite],
    filters: &[String],
    parts: usize,
) -> Result<Vec<Vec<Suite>>> {
    let mut split = vec![Vec::new(); parts];
    for suite in suites {
        let tests = list_tests(suite, filters)?;
        for (number, part) in split.iter_mut().enumerate() {
            let own: Vec<_> = tests.iter().skip(number).step_by(parts).cloned().collect();
            if own.is_empty() {
                continue;
            }
            let mut suite = suite.clone();
            suite.name = format!("{}, part {} of {parts}", suite.name, number + 1);
            suite.args.extend(["--exact".to_owned()].into_iter().chain(own));
            part.push(suite);
        }
    }
    split.retain(|part| !part.is_empty());
    Ok(split)
}

/// Failed tests that are worth another run: where more fail, it isn't the other guests.
const RERUN: usize = 3;

/// Returns the suites that run those tests again that failed in these parts. Empty if nothing failed, if
/// much did, or if a part failed in another way.
pub(crate) fn failed_suites(parts: &[Suite], outcomes: &[Outcome]) -> Vec<Suite> {
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.problem.is_some()).collect();
    let tests: usize = failed.iter().map(|outcome| outcome.tally.failures.len()).sum();
    if tests > RERUN || failed.iter().any(|outcome| outcome.tally.failures.is_empty()) {
        return Vec::new();
    }
    let rerun = |outcome: &&Outcome| {
        let mut suite = parts.iter().find(|suite| suite.name == outcome.name)?.clone();
        suite.args.retain(|arg| arg.starts_with("--"));
        suite.args.extend(outcome.tally.failures.iter().cloned());
        Some(suite)
    };
    failed.iter().filter_map(rerun).collect()
}

/// Returns the names of the tests of a suite that run.
fn list_tests(suite: &Suite, filters: &[String]) -> Result<Vec<String>> {
    let list = |args: &[&str]| -> Result<Vec<String>> {
        let mut command = Command::new(&suite.program);
        let output =
            command.arg("--list").args(args).args(filters).current_dir(&suite.dir).output();
        let output = output.with_context(|| format!("cannot start {}", suite.program.display()))?;
        ensure!(output.status.success(), "{} --list: {}", suite.program.display(), output.status);
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().filter_map(|line| Some(line.strip_suffix(": test")?.to_owned())).collect())
    };
    let ignored = list(&["--ignored"])?;
    let mut tests = list(&[])?;
    tests.retain(|test| !ignored.contains(test));
    Ok(tests)
}

/// Runs the suites on the running kernel, one after another. `shown` gets their output; `so_far` receives the report before
/// the first suite and after each.
pub(crate) fn run_suites(
    suites: &[Suite],
    shown: &mut dyn Write,
    mut so_far: impl FnMut(&Report) -> Result<()>,
) -> Result<Report> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .context("cannot read the kernel's release")?;
    let mut report = Report { kernel: kernel.trim().to_owned(), outcomes: Vec::new() };
    so_far(&report)?;
    for suite in suites {
        report.outcomes.push(run_suite(suite, shown));
        so_far(&report)?;
    }
    Ok(report)
}

fn run_suite(suite: &Suite, shown: &mut dyn Write) -> Outcome {
    let step = Step::start(&suite.name);
    let started = Instant::now();
    let mut tally = Tally::default();
    let problem = match supervised_child::run_supervised(
        &mut suite_command(suite),
        TIME_LIMITS,
        shown,
        |line| tally.add_line(line),
    ) {
        Ok(end) => end.problem(),
        Err(error) => Some(format!("{error:#}")),
    };
    let problem = problem.or_else(|| {
        (suite.libtest && tally.programs == 0)
            .then(|| "ended without the test runner's closing line".to_owned())
    });
    step.end(problem.as_deref().unwrap_or("passed"));
    Outcome { name: suite.name.clone(), problem, tally, took: started.elapsed() }
}

fn suite_command(suite: &Suite) -> Command {
    let mut path = std::ffi::OsString::new();
    if let Some(programs) = &suite.programs {
        path.push(programs);
        path.push(":");
    }
    path.push(tools::search_path());
    // A guest with systemd is a whole node: the suite acts on the guest itself.
    let mut command =
        if suite.systemd { supervised_child::supervised_command("env") } else { sandbox_command() };
    command
        .arg(&suite.program)
        .args(&suite.args)
        .current_dir(&suite.dir)
        .env("PATH", path)
        .env("CARGO_MANIFEST_DIR", &suite.dir)
        .envs(suite.packages.iter().map(|(variable, folder)| (variable, folder)))
        .env("RUST_BACKTRACE", "1")
        .env("TMPDIR", if suite.systemd { "/tmp" } else { "/run/tmp" });
    command
}

/// Returns a command that runs its arguments in new network, mount and process namespaces. Nothing
/// that a suite makes is visible outside, and all of it is gone at its end, background processes
/// and named network namespaces too.
pub(crate) fn sandbox_command() -> Command {
    let mut command = supervised_child::supervised_command("unshare");
    command
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .args(["sh", "-c", SANDBOX, "sandbox"]);
    command
}

/// Prepares the namespaces, then runs the arguments. Not with `exec`: the shell stays as process 1,
/// reaps orphans and spares the program the special signal rules of process 1.
const SANDBOX: &str = r#"
set -e
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p -m 1777 /run/lock /run/tmp
ip link set lo up
set +e
"$@"
exit $?
"#;

/// Returns the time limit for all suites, without the machine's own start and end.
pub(crate) fn max_duration(suites: &[Suite]) -> Duration {
    TIME_LIMITS.total * u32::try_from(suites.len()).unwrap_or(u32::MAX).max(1)
}

/// Formats the counts for people: `12 passed, 0 failed, 3.1 s`.
pub(crate) fn format_counts(outcome: &Outcome) -> String {
    let Tally { passed, failed, .. } = outcome.tally;
    format!("{passed} passed, {failed} failed, {}", format_duration(outcome.took))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite() -> Suite {
        Suite {
            name: "a".to_owned(),
            dir: "/w/a".into(),
            program: "/w/target/debug/deps/kernel-1".into(),
            args: vec!["--test-threads=1".to_owned()],
            programs: Some("/w/target/debug".into()),
            packages: Vec::new(),
            libtest: true,
            systemd: false,
        }
    }

    #[test]
    fn a_suite_finds_our_own_programs_before_any_other() {
        let command = suite_command(&suite());
        let path = command.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap();
        assert!(path.to_str().unwrap().starts_with("/w/target/debug:"));
        let args: Vec<_> = command.get_args().collect();
        assert!(
            args.ends_with(&[
                "/w/target/debug/deps/kernel-1".as_ref(),
                "--test-threads=1".as_ref()
            ])
        );
    }

    #[test]
    fn few_failed_tests_run_again_alone_and_that_counts() {
        let part = Suite { args: vec!["--exact".into(), "a".into(), "b".into()], ..suite() };
        let failing = |failures: &[&str]| Outcome {
            problem: Some("exit status: 101".into()),
            tally: Tally {
                passed: 5,
                failed: 1,
                failures: failures.iter().map(|test| (*test).to_owned()).collect(),
                ..Tally::default()
            },
            ..Outcome::unfinished(&part, "")
        };
        let again = |outcome: &Outcome| {
            failed_suites(std::slice::from_ref(&part), std::slice::from_ref(outcome))
        };
        let mut outcome = failing(&["b"]);
        let rerun = again(&outcome);
        assert_eq!(rerun.len(), 1);
        assert_eq!(rerun[0].args, ["--exact", "b"]);
        assert!(again(&failing(&[])).is_empty(), "the guest died");
        assert!(again(&failing(&["a", "b", "c", "d"])).is_empty(), "too many");
        assert!(again(&Outcome { problem: None, ..failing(&[]) }).is_empty());

        let alone = Outcome {
            problem: None,
            tally: Tally { passed: 1, ..Tally::default() },
            ..failing(&[])
        };
        outcome.add_rerun(failing(&["b"]));
        outcome.add_rerun(Outcome { problem: None, tally: Tally::default(), ..failing(&[]) });
        assert!(outcome.problem.is_some() && outcome.passed_alone().is_empty());
        outcome.add_rerun(alone);
        assert_eq!((outcome.problem.as_ref(), outcome.passed_alone()), (None, &["b".into()][..]));
        assert_eq!((outcome.tally.passed, outcome.tally.failed), (6, 0));
    }

    #[test]
    fn a_report_survives_the_way_out_of_the_guest() {
        let outcome = Outcome::unfinished(&suite(), "no reason");
        let report = Report { kernel: "6.1".to_owned(), outcomes: vec![outcome] };
        let json = serde_json::to_vec(&report).unwrap();
        assert_eq!(serde_json::from_slice::<Report>(&json).unwrap(), report);
        assert!(!report.passed());
    }
}
