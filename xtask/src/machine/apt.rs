//! apt-get with package lists of its own: it takes packages of other releases from the machine's
//! mirror and leaves the machine's lists alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::tools::output_of;

/// Keyring with the keys of all Debian releases.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt-get with a directory for everything that it reads and writes.
pub(super) struct Apt {
    dir: PathBuf,
    pub(super) suites: Vec<String>,
}

impl Apt {
    /// Prepares the directory. `suites` returns the suites of the archive for the machine's
    /// codename.
    pub(super) fn make_dir(dir: &Path, suites: impl Fn(&str) -> Vec<String>) -> Result<Self> {
        let format = "$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)";
        let targets = output_of(Command::new("apt-get").args([
            "indextargets",
            "--format",
            format,
            "Created-By: Packages",
        ]))?;
        let (codename, mirror) = debian_archive(&targets).context(
            "apt knows no Debian archive to take a kernel from: run `apt-get update`, or use `--on uml`",
        )?;
        let suites = suites(codename);
        for part in ["lists/partial", "archives/partial"] {
            let part = dir.join(part);
            fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
        }
        let sources: String = suites
            .iter()
            .map(|suite| format!("deb [signed-by={KEYS}] {mirror} {suite} main\n"))
            .collect();
        fs::write(dir.join("sources.list"), sources)?;
        Ok(Self { dir: dir.to_owned(), suites })
    }

    /// Returns a command for one of apt's programs.
    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        for (option, value) in [
            ("Dir::Etc::SourceList", "sources.list"),
            ("Dir::Etc::SourceParts", "none"),
            ("Dir::State::Lists", "lists"),
            ("Dir::Cache", ""),
        ] {
            command.arg("-o").arg(format!("{option}={}", self.dir.join(value).display()));
        }
        command
            .args(["-qq", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3"])
            .args(args)
            .current_dir(&self.dir);
        command
    }

    /// Updates the lists. A failure is only printed: a package that is then missing is an error
    /// later.
    pub(super) fn update_lists(&self) {
        if let Err(error) = output_of(&mut self.command("apt-get", &["update"])) {
            println!("    {error:#}");
        }
    }

    /// Returns the newest version of a package in any of the suites.
    pub(super) fn newest_version(&self, package: &str) -> Result<String> {
        let text = output_of(&mut self.command("apt-cache", &["madison", package]))?;
        newest(&text)
            .map(str::to_owned)
            .with_context(|| format!("no {package} in {}", self.suites.join(", ")))
    }

    /// Returns the dependency of a package whose name begins with `prefix`.
    pub(super) fn dependency_of(
        &self,
        package: &str,
        version: &str,
        prefix: &str,
    ) -> Result<String> {
        let what = format!("{package}={version}");
        let text = output_of(&mut self.command("apt-cache", &["depends", &what]))?;
        depends(&text, prefix)
            .map(str::to_owned)
            .with_context(|| format!("{what} depends on no {prefix}…"))
    }

    /// Downloads a package and returns its file.
    pub(super) fn download_package(&self, package: &str) -> Result<PathBuf> {
        output_of(&mut self.command("apt-get", &["download", package]))?;
        let entries = fs::read_dir(&self.dir)?.collect::<Result<Vec<_>, _>>()?;
        let files = entries.iter().map(fs::DirEntry::path);
        let mut archives = files.filter(|path| path.extension().is_some_and(|end| end == "deb"));
        let archive = archives.next().context("`apt-get download` left no package")?;
        ensure!(archives.next().is_none(), "more than one package in {}", self.dir.display());
        Ok(archive)
    }
}

/// Returns the codename and the URL of the first archive that is a Debian release itself. Its
/// updates and security fixes have other codenames and URLs.
fn debian_archive(targets: &str) -> Option<(&str, &str)> {
    targets.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (origin, component) = (words.next()?, words.next()?);
        let (codename, mirror) = (words.next()?, words.next()?);
        (origin == "Debian" && component == "main" && !codename.contains('-'))
            .then_some((codename, mirror))
    })
}

/// Returns the version on the first line of `apt-cache madison`, the newest one.
fn newest(madison: &str) -> Option<&str> {
    madison.lines().next()?.split('|').nth(1).map(str::trim)
}

/// Finds a dependency in the output of `apt-cache depends`.
fn depends<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let mut all = text.lines().filter_map(|line| line.trim_start().strip_prefix("Depends: "));
    all.find(|package| package.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_the_release_itself() {
        let targets = "Debian main bookworm-security http://m/debian-security/\n\
                       Other main bookworm http://other/\n\
                       Debian main bookworm-updates http://m/debian/\n\
                       Debian main bookworm http://m/debian/\n";
        assert_eq!(debian_archive(targets), Some(("bookworm", "http://m/debian/")));
        assert_eq!(debian_archive(""), None);
    }

    #[test]
    fn versions_and_dependencies_are_read_from_what_apt_prints() {
        let madison = " linux-image-amd64 | 6.12.95-1~bpo12+1 | http://m bookworm-backports/main\n \
                       linux-image-amd64 | 6.1.170-1 | http://m bookworm/main\n";
        assert_eq!(newest(madison), Some("6.12.95-1~bpo12+1"));
        assert_eq!(newest(""), None);
        let text = "linux-image-amd64\n  Depends: linux-image-6.12.95+deb12-amd64\n  Suggests: a\n";
        assert_eq!(depends(text, "linux-image-"), Some("linux-image-6.12.95+deb12-amd64"));
    }
}
