//! Reads the output of Rust's test runner.

use serde::{Deserialize, Serialize};

/// Marks the line in which a test says what its kernel lacks. Such a test writes to standard error
/// itself (`writeln!(std::io::stderr(), …)`), since the `eprintln!` of a passing test is captured.
const LACK: &str = "not on this kernel: ";

/// Counts and remarks of a run of tests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Closing lines seen, one for each test program.
    pub(crate) programs: u32,
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) ignored: u32,
    /// Features that the kernel lacks, as `test: feature`. The test skipped a part or all of
    /// itself; the test runner counts it as passed.
    pub(crate) lacks: Vec<String>,
    /// Tests that failed.
    #[serde(default)]
    pub(crate) failures: Vec<String>,
    /// Measurements of a benchmark, as `name value unit`.
    #[serde(default)]
    pub(crate) figures: Vec<String>,
    /// The running test; tests run one at a time.
    #[serde(skip)]
    pub(crate) test: String,
    /// True in the list of failed tests, which a blank line ends.
    #[serde(skip)]
    pub(crate) lists_failures: bool,
}

impl Tally {
    /// Counts one line of output.
    pub(crate) fn add_line(&mut self, line: &str) {
        let line = without_colour(line);
        self.figures.extend(line.strip_prefix("figure ").map(str::to_owned));
        if let Some((test, _)) =
            line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "))
        {
            test.clone_into(&mut self.test);
        }
        if let Some((_, what)) = line.split_once(LACK) {
            self.lacks.push(format!("{}: {}", self.test, what.trim()));
        }
        match line.strip_prefix("    ") {
            Some(test) if self.lists_failures => self.failures.push(test.to_owned()),
            _ => self.lists_failures = line == "failures:",
        }
        let Some(closing) = line.strip_prefix("test result: ") else { return };
        let Some((_, counts)) = closing.split_once(". ") else { return };
        self.programs += 1;
        for part in counts.split("; ") {
            let Some((count, what)) = part.split_once(' ') else { continue };
            let Ok(count) = count.parse::<u32>() else { continue };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }

    /// Returns the number of tests that were executed.
    pub(crate) fn executed_tests(&self) -> u32 {
        self.passed + self.failed
    }
}

/// Removes the escape sequences that set colours (ECMA-48 SGR).
fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, tail)| tail);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.add_line(line));
        tally
    }

    #[test]
    fn closing_lines_of_several_programs_are_added_up() {
        let tally = tally(
            "running 3 tests\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.00s\n\
             test result: FAILED. 1 passed; 2 failed; 4 ignored; 0 measured; 0 filtered out; finished in 1.20s\n",
        );
        let expected = Tally { programs: 2, passed: 4, failed: 2, ignored: 4, ..Tally::default() };
        assert_eq!(tally, expected);
        assert_eq!(tally.executed_tests(), 6);
    }

    #[test]
    fn colours_do_not_hide_a_closing_line() {
        let tally = tally("test result: \x1b[32mok\x1b[0m. 2 passed; 0 failed; 0 ignored");
        assert_eq!((tally.programs, tally.passed), (1, 2));
    }

    #[test]
    fn what_a_kernel_lacks_is_kept_with_the_test_that_said_so() {
        let tally = tally(
            "test first ... ok\n\
             test matrix ... not on this kernel: scheduler twos\n\
             not on this kernel: the moon\n\
             ok\n",
        );
        assert_eq!(tally.lacks, ["matrix: scheduler twos", "matrix: the moon"]);
    }

    #[test]
    fn failed_tests_are_named_once() {
        let tally = tally(
            "test a::one ... FAILED\n\
             \n\
             failures:\n\
             \n\
             ---- a::one stdout ----\n\
             \x20   assertion failed\n\
             \n\
             failures:\n\
             \x20   a::one\n\
             \x20   two\n\
             \n\
             \x20   other\n\
             test result: FAILED. 0 passed; 2 failed; 0 ignored\n",
        );
        assert_eq!(tally.failures, ["a::one", "two"]);
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(tally("test result\ntest result: ok\n\x1b[\nhello\n"), Tally::default());
    }
}
