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
        let text = match problem.line {
            Some(_) => format!("{path} {problem}"),
            None => problem.to_string(),
        };
        if problem.is_denied {
            let remedy = "run as root, or as the user that the agent runs as, to have it checked; if this is \
                          that user, let it read the file";
            return Check::note(text, remedy);
        }
        Check::error(
            text,
            "mend it, then run `vipd config check`: meanwhile a reload is refused, and an agent that \
             is stopped doesn't start; this command goes on without that part",
        )
    };
    problems.iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;
    use crate::doctor::Level;

    #[test]
    fn what_this_user_may_not_read_is_no_error() {
        let check = |kind: ErrorKind| {
            let error =
                anyhow::Error::new(Error::from(kind)).context("cannot read /etc/vipd/vipd.toml");
            let problem = ConfigProblem::of_file(&error);
            check_configuration(Path::new("/etc/vipd/vipd.toml"), &[problem]).remove(0)
        };
        let denied = check(ErrorKind::PermissionDenied);
        assert_eq!(denied.level, Level::Ok);
        assert_eq!(denied.text, "cannot read /etc/vipd/vipd.toml: permission denied");
        assert!(denied.remedy.unwrap().starts_with("run as root"));
        assert_eq!(check(ErrorKind::IsADirectory).level, Level::Error);
    }
}
