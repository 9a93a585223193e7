//! The texts of the Debian package that follow from `Cargo.toml` and `CHANGELOG.md`.

use anyhow::{Context, Result};
use jiff::Zoned;

use crate::cargo::About;
use crate::package::changelog::{maintainer, read_versions};

/// Fills the template of `DEBIAN/control`.
pub(super) fn fill_control(
    template: &str,
    about: &About,
    version: &str,
    architecture: &str,
    size: u64,
) -> String {
    let homepage = about.repository.as_ref().map(|url| format!("Homepage: {url}\n"));
    template
        .replace("@VERSION@", version)
        .replace("@ARCHITECTURE@", architecture)
        .replace("@MAINTAINER@", maintainer(about))
        .replace("@HOMEPAGE@", &homepage.unwrap_or_default())
        .replace("@SIZE@", &size.to_string())
}

/// Fills the template of `copyright`.
pub(super) fn fill_copyright(template: &str, about: &About) -> String {
    let source = about.repository.as_ref().map(|url| format!("Source: {url}\n"));
    let holders = match &about.authors[..] {
        [] => "the authors of vipd".to_owned(),
        authors => authors.join(", "),
    };
    template.replace("@SOURCE@", &source.unwrap_or_default()).replace("@HOLDERS@", &holders)
}

/// Writes the changelog in Debian's form: an entry for each version of `CHANGELOG.md`, which tells the changes.
/// What isn't released has the date of the build.
pub(super) fn write_changelog(changelog: &str, about: &About, built: &Zoned) -> Result<String> {
    let entries = read_versions(changelog).into_iter().map(|version| {
        let distribution = if version.released.is_some() { "unstable" } else { "UNRELEASED" };
        let date = version.time(built).strftime("%a, %d %b %Y %H:%M:%S %z");
        let number = version.number;
        let maintainer = maintainer(about);
        format!(
            "vipd ({number}) {distribution}; urgency=medium\n\n  \
             * The changes are in /usr/share/doc/vipd/CHANGELOG.md.gz.\n\n \
             -- {maintainer}  {date}\n"
        )
    });
    let text = entries.collect::<Vec<_>>().join("\n");
    (!text.is_empty()).then_some(text).context("CHANGELOG.md names no version")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> About {
        About {
            repository: Some("https://example.org/vipd".to_owned()),
            authors: vec!["Ada <ada@example.org>".to_owned()],
            ..About::default()
        }
    }

    #[test]
    fn maintainer_and_address_are_those_of_cargo() {
        let template = include_str!("../../../../deploy/debian/control");
        let control = fill_control(template, &known(), "1.2.3", "amd64", 42);
        for line in [
            "Version: 1.2.3",
            "Maintainer: Ada <ada@example.org>",
            "Homepage: https://example.org/vipd",
            "Installed-Size: 42",
        ] {
            assert!(control.lines().any(|each| each == line), "{line}: {control}");
        }
        let unset = fill_control(template, &About::default(), "1.2.3", "amd64", 42);
        assert!(unset.contains("\nMaintainer: unset in Cargo.toml <unset@vipd.invalid>\nSection:"));
        for text in [control, unset] {
            assert!(!text.contains('@') || !text.contains("@\n"), "{text}");
            assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        }
    }

    #[test]
    fn the_licence_is_named_and_not_repeated() {
        let template = include_str!("../../../../deploy/debian/copyright");
        let text = fill_copyright(template, &known());
        assert!(text.contains("\nSource: https://example.org/vipd\n\nFiles: *\n"), "{text}");
        assert!(text.contains("\nCopyright: 2026 Ada <ada@example.org>\n"), "{text}");
        assert!(text.contains("/usr/share/common-licenses/Apache-2.0"), "{text}");
        let unset = fill_copyright(template, &About::default());
        assert!(unset.contains("\nUpstream-Name: vipd\n\nFiles: *\n"), "{unset}");
        assert!(unset.contains("\nCopyright: 2026 the authors of vipd\n"), "{unset}");
    }

    #[test]
    fn each_version_has_an_entry() {
        let changelog =
            "# Changelog\n\n## 0.2.0 - unreleased\n\n### Added\n- X\n\n## 0.1.0 - 2026-11-01\n";
        let built = jiff::civil::date(2026, 12, 1).at(12, 0, 0, 0);
        let built = built.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let text = write_changelog(changelog, &known(), &built).unwrap();
        let heads: Vec<_> = text.lines().filter(|line| line.starts_with("vipd (")).collect();
        let expected =
            ["vipd (0.2.0) UNRELEASED; urgency=medium", "vipd (0.1.0) unstable; urgency=medium"];
        assert_eq!(heads, expected);
        let ends: Vec<_> = text.lines().filter(|line| line.starts_with(" -- ")).collect();
        let expected = [
            " -- Ada <ada@example.org>  Tue, 01 Dec 2026 12:00:00 +0000",
            " -- Ada <ada@example.org>  Sun, 01 Nov 2026 00:00:00 +0000",
        ];
        assert_eq!(ends, expected);
        write_changelog("# Changelog\n", &known(), &built).unwrap_err();
    }
}
