//! What `vipd doctor` makes of what it finds on a node. Pure: one file for each group of checks.

mod agent;
mod bridges;
mod firewall;
mod interface;
mod kernel;
mod limits;
mod marathon;
mod rights;
mod sysctls;
mod table;

use serde::Serialize;

pub use agent::{Lock, agent};
pub use bridges::{Bridges, bridges};
pub use firewall::firewall;
pub use interface::interface;
pub use kernel::{Kernel, kernel, schedulers_wanted};
pub use limits::limits;
pub use marathon::{Server, marathon};
pub use rights::rights;
pub use sysctls::sysctls;
pub use table::table;

/// How good or bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// vipd works, and something may not, or not for long.
    Warning,
    /// Something that vipd is for doesn't work.
    Error,
}

impl Level {
    /// `ok`, `warning` or `error`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// How good or bad it is.
    pub level: Level,
    /// What was found.
    pub text: String,
    /// What to do about it. Always there when there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

impl Check {
    fn ok(text: impl Into<String>) -> Self {
        Self { level: Level::Ok, text: text.into(), cure: None }
    }

    fn warning(text: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { level: Level::Warning, text: text.into(), cure: Some(cure.into()) }
    }

    fn error(text: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { level: Level::Error, text: text.into(), cure: Some(cure.into()) }
    }
}

/// Findings that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// What they are about.
    pub name: &'static str,
    /// In the order of the examination.
    pub checks: Vec<Check>,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Group by group.
    pub groups: Vec<Group>,
}

impl Diagnosis {
    /// The worst of it.
    #[must_use]
    pub fn level(&self) -> Level {
        self.checks().map(|check| check.level).max().unwrap_or(Level::Ok)
    }

    /// `12 ok, 2 warnings, 1 error`.
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
    fn the_worst_finding_is_the_level_of_all() {
        let checks = vec![Check::ok("a"), Check::warning("b", "c"), Check::warning("d", "e")];
        let mut diagnosis = Diagnosis { groups: vec![Group { name: "one", checks }] };
        assert_eq!(diagnosis.level(), Level::Warning);
        assert_eq!(diagnosis.summary(), "1 ok, 2 warnings, 0 errors");
        diagnosis.groups.push(Group { name: "two", checks: vec![Check::error("f", "g")] });
        assert_eq!(diagnosis.level(), Level::Error);
        assert_eq!(diagnosis.summary(), "1 ok, 2 warnings, 1 error");
    }
}
