//! The crates of a workspace, by `cargo metadata`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::{Crate, StyleError};

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

impl Target {
    fn is_measured(&self) -> bool {
        self.kind.iter().any(|kind| matches!(kind.as_str(), "lib" | "bin" | "proc-macro"))
    }
}

/// Reads the libraries and programs of the workspace that `dir` is in. Paths are relative to the
/// workspace's root.
///
/// # Errors
/// When cargo fails, or a file can't be read or parsed.
pub fn read_workspace(dir: &Path) -> Result<Vec<Crate>, StyleError> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(dir)
        .stderr(Stdio::inherit())
        .output()
        .map_err(StyleError::StartCargo)?;
    if !output.status.success() {
        return Err(StyleError::Metadata(output.status));
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).map_err(StyleError::ParseMetadata)?;
    let root = metadata.workspace_root;
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    let mut roots: Vec<_> = targets.filter(|target| target.is_measured()).collect();
    roots.sort_by_key(|target| &target.src_path);
    let read_file = |path: &Path| std::fs::read_to_string(root.join(path));
    let relative = |path: &PathBuf| path.strip_prefix(&root).unwrap_or(path).to_owned();
    roots
        .into_iter()
        .map(|target| Crate::from_root(&relative(&target.src_path), &read_file))
        .collect()
}
