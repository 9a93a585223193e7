//! External tools, installed where they are missing.

use std::collections::BTreeSet;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::progress::Step;

/// A program and the Debian package that holds it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    program: &'static str,
    package: &'static str,
}

pub(crate) const fn tool(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package }
}

/// Tools of the kernel tests and the demo, on any machine.
pub(crate) const ORACLES: &[Tool] = &[
    tool("conntrack", "conntrack"),
    tool("curl", "curl"),
    tool("ip", "iproute2"),
    tool("iptables", "iptables"),
    tool("ipvsadm", "ipvsadm"),
    tool("modprobe", "kmod"),
    tool("nft", "nftables"),
    tool("ping", "iputils-ping"),
    tool("ps", "procps"),
    tool("setpriv", "util-linux"),
    tool("mount", "mount"),
    tool("unshare", "util-linux"),
];

/// The browser that tests the status page.
pub(crate) const BROWSER: &[Tool] =
    &[tool("chromium", "chromium"), tool("chromedriver", "chromium-driver")];

/// Further tools of the benchmarks: a C compiler for the reference program, and ldd, which lists
/// the libraries that a program is linked with.
pub(crate) const BENCH: &[Tool] = &[tool("cc", "gcc"), tool("ldd", "libc-bin")];

/// The tool that counts instructions.
pub(crate) const VALGRIND: &[Tool] = &[tool("valgrind", "valgrind")];

/// The name server with which `vipd dns` is compared.
pub(crate) const NAME_SERVER: &[Tool] = &[tool("dnsmasq", "dnsmasq-base")];

/// The name servers whose costs are compared with those of `vipd dns`, and the program that asks.
pub(crate) const NAME_SERVERS: &[Tool] = &[
    tool("dnsmasq", "dnsmasq-base"),
    tool("dnsperf", "dnsperf"),
    tool("nsd", "nsd"),
    tool("unbound", "unbound"),
];

/// Tools that check the files of `deploy/`; pip gets the ones that Debian hasn't.
pub(crate) const READERS: &[Tool] = &[
    tool("systemd-analyze", "systemd"),
    tool("pip3", "python3-pip"),
    tool("shellcheck", "shellcheck"),
];

/// The shells, besides bash, that are asked for completions.
pub(crate) const SHELLS: &[Tool] = &[tool("fish", "fish"), tool("zsh", "zsh")];

/// Further tools for user-mode Linux.
pub(crate) const USER_MODE_LINUX: &[Tool] = &[tool("linux", "user-mode-linux")];

/// Further tools for QEMU: QEMU itself, and those that boot one of Debian's kernels on this
/// machine's file system.
pub(crate) const QEMU: &[Tool] = &[
    tool("busybox", "busybox-static"),
    tool("depmod", "kmod"),
    tool("qemu-system-x86_64", "qemu-system-x86"),
    tool("xz", "xz-utils"),
];

/// Installs the tools that are missing.
///
/// # Errors
/// Names the missing ones and the command that installs them.
pub(crate) fn ensure_installed(tools: &[Tool]) -> Result<()> {
    let missing = missing_packages(tools, &find_in_path);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.into_iter().collect();
    let by_hand = format!("apt-get install {}", packages.join(" "));
    ensure!(
        find_in_path("apt-get"),
        "tools are missing and this machine has no apt-get: install what Debian calls {}",
        packages.join(", ")
    );
    ensure!(is_root()?, "tools are missing and only root can install them: run `sudo {by_hand}`");

    let step = Step::start(&format!("installing {}", packages.join(" ")));
    // A fresh image has no package lists, and old lists name packages that no longer exist.
    apt_get(&["update"])?;
    apt_get(&[&["install", "--yes", "--no-install-recommends"], packages.as_slice()].concat())?;
    step.end("installed");
    let still = self::missing_packages(tools, &find_in_path);
    ensure!(still.is_empty(), "`{by_hand}` succeeded, yet nothing of {still:?} is in PATH");
    Ok(())
}

/// Tools whose packages bring a service, which must not start on this machine: they are unpacked,
/// not installed.
pub(crate) const UNPACKED: &[Tool] = &[tool("promtool", "prometheus")];

/// Unpacks the tools that are missing under `target`, and returns the directories that hold them.
///
/// # Errors
/// When a package can't be downloaded.
pub(crate) fn ensure_unpacked(tools: &[Tool], target: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for tool in tools.iter().filter(|tool| find_program(tool.program).is_none()) {
        let folder = target.join("tools").join(tool.package);
        let programs = folder.join("usr/bin");
        if !programs.join(tool.program).is_file() {
            let step = Step::start(&format!("downloading {}", tool.package));
            ensure_installed(&[self::tool("dpkg-deb", "dpkg")])?;
            unpack_package(tool.package, &folder)?;
            step.end("unpacked");
        }
        found.push(programs);
    }
    Ok(found)
}

fn unpack_package(package: &str, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    // Downloading needs no privilege, but only root may update the lists.
    if is_root()? {
        apt_get(&["update"])?;
    }
    let options = ["-qq", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3"];
    let script = r#"apt-get "$@" && dpkg-deb --extract ./*.deb . && rm ./*.deb"#;
    let status = Command::new("sh")
        .args(["-c", script, "sh"])
        .args(options)
        .args(["download", package])
        .current_dir(folder)
        .status()
        .context("cannot start sh")?;
    ensure!(status.success(), "cannot download {package} ({status}): apt's messages are above");
    Ok(())
}

/// Packages of daemons that share a node with vipd. They are unpacked in guests only.
pub(crate) const DAEMONS: &[&str] = &["docker.io", "firewalld", "dbus", "busybox-static"];

/// Packages of resolvers that ask vipd's name server: systemd-resolved with what it needs to obey a
/// user, and the compiler of another C library, which asks in its own way. They are unpacked in
/// guests only.
pub(crate) const RESOLVERS: &[&str] = &["systemd-resolved", "dbus", "polkitd", "musl-tools"];

/// Downloads packages and those of their dependencies that this machine lacks, once, without
/// installing them.
///
/// # Errors
/// When they can't be downloaded.
pub(crate) fn download_with_needs(packages: &[&str], folder: &Path) -> Result<PathBuf> {
    if folder.is_dir() {
        return Ok(folder.to_owned());
    }
    let step = Step::start(&format!("downloading {}", packages.join(" ")));
    let fresh = folder.with_extension(std::process::id().to_string());
    fs::create_dir_all(fresh.join("partial"))?;
    let archives = format!("Dir::Cache::archives={}", fresh.display());
    let options = ["--download-only", "--no-install-recommends", "--yes", "-o", &archives];
    let options = options.into_iter().chain(["-o", "Debug::NoLocking=1"]);
    let options = options.chain(["-o", "APT::Sandbox::User=root", "install"]);
    let args: Vec<_> = options.chain(packages.iter().copied()).collect();
    if let Err(error) = apt_get(&args) {
        fs::remove_dir_all(&fresh)?;
        return Err(error);
    }
    // Another process may have been faster; it has the same packages.
    if fs::rename(&fresh, folder).is_err() {
        fs::remove_dir_all(&fresh)?;
    }
    step.end("downloaded");
    Ok(folder.to_owned())
}

/// Returns true if the caller is root.
pub(crate) fn is_root() -> Result<bool> {
    Ok(Path::new("/proc/self").metadata().context("cannot read /proc/self")?.uid() == 0)
}

/// Returns the packages of those tools for which `present` returns false.
fn missing_packages(tools: &[Tool], present: &dyn Fn(&str) -> bool) -> BTreeSet<&'static str> {
    tools.iter().filter(|tool| !present(tool.program)).map(|tool| tool.package).collect()
}

fn find_in_path(program: &str) -> bool {
    find_program(program).is_some()
}

/// Finds a program in PATH or in Debian's directories for root's programs, which a user's PATH
/// lacks.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let path = search_path();
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Returns PATH with `more` directories in front.
pub(crate) fn path_with(more: &[PathBuf]) -> OsString {
    let usual = search_path();
    let all = more.iter().cloned().chain(env::split_paths(&usual));
    // Joining fails only for a directory with a colon in its name.
    env::join_paths(all).unwrap_or(usual)
}

/// Returns PATH with root's directories at its end.
pub(crate) fn search_path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(OsStr::new(":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"));
    path
}

/// Runs a tool and returns its output.
///
/// # Errors
/// When it can't be run or fails, with its message.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let output = command
        .env("PATH", search_path())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn apt_get(args: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args([
            "-qq",
            "-o",
            "Dpkg::Use-Pty=0",
            "-o",
            "DPkg::Lock::Timeout=300",
            "-o",
            "Acquire::Retries=3",
        ])
        .args(args)
        .status()
        .context("cannot start apt-get")?;
    if !status.success() {
        bail!("`apt-get {}` failed ({status}): its messages are above", args.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_packages_of_missing_tools_are_wanted() {
        let tools = [tool("ip", "iproute2"), tool("ss", "iproute2"), tool("nft", "nftables")];
        assert_eq!(missing_packages(&tools, &|name| name == "nft"), BTreeSet::from(["iproute2"]));
        assert!(missing_packages(&tools, &|_| true).is_empty());
    }

    #[test]
    fn a_shell_is_found_and_nonsense_is_not() {
        assert!(find_in_path("sh"));
        assert!(!find_in_path("no-such-program-anywhere"));
    }
}
