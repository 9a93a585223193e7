//! The RPM package, from the files of the Debian one.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::build::Build;
use crate::tools::output_of;

/// Places of the Debian package that are elsewhere, or nowhere, in distributions that use RPM.
const MOVED: &[(&str, Option<&str>)] = &[
    ("DEBIAN", None),
    ("lib", Some("usr/lib")),
    ("var", None),
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
    let mut files = Vec::new();
    list_tree(&tree, "", &mut files)?;
    let root = &build.workspace.workspace_root;
    let about = build.workspace.about("vipd")?;
    let unset = "unset";
    let spec = fs::read_to_string(root.join("deploy/rpm/vipd.spec"))?
        .replace("@VERSION@", build.version()?)
        .replace("@LICENSE@", about.license.as_deref().unwrap_or(unset))
        .replace("@URL@", about.repository.as_deref().unwrap_or(unset))
        .replace("@VENDOR@", about.authors.first().map_or(unset, String::as_str))
        .replace("@TREE@", &tree.display().to_string())
        .replace("@FILES@", &files.join("\n"));
    let file = work.join("vipd.spec");
    fs::write(&file, spec)?;
    let define = format!("_topdir {}", work.join("build").display());
    output_of(Command::new("rpmbuild").args(["-bb", "--define", &define]).arg(&file))?;
    let made = work.join("build/RPMS").join(std::env::consts::ARCH);
    for entry in fs::read_dir(&made).with_context(|| format!("rpmbuild left no {made:?}"))? {
        let entry = entry?;
        fs::copy(entry.path(), build.folder.join(entry.file_name()))?;
    }
    Ok(())
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
        if entry.file_type()?.is_dir() {
            list_tree(tree, place.trim_start_matches('/'), files)?;
        } else if !place.trim_start_matches('/').starts_with("etc/vipd/") {
            let place = place.trim_start_matches('/');
            let kind = if place.starts_with("usr/share/doc/") { "%doc " } else { "" };
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
    fn files_go_where_rpm_distributions_have_them() {
        let place = |at| find_place(at);
        let moved = Some("usr/lib/systemd/system/vipd.service".to_owned());
        assert_eq!(place("lib/systemd/system/vipd.service"), moved);
        assert_eq!(place("DEBIAN/control"), None);
        assert_eq!(place("var/lib/polkit-1/x"), None);
        assert_eq!(place("usr/bin/vipd"), Some("usr/bin/vipd".to_owned()));
        assert_eq!(place("library"), Some("library".to_owned()));
    }
}
