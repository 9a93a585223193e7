//! The archive for any distribution, and the image.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::build::Build;
use crate::package::image::Buildah;
use crate::package::modes::set_modes;
use crate::tools::output_of;

/// Folders of the archive, with those of the package's tree that they hold.
const FOLDERS: &[(&str, &str)] = &[
    ("man", "usr/share/man/man1"),
    ("man", "usr/share/man/man5"),
    ("completions", "usr/share/bash-completion/completions"),
    ("completions", "usr/share/zsh/vendor-completions"),
    ("completions", "usr/share/fish/vendor_completions.d"),
    ("systemd", "usr/lib/systemd/system"),
    ("doc", "usr/share/doc/vipd"),
    ("etc", "etc/vipd"),
];

/// Makes `vipd-VERSION-ARCH.tar.gz` with one folder of that name. The same files give the same archive.
pub(super) fn make_archive(build: &Build<'_>) -> Result<()> {
    let file = build.file(".tar.gz")?;
    let name = build.file("")?;
    let name = name.file_name().context("the archive has no name")?;
    let stage = build.tree.with_file_name("archive");
    if stage.exists() {
        fs::remove_dir_all(&stage)?;
    }
    let top = stage.join(name);
    for (to, from) in FOLDERS {
        let to = top.join(to);
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(build.tree.join(from))? {
            let entry = entry?;
            // Bash finds its completions by the name of the program.
            let is_bash = from.contains("bash-completion");
            let name = if is_bash { "vipd.bash".into() } else { entry.file_name() };
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    // Debian's own; the licence itself is the one that others have no copy of.
    for name in ["changelog.gz", "copyright"] {
        fs::remove_file(top.join("doc").join(name))?;
    }
    let root = &build.workspace.workspace_root;
    fs::copy(root.join("LICENSE"), top.join("doc/LICENSE"))?;
    fs::copy(build.tree.join("usr/bin/vipd"), top.join("vipd"))?;
    set_modes(&stage)?;
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "-czf"]);
    output_of(tar.arg(&file).arg("--directory").arg(&stage).arg(name).env("GZIP", "-n"))?;
    Ok(())
}

/// Makes the image as an archive of the Open Container Initiative, from the program in `folder`.
pub(super) fn make_image(build: &Build<'_>, folder: &Path) -> Result<()> {
    let buildah = Buildah::in_folder(folder);
    buildah.build_image(build.workspace, folder)?;
    let file = build.file(".oci.tar")?;
    let to = format!("oci-archive:{}:vipd:{}", file.display(), build.version()?);
    output_of(&mut buildah.command(&["push", "vipd", &to]))?;
    buildah.remove()
}
