//! Asks cargo what the workspace holds and has it built.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The name of the test targets that need a kernel with IPVS. They carry `test = false`, so that
/// plain `cargo test` leaves them alone.
const KERNEL: &str = "kernel";

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// What `cargo metadata` says, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    packages: Vec<Package>,
    pub(crate) workspace_root: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    #[serde(default)]
    test: bool,
}

impl Target {
    fn is(&self, kind: &str) -> bool {
        self.kind.iter().any(|own| own == kind)
    }

    fn is_kernel_test(&self) -> bool {
        self.is("test") && self.name == KERNEL && !self.test
    }
}

/// A program that cargo built.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Built {
    /// The package it is from.
    pub(crate) package: String,
    /// That package's folder.
    pub(crate) dir: PathBuf,
    pub(crate) executable: PathBuf,
}

impl Workspace {
    /// Reads the workspace that the current directory is in.
    pub(crate) fn read() -> Result<Self> {
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start cargo")?;
        ensure!(output.status.success(), "`cargo metadata` failed: its own words are above");
        serde_json::from_slice(&output.stdout).context("cannot read what `cargo metadata` printed")
    }

    /// Builds every kernel test.
    pub(crate) fn build_kernel_tests(&self) -> Result<Vec<Built>> {
        let packages = self.with_target(Target::is_kernel_test);
        ensure!(
            !packages.is_empty(),
            "no package has a test target `{KERNEL}` with `test = false`"
        );
        let mut command = cargo();
        command.args(["test", "--no-run", "--test", KERNEL]);
        self.build(command, &packages, Target::is_kernel_test)
    }

    /// Builds every program of the workspace but this one.
    pub(crate) fn build_programs(&self) -> Result<Vec<Built>> {
        let mut packages = self.with_target(|target| target.is("bin"));
        packages.retain(|package| package.name != env!("CARGO_PKG_NAME"));
        let mut command = cargo();
        command.args(["build", "--bins"]);
        self.build(command, &packages, |target| target.is("bin"))
    }

    fn with_target(&self, wanted: impl Fn(&Target) -> bool) -> Vec<&Package> {
        self.packages.iter().filter(|package| package.targets.iter().any(&wanted)).collect()
    }

    /// Runs `command` for the packages and returns the `wanted` ones of what it built: cargo builds a
    /// package's programs along with its tests.
    fn build(
        &self,
        mut command: Command,
        packages: &[&Package],
        wanted: impl Fn(&Target) -> bool,
    ) -> Result<Vec<Built>> {
        for package in packages {
            command.args(["-p", &package.name]);
        }
        command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
        let output = command.output().context("cannot start cargo")?;
        let status = output.status;
        ensure!(status.success(), "the build failed ({status}): cargo's own words are above");
        self.executables(&String::from_utf8_lossy(&output.stdout), wanted)
    }

    /// Picks the `wanted` executables out of cargo's JSON messages.
    fn executables(&self, messages: &str, wanted: impl Fn(&Target) -> bool) -> Result<Vec<Built>> {
        let packages: HashMap<&str, &Package> =
            self.packages.iter().map(|package| (package.id.as_str(), package)).collect();
        let mut built = Vec::new();
        for line in messages.lines().filter(|line| line.starts_with('{')) {
            let message: Message = serde_json::from_str(line)
                .with_context(|| format!("cannot read cargo's message {line}"))?;
            if let Message {
                package_id: Some(id),
                target: Some(target),
                executable: Some(executable),
            } = message
                && let Some(package) = packages.get(id.as_str())
                && wanted(&target)
            {
                let dir = package.manifest_path.parent().unwrap_or(Path::new("/")).to_owned();
                built.push(Built { package: package.name.clone(), dir, executable });
            }
        }
        built.sort_by(|a, b| (&a.package, &a.executable).cmp(&(&b.package, &b.executable)));
        Ok(built)
    }
}

/// One line of `--message-format=json`.
#[derive(Deserialize)]
struct Message {
    package_id: Option<String>,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> Workspace {
        serde_json::from_str(
            r#"{ "workspace_root": "/w", "version": 1, "packages": [
            { "id": "path+file:///w/a#0.1.0", "name": "a", "manifest_path": "/w/a/Cargo.toml",
              "targets": [
                { "name": "a", "kind": ["lib"], "test": true },
                { "name": "kernel", "kind": ["test"], "test": false } ] },
            { "id": "path+file:///w/b#0.1.0", "name": "b", "manifest_path": "/w/b/Cargo.toml",
              "targets": [
                { "name": "b", "kind": ["bin"], "test": true },
                { "name": "kernel", "kind": ["test"], "test": true } ] },
            { "id": "path+file:///w/c#0.1.0", "name": "c", "manifest_path": "/w/c/Cargo.toml",
              "targets": [ { "name": "kernel", "kind": ["example"], "test": false } ] } ] }"#,
        )
        .unwrap()
    }

    #[test]
    fn only_tests_named_kernel_that_plain_cargo_test_leaves_alone_are_kernel_tests() {
        let workspace = workspace();
        let found = workspace.with_target(Target::is_kernel_test);
        assert_eq!(found.iter().map(|package| &package.name).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn wanted_executables_are_picked_out_with_their_package() {
        let messages = r#"
            {"package_id":"registry+x#1","target":{"name":"x","kind":["bin"]},"executable":"/x"}
            {"package_id":"path+file:///w/a#0.1.0","target":{"name":"a","kind":["lib"]},"executable":null}
            {"package_id":"path+file:///w/b#0.1.0","target":{"name":"b","kind":["bin"]},"executable":"/w/target/debug/b"}
            not json
            {"package_id":"path+file:///w/a#0.1.0","target":{"name":"kernel","kind":["test"]},"executable":"/w/target/debug/deps/kernel-1"}
            {"reason":"build-finished","success":true}"#
            .replace("            ", "");
        let built = workspace().executables(&messages, Target::is_kernel_test).unwrap();
        let expected = Built {
            package: "a".to_owned(),
            dir: "/w/a".into(),
            executable: "/w/target/debug/deps/kernel-1".into(),
        };
        assert_eq!(built, [expected]);
    }

    #[test]
    fn a_message_that_is_cut_off_is_an_error() {
        let result = workspace().executables(r#"{"reason":"#, |_| true);
        assert!(result.unwrap_err().to_string().contains("cannot read"));
    }
}
