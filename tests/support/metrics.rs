//! Metrics as they are served, compared with docs/metrics.md.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::collections::BTreeSet;
use std::path::Path;

/// The names, with their types, of a text in `OpenMetrics`.
pub(crate) fn families(text: &str) -> BTreeSet<(String, String)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            (name.to_owned(), kind.to_owned())
        })
        .collect()
}

/// The names of the labels of a metric that isn't a histogram, if it has a series.
fn labels_of<'a>(text: &'a str, name: &str) -> Option<Vec<&'a str>> {
    text.lines().find_map(|line| match line.strip_prefix(name)?.split_at_checked(1)? {
        (" ", _) => Some(Vec::new()),
        ("{", labels) => Some(labels.split("=\"").filter_map(last_word).collect()),
        _ => None,
    })
}

/// The last word before a label's value; what follows the last value has none.
fn last_word(text: &str) -> Option<&str> {
    let word = text.rsplit(['"', ',']).next()?;
    (!word.contains('}')).then_some(word)
}

/// Asserts that a text in `OpenMetrics` has the metrics of those rows of docs/metrics.md whose names are
/// to be there, with their types and labels, and no others.
#[track_caller]
pub(crate) fn assert_documented(text: &str, is_expected: impl Fn(&str) -> bool) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = std::fs::read_to_string(path).unwrap();
    let rows =
        page.lines().filter(|line| line.starts_with("| `vipd_") || line.starts_with("| `process_"));
    let documented = rows.filter_map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        assert!(!cells[3].is_empty(), "{row} doesn't say what to do");
        let series = cells[0].trim_matches('`').trim_end_matches('}');
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        if !is_expected(name) {
            return None;
        }
        if let Some(found) = labels_of(text, name) {
            assert_eq!(found.join(","), labels, "{row}");
        }
        let name = if cells[1] == "counter" { name.strip_suffix("_total").unwrap() } else { name };
        Some((name.to_owned(), cells[1].to_owned()))
    });
    assert_eq!(families(text), documented.collect(), "{text}");
}
