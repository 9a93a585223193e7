//! The crates that are published on their own: their packages, documentation, public API and oldest Rust.

use std::fs;
use std::io::stdout;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cargo::Workspace;
use crate::cargo_tool::{CARGO_PUBLIC_API, CARGO_SEMVER_CHECKS};
use crate::progress::Step;
use crate::supervised_child::{TimeLimits, run_supervised};
use crate::tools;

/// The crates, each after those that it uses.
pub(crate) const CRATES: [&str; 2] = ["nl-pipeline", "nl-ipvs"];

/// The variable that makes the recorded API follow the source.
const WRITE: &str = "VIPD_WRITE_DOCS";

/// A hundred megabytes are downloaded, of which rustup tells nothing for a while.
const INSTALL_LIMITS: TimeLimits =
    TimeLimits { silence: Duration::from_secs(60), total: Duration::from_secs(5 * 60) };

/// The checks that cargo makes. The packages are those of the source as it is, committed or not.
pub(crate) const STEPS: [(&str, &[&str]); 5] = [
    (
        "packages of the published crates",
        &["publish", "--dry-run", "--allow-dirty", "-p", "nl-pipeline", "-p", "nl-ipvs"],
    ),
    ("documentation", &["rustdoc", "-p", "nl-pipeline", "--all-features", "--", "-D", "warnings"]),
    (
        "documentation without features",
        &["rustdoc", "-p", "nl-pipeline", "--no-default-features", "--", "-D", "warnings"],
    ),
    ("documentation", &["rustdoc", "-p", "nl-ipvs", "--all-features", "--", "-D", "warnings"]),
    (
        "documentation without features",
        &["rustdoc", "-p", "nl-ipvs", "--no-default-features", "--", "-D", "warnings"],
    ),
];

/// Compares the public API of each crate with the file `public-api.txt` that records it. Returns what
/// was compared, or why nothing could be: the list of an API needs a nightly toolchain.
pub(crate) fn compare_public_api() -> Result<String> {
    if !has_toolchain("nightly") {
        return Ok("not compared: `rustup toolchain install nightly`".to_owned());
    }
    let workspace = Workspace::read_metadata()?;
    let path = tools::path_with(&CARGO_PUBLIC_API.ensure_installed(&workspace.target_directory)?);
    for name in CRATES {
        let mut command = Command::new("cargo");
        // Without blanket implementations, those of auto traits and derived ones.
        command.args(["+nightly", "public-api", "-p", name, "--all-features", "-sss"]);
        command.current_dir(&workspace.workspace_root).env("PATH", &path).env_remove("CARGO");
        let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
        ensure!(output.status.success(), "cannot list the API of {name}: see above");
        let api = String::from_utf8(output.stdout).context("an API that isn't text")?;
        let file = workspace.workspace_root.join("crates").join(name).join("public-api.txt");
        compare_with_file(&api, &file)?;
    }
    Ok(format!("{} are as recorded", CRATES.join(" and ")))
}

/// Compiles each crate with the oldest Rust that its `Cargo.toml` names, which knows what language it may
/// use; clippy knows the standard library only. Returns what was compiled, or why nothing could be.
pub(crate) fn check_oldest_rust() -> Result<String> {
    let workspace = Workspace::read_metadata()?;
    let mut checked = Vec::new();
    for name in CRATES {
        let rust = workspace.rust_version(name)?;
        if !has_toolchain(rust) && !install_toolchain(rust)? {
            return Ok(format!("not compiled: rustup can't install Rust {rust}"));
        }
        for features in ["--all-features", "--no-default-features"] {
            // Without tests, whose dependencies need a newer one. Another folder, since cargo builds
            // everything again after a change of the compiler.
            let mut command = Command::new("cargo");
            command.arg(format!("+{rust}")).args(["check", "--quiet", "--locked", "-p", name]);
            command.arg(features).arg("--target-dir");
            command.arg(workspace.target_directory.join("oldest-rust"));
            command.current_dir(&workspace.workspace_root).env_remove("CARGO");
            let status = command.status().context("cannot start cargo")?;
            ensure!(status.success(), "{name} doesn't compile with Rust {rust}: see above");
        }
        checked.push(format!("{name} with {rust}"));
    }
    Ok(format!("{} compiled", checked.join(" and ")))
}

/// Looks for changes of the public API of each crate that its version doesn't allow, since `revision`
/// or the latest tag.
pub(crate) fn check_semver(revision: Option<&str>) -> Result<bool> {
    let workspace = Workspace::read_metadata()?;
    let tag = || workspace.latest_tag().context("there is no tag yet: name a revision");
    let revision = revision.map_or_else(tag, |revision| Ok(revision.to_owned()))?;
    let folders = CARGO_SEMVER_CHECKS.ensure_installed(&workspace.target_directory)?;
    let mut command = Command::new("cargo");
    command.args(["semver-checks", "--all-features", "--baseline-rev", &revision]);
    command.args(CRATES.iter().flat_map(|name| ["-p", name]));
    command.current_dir(&workspace.workspace_root).env_remove("CARGO");
    command.env("PATH", tools::path_with(&folders));
    Ok(command.status().context("cannot start cargo")?.success())
}

fn compare_with_file(api: &str, file: &Path) -> Result<()> {
    if std::env::var_os(WRITE).is_some() {
        return fs::write(file, api).with_context(|| format!("cannot write {}", file.display()));
    }
    let recorded =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let difference = difference_of(&recorded, api);
    ensure!(
        difference.is_empty(),
        "the public API differs from {}:\n{difference}\
         if that is meant, `{WRITE}=1 cargo xtask api` records it; then see the changelog",
        file.display()
    );
    Ok(())
}

/// Lists the lines that only one of the texts has.
fn difference_of(recorded: &str, api: &str) -> String {
    let lines_without = |text: &str, other: &str, sign| -> String {
        let missing = text.lines().filter(|line| !other.lines().any(|known| known == *line));
        missing.map(|line| format!("{sign} {line}\n")).collect()
    };
    lines_without(recorded, api, '-') + &lines_without(api, recorded, '+')
}

/// Tells whether rustup has this toolchain.
fn has_toolchain(name: &str) -> bool {
    let mut cargo = Command::new("cargo");
    cargo.arg(format!("+{name}")).arg("--version").env_remove("CARGO");
    // A look must not download it.
    cargo.env("RUSTUP_AUTO_INSTALL", "0").stdout(Stdio::null()).stderr(Stdio::null());
    cargo.status().is_ok_and(|status| status.success())
}

/// Installs a toolchain. Returns false where that can't be, such as without a network.
fn install_toolchain(name: &str) -> Result<bool> {
    let step = Step::start(&format!("installing Rust {name}"));
    let mut rustup = Command::new("rustup");
    rustup.args(["toolchain", "install", name, "--profile", "minimal", "--no-self-update"]);
    let problem = match tools::find_program("rustup") {
        Some(_) => run_supervised(&mut rustup, INSTALL_LIMITS, &mut stdout(), |_| {})?.problem(),
        None => Some("there is no rustup".to_owned()),
    };
    step.end(problem.as_deref().unwrap_or("installed"));
    Ok(problem.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_came_and_went_are_listed() {
        assert_eq!(difference_of("a\nb\n", "b\nc\n"), "- a\n+ c\n");
        assert_eq!(difference_of("a\nb\n", "a\nb\n"), "");
    }

    #[test]
    fn every_published_crate_is_checked_with_and_without_its_features() {
        for name in CRATES {
            let of_crate = STEPS.iter().filter(|(_, args)| args.contains(&name));
            assert_eq!(of_crate.count(), 3, "{name}");
        }
    }
}
