//! `cargo xtask style`: measures the source and holds it to the project's bars.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use style::{Circle, Finding, Share, Style};

use crate::cargo::Workspace;

/// Maximum share of function names of one word, in percent: grep finds those everywhere.
const MAX_ONE_WORD_NAMES: f64 = 50.0;

/// Maximum share of vague doc comments, in percent.
const MAX_VAGUE_COMMENTS: f64 = 3.0;

/// Prints the counts, with `list` the places too, and returns whether every bar is met.
pub(crate) fn check_style(list: bool) -> Result<bool> {
    let style = measure_workspace()?;
    print!("{}", counts_table(&style));
    if list {
        print!("{}", list_places(&style));
    }
    Ok(meets_bars(&style))
}

/// Measures this workspace.
pub(crate) fn measure_workspace() -> Result<Style> {
    let root = Workspace::read_metadata()?.workspace_root;
    Ok(style::measure_style(&style::read_workspace(&root)?))
}

/// A count with its bar.
struct Row {
    name: &'static str,
    count: String,
    bar: String,
    is_met: bool,
}

fn measured_rows(style: &Style) -> [Row; 4] {
    let share = |name, share: &Share, max| Row {
        name,
        count: format!("{} of {}, {:.1} %", share.found.len(), share.total, share.percent()),
        bar: format!("at most {max} %"),
        is_met: share.percent() <= max,
    };
    let files = &style.files_without_head;
    [
        share("function names of one word", &style.one_word_names, MAX_ONE_WORD_NAMES),
        share(
            "doc comments that begin with What, It ...",
            &style.vague_comments,
            MAX_VAGUE_COMMENTS,
        ),
        Row {
            name: "files without a //! head",
            count: format!("{} of {}", files.found.len(), files.total),
            bar: "none".to_owned(),
            is_met: files.found.is_empty(),
        },
        Row {
            name: "circles of imports",
            count: style.circles.len().to_string(),
            bar: "none".to_owned(),
            is_met: style.circles.is_empty(),
        },
    ]
}

/// Returns true if every bar is met.
pub(crate) fn meets_bars(style: &Style) -> bool {
    measured_rows(style).iter().all(|row| row.is_met)
}

/// Formats a line for each count and its bar.
pub(crate) fn counts_table(style: &Style) -> String {
    let mut text = String::new();
    for Row { name, count, bar, is_met } in measured_rows(style) {
        let word = if is_met { "ok    " } else { "MISSED" };
        let _ = writeln!(text, "  {word} {name:41}  {count:>21}  ({bar})");
    }
    text
}

/// Lists the places of everything found, the files with the most first.
fn list_places(style: &Style) -> String {
    let mut text = String::new();
    let shares = [
        ("Function names of one word", &style.one_word_names),
        ("Vague doc comments", &style.vague_comments),
        ("Files without a //! head", &style.files_without_head),
    ];
    for (heading, share) in shares {
        let _ = writeln!(text, "\n{heading}:");
        for findings in by_file(&share.found) {
            for Finding { path, line, text: found } in findings {
                let _ = writeln!(text, "  {}:{line}: {found}", path.display());
            }
        }
    }
    text.push_str("\nCircles of imports:\n");
    for circle in &style.circles {
        write_circle(&mut text, circle);
    }
    text
}

fn by_file(findings: &[Finding]) -> Vec<Vec<&Finding>> {
    let mut files: BTreeMap<&PathBuf, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        files.entry(&finding.path).or_default().push(finding);
    }
    let mut files: Vec<_> = files.into_values().collect();
    files.sort_by_key(|findings| std::cmp::Reverse(findings.len()));
    files
}

fn write_circle(text: &mut String, circle: &Circle) {
    let files: Vec<_> = circle.files.iter().map(|path| path.display().to_string()).collect();
    let _ = writeln!(text, "  {}", files.join(", "));
    for import in &circle.imports {
        let (user, definer) = (import.user.display(), import.definer.display());
        let _ = writeln!(text, "    {user} uses {} of {definer}", import.items.join(", "));
    }
}
