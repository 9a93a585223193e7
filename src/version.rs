//! Which build of vipd this is.

use std::sync::LazyLock;

use serde::Serialize;

/// The commit that this program was built from; `unknown` for one that wasn't built by
/// `cargo xtask package` or `cargo xtask dist`.
pub const COMMIT: &str = match option_env!("VIPD_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// A build of vipd, for `vipd version --output json` and `/version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Build {
    /// The version.
    pub version: &'static str,
    /// The commit.
    pub commit: &'static str,
    /// The architecture, such as `x86_64`.
    pub architecture: &'static str,
    /// The operating system.
    pub system: &'static str,
}

/// The build of this program.
pub const BUILD: Build = Build {
    version: env!("CARGO_PKG_VERSION"),
    commit: COMMIT,
    architecture: std::env::consts::ARCH,
    system: std::env::consts::OS,
};

/// Describes the build: `0.1.0 (commit 1a2b3c4d5e6f, x86_64 linux)`.
#[must_use]
pub fn describe_build() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let Build { version, commit, architecture, system } = BUILD;
        format!("{version} (commit {commit}, {architecture} {system})")
    });
    &TEXT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_says_its_version_first() {
        let text = describe_build();
        assert!(text.starts_with(concat!(env!("CARGO_PKG_VERSION"), " (commit ")), "{text}");
    }
}
