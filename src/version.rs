//! Which build of vipd this is.

use std::sync::LazyLock;

/// The commit that this program was built from; `unknown` for one that wasn't built by
/// `cargo xtask package` or `cargo xtask dist`.
pub const COMMIT: &str = match option_env!("VIPD_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Describes the build: `0.1.0 (commit 1a2b3c4d5e6f, x86_64 linux)`.
#[must_use]
pub fn describe_build() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let (version, arch, os) =
            (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS);
        format!("{version} (commit {COMMIT}, {arch} {os})")
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
