//! Results of checks: their severity, text and remedy.

use serde::Serialize;

/// Severity of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing to do.
    Ok,
    /// vipd works, but something else may not, or not for long.
    Warning,
    /// Something that vipd provides doesn't work.
    Error,
}

impl Level {
    /// Returns `ok`, `warning` or `error`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Severity.
    pub level: Level,
    /// The fact that was found.
    pub text: String,
    /// The remedy; every warning and error has one. With [`Level::Ok`] it's for those whom the fact
    /// troubles.
    #[serde(rename = "cure", skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self { level: Level::Ok, text: text.into(), remedy: None }
    }

    pub(super) fn note(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Ok, text: text.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn warning(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warning, text: text.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn error(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Error, text: text.into(), remedy: Some(remedy.into()) }
    }
}

/// Checks of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The subject, such as `kernel`.
    pub name: &'static str,
    /// In the order in which they were made.
    pub checks: Vec<Check>,
}

/// Results of all checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Checks by subject.
    pub groups: Vec<Group>,
}

impl Diagnosis {
    /// Returns the worst severity.
    #[must_use]
    pub fn worst_level(&self) -> Level {
        self.checks().map(|check| check.level).max().unwrap_or(Level::Ok)
    }

    /// Counts checks by severity: `12 ok, 2 warnings, 1 error`.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |level| self.checks().filter(|check| check.level == level).count();
        let plural = |number: usize, noun: &str| match number {
            1 => format!("1 {noun}"),
            _ => format!("{number} {noun}s"),
        };
        format!(
            "{} ok, {}, {}",
            count(Level::Ok),
            plural(count(Level::Warning), "warning"),
            plural(count(Level::Error), "error")
        )
    }

    fn checks(&self) -> impl Iterator<Item = &Check> {
        self.groups.iter().flat_map(|group| &group.checks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_check_is_the_level_of_all() {
        let checks = vec![Check::ok("a"), Check::warning("b", "c"), Check::warning("d", "e")];
        let mut diagnosis = Diagnosis { groups: vec![Group { name: "one", checks }] };
        assert_eq!(diagnosis.worst_level(), Level::Warning);
        assert_eq!(diagnosis.summary(), "1 ok, 2 warnings, 0 errors");
        diagnosis.groups.push(Group { name: "two", checks: vec![Check::error("f", "g")] });
        assert_eq!(diagnosis.worst_level(), Level::Error);
        assert_eq!(diagnosis.summary(), "1 ok, 2 warnings, 1 error");
    }
}
