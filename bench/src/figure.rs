//! What was measured, told to `cargo xtask bench` in lines of its own.

use std::time::{Duration, Instant};

/// One value of one measure. What is measured several times is told several times.
pub(crate) fn print_figure(name: &str, value: f64, unit: &str) {
    println!("figure {name} {value} {unit}");
}

pub(crate) fn print_time(name: &str, time: Duration) {
    print_figure(name, time.as_secs_f64() * 1e3, "ms");
}

/// Pages that this process took for the first time, so far (`minflt` of proc(5)): user-mode Linux
/// makes them dear.
pub(crate) fn page_faults() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let mut fields = text.rsplit(')').next().unwrap().split_whitespace();
    fields.nth(7).unwrap().parse().unwrap()
}

/// How long something takes.
pub(crate) fn measure_time<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed(), done)
}

/// Runs that one thing after the other is measured in: what befalls the machine falls into few of them.
pub(crate) const RUNS: usize = 5;

/// Tells the median, the 99th percentile and the longest of each run.
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
