//! Checks of the configuration file.

use std::path::Path;

use super::diagnosis::Check;
use crate::config::ConfigProblem;

/// Checks the file at `path`, with the problems that were found in it.
#[must_use]
pub fn check_configuration(path: &Path, problems: &[ConfigProblem]) -> Vec<Check> {
    let path = path.display();
    if problems.is_empty() {
        return vec![Check::ok(format!("{path} has no problem"))];
    }
    let check = |problem: &ConfigProblem| {
        Check::error(
            format!("{path} {problem}"),
            "mend it, then run `vipd config check`: meanwhile a reload is refused, and an agent that \
             is stopped doesn't start; this command goes on without that part",
        )
    };
    problems.iter().map(check).collect()
}
