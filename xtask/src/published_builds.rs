//! The crates that are published on their own, built as their users build them: with single features, and
//! from their packages.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{Workspace, cargo_command};
use crate::published::CRATES;

/// Compiles the library of each crate with each of its features alone. The workspace turns on all that any of
/// its members needs, so nothing else misses what a feature lacks. Returns what was compiled.
pub(crate) fn check_single_features() -> Result<String> {
    let workspace = Workspace::read_metadata()?;
    let mut checked = Vec::new();
    for name in CRATES {
        for feature in workspace.features(name)? {
            let mut command = cargo_command();
            command.args(["clippy", "--quiet", "--locked", "-p", name, "--lib"]);
            command.args(["--no-default-features", "--features", feature, "--", "-D", "warnings"]);
            run_quiet(&mut command, &workspace.workspace_root)
                .with_context(|| format!("{name} doesn't compile with {feature} alone"))?;
            checked.push(format!("{name} with {feature}"));
        }
    }
    Ok(format!("{} compiled", checked.join(", ")))
}

/// Compiles the tests and examples of each crate in its package, where files that were left out are missing,
/// and runs the tests that need no socket without it. Returns what was done.
pub(crate) fn check_packaged_tests() -> Result<String> {
    let workspace = Workspace::read_metadata()?;
    let folder = workspace.target_directory.join("published");
    let mut package = cargo_command();
    // The step that publishes them has built their libraries.
    package.args(["package", "--quiet", "--locked", "--allow-dirty", "--no-verify"]);
    package.args(CRATES.iter().flat_map(|name| ["-p", name]));
    run_quiet(&mut package, &workspace.workspace_root)?;

    let mut folders = Vec::new();
    for name in CRATES {
        let versioned = format!("{name}-{}", workspace.package_version(name)?);
        let archive = workspace.target_directory.join(format!("package/{versioned}.crate"));
        unpack_crate(&archive, &folder, &versioned)?;
        folders.push((name, versioned));
    }
    let manifest = folder.join("Cargo.toml");
    fs::write(&manifest, packages_manifest(&folders))
        .and_then(|()| {
            fs::copy(workspace.workspace_root.join("Cargo.lock"), folder.join("Cargo.lock"))
        })
        .with_context(|| format!("cannot write {}", folder.display()))?;
    // Whatever runs by itself, then the tests that need a kernel, which `--tests` leaves out.
    for targets in [&["--lib", "--tests", "--examples"][..], &["--test", "kernel"]] {
        let mut check = cargo_command();
        check
            .args(["check", "--quiet", "--offline", "--workspace", "--all-features"])
            .args(targets);
        run_quiet(&mut check, &folder)
            .context("the tests or examples of a package don't compile")?;
    }
    let mut test = cargo_command();
    test.args(["test", "--quiet", "--offline", "--workspace", "--no-default-features"]);
    test.args(["--features", "nl-ipvs/fake,nl-ipvs/serde", "--lib", "--tests"]);
    run_quiet(&mut test, &folder).context("the tests of a package fail without the socket")?;
    let mut examples = cargo_command();
    examples.args([
        "test",
        "--quiet",
        "--offline",
        "--workspace",
        "--no-default-features",
        "--doc",
    ]);
    run_quiet(&mut examples, &folder)
        .context("the examples in the documentation fail without the socket")?;
    Ok(format!("{} compiled, and tested without the socket", CRATES.join(" and ")))
}

/// Unpacks a crate into `folder`, in place of an earlier one.
fn unpack_crate(archive: &Path, folder: &Path, versioned: &str) -> Result<()> {
    let old = folder.join(versioned);
    if old.exists() {
        fs::remove_dir_all(&old).with_context(|| format!("cannot remove {}", old.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Every file in an archive of cargo has the same old date: cargo would take it for compiled already.
    run_quiet(Command::new("tar").arg("-xzmf").arg(archive), folder)
}

/// Makes the manifest of a workspace of unpacked crates, of which each uses the other as it is here: they may
/// not be published yet.
fn packages_manifest(folders: &[(&str, String)]) -> String {
    let members: Vec<_> = folders.iter().map(|(_, folder)| format!("{folder:?}")).collect();
    let patch = |(name, folder): &(&str, String)| format!("{name} = {{ path = {folder:?} }}\n");
    format!(
        "[workspace]\nresolver = \"3\"\nmembers = [{}]\n\n[patch.crates-io]\n{}",
        members.join(", "),
        folders.iter().map(patch).collect::<String>()
    )
}

fn run_quiet(command: &mut Command, folder: &Path) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.current_dir(folder).status();
    let status = status.with_context(|| format!("cannot start {program}"))?;
    ensure!(status.success(), "{program} failed ({status}): see above");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacked_crates_use_each_other() {
        let folders = [("one", "one-0.1.0".to_owned()), ("two", "two-0.2.0".to_owned())];
        assert_eq!(
            packages_manifest(&folders),
            "[workspace]\nresolver = \"3\"\nmembers = [\"one-0.1.0\", \"two-0.2.0\"]\n\n\
             [patch.crates-io]\none = { path = \"one-0.1.0\" }\ntwo = { path = \"two-0.2.0\" }\n"
        );
    }

    /// What a user copies gets this version.
    #[test]
    fn the_readme_of_a_published_crate_names_its_version() {
        let workspace = Workspace::read_metadata().unwrap();
        for name in CRATES {
            let version = workspace.package_version(name).unwrap();
            let path = workspace.workspace_root.join("crates").join(name).join("README.md");
            let readme = fs::read_to_string(path).unwrap();
            let named =
                readme.split("version = \"").skip(1).filter_map(|rest| rest.split('"').next());
            for each in named {
                assert!(version.starts_with(&format!("{each}.")), "{name}: {each} for {version}");
            }
        }
    }

    #[test]
    fn each_feature_of_the_published_crates_is_known_but_the_default() {
        let workspace = Workspace::read_metadata().unwrap();
        let features: Vec<_> = workspace.features("nl-ipvs").unwrap().collect();
        assert_eq!(features, ["fake", "serde", "socket"]);
    }
}
