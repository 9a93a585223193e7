//! User-mode Linux: boots on this machine's own file system in seconds, without KVM or root.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::stdout;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::leash::{self, End, Leash};
use crate::progress::Step;
use crate::suite::{self, Outcome, Report, Suite};
use crate::tools;

/// The guest's first program.
const INIT: &str = include_str!("uml-init.sh");

/// The guest's memory in MiB. It is a sparse file on the host, so only what is touched is taken.
const MEMORY: u64 = 2048;

/// For the guest to start and to stop.
const AROUND: Duration = Duration::from_secs(3 * 60);

/// Boots a guest, runs the suites in it and waits for its end.
pub(super) fn run(suites: &[Suite]) -> Result<Report> {
    let room = Room::make(suites)?;
    let step = Step::start("booting user-mode Linux");
    // More patient than the guest is with each suite: it knows which one to blame.
    let leash =
        Leash { silence: suite::LEASH.silence + AROUND, total: suite::longest(suites) + AROUND };
    let end = leash::run(&mut boot(&room.dir)?, leash, &mut stdout(), |_| {})?;
    step.end("user-mode Linux ended");
    room.report(suites, &end)
}

/// A directory for one guest. Its name must need no quoting on the kernel's command line, which is
/// why it is not under `target`.
struct Room {
    dir: PathBuf,
    /// Removes the directory once we are gone, in whatever way.
    janitor: Child,
}

/// Waits for the end of its input. Ctrl-C reaches it too, and must not end it.
const JANITOR: &str = r#"trap "" INT TERM HUP; read -r _; rm -rf "$1""#;

impl Room {
    fn make(suites: &[Suite]) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("vipd-uml-{}", std::process::id()));
        ensure!(
            !dir.to_string_lossy().contains(|c: char| c.is_whitespace() || c == '"'),
            "user-mode Linux cannot boot from {}: set TMPDIR to a path without spaces",
            dir.display()
        );
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(&dir)
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start sh")?;
        let room = Self { dir, janitor };
        fs::create_dir(room.dir.join("out"))?;
        fs::write(room.dir.join("suites.json"), serde_json::to_vec(suites)?)?;
        fs::write(room.dir.join("init"), INIT)?;
        fs::set_permissions(room.dir.join("init"), Permissions::from_mode(0o755))?;
        // A copy, as cargo may replace the file we were started from.
        fs::copy("/proc/self/exe", room.dir.join("xtask")).context("cannot copy xtask")?;
        Ok(room)
    }

    /// Reads the guest's report; suites it does not name did not run.
    fn report(&self, suites: &[Suite], end: &End) -> Result<Report> {
        let why = end.problem().unwrap_or_else(|| "it powered off".to_owned());
        let why = format!("the guest ended before it did ({why})");
        let mut report = match fs::read(self.dir.join("out/report.json")) {
            Ok(json) => serde_json::from_slice(&json).context("cannot read the guest's report")?,
            Err(_) => Report::default(),
        };
        complete(&mut report, suites, &why);
        Ok(report)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        // Nothing hangs on it: what may stay is a few megabytes under the temporary directory.
        drop(self.janitor.wait());
    }
}

/// Adds an outcome for each suite that has none.
fn complete(report: &mut Report, suites: &[Suite], why: &str) {
    for suite in suites.iter().skip(report.outcomes.len()) {
        report.outcomes.push(Outcome::unfinished(suite, why));
    }
}

/// The command that boots the guest. In a process namespace of its own, as user-mode Linux's helper
/// processes live on when it is killed. Not as that namespace's process 1, which the signal it
/// sends itself after a panic would not end.
fn boot(room: &Path) -> Result<Command> {
    let mut command = leash::leashed("unshare");
    if !tools::is_root()? {
        command.args(["--user", "--map-root-user"]);
    }
    command
        .args(["--pid", "--fork", "--kill-child", "--"])
        .args(["sh", "-c", "\"$@\"; exit $?", "guest", "linux"])
        .args(kernel_arguments(room))
        .env("PATH", tools::search_path())
        .env("TMPDIR", memory_dir());
    Ok(command)
}

/// The kernel's command line. The root is read-only: what the guest changes, it changes in memory.
fn kernel_arguments(room: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        &format!("mem={MEMORY}M"),
        // Else user-mode Linux tells of its start, and the kernel of every real server that is down.
        "quiet",
        "loglevel=3",
        "root=/dev/root",
        "rootfstype=hostfs",
        "hostfs=/",
        "ro",
        // The console is our standard output; there is no input.
        "con=null",
        "con0=null,fd:1",
        "con1=null",
        "umid=guest",
    ]
    .map(OsString::from)
    .into();
    for (name, path) in [("uml_dir=", room.to_owned()), ("init=", room.join("init"))] {
        let mut argument = OsString::from(name);
        argument.push(path);
        arguments.push(argument);
    }
    arguments
}

/// Where the guest's memory file goes: in memory where there is room, which containers often lack.
fn memory_dir() -> PathBuf {
    let shm = Path::new("/dev/shm");
    let free = Command::new("df").args(["--output=avail", "-BM"]).arg(shm).output().ok();
    let free = free.and_then(|output| free_mib(&String::from_utf8_lossy(&output.stdout)));
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    if free.is_some_and(|free| free > MEMORY) && !is_noexec(&mounts, "/dev/shm") {
        shm.to_owned()
    } else {
        std::env::temp_dir()
    }
}

/// Reads what `df --output=avail -BM` prints, in MiB.
fn free_mib(df: &str) -> Option<u64> {
    df.lines().nth(1)?.trim().strip_suffix('M')?.parse().ok()
}

/// Whether programs may not be mapped from files at `dir`, by the lines of `/proc/mounts`.
fn is_noexec(mounts: &str, dir: &str) -> bool {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            (fields.next()? == dir).then(|| fields.nth(1))?
        })
        .any(|options| options.split(',').any(|option| option == "noexec"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_boots_on_a_read_only_root_from_its_room() {
        let arguments = kernel_arguments(Path::new("/tmp/room"));
        for wanted in ["ro", "rootfstype=hostfs", "init=/tmp/room/init", "uml_dir=/tmp/room"] {
            assert!(arguments.iter().any(|own| own == wanted), "{wanted}: {arguments:?}");
        }
    }

    #[test]
    fn init_reads_and_writes_only_what_the_room_holds() {
        for file in ["$room/suites.json", "$room/xtask", "$room/out"] {
            assert!(INIT.contains(file), "{file}");
        }
        assert!(INIT.starts_with("#!/usr/bin/env -S setpriv --no-new-privs sh\n"));
    }

    #[test]
    fn suites_the_guest_did_not_get_to_are_named_with_the_reason() {
        let suite = |name: &str| Suite {
            name: name.to_owned(),
            dir: "/".into(),
            program: "/bin/true".into(),
            args: Vec::new(),
            programs: None,
            libtest: false,
        };
        let suites = [suite("first"), suite("second")];
        let mut report = Report { kernel: "6.1".to_owned(), outcomes: Vec::new() };
        report.outcomes.push(Outcome { problem: None, ..Outcome::unfinished(&suites[0], "") });
        complete(&mut report, &suites, "killed");
        assert_eq!(report.outcomes.len(), 2);
        assert_eq!(report.outcomes[1].name, "second");
        assert_eq!(report.outcomes[1].problem.as_deref(), Some("no result: killed"));
    }

    #[test]
    fn free_space_and_noexec_are_read_from_what_the_system_prints() {
        assert_eq!(free_mib("  Avail\n24064M\n"), Some(24_064));
        assert_eq!(free_mib("df: no such file\n"), None);
        let mounts = "tmpfs /dev/shm tmpfs rw,nosuid,noexec 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        assert!(is_noexec(mounts, "/dev/shm"));
        assert!(!is_noexec(mounts, "/tmp"));
        assert!(!is_noexec(mounts, "/none"));
    }
}
