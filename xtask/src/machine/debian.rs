//! Kernels from Debian packages, unpacked but not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};

use super::apt::Apt;
use crate::cargo::Workspace;
use crate::progress::Step;
use crate::tools::output_of;

/// One of Debian's kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// The newest kernel for this machine's release, including backports.
    Newest,
    /// Debian 11's kernel, Linux 5.10.
    Bullseye,
}

impl Kernel {
    /// Returns the name of the directory that it is unpacked into.
    fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Bullseye => "bullseye",
        }
    }

    /// Returns the suites of the archive that may have it. A suite that the mirror lacks is
    /// skipped.
    fn archive_suites(self, codename: &str) -> Vec<String> {
        match self {
            Self::Newest => vec![codename.to_owned(), format!("{codename}-backports")],
            Self::Bullseye => vec!["bullseye".to_owned()],
        }
    }
}

/// Package that depends on the current kernel with all drivers. The `cloud` kernel lacks 9p.
const META: &str = "linux-image-amd64";

/// Held while a kernel is unpacked.
static UNPACKING: Mutex<()> = Mutex::new(());

/// An unpacked kernel.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// Directory that holds `boot` and `lib/modules`.
    root: PathBuf,
    /// Release, as `uname -r` prints it.
    release: String,
}

impl Unpacked {
    /// Returns the kernel that was unpacked before, or else unpacks it from Debian's archive.
    pub(super) fn get_or_unpack(kernel: Kernel) -> Result<Self> {
        ensure!(
            cfg!(target_arch = "x86_64"),
            "the QEMU machine supports x86-64 only: use `--on uml` or `--on host`"
        );
        let cache = Workspace::read_metadata()?.target_directory.join("kernels");
        let root = cache.join(kernel.name());
        // Two guests may start at the same time.
        let _unpacking = UNPACKING.lock().unwrap_or_else(PoisonError::into_inner);
        if !root.is_dir() {
            let fresh = cache.join(format!("{}.{}", kernel.name(), std::process::id()));
            unpack_kernel(kernel, &fresh)?;
            // Another process may have been faster; it has the same kernel.
            if fs::rename(&fresh, &root).is_err() {
                fs::remove_dir_all(&fresh)?;
            }
        }
        let release = read_release(&root)?;
        Ok(Self { root, release })
    }

    /// Returns the file of the kernel itself.
    pub(super) fn kernel_image(&self) -> PathBuf {
        self.root.join("boot").join(format!("vmlinuz-{}", self.release))
    }

    /// Returns the directory of its modules.
    pub(super) fn modules_dir(&self) -> PathBuf {
        self.root.join("lib/modules").join(&self.release)
    }

    /// Returns the files of modules and their dependencies in load order. Built-in modules have no
    /// file.
    pub(super) fn module_files(&self, modules: &[&str]) -> Result<Vec<PathBuf>> {
        let text = output_of(
            Command::new("modprobe")
                .arg("--dirname")
                .arg(&self.root)
                .args(["--set-version", &self.release, "--all", "--show-depends"])
                .args(modules),
        )?;
        Ok(parse_insmods(&text))
    }
}

/// Downloads the newest version of a kernel from Debian's archive and unpacks it into `dir`.
fn unpack_kernel(kernel: Kernel, dir: &Path) -> Result<()> {
    let apt = Apt::make_dir(&dir.join("apt"), |codename| kernel.archive_suites(codename))?;
    let step = Step::start(&format!("looking for a kernel in {}", apt.suites.join(", ")));
    apt.update_lists();
    let version = apt.newest_version(META)?;
    let package = apt.dependency_of(META, &version, "linux-image-")?;
    step.end(&format!("found {package}"));
    let step = Step::start(&format!("downloading {package} and unpacking it under target/"));
    let archive = apt.download_package(&package)?;
    output_of(Command::new("dpkg").arg("-x").arg(&archive).arg(dir))?;
    fs::remove_dir_all(dir.join("apt"))?;
    output_of(Command::new("depmod").arg("-b").arg(dir).arg(read_release(dir)?))?;
    step.end("unpacked");
    Ok(())
}

/// Reads the release of the only kernel that is unpacked in a directory.
fn read_release(root: &Path) -> Result<String> {
    let modules = root.join("lib/modules");
    let mut entries =
        fs::read_dir(&modules).with_context(|| format!("cannot read {}", modules.display()))?;
    let (Some(only), None) = (entries.next().transpose()?, entries.next()) else {
        bail!("{} should hold one kernel's modules: remove {}", modules.display(), root.display())
    };
    Ok(only.file_name().to_string_lossy().into_owned())
}

/// Returns the files that `modprobe --show-depends` printed, each once.
fn parse_insmods(text: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for file in text.lines().filter_map(|line| line.strip_prefix("insmod ")) {
        let file = PathBuf::from(file.trim_end());
        if !files.contains(&file) {
            files.push(file);
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_loaded_once_and_after_those_they_need() {
        let text = "builtin virtio_pci\ninsmod /m/netfs.ko.xz \ninsmod /m/9pnet.ko.xz \n\
                    insmod /m/netfs.ko.xz \ninsmod /m/9p.ko.xz \n";
        let files = parse_insmods(text);
        assert_eq!(files, ["/m/netfs.ko.xz", "/m/9pnet.ko.xz", "/m/9p.ko.xz"].map(PathBuf::from));
    }

    #[test]
    fn the_newest_kernel_may_be_a_backport() {
        assert_eq!(Kernel::Newest.archive_suites("bookworm"), ["bookworm", "bookworm-backports"]);
    }
}
