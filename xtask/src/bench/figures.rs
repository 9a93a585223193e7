//! The measured values by name. Of several measurements of a value the median counts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// Every measured value. Times are in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    values: BTreeMap<String, Vec<f64>>,
    /// The machine and kernel of the measurements that need one; empty without any.
    pub(crate) kernel: String,
    /// Names of the libraries that vipd is linked with.
    pub(crate) libraries: Vec<String>,
}

impl Figures {
    /// Adds a measurement, a line `name value unit`.
    pub(crate) fn add_line(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse)) {
            self.values.entry(name.to_owned()).or_default().push(value);
        }
    }

    /// Returns the median of a value.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        median_of(self.values.get(name)?.clone())
    }

    /// Returns the number of measurements of a value.
    pub(crate) fn sample_count(&self, name: &str) -> usize {
        self.values.get(name).map_or(0, Vec::len)
    }

    /// Divides one median by another.
    pub(crate) fn ratio(&self, one: &str, other: &str) -> Option<f64> {
        Some(self.get(one)? / self.get(other)?)
    }

    /// Divides one value by the sum of others in each run, and returns the median of the runs. A
    /// run in which the machine was busy with other work slows down all of them.
    pub(crate) fn ratio_in_each_run(&self, one: &str, others: &[impl AsRef<str>]) -> Option<f64> {
        let others = others.iter().map(|other| self.values.get(other.as_ref()));
        let others: Vec<_> = others.collect::<Option<_>>()?;
        let ones = self.values.get(one)?.iter().enumerate();
        let ratio = |(run, value): (usize, &f64)| {
            let sum: Option<f64> = others.iter().map(|other| other.get(run)).sum();
            Some(value / sum?)
        };
        median_of(ones.filter_map(ratio).collect())
    }

    /// Measures the size of the program and lists its libraries.
    pub(crate) fn measure_program(&mut self, vipd: &Path) -> Result<()> {
        let size = fs::metadata(vipd).with_context(|| format!("cannot read {}", vipd.display()))?;
        self.add_line(&format!("program/size {} MiB", size.len() as f64 / f64::from(1 << 20)));
        let output = Command::new("ldd").arg(vipd).output().context("cannot start ldd")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let names = text.lines().filter_map(|line| line.split_whitespace().next());
        let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        self.libraries = names.map(name).collect();
        Ok(())
    }

    /// Returns each value's name, median and number of measurements.
    pub(crate) fn all_medians(&self) -> impl Iterator<Item = (&str, f64, usize)> {
        self.values
            .keys()
            .filter_map(|name| Some((name.as_str(), self.get(name)?, self.sample_count(name))))
    }
}

fn median_of(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_of_what_was_measured() {
        let mut figures = Figures::default();
        for line in ["a 3 ms", "a 1 ms", "a 200 ms", "b 2 ms", "c", "d x ms"] {
            figures.add_line(line);
        }
        assert_eq!(figures.get("a"), Some(3.0));
        assert_eq!(figures.ratio("a", "b"), Some(1.5));
        assert_eq!((figures.get("c"), figures.get("d")), (None, None));
        assert_eq!(figures.sample_count("a"), 3);
    }

    #[test]
    fn what_befalls_a_run_befalls_all_that_is_in_it() {
        let mut figures = Figures::default();
        for line in ["v 3", "v 30", "v 4", "f 1", "f 10", "f 1", "r 1", "r 10", "r 1", "once 2"] {
            figures.add_line(line);
        }
        assert_eq!(figures.ratio_in_each_run("v", &["f"]), Some(3.0));
        assert_eq!(figures.ratio_in_each_run("v", &["f", "r"]), Some(1.5));
        assert_eq!(figures.ratio_in_each_run("v", &["once"]), Some(1.5));
        assert_eq!(figures.ratio_in_each_run("v", &["f", "never"]), None);
        assert_eq!(figures.ratio_in_each_run("never", &["f"]), None);
    }
}
