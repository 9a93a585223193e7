//! From what, and to where, files are made.

use std::path::PathBuf;

use anyhow::Result;

use crate::cargo::Workspace;

/// The source of the files.
pub(super) struct Build<'a> {
    pub(super) workspace: &'a Workspace,
    /// The files as they are installed, and `DEBIAN` with Debian's own.
    pub(super) tree: PathBuf,
    /// The folder of the results.
    pub(super) folder: PathBuf,
}

impl Build<'_> {
    pub(super) fn version(&self) -> Result<&str> {
        self.workspace.package_version("vipd")
    }

    /// The name of a file: `vipd-0.1.0-x86_64` and its kind.
    pub(super) fn file(&self, kind: &str) -> Result<PathBuf> {
        let (version, arch) = (self.version()?, std::env::consts::ARCH);
        Ok(self.folder.join(format!("vipd-{version}-{arch}{kind}")))
    }
}
