//! Reads what Rust's test runner prints.

use serde::{Deserialize, Serialize};

/// A test that cannot run on the kernel it finds writes a line with this, its own name, a colon and
/// the reason, straight to standard error (`writeln!(std::io::stderr(), …)`: the `eprintln!` of a
/// test that passes is captured).
pub(crate) const CANNOT_RUN: &str = "cannot run here: ";

/// What a run of tests came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Closing lines seen, one a test program.
    pub(crate) programs: u32,
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) ignored: u32,
    /// Tests that said they cannot run on this kernel, as `name: reason`. They count as passed to
    /// the test runner.
    pub(crate) cannot_run: Vec<String>,
}

impl Tally {
    /// Takes in one line of output.
    pub(crate) fn line(&mut self, line: &str) {
        let line = without_colour(line);
        if let Some((_, named)) = line.split_once(CANNOT_RUN) {
            self.cannot_run.push(named.trim().to_owned());
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

    /// Tests that were really executed.
    pub(crate) fn executed(&self) -> u32 {
        self.passed + self.failed
    }
}

/// Drops the escape sequences that set colours (ECMA-48 SGR).
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
        output.lines().for_each(|line| tally.line(line));
        tally
    }

    #[test]
    fn closing_lines_of_several_programs_are_added_up() {
        let tally = tally(
            "running 3 tests\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.00s\n\
             test result: FAILED. 1 passed; 2 failed; 4 ignored; 0 measured; 0 filtered out; finished in 1.20s\n",
        );
        let expected =
            Tally { programs: 2, passed: 4, failed: 2, ignored: 4, cannot_run: Vec::new() };
        assert_eq!(tally, expected);
        assert_eq!(tally.executed(), 6);
    }

    #[test]
    fn colours_do_not_hide_a_closing_line() {
        let tally = tally("test result: \x1b[32mok\x1b[0m. 2 passed; 0 failed; 0 ignored");
        assert_eq!((tally.programs, tally.passed), (1, 2));
    }

    #[test]
    fn a_test_that_cannot_run_is_kept_by_name() {
        let tally =
            tally("test twos_is_known ... cannot run here: twos_is_known: no ip_vs_twos\nok");
        assert_eq!(tally.cannot_run, ["twos_is_known: no ip_vs_twos"]);
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(tally("test result\ntest result: ok\n\x1b[\nhello\n"), Tally::default());
    }
}
