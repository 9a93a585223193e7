//! The output of the measured programs, which goes to a file, and rows of what they measured.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};

/// The file with everything that the measured programs print, the agent's log among it.
pub(super) struct Log {
    pub(super) file: File,
}

impl Log {
    /// Creates the file, and says where it is.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let cannot = || format!("cannot create {}", path.display());
        let file = File::create(path).with_context(cannot)?;
        println!("What the measured programs say goes to {}.", path.display());
        Ok(Self { file })
    }
}

/// Formats the measurements, lines `name value unit`, as one row for each name: the median, and the
/// number of values.
pub(super) fn format_rows(lines: &[String]) -> Vec<String> {
    let mut figures: BTreeMap<&str, (Vec<f64>, &str)> = BTreeMap::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let (Some(name), Some(value)) = (words.next(), words.next()) else { continue };
        let Ok(value) = value.parse() else { continue };
        let figure = figures.entry(name).or_default();
        figure.0.push(value);
        figure.1 = words.next().unwrap_or_default();
    }
    let longest = figures.keys().map(|name| name.len()).max().unwrap_or_default();
    let row = |(name, (mut values, unit)): (&str, (Vec<f64>, &str))| {
        values.sort_by(f64::total_cmp);
        let median = values.get(values.len() / 2).copied().unwrap_or_default();
        format!("    {name:<longest$}  {median:>12.3} {unit}  (median of {})", values.len())
    };
    figures.into_iter().map(row).collect()
}

/// Prints measurements as rows.
pub(super) fn print_rows(figures: &[String]) {
    format_rows(figures).iter().for_each(|row| println!("{row}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_is_one_row() {
        let lines = ["a/p50 3 ms", "a/p50 1 ms", "a/p50 2 ms", "long/name 7 MiB", "noise"];
        let rows = format_rows(&lines.map(str::to_owned));
        assert_eq!(
            rows,
            [
                "    a/p50             2.000 ms  (median of 3)",
                "    long/name         7.000 MiB  (median of 1)",
            ]
        );
    }
}
