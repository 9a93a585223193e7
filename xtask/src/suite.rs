//! One program to run on a kernel with IPVS, and what came of it.

use std::io::stdout;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::libtest::Tally;
use crate::progress::{Step, format_duration};
use crate::supervised_child::{self, TimeLimits};
use crate::tools;

/// How long one suite may run. User-mode Linux is several times slower than the machine, and QEMU
/// many times.
pub(crate) const TIME_LIMITS: TimeLimits =
    TimeLimits { silence: Duration::from_secs(8 * 60), total: Duration::from_secs(60 * 60) };

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Suite {
    /// What people call it.
    pub(crate) name: String,
    /// The directory to run it in.
    pub(crate) dir: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// Where the workspace's own programs are: first in the suite's PATH.
    pub(crate) programs: Option<PathBuf>,
    /// Where packages are that the suite may unpack into the root of a guest.
    pub(crate) packages: Option<PathBuf>,
    /// Whether Rust's test runner is in it, so that a closing line must come.
    pub(crate) libtest: bool,
    /// Whether it wants a guest that systemd runs, as it runs a node. Without any suite that does,
    /// a guest has nothing but the suites, which is faster.
    pub(crate) systemd: bool,
}

/// What came of a suite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    /// `None` for success, else what went wrong.
    pub(crate) problem: Option<String>,
    pub(crate) tally: Tally,
    pub(crate) took: Duration,
}

impl Outcome {
    /// The outcome of a suite that did not get to run to its end.
    pub(crate) fn unfinished(suite: &Suite, why: &str) -> Self {
        Self {
            name: suite.name.clone(),
            problem: Some(format!("no result: {why}")),
            tally: Tally::default(),
            took: Duration::ZERO,
        }
    }
}

/// What a machine has to say after its run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The kernel's release, as `uname -r` says it.
    pub(crate) kernel: String,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Report {
    /// Whether every suite ran and passed.
    pub(crate) fn passed(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.problem.is_none())
    }
}

/// Runs the suites on the kernel we are on, one after another; `so_far` is shown the report
/// before the first and after each.
pub(crate) fn run_suites(
    suites: &[Suite],
    mut so_far: impl FnMut(&Report) -> Result<()>,
) -> Result<Report> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .context("cannot read the kernel's release")?;
    let mut report = Report { kernel: kernel.trim().to_owned(), outcomes: Vec::new() };
    so_far(&report)?;
    for suite in suites {
        report.outcomes.push(run_suite(suite));
        so_far(&report)?;
    }
    Ok(report)
}

fn run_suite(suite: &Suite) -> Outcome {
    let step = Step::start(&suite.name);
    let started = Instant::now();
    let mut tally = Tally::default();
    let problem = match supervised_child::run_supervised(
        &mut suite_command(suite),
        TIME_LIMITS,
        &mut stdout(),
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
    // Where systemd runs the machine, the suite is there for that machine.
    let mut command =
        if suite.systemd { supervised_child::supervised_command("env") } else { sandbox_command() };
    command
        .arg(&suite.program)
        .args(&suite.args)
        .current_dir(&suite.dir)
        .env("PATH", path)
        .env("CARGO_MANIFEST_DIR", &suite.dir)
        .envs(suite.packages.iter().map(|folder| ("VIPD_TEST_PACKAGES", folder)))
        .env("RUST_BACKTRACE", "1")
        .env("TMPDIR", if suite.systemd { "/tmp" } else { "/run/tmp" });
    command
}

/// Network, mount and process namespaces of its own: nothing a suite makes is seen outside, and
/// all of it is gone at its end, background processes and named network namespaces too. The
/// command to run is to be added as arguments.
pub(crate) fn sandbox_command() -> Command {
    let mut command = supervised_child::supervised_command("unshare");
    command
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .args(["sh", "-c", SANDBOX, "sandbox"]);
    command
}

/// Not `exec "$@"`: the shell stays as process 1, which reaps orphans and shields the program from
/// the special signal rules for process 1.
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

/// The most time a machine may take for the suites, beside its own start and end.
pub(crate) fn max_duration(suites: &[Suite]) -> Duration {
    TIME_LIMITS.total * u32::try_from(suites.len()).unwrap_or(u32::MAX).max(1)
}

/// A line a person reads: `12 passed, 0 failed, 3.1 s`.
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
            packages: None,
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
    fn a_report_survives_the_way_out_of_the_guest() {
        let outcome = Outcome::unfinished(&suite(), "no reason");
        let report = Report { kernel: "6.1".to_owned(), outcomes: vec![outcome] };
        let json = serde_json::to_vec(&report).unwrap();
        assert_eq!(serde_json::from_slice::<Report>(&json).unwrap(), report);
        assert!(!report.passed());
    }
}
