//! The versions in `CHANGELOG.md`, for the changelogs of the packages, which refer to it.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::cargo::About;

/// The maintainer while `Cargo.toml` names no author. The host is one that can never exist.
const NOBODY: &str = "unset in Cargo.toml <unset@vipd.invalid>";

/// A heading of the changelog: `## 0.1.0 - 2026-12-01`, or `- unreleased`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Version<'a> {
    pub(super) number: &'a str,
    /// `None`: not released.
    pub(super) released: Option<Date>,
}

impl Version<'_> {
    /// Returns the time of its release, or of the build if it isn't released.
    pub(super) fn time(&self, built: &Zoned) -> Zoned {
        let released = self.released.and_then(|day| day.to_zoned(TimeZone::UTC).ok());
        released.unwrap_or_else(|| built.clone())
    }
}

/// Returns the time of this build.
pub(super) fn now() -> Zoned {
    Timestamp::now().to_zoned(TimeZone::UTC)
}

/// Lists the versions, latest first.
pub(super) fn read_versions(changelog: &str) -> Vec<Version<'_>> {
    let headings = changelog.lines().filter_map(|line| line.strip_prefix("## "));
    let read = |heading| {
        let (number, when) = str::split_once(heading, " - ").unwrap_or((heading, ""));
        Version { number, released: when.parse().ok() }
    };
    headings.map(read).collect()
}

/// Returns the maintainer, as `NAME <ADDRESS>`.
pub(super) fn maintainer(about: &About) -> &str {
    about.authors.first().map_or(NOBODY, String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_with_a_date_is_released() {
        let changelog =
            "# Changelog\n\n## 0.2.0 - unreleased\n\n### Added\n\n## 0.1.0 - 2026-11-01\n";
        let versions = read_versions(changelog);
        let expected = [
            Version { number: "0.2.0", released: None },
            Version { number: "0.1.0", released: Some(jiff::civil::date(2026, 11, 1)) },
        ];
        assert_eq!(versions, expected);
        let built = jiff::civil::date(2026, 12, 1).to_zoned(TimeZone::UTC).unwrap();
        assert_eq!(versions[0].time(&built), built);
        assert_eq!(versions[1].time(&built).date(), jiff::civil::date(2026, 11, 1));
    }
}
