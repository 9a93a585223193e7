//! The released program: static, so that it runs on any node.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cargo::{Workspace, cargo_command};
use crate::supervised_child::supervised_command;

/// Builds vipd and returns its file. Naming the target separates it from build scripts and macros,
/// which can't be static.
pub(crate) fn build_static(workspace: &Workspace) -> Result<PathBuf> {
    let target = host_target()?;
    let mut build = static_build(workspace, &target, cargo_command());
    let status = build.status().context("cannot start cargo")?;
    ensure!(status.success(), "the build failed ({status}): cargo's messages are above");
    Ok(workspace.target_directory.join(target).join("release/vipd"))
}

/// A build that goes on beside other work.
pub(crate) struct BuildAhead(Child);

impl BuildAhead {
    /// Begins to build what [`build_static`] builds, in time that nothing else wants. That waits for it
    /// then, and tells of errors.
    pub(crate) fn start(workspace: &Workspace) -> Result<Self> {
        let cargo = cargo_command();
        let mut idle = supervised_command("nice");
        idle.args(["-n", "19"]).arg(cargo.get_program());
        let mut build = static_build(workspace, &host_target()?, idle);
        build.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(build.spawn().context("cannot start nice")?))
    }
}

/// Nobody waits for it any more.
impl Drop for BuildAhead {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Adds to a command that starts cargo what builds the static program.
fn static_build(workspace: &Workspace, target: &str, mut build: Command) -> Command {
    build.args(["build", "--release", "--package", "vipd", "--target", target]);
    if let Some(commit) = workspace.commit() {
        build.env("VIPD_COMMIT", commit);
    }
    build.env("RUSTFLAGS", "-C target-feature=+crt-static");
    build
}

/// Returns the target that the compiler runs on, such as `x86_64-unknown-linux-gnu`.
fn host_target() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}
