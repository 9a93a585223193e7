//! What is published beside the Debian package, for the architecture of this machine.

mod archive;
mod build;
mod parts;
mod release;
mod rpm;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

pub(super) use release::check_release;

use build::Build;

use crate::cargo::Workspace;
use crate::progress::Step;
use crate::tools::{self, output_of};

const TOOLS: &[tools::Tool] = &[
    tools::tool("buildah", "buildah"),
    tools::tool("rpmbuild", "rpm"),
    tools::tool("rpmlint", "rpmlint"),
    tools::tool("sha256sum", "coreutils"),
    tools::tool("tar", "tar"),
];

/// Makes all files under `target/dist` from those of the Debian package, and returns the folder.
pub(super) fn publish_package(workspace: &Workspace, deb: &Path) -> Result<PathBuf> {
    tools::ensure_installed(TOOLS)?;
    let folder = workspace.target_directory.join("dist");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let step = Step::start("making the archive, the RPM package, the image and the list of parts");
    let packed = deb.parent().context("the package lies in no folder")?;
    fs::copy(deb, folder.join(deb.file_name().unwrap_or_default()))?;
    let build = Build { workspace, tree: packed.join("tree"), folder: folder.clone() };
    archive::make_archive(&build)?;
    rpm::make_rpm(&build)?;
    archive::make_image(&build, packed)?;
    parts::write_parts(&build)?;
    write_checksums(&folder)?;
    step.end("made");
    Ok(folder)
}

/// Returns the files of the folder, in order.
pub(super) fn list_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files = files.collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

fn write_checksums(folder: &Path) -> Result<()> {
    let names = list_files(folder)?;
    let names = names.iter().filter_map(|file| file.file_name());
    let sums = output_of(Command::new("sha256sum").args(names).current_dir(folder))?;
    let arch = std::env::consts::ARCH;
    fs::write(folder.join(format!("SHA256SUMS-{arch}")), sums).context("cannot write the checksums")
}
