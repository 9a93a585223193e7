//! The directory that this machine and a guest share, which holds the suites and the report.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::progress::Step;
use crate::suite::{self, Outcome, Report, Suite};
use crate::supervised_child::{self, ChildEnd, TimeLimits};

/// The second half of every guest's start, the same for all of them.
const GUEST: &str = include_str!("guest.sh");

/// The last part of the start of a guest with systemd.
const SYSTEMD: &str = include_str!("systemd.sh");

/// Time for a guest to start and to stop.
const AROUND: Duration = Duration::from_secs(3 * 60);

/// The number of guests that this process has started: several run at the same time.
static GUESTS: AtomicU32 = AtomicU32::new(0);

/// The directory of a guest. Its path must need no quoting on the command lines of a kernel and of
/// QEMU, which is why it is not under `target`.
pub(super) struct GuestDir {
    pub(super) path: PathBuf,
    /// Removes the directory when this process ends, for whatever reason.
    janitor: Child,
}

/// Waits for the end of its input. Ctrl-C reaches it too, and must not end it.
const JANITOR: &str = r#"trap "" INT TERM HUP; read -r _; rm -rf "$1""#;

impl GuestDir {
    /// Makes the directory of a guest of this kind, with its init script.
    pub(super) fn make(kind: &str, init: &str, suites: &[Suite]) -> Result<Self> {
        let number = GUESTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("vipd-{kind}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        ensure!(
            !path.to_string_lossy().contains(|c: char| c.is_whitespace() || "\",".contains(c)),
            "a guest cannot boot from {}: set TMPDIR to a path without spaces, quotes and commas",
            path.display()
        );
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start sh")?;
        let guest_dir = Self { path, janitor };
        fs::create_dir(guest_dir.out_dir())?;
        fs::write(guest_dir.path.join("suites.json"), serde_json::to_vec(suites)?)?;
        if suites.iter().any(|suite| suite.systemd) {
            fs::write(guest_dir.path.join("systemd.sh"), SYSTEMD)?;
        }
        write_script(&guest_dir.path.join("init"), init)?;
        write_script(&guest_dir.path.join("guest.sh"), GUEST)?;
        // A copy, as cargo may replace the file we were started from.
        fs::copy("/proc/self/exe", guest_dir.path.join("xtask")).context("cannot copy xtask")?;
        Ok(guest_dir)
    }

    /// Returns the one directory that the guest may write to.
    pub(super) fn out_dir(&self) -> PathBuf {
        self.path.join("out")
    }

    /// Boots the guest, which runs the suites, and waits for its end. `title` is its name for
    /// people; `shown` gets its output.
    pub(super) fn run_guest(
        &self,
        title: &str,
        mut boot: Command,
        suites: &[Suite],
        mut shown: impl Write,
    ) -> Result<Report> {
        let step = Step::start(&format!("booting {title}"));
        // Longer than the guest's own limits for the suites: it knows which suite to blame.
        let limits = TimeLimits {
            silence: suite::TIME_LIMITS.silence + AROUND,
            total: suite::max_duration(suites) + AROUND,
        };
        let end = supervised_child::run_supervised(&mut boot, limits, &mut shown, |_| {})?;
        step.end(&format!("{title} ended"));
        self.read_report(suites, &end)
    }

    /// Reads the guest's report. Suites that are missing in it did not run.
    fn read_report(&self, suites: &[Suite], end: &ChildEnd) -> Result<Report> {
        let why = end.problem().unwrap_or_else(|| "it powered off".to_owned());
        let why = format!("the guest ended before it did ({why})");
        let mut report = match fs::read(self.out_dir().join("report.json")) {
            Ok(json) => serde_json::from_slice(&json).context("cannot read the guest's report")?,
            Err(_) => Report::default(),
        };
        add_unfinished(&mut report, suites, &why);
        Ok(report)
    }
}

impl Drop for GuestDir {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        // A failure only leaves a few megabytes in the temporary directory.
        drop(self.janitor.wait());
    }
}

/// Writes an executable script.
pub(super) fn write_script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Adds an outcome for each suite without one.
fn add_unfinished(report: &mut Report, suites: &[Suite], why: &str) {
    for suite in suites.iter().skip(report.outcomes.len()) {
        report.outcomes.push(Outcome::unfinished(suite, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_reads_and_writes_only_what_the_guest_dir_holds() {
        for file in ["$guest_dir/suites.json", "$guest_dir/xtask", "/run/out/report.json"] {
            assert!(GUEST.contains(file) && SYSTEMD.contains(file), "{file}");
        }
    }

    #[test]
    fn suites_the_guest_did_not_get_to_are_named_with_the_reason() {
        let suite = |name: &str| Suite {
            name: name.to_owned(),
            dir: "/".into(),
            program: "/bin/true".into(),
            args: Vec::new(),
            programs: None,
            packages: Vec::new(),
            libtest: false,
            systemd: false,
        };
        let suites = [suite("first"), suite("second")];
        let mut report = Report { kernel: "6.1".to_owned(), outcomes: Vec::new() };
        report.outcomes.push(Outcome { problem: None, ..Outcome::unfinished(&suites[0], "") });
        add_unfinished(&mut report, &suites, "killed");
        assert_eq!(report.outcomes.len(), 2);
        assert_eq!(report.outcomes[1].name, "second");
        assert_eq!(report.outcomes[1].problem.as_deref(), Some("no result: killed"));
    }
}
