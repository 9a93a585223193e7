//! The workspace, as cargo describes and builds it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Name of the test targets that need a kernel with IPVS. They carry `test = false`, so that plain
/// `cargo test` skips them.
const KERNEL: &str = "kernel";

/// Name of the test target that installs the Debian package.
const PACKAGE: &str = "package";

/// Returns a command for the cargo that runs us.
pub(crate) fn cargo_command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The part of `cargo metadata` that is used here.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    packages: Vec<Package>,
    pub(crate) workspace_root: PathBuf,
    pub(crate) target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    manifest_path: PathBuf,
    #[serde(default)]
    rust_version: Option<String>,
    #[serde(default)]
    features: BTreeMap<String, Vec<String>>,
    #[serde(flatten)]
    about: About,
}

/// The description of a package.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct About {
    #[serde(default)]
    pub(crate) license: Option<String>,
    #[serde(default)]
    pub(crate) repository: Option<String>,
    #[serde(default)]
    pub(crate) authors: Vec<String>,
}

/// A target in cargo's messages.
#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    #[serde(default)]
    test: bool,
}

impl Target {
    fn is_kernel_test(&self) -> bool {
        self.name == KERNEL && self.kind == ["test"] && !self.test
    }

    fn is_program(&self) -> bool {
        self.kind == ["bin"]
    }
}

/// A program that cargo built.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Built {
    /// Name of its package.
    pub(crate) package: String,
    /// Directory of that package.
    pub(crate) dir: PathBuf,
    pub(crate) executable: PathBuf,
}

impl Workspace {
    /// Reads the workspace around the current directory.
    pub(crate) fn read_metadata() -> Result<Self> {
        let output = cargo_command()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start cargo")?;
        ensure!(output.status.success(), "`cargo metadata` failed: its messages are above");
        serde_json::from_slice(&output.stdout).context("cannot read what `cargo metadata` printed")
    }

    /// Returns the version of one of our packages.
    pub(crate) fn package_version(&self, name: &str) -> Result<&str> {
        Ok(&self.package(name)?.version)
    }

    /// Returns the oldest Rust that one of our packages compiles with.
    pub(crate) fn rust_version(&self, name: &str) -> Result<&str> {
        let rust = self.package(name)?.rust_version.as_deref();
        rust.with_context(|| format!("{name} doesn't name its oldest Rust"))
    }

    /// Returns the features of one of our packages, without the default.
    pub(crate) fn features(&self, name: &str) -> Result<impl Iterator<Item = &str>> {
        let features = self.package(name)?.features.keys().map(String::as_str);
        Ok(features.filter(|feature| *feature != "default"))
    }

    /// Returns what one of our packages says about itself.
    pub(crate) fn about(&self, name: &str) -> Result<&About> {
        Ok(&self.package(name)?.about)
    }

    fn package(&self, name: &str) -> Result<&Package> {
        let package = self.packages.iter().find(|package| package.name == name);
        package.with_context(|| format!("the workspace has no package {name}"))
    }

    /// Returns the commit that is checked out, with a mark if files were changed since; `None` outside of a
    /// repository.
    pub(crate) fn commit(&self) -> Option<String> {
        let commit = self.ask_git(&["rev-parse", "--short=12", "HEAD"])?;
        let changed = self.ask_git(&["status", "--porcelain", "--untracked-files=no"])?;
        Some(if changed.is_empty() { commit } else { format!("{commit}-changed") })
    }

    /// Returns the tag of the latest release before the commit that is checked out.
    pub(crate) fn latest_tag(&self) -> Option<String> {
        self.ask_git(&["describe", "--tags", "--abbrev=0", "--match", "v*"])
    }

    fn ask_git(&self, args: &[&str]) -> Option<String> {
        let mut command = Command::new("git");
        let output = command.args(args).current_dir(&self.workspace_root).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    }

    /// Builds every kernel test. It builds for the whole workspace, as `cargo test` does: the
    /// features of shared dependencies depend on the set of packages, and another set would build
    /// them again.
    pub(crate) fn build_kernel_tests(&self) -> Result<Vec<Built>> {
        self.build_targets(
            &["test", "--workspace", "--no-run", "--test", KERNEL],
            Target::is_kernel_test,
        )
    }

    /// Builds the tests that install the Debian package.
    pub(crate) fn build_package_tests(&self) -> Result<Vec<Built>> {
        let wanted = |target: &Target| target.name == PACKAGE && !target.test;
        self.build_targets(&["test", "--workspace", "--no-run", "--test", PACKAGE], wanted)
    }

    /// Builds the workspace's programs. All of them, as for the kernel tests.
    pub(crate) fn build_programs(&self) -> Result<Vec<Built>> {
        self.build_targets(&["build", "--workspace", "--bins"], Target::is_program)
    }

    /// Builds vipd and the benchmark with the release profile.
    pub(crate) fn build_for_bench(&self) -> Result<Vec<Built>> {
        let args = ["build", "--release", "-p", "vipd", "-p", "bench", "--bins"];
        self.build_targets(&args, Target::is_program)
    }

    /// Builds the benchmark for counting instructions: without link-time optimisation, which takes
    /// minutes and would not show any better what got slower.
    pub(crate) fn build_for_counting(&self) -> Result<Vec<Built>> {
        let config = |key: &str| ["--config".to_owned(), format!("profile.release.{key}")];
        let settings =
            ["lto=\"off\"", "codegen-units=16", "strip=false", "debug=\"line-tables-only\""];
        let settings: Vec<_> = settings.into_iter().flat_map(config).collect();
        let args = ["build", "--release", "-p", "bench", "--bins"];
        let args: Vec<&str> = args.into_iter().chain(settings.iter().map(String::as_str)).collect();
        self.build_targets(&args, Target::is_program)
    }

    /// Runs cargo and returns those executables that are `wanted`: cargo builds a package's
    /// programs along with its tests.
    fn build_targets(&self, args: &[&str], wanted: impl Fn(&Target) -> bool) -> Result<Vec<Built>> {
        let output = cargo_command()
            .args(args)
            .arg("--message-format=json-render-diagnostics")
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start cargo")?;
        let status = output.status;
        ensure!(status.success(), "the build failed ({status}): cargo's messages are above");
        self.built_executables(&String::from_utf8_lossy(&output.stdout), wanted)
    }

    /// Picks the `wanted` executables out of cargo's JSON messages.
    fn built_executables(
        &self,
        messages: &str,
        wanted: impl Fn(&Target) -> bool,
    ) -> Result<Vec<Built>> {
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
            r#"{ "workspace_root": "/w", "target_directory": "/w/target", "version": 1, "packages": [
                { "id": "path+file:///w/a#0.1.0", "name": "a", "version": "1.2.3", "manifest_path": "/w/a/Cargo.toml" },
                { "id": "path+file:///w/b#0.1.0", "name": "b", "version": "1.2.3", "manifest_path": "/w/b/Cargo.toml" }
            ] }"#,
        )
        .unwrap()
    }

    /// Makes a line as cargo prints it for a target.
    fn message(
        package: &str,
        name: &str,
        kind: &str,
        test: bool,
        executable: Option<&str>,
    ) -> String {
        serde_json::json!({
            "reason": "compiler-artifact",
            "package_id": format!("path+file:///w/{package}#0.1.0"),
            "target": { "name": name, "kind": [kind], "test": test },
            "executable": executable,
        })
        .to_string()
    }

    fn messages() -> String {
        [
            message("x", "x", "bin", true, Some("/x")),
            message("a", "a", "lib", true, None),
            message("b", "b", "bin", true, Some("/w/target/debug/b")),
            message("b", "kernel", "test", true, Some("/w/target/debug/deps/kernel-2")),
            "not json".to_owned(),
            message("a", "kernel", "test", false, Some("/w/target/debug/deps/kernel-1")),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ]
        .join("\n")
    }

    #[test]
    fn kernel_tests_are_those_that_plain_cargo_test_leaves_alone() {
        let built = workspace().built_executables(&messages(), Target::is_kernel_test).unwrap();
        let expected = Built {
            package: "a".to_owned(),
            dir: "/w/a".into(),
            executable: "/w/target/debug/deps/kernel-1".into(),
        };
        assert_eq!(built, [expected]);
    }

    #[test]
    fn programs_of_the_workspace_are_found_and_no_other() {
        let built = workspace().built_executables(&messages(), Target::is_program).unwrap();
        let paths: Vec<_> = built.iter().map(|built| built.executable.to_str().unwrap()).collect();
        assert_eq!(paths, ["/w/target/debug/b"]);
    }

    #[test]
    fn a_message_that_is_cut_off_is_an_error() {
        let result = workspace().built_executables(r#"{"reason":"#, |_| true);
        assert!(result.unwrap_err().to_string().contains("cannot read"));
    }
}
