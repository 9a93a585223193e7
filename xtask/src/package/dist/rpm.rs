//! The RPM package, from the files of the Debian one.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use jiff::Zoned;

use super::build::Build;
use crate::cargo::About;
use crate::package::changelog::{maintainer, now, read_versions};
use crate::package::modes::set_modes;
use crate::tools::{self, output_of};

/// Places of the Debian package that are elsewhere, or nowhere, in distributions that use RPM.
const MOVED: &[(&str, Option<&str>)] = &[
    ("DEBIAN", None),
    ("var", None),
    ("usr/share/doc/vipd/changelog.gz", None),
    ("usr/share/doc/vipd/copyright", None),
    ("usr/share/lintian", None),
    ("usr/share/zsh/vendor-completions", Some("usr/share/zsh/site-functions")),
];

/// Makes the package.
pub(super) fn make_rpm(build: &Build<'_>) -> Result<()> {
    let work = build.tree.with_file_name("rpm");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    let tree = work.join("tree");
    copy_tree(&build.tree, &tree, "")?;
    let root = &build.workspace.workspace_root;
    let license = tree.join("usr/share/licenses/vipd");
    fs::create_dir_all(&license)?;
    fs::copy(root.join("LICENSE"), license.join("LICENSE"))?;
    set_modes(&tree)?;
    let mut files = Vec::new();
    list_tree(&tree, "", &mut files)?;
    let about = build.workspace.about("vipd")?;
    let template = fs::read_to_string(root.join("deploy/rpm/vipd.spec"))?;
    let changelog = fs::read_to_string(root.join("CHANGELOG.md"))?;
    let spec = fill_spec(&template, about, build.version()?)
        .replace("@CHANGELOG@", &write_changelog(&changelog, about, &now()))
        .replace("@TREE@", &tree.display().to_string())
        .replace("@FILES@", &files.join("\n"));
    let file = work.join("vipd.spec");
    fs::write(&file, spec)?;
    let define = format!("_topdir {}", work.join("build").display());
    output_of(Command::new("rpmbuild").args(["-bb", "--define", &define]).arg(&file))?;
    let made = work.join("build/RPMS").join(std::env::consts::ARCH);
    for entry in fs::read_dir(&made).with_context(|| format!("rpmbuild left no {made:?}"))? {
        let entry = entry?;
        check_package(&entry.path(), root, about)?;
        fs::copy(entry.path(), build.folder.join(entry.file_name()))?;
    }
    Ok(())
}

/// Has `rpmlint` check the package, in which it must find nothing but what `Cargo.toml` doesn't say yet.
fn check_package(package: &Path, root: &Path, about: &About) -> Result<()> {
    let mut rpmlint = Command::new("rpmlint");
    rpmlint.env("PATH", tools::search_path());
    rpmlint.arg("--config").arg(root.join("deploy/rpm/rpmlint.toml")).arg(package);
    let output = rpmlint.output().context("cannot start rpmlint")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let findings = list_findings(&said, about);
    ensure!(said.contains("packages and") && findings.is_empty(), "rpmlint:\n{said}");
    Ok(())
}

/// Lists the errors and warnings of `rpmlint`, but those about what is unset.
fn list_findings<'a>(said: &'a str, about: &About) -> Vec<&'a str> {
    let is_unset = |line: &str| {
        (about.repository.is_none() && line.ends_with("W: no-url-tag"))
            || (about.authors.is_empty() && line.ends_with("E: no-packager-tag"))
    };
    let is_finding = |line: &&str| line.contains(": E: ") || line.contains(": W: ");
    said.lines().filter(is_finding).filter(|line| !is_unset(line)).collect()
}

/// Fills in what `Cargo.toml` says; a line about what it doesn't say is left out.
fn fill_spec(template: &str, about: &About, version: &str) -> String {
    let line = |name: &str, value: Option<&String>| {
        value.map(|value| format!("{name}: {value}\n")).unwrap_or_default()
    };
    template
        .replace("@VERSION@", version)
        .replace("@LICENSE@", &line("License", about.license.as_ref()))
        .replace("@URL@", &line("URL", about.repository.as_ref()))
        .replace("@PACKAGER@", &line("Packager", about.authors.first()))
}

/// Writes the section `%changelog`, which refers to the project's.
fn write_changelog(changelog: &str, about: &About, built: &Zoned) -> String {
    let entries = read_versions(changelog).into_iter().map(|version| {
        let (date, number) = (version.time(built).strftime("%a %b %d %Y"), version.number);
        let maintainer = maintainer(about);
        format!(
            "* {date} {maintainer} - {number}-1\n\
             - The changes are in /usr/share/doc/vipd/CHANGELOG.md.gz.\n"
        )
    });
    entries.collect::<Vec<_>>().join("\n")
}

/// Copies the tree; `at` is the place in it.
fn copy_tree(from: &Path, to: &Path, at: &str) -> Result<()> {
    for entry in fs::read_dir(from.join(at))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let place = if at.is_empty() { name.into_owned() } else { format!("{at}/{name}") };
        let Some(new) = find_place(&place) else { continue };
        if entry.file_type()?.is_dir() {
            copy_tree(from, to, &place)?;
        } else {
            let new = to.join(new);
            fs::create_dir_all(new.parent().unwrap_or(to))?;
            fs::copy(entry.path(), &new)?;
        }
    }
    Ok(())
}

/// Returns where a file of the Debian package goes; `None` if it isn't in this one.
fn find_place(place: &str) -> Option<String> {
    for (from, to) in MOVED {
        let rest = place.strip_prefix(from).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        if let Some(rest) = rest {
            return to.map(|to| format!("{to}{rest}"));
        }
    }
    Some(place.to_owned())
}

/// Lists the files for the section `%files`, but those that it names itself.
fn list_tree(tree: &Path, at: &str, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(tree.join(at))? {
        let entry = entry?;
        let place = format!("{at}/{}", entry.file_name().to_string_lossy());
        let place = place.trim_start_matches('/');
        let kind = match place {
            _ if place.starts_with("usr/share/doc/") => "%doc ",
            _ if place.starts_with("usr/share/licenses/") => "%license ",
            _ => "",
        };
        if entry.file_type()?.is_dir() {
            if place.starts_with("usr/share/") && place.ends_with("/vipd") {
                files.push(format!("%dir /{place}"));
            }
            list_tree(tree, place, files)?;
        } else if !place.starts_with("etc/vipd/") {
            files.push(format!("{kind}/{place}"));
        }
    }
    files.sort();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spec_says_only_what_is_known() {
        let template = include_str!("../../../../deploy/rpm/vipd.spec");
        let unset = fill_spec(template, &About::default(), "1.2.3");
        assert!(unset.contains("\nVersion: 1.2.3\n"), "{unset}");
        assert!(!unset.contains("URL:") && !unset.contains("Packager:"), "{unset}");
        let about = About {
            license: Some("Apache-2.0".to_owned()),
            repository: Some("https://example.org/vipd".to_owned()),
            authors: vec!["Ada <ada@example.org>".to_owned()],
        };
        let known = fill_spec(template, &about, "1.2.3");
        for line in ["License: Apache-2.0", "URL: https://example.org/vipd"] {
            assert!(known.lines().any(|each| each == line), "{line}: {known}");
        }
        let built = jiff::civil::date(2026, 12, 1).to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let changelog = write_changelog("## 1.2.3 - 2026-11-01\n", &about, &built);
        let head = "* Sun Nov 01 2026 Ada <ada@example.org> - 1.2.3-1\n- ";
        assert!(changelog.starts_with(head), "{changelog}");
    }

    #[test]
    fn only_what_is_unset_is_passed_over() {
        let said = "vipd.x86_64: E: a b\nvipd.x86_64: W: no-url-tag\n\
                    vipd.x86_64: E: no-packager-tag\n 1 packages and 0 specfiles checked\n";
        assert_eq!(list_findings(said, &About::default()), ["vipd.x86_64: E: a b"]);
        let about = About { authors: vec!["A".to_owned()], ..About::default() };
        assert_eq!(list_findings(said, &about).len(), 2);
    }

    #[test]
    fn files_go_where_rpm_distributions_have_them() {
        let place = |at| find_place(at);
        let moved = Some("usr/share/zsh/site-functions/_vipd".to_owned());
        assert_eq!(place("usr/share/zsh/vendor-completions/_vipd"), moved);
        assert_eq!(place("DEBIAN/control"), None);
        assert_eq!(place("var/lib/polkit-1/x"), None);
        assert_eq!(place("usr/bin/vipd"), Some("usr/bin/vipd".to_owned()));
        assert_eq!(place("various"), Some("various".to_owned()));
    }
}
