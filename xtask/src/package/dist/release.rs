//! What must be settled before a release is made.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::{About, Workspace};
use crate::package::changelog::{Version, read_versions};
use crate::published::CRATES;
use crate::tools::output_of;

/// Refuses a release that lacks something, and says what.
pub(in crate::package) fn check_release(workspace: &Workspace, tag: &str) -> Result<()> {
    let root = &workspace.workspace_root;
    let changelog = fs::read_to_string(root.join("CHANGELOG.md")).context("no CHANGELOG.md")?;
    let changes = output_of(Command::new("git").args(["status", "--porcelain"]).current_dir(root))?;
    let version = workspace.package_version("vipd")?;
    let mut lacks = find_lacks(workspace.about("vipd")?, version, tag, &changelog, &changes);
    for name in CRATES {
        let path = format!("crates/{name}/CHANGELOG.md");
        let changelog =
            fs::read_to_string(root.join(&path)).with_context(|| format!("no {path}"))?;
        let (about, version) = (workspace.about(name)?, workspace.package_version(name)?);
        lacks.extend(find_lacks_of_crate(name, about, version, &changelog));
    }
    if lacks.is_empty() {
        return Ok(());
    }
    bail!("{tag} can't be released:\n  {}", lacks.join("\n  "))
}

fn find_lacks(
    about: &About,
    version: &str,
    tag: &str,
    changelog: &str,
    changes: &str,
) -> Vec<String> {
    let mut lacks = Vec::new();
    if about.repository.is_none() {
        lacks.push(
            "Cargo.toml names no `repository` under [workspace.package], with \
             `repository.workspace = true` under [package]"
                .to_owned(),
        );
    }
    if about.authors.is_empty() {
        lacks.push(
            "Cargo.toml names no `authors` under [workspace.package], with \
             `authors.workspace = true` under [package]"
                .to_owned(),
        );
    }
    if tag != format!("v{version}") {
        lacks.push(format!("the version in Cargo.toml is {version}: its tag is v{version}"));
    }
    if !is_released(changelog, version) {
        lacks.push(format!("CHANGELOG.md has no heading `## {version} - YEAR-MONTH-DAY`"));
    }
    if !changes.trim().is_empty() {
        lacks.push("some files aren't committed: `git status` names them".to_owned());
    }
    lacks
}

/// Finds what a crate lacks that is published with the release.
fn find_lacks_of_crate(name: &str, about: &About, version: &str, changelog: &str) -> Vec<String> {
    let mut lacks = Vec::new();
    if about.repository.is_none() {
        lacks.push(format!("crates/{name}/Cargo.toml lacks `repository.workspace = true`"));
    }
    if !is_released(changelog, version) {
        lacks.push(format!(
            "crates/{name}/CHANGELOG.md has no heading `## {version} - YEAR-MONTH-DAY`"
        ));
    }
    lacks
}

fn is_released(changelog: &str, version: &str) -> bool {
    let released = |each: &Version<'_>| each.number == version && each.released.is_some();
    read_versions(changelog).iter().any(released)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_an_address_a_maintainer_and_its_own_tag() {
        let mut about = About::default();
        let lacks = |about: &About, tag, changelog, changes| {
            find_lacks(about, "0.2.0", tag, changelog, changes).len()
        };
        assert_eq!(lacks(&about, "v0.1.0", "## 0.2.0 - unreleased", " M src/lib.rs"), 5);
        about.repository = Some("https://example.org/vipd".to_owned());
        about.authors = vec!["A <a@example.org>".to_owned()];
        assert_eq!(lacks(&about, "v0.2.0", "## 0.2.0 - 2026-12-01\n", ""), 0);
        assert_eq!(lacks(&about, "v0.2.0", "## 0.2.0-rc1 - 2026-12-01\n", ""), 1);
        assert_eq!(lacks(&about, "0.2.0", "## 0.2.0 - 2026-12-01\n", "?? x\n"), 2);
    }

    #[test]
    fn a_crate_that_is_published_has_its_own_changes_and_an_address() {
        let mut about = About::default();
        let lacks = |about: &About, changelog| {
            find_lacks_of_crate("nl-ipvs", about, "0.1.0", changelog).len()
        };
        assert_eq!(lacks(&about, "## Unreleased\n"), 2);
        about.repository = Some("https://example.org/vipd".to_owned());
        assert_eq!(lacks(&about, "## Unreleased\n"), 1);
        assert_eq!(lacks(&about, "## 0.1.0 - 2026-12-01\n"), 0);
    }
}
