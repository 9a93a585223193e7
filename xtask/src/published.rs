//! The crates that are published on their own: their packages, documentation and public API.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cargo::Workspace;
use crate::cargo_tool::CARGO_PUBLIC_API;
use crate::tools;

/// The crates, each after those that it uses.
const CRATES: [&str; 2] = ["nl-pipeline", "nl-ipvs"];

/// The variable that makes the recorded API follow the source.
const WRITE: &str = "VIPD_WRITE_DOCS";

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
    if !has_nightly() {
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

fn has_nightly() -> bool {
    let mut nightly = Command::new("cargo");
    nightly.args(["+nightly", "--version"]).env_remove("CARGO");
    nightly.stdout(Stdio::null()).stderr(Stdio::null());
    nightly.status().is_ok_and(|status| status.success())
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
