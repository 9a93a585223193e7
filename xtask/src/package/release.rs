//! The released program: static, so that it runs on any node.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{Workspace, cargo_command};

/// Builds vipd and returns its file. Naming the target separates it from build scripts and macros,
/// which can't be static.
pub(crate) fn build_static(workspace: &Workspace) -> Result<PathBuf> {
    let target = host_target()?;
    let mut build = cargo_command();
    build.args(["build", "--release", "--package", "vipd", "--target", &target]);
    if let Some(commit) = workspace.commit() {
        build.env("VIPD_COMMIT", commit);
    }
    let status = build
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "the build failed ({status}): cargo's messages are above");
    Ok(workspace.target_directory.join(target).join("release/vipd"))
}

/// Returns the target that the compiler runs on, such as `x86_64-unknown-linux-gnu`.
fn host_target() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}
