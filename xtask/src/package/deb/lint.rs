//! `lintian`, which knows what Debian expects of a package.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::About;
use crate::tools;

/// What lintian says of the maintainer whom `Cargo.toml` doesn't name, and of nothing else.
const NO_MAINTAINER: &str = "bogus-mail-host,bogus-mail-host-in-debian-changelog";

/// Checks the package, in which lintian must find no error and nothing to warn of.
pub(super) fn check_package(package: &Path, about: &About) -> Result<()> {
    let output = lintian(package, about).output().context("cannot start lintian")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "lintian:\n{said}{failed}");
    Ok(())
}

fn lintian(package: &Path, about: &About) -> Command {
    let mut lintian = Command::new("lintian");
    lintian.env("PATH", tools::search_path());
    lintian.args(["--fail-on", "error,warning", "--tag-display-limit", "0", "--allow-root"]);
    if about.authors.is_empty() {
        lintian.args(["--suppress-tags", NO_MAINTAINER]);
    }
    lintian.arg(package);
    lintian
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_maintainer_is_checked_like_everything() {
        let is_suppressed = |about: &About| {
            lintian(Path::new("a.deb"), about).get_args().any(|arg| arg == "--suppress-tags")
        };
        assert!(is_suppressed(&About::default()));
        let authors = vec!["Ada <ada@example.org>".to_owned()];
        assert!(!is_suppressed(&About { authors, ..About::default() }));
    }
}
