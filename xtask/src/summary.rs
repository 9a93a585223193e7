//! Summaries for the end of a run.

use std::fmt::Write as _;
use std::time::Duration;

use crate::progress::format_duration;
use crate::suite::{Report, format_counts};

/// Lists the suites that ran on a kernel, and the features that it lacks.
pub(crate) fn kernel_summary(machine: &str, report: &Report) -> String {
    let kernel = if report.kernel.is_empty() { "did not come up" } else { &report.kernel };
    let mut text = format!("\nOn {machine} ({kernel}):\n");
    for outcome in &report.outcomes {
        let word = if outcome.problem.is_none() { "ok    " } else { "FAILED" };
        let _ = write!(text, "  {word} {}: {}", outcome.name, format_counts(outcome));
        if let Some(problem) = &outcome.problem {
            let _ = write!(text, " ({problem})");
        }
        text.push('\n');
    }
    let lacks: Vec<_> = report
        .outcomes
        .iter()
        .flat_map(|outcome| outcome.tally.lacks.iter().map(move |test| (&outcome.name, test)))
        .collect();
    let alone = report
        .outcomes
        .iter()
        .flat_map(|outcome| outcome.passed_alone().iter().map(move |test| (&outcome.name, test)));
    for (suite, test) in alone {
        let _ = writeln!(text, "Failed beside other guests, passed alone: {suite}: {test}");
    }
    if !lacks.is_empty() {
        let _ = writeln!(text, "Not on that kernel ({}, counted as passed above):", lacks.len());
        for (suite, test) in lacks {
            let _ = writeln!(text, "  {suite}: {test}");
        }
    }
    text
}

/// One step of `cargo xtask test`.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) place: String,
    /// Counts or the reason of a failure; may be empty.
    pub(crate) note: String,
    pub(crate) passed: bool,
    pub(crate) took: Duration,
}

/// Formats a table of all steps.
pub(crate) fn steps_table(rows: &[Row]) -> String {
    let width = |cell: fn(&Row) -> &str| rows.iter().map(|row| cell(row).len()).max().unwrap_or(0);
    let (what, place) = (width(|row| &row.what), width(|row| &row.place));
    let mut text = String::from("\nSummary:\n");
    for row in rows {
        let word = if row.passed { "ok    " } else { "FAILED" };
        let Row { what: name, place: at, note, took, .. } = row;
        let line =
            format!("  {word} {name:what$}  {at:place$}  {:>12}  {note}", format_duration(*took));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtest::Tally;
    use crate::suite::Outcome;

    #[test]
    fn the_kernel_summary_names_suites_failures_and_what_the_kernel_lacks() {
        let outcome = |name: &str, problem: Option<&str>, tally| Outcome {
            name: name.to_owned(),
            problem: problem.map(str::to_owned),
            tally,
            took: Duration::from_secs(2),
        };
        let report = Report {
            kernel: "6.1.176".to_owned(),
            outcomes: vec![
                outcome(
                    "good",
                    None,
                    Tally {
                        programs: 1,
                        passed: 3,
                        lacks: vec!["twos: scheduler twos".to_owned()],
                        ..Tally::default()
                    },
                ),
                outcome(
                    "late",
                    None,
                    Tally { passed: 1, failures: vec!["slow".to_owned()], ..Tally::default() },
                ),
                outcome("bad", Some("exit status: 101"), Tally { failed: 1, ..Tally::default() }),
            ],
        };
        assert_eq!(
            kernel_summary("user-mode Linux", &report),
            "\nOn user-mode Linux (6.1.176):\n  \
             ok     good: 3 passed, 0 failed, 2.0 s\n  \
             ok     late: 1 passed, 0 failed, 2.0 s\n  \
             FAILED bad: 0 passed, 1 failed, 2.0 s (exit status: 101)\n\
             Failed beside other guests, passed alone: late: slow\n\
             Not on that kernel (1, counted as passed above):\n  \
             good: twos: scheduler twos\n"
        );
    }

    #[test]
    fn a_guest_that_never_came_up_is_said_so() {
        assert!(kernel_summary("user-mode Linux", &Report::default()).contains("did not come up"));
    }

    #[test]
    fn the_table_is_aligned() {
        let row = |what: &str, place: &str, passed| Row {
            what: what.to_owned(),
            place: place.to_owned(),
            note: String::new(),
            passed,
            took: Duration::from_secs(1),
        };
        let text = steps_table(&[row("fmt", "here", true), row("clippy", "there too", false)]);
        assert_eq!(
            text,
            "\nSummary:\n  ok     fmt     here              1.0 s\n  \
             FAILED clippy  there too         1.0 s\n"
        );
    }
}
