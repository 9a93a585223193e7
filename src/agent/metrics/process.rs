//! The metrics of the process that every client of Prometheus has, from `/proc`, and its build.

use std::fmt::Error;
use std::fs;

use rustix::time::{ClockId, clock_gettime};

use super::encoder::Encoder;
use crate::version::COMMIT;

/// Ticks of a second in `/proc`: the same on every Linux, whatever the kernel's own clock.
const TICKS: f64 = 100.0;

/// The figures of one process.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Process {
    cpu_seconds: f64,
    virtual_bytes: f64,
    resident_pages: f64,
    /// Ticks from the node's boot to the start of the process.
    started: f64,
    threads: f64,
}

impl Process {
    /// Parses `/proc/PID/stat`. The name of the program, in parentheses, may hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<f64> = stat
            .rsplit_once(')')?
            .1
            .split_whitespace()
            .skip(1)
            .map_while(|field| field.parse().ok())
            .collect();
        // Numbered from 1 in proc(5); the first one here is field 4.
        let field = |number: usize| fields.get(number - 4).copied();
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / TICKS,
            threads: field(20)?,
            started: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// Returns the time of the node's boot, in Unix seconds. Not from `/proc/stat`, which a unit may hide.
fn boot_time() -> f64 {
    let seconds = |clock| {
        let now = clock_gettime(clock);
        now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
    };
    seconds(ClockId::Realtime) - seconds(ClockId::Boottime)
}

/// Parses the limit of open files in `/proc/PID/limits`.
fn parse_open_files(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Writes which build this is.
pub(crate) fn encode_build(out: &mut Encoder<'_>) -> Result<(), Error> {
    let build = [("version", env!("CARGO_PKG_VERSION")), ("revision", COMMIT)];
    out.gauges("vipd_build_info", "The version and commit of vipd; always 1", [(build, 1.0)])
}

/// Writes the metrics of this process; those that can't be read are left out.
pub(crate) fn encode_process(out: &mut Encoder<'_>) -> Result<(), Error> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    if let Some(process) = Process::parse(&read("/proc/self/stat")) {
        out.float_counter(
            "process_cpu_seconds_total",
            "CPU time of the process, in user and kernel mode",
            process.cpu_seconds,
        )?;
        out.gauge("process_threads", "Threads of the process", process.threads)?;
        out.gauge(
            "process_virtual_memory_bytes",
            "Virtual memory of the process",
            process.virtual_bytes,
        )?;
        let page = f64::from(u32::try_from(rustix::param::page_size()).unwrap_or(4096));
        out.gauge(
            "process_resident_memory_bytes",
            "Memory of the process that is in RAM",
            process.resident_pages * page,
        )?;
        out.gauge(
            "process_start_time_seconds",
            "Unix time of the start of the process, which a reload keeps",
            boot_time() + process.started / TICKS,
        )?;
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let open = u32::try_from(open.count()).unwrap_or(u32::MAX);
        out.gauge("process_open_fds", "Open file descriptors of the process", open.into())?;
    }
    if let Some(most) = parse_open_files(&read("/proc/self/limits")) {
        out.gauge("process_max_fds", "The most file descriptors that it may open", most)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_after_the_name_whatever_it_holds() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 6 0 400 8192000 25 \
                    18446744073709551615 1 1 0 0 0";
        let expected = Process {
            cpu_seconds: 2.0,
            virtual_bytes: 8_192_000.0,
            resident_pages: 25.0,
            started: 400.0,
            threads: 6.0,
        };
        assert_eq!(Process::parse(stat), Some(expected));
        assert_eq!(Process::parse("7 (a) S 1 7"), None);
        assert_eq!(Process::parse(""), None);
    }

    #[test]
    fn the_boot_and_the_limit_are_found() {
        let stat = fs::read_to_string("/proc/stat").unwrap();
        let told = stat.lines().find_map(|line| line.strip_prefix("btime ")).unwrap();
        let told: f64 = told.parse().unwrap();
        assert!((boot_time() - told).abs() < 2.0, "{told}");
        let limits = "Max processes             100                  100                  processes\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(parse_open_files(limits), Some(1024.0));
        assert_eq!(parse_open_files("Max open files unlimited unlimited files"), None);
    }
}
