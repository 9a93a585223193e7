//! Instruction counts of fixed work, compared with recorded ones: they show what got slower without
//! a clock.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::progress::Step;

/// The benchmark's names of the fixed work.
const WORK: [&str; 6] = ["decide", "plan", "encode", "decode", "parse", "event"];

/// Share by which a count may exceed the recorded one.
const TOLERANCE: f64 = 0.05;

/// File of the recorded counts.
const FILE: &str = "bench/instructions.txt";

/// Counts, then compares with the recorded counts or records them.
pub(crate) fn compare_or_record(bench: &Path, root: &Path, record: bool) -> Result<bool> {
    let path = root.join(FILE);
    let compiler = compiler_version()?;
    let mut counts = BTreeMap::new();
    for work in WORK {
        let step = Step::start(&format!("counting the instructions of {work}"));
        // The difference leaves out what the program does before and after the work.
        let (once, thrice) =
            (count_instructions(bench, work, 1)?, count_instructions(bench, work, 3)?);
        counts.insert(work.to_owned(), thrice.saturating_sub(once) / 2);
        step.end(&format!("{} instructions", counts[work]));
    }
    if record {
        fs::write(&path, to_text(&counts, &compiler)).context("cannot write the counts")?;
        println!("recorded in {}", path.display());
        return Ok(true);
    }
    let text = fs::read_to_string(&path)
        .with_context(|| format!("no {}: `cargo xtask bench --record` makes it", path.display()))?;
    let (recorded, by) = from_text(&text);
    let mut passed = true;
    println!("\n| work | recorded | now | |\n|---|---|---|---|");
    for (work, now) in &counts {
        let Some(before) = recorded.get(work) else {
            println!("| {work} | never | {now} | not compared |");
            passed = false;
            continue;
        };
        let by_so_much = *now as f64 / *before as f64 - 1.0;
        let is_fine = by_so_much <= TOLERANCE;
        passed &= is_fine || by != compiler;
        let word = if is_fine { "" } else { "more than 5 % more" };
        println!("| {work} | {before} | {now} ({:+.1} %) | {word} |", by_so_much * 100.0);
    }
    if by != compiler {
        println!(
            "recorded with {by}, and this is {compiler}: the counts can't be compared, so nothing fails; \
             `cargo xtask bench --record` records new ones"
        );
    }
    Ok(passed)
}

/// Counts the instructions of a run with this many rounds of the work.
fn count_instructions(bench: &Path, work: &str, rounds: u32) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(bench)
        .args(["instructions", work, &rounds.to_string()])
        .output()
        .context("cannot start valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind failed ({}): {said}", output.status);
    let line = said.lines().find_map(|line| line.split("Collected : ").nth(1));
    let count = line.and_then(|count| count.trim().parse().ok());
    count.with_context(|| format!("valgrind counts nothing: {said}"))
}

/// Returns the compiler's name and version.
fn compiler_version() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("cannot start rustc")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn to_text(counts: &BTreeMap<String, u64>, compiler: &str) -> String {
    let mut text = format!("# instructions, by {compiler}\n");
    for (work, count) in counts {
        let _ = writeln!(text, "{work} {count}");
    }
    text
}

fn from_text(text: &str) -> (BTreeMap<String, u64>, String) {
    let compiler = text.lines().find_map(|line| line.strip_prefix("# instructions, by "));
    let counts = text.lines().filter_map(|line| {
        let (work, count) = line.split_once(' ')?;
        Some((work.to_owned(), count.parse().ok()?))
    });
    (counts.collect(), compiler.unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_read_back() {
        let counts = BTreeMap::from([("plan".to_owned(), 12), ("event".to_owned(), 3)]);
        let text = to_text(&counts, "rustc 1.95.0");
        assert_eq!(from_text(&text), (counts, "rustc 1.95.0".to_owned()));
    }
}
