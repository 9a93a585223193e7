//! What must be settled before a release is made.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::{About, Workspace};
use crate::package::changelog::{Version, read_versions};
use crate::tools::output_of;

/// Refuses a release that lacks something, and says what.
pub(in crate::package) fn check_release(workspace: &Workspace, tag: &str) -> Result<()> {
    let root = &workspace.workspace_root;
    let changelog = fs::read_to_string(root.join("CHANGELOG.md")).context("no CHANGELOG.md")?;
    let changes = output_of(Command::new("git").args(["status", "--porcelain"]).current_dir(root))?;
    let version = workspace.package_version("vipd")?;
    let lacks = find_lacks(workspace.about("vipd")?, version, tag, &changelog, &changes);
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
        lacks.push("Cargo.toml names no `repository` under [workspace.package]".to_owned());
    }
    if about.authors.is_empty() {
        lacks.push("Cargo.toml names no `authors` under [workspace.package]".to_owned());
    }
    if tag != format!("v{version}") {
        lacks.push(format!("the version in Cargo.toml is {version}: its tag is v{version}"));
    }
    let versions = read_versions(changelog);
    let released = |each: &Version<'_>| each.number == version && each.released.is_some();
    if !versions.iter().any(released) {
        lacks.push(format!("CHANGELOG.md has no heading `## {version} - YEAR-MONTH-DAY`"));
    }
    if !changes.trim().is_empty() {
        lacks.push("some files aren't committed: `git status` names them".to_owned());
    }
    lacks
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
}
