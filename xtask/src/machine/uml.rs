//! User-mode Linux: boots on this machine's file system in seconds, without KVM and root.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::guest_dir::GuestDir;
use crate::suite::{Report, Suite};
use crate::supervised_child;
use crate::tools;

/// Init of the guest.
const INIT: &str = include_str!("uml-init.sh");

/// A library that lets user-mode Linux run on CPUs with AMX.
const XSTATE: &str = include_str!("uml-xstate.c");

/// Guests that run at the same time. Four keep two processors busy, so that the tests disturb each other.
pub(super) const GUESTS: usize = 3;

/// The guest's memory in MiB, a sparse file: the host provides only the pages that the guest
/// touches.
const MEMORY: u64 = 2048;

/// Boots a guest, runs the suites in it and waits for its end. `shown` gets its output.
pub(super) fn run_uml(suites: &[Suite], shown: impl Write) -> Result<Report> {
    let guest_dir = GuestDir::make("uml", INIT, suites)?;
    let mut command = boot_command(&guest_dir.path)?;
    if has_amx(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()) {
        command.env("LD_PRELOAD", build_xstate(&guest_dir.path)?);
    }
    guest_dir.run_guest("user-mode Linux", command, suites, shown)
}

/// Tells by the text of `/proc/cpuinfo` whether the CPU has more registers than user-mode Linux
/// expects.
fn has_amx(cpuinfo: &str) -> bool {
    let mut flags = cpuinfo.lines().filter_map(|line| line.strip_prefix("flags"));
    flags.next().is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "amx_tile"))
}

/// Builds the library for such a CPU with the C compiler, which Rust links with, too.
fn build_xstate(guest_dir: &Path) -> Result<PathBuf> {
    let (source, library) = (guest_dir.join("xstate.c"), guest_dir.join("xstate.so"));
    fs::write(&source, XSTATE)?;
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]);
    let compiled = compile.args([&library, &source]).args(["-ldl"]).status();
    match compiled.context("cannot run cc, the C compiler")?.success() {
        true => Ok(library),
        false => bail!("cc can't compile uml-xstate.c"),
    }
}

/// Returns the command that boots the guest, in a process namespace of its own: otherwise user-mode
/// Linux's helper processes would survive it. A shell is the namespace's process 1, since the
/// kernel kills itself with a signal after a panic, which would not end a process 1.
fn boot_command(guest_dir: &Path) -> Result<Command> {
    let mut command = supervised_child::supervised_command("unshare");
    if !tools::is_root()? {
        command.args(["--user", "--map-root-user"]);
    }
    command
        .args(["--pid", "--fork", "--kill-child", "--"])
        .args(["sh", "-c", "\"$@\"; exit $?", "guest", "linux"])
        .args(kernel_arguments(guest_dir))
        .env("PATH", tools::search_path())
        .env("TMPDIR", memory_dir());
    Ok(command)
}

/// Returns the kernel's command line. The root is read-only; the guest's changes stay in memory.
fn kernel_arguments(guest_dir: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        &format!("mem={MEMORY}M"),
        // Otherwise user-mode Linux prints its start, and the kernel every real server that is
        // down.
        "quiet",
        "loglevel=3",
        "root=/dev/root",
        "rootfstype=hostfs",
        "hostfs=/",
        "ro",
        // The console is our standard output, without input.
        "con=null",
        "con0=null,fd:1",
        "con1=null",
        "umid=guest",
    ]
    .map(OsString::from)
    .into();
    for (name, path) in [("uml_dir=", guest_dir.to_owned()), ("init=", guest_dir.join("init"))] {
        let mut argument = OsString::from(name);
        argument.push(path);
        arguments.push(argument);
    }
    arguments
}

/// Returns the directory for the guest's memory file: /dev/shm where it has space, which it often
/// lacks in containers.
fn memory_dir() -> PathBuf {
    let shm = Path::new("/dev/shm");
    let free = Command::new("df").args(["--output=avail", "-BM"]).arg(shm).output().ok();
    let free = free.and_then(|output| free_mib(&String::from_utf8_lossy(&output.stdout)));
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    // All guests ask before one has used any.
    let needed = MEMORY * GUESTS as u64;
    if free.is_some_and(|free| free > needed) && !is_noexec(&mounts, "/dev/shm") {
        shm.to_owned()
    } else {
        std::env::temp_dir()
    }
}

/// Reads what `df --output=avail -BM` prints, in MiB.
fn free_mib(df: &str) -> Option<u64> {
    df.lines().nth(1)?.trim().strip_suffix('M')?.parse().ok()
}

/// Returns true if files at `dir` can't be mapped as programs, by the lines of `/proc/mounts`.
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
    fn the_guest_boots_on_a_read_only_root_from_its_guest_dir() {
        let arguments = kernel_arguments(Path::new("/tmp/guest_dir"));
        for wanted in
            ["ro", "rootfstype=hostfs", "init=/tmp/guest_dir/init", "uml_dir=/tmp/guest_dir"]
        {
            assert!(arguments.iter().any(|own| own == wanted), "{wanted}: {arguments:?}");
        }
    }

    #[test]
    fn a_cpu_with_amx_is_known_by_its_flags() {
        assert!(has_amx("processor : 0\nflags\t\t: fpu amx_tile avx\nbugs\t: none\n"));
        assert!(!has_amx("flags\t\t: fpu avx512f\nmodel name : amx_tile\n"));
        assert!(!has_amx(""));
    }

    #[test]
    fn a_user_may_start_it() {
        assert!(INIT.starts_with("#!/usr/bin/env -S setpriv --no-new-privs sh\n"));
        assert!(INIT.ends_with(". \"$guest_dir/guest.sh\"\n"));
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
