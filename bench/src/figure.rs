//! Prints measurements as lines that `cargo xtask bench` reads.

use std::time::{Duration, Instant};

/// Prints a measurement. A value that is measured several times is printed several times.
pub(crate) fn print_figure(name: &str, value: f64, unit: &str) {
    println!("figure {name} {value} {unit}");
}

/// Prints a measured duration.
pub(crate) fn print_time(name: &str, time: Duration) {
    print_figure(name, time.as_secs_f64() * 1e3, "ms");
}

/// Returns the number of minor page faults of this process (`minflt` of proc(5)), which are
/// expensive on user-mode Linux.
pub(crate) fn page_faults() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let mut fields = text.rsplit(')').next().unwrap().split_whitespace();
    fields.nth(7).unwrap().parse().unwrap()
}

/// Measures the duration of `work` and returns its result too.
pub(crate) fn measure_time<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed(), done)
}

/// Number of runs into which measurements are divided: other work on the machine disturbs few of
/// them.
pub(crate) const RUNS: usize = 5;

/// Prints the median, the 99th percentile and the maximum of each run.
pub(crate) fn print_spread(name: &str, times: &[Duration]) {
    for run in times.chunks(times.len().div_ceil(RUNS)) {
        let mut run = run.to_vec();
        run.sort();
        let at = |share: f64| run[((run.len() - 1) as f64 * share).round() as usize];
        print_time(&format!("{name}/p50"), at(0.5));
        print_time(&format!("{name}/p99"), at(0.99));
        print_time(&format!("{name}/max"), at(1.0));
    }
}
