//! The promised limits, compared with the measured values.

use std::fmt::Write;

use super::figures::Figures;

/// A promised limit of a measured value.
struct Limit {
    what: &'static str,
    against: &'static str,
    /// Unit of the value and the bound.
    unit: Unit,
    bound: f64,
    /// True if the bound is a minimum.
    is_minimum: bool,
    value: fn(&Figures) -> Option<f64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Times,
    Millis,
    Mebibytes,
    Percent,
}

impl Unit {
    fn format_value(self, value: f64) -> String {
        match self {
            Self::Times => format!("{value:.2}x"),
            Self::Millis if value >= 1e4 => format!("{:.1} s", value / 1e3),
            Self::Millis => format!("{value:.2} ms"),
            Self::Mebibytes => format!("{value:.1} MiB"),
            Self::Percent => format!("{value:.2} %"),
        }
    }
}

const fn at_most(
    what: &'static str,
    against: &'static str,
    unit: Unit,
    bound: f64,
    value: fn(&Figures) -> Option<f64>,
) -> Limit {
    Limit { what, against, unit, bound, is_minimum: false, value }
}

const fn at_least(
    what: &'static str,
    against: &'static str,
    unit: Unit,
    bound: f64,
    value: fn(&Figures) -> Option<f64>,
) -> Limit {
    Limit { is_minimum: true, ..at_most(what, against, unit, bound, value) }
}

fn all_limits(uml: bool) -> Vec<Limit> {
    use Unit::{Mebibytes, Millis, Percent, Times};
    let peer = if uml { 30.0 } else { 13.0 };
    vec![
        at_most("filling the table: 22,000 IPVS commands", "the C program", Times, 1.3, |f| {
            beside_floor(f, "fill", 2_000)
        }),
        at_least("speed-up of filling the table", "`ipvsadm -R`", Times, peer, |f| {
            f.ratio("fill/ipvsadm/2000", "fill/vipd/2000")
        }),
        at_most("binding 2,000 addresses", "the C program", Times, 1.3, |f| {
            beside_floor(f, "addresses", 2_000)
        }),
        at_most("binding 2,000 addresses with routes", "the C program", Times, 1.3, |f| {
            beside_floor(f, "routes", 2_000)
        }),
        at_most("whole apply from parsed input", "both C programs", Times, 1.5, |f| {
            beside_floor(f, "apply", 2_000)
        }),
        at_most("full comparison, nothing to do", "the C program's dumps", Times, 1.3, |f| {
            beside_floor(f, "compare", 2_000)
        }),
        at_most("the same, confirmed by /proc/net/ip_vs", "those dumps", Times, 1.0, |f| {
            f.ratio("compare/text/2000", "compare/floor/2000")
        }),
        at_most("weight change in memory, p99", "", Millis, 1.0, |f| {
            f.get("react/memory/2000/p99")
        }),
        at_most("its median", "the same at 20 VIPs", Times, 1.5, |f| {
            f.ratio("react/memory/2000/p50", "react/memory/20/p50")
        }),
        at_most("its median with cold caches", "the same at 20 VIPs", Times, 1.5, |f| {
            f.ratio("react/cold/2000/p50", "react/cold/20/p50")
        }),
        at_most("weight change, whole agent in memory, p99", "", Millis, 5.0, |f| {
            f.get("react/agent/2000/p99")
        }),
        at_most("its median", "the same at 20 VIPs", Times, 1.5, |f| {
            f.ratio("react/agent/2000/p50", "react/agent/20/p50")
        }),
        at_most("weight change, whole agent on the kernel, p99", "", Millis, 5.0, |f| {
            f.get("react/kernel/2000/p99")
        }),
        at_most("its median", "the same at 20 VIPs", Times, 1.5, |f| {
            f.ratio("react/kernel/2000/p50", "react/kernel/20/p50")
        }),
        at_most(
            "reading one app of 100 tasks again, among 2,000",
            "among 10 apps",
            Times,
            1.5,
            |f| f.ratio("reread/2000", "reread/10"),
        ),
        at_most("parsing 1,000 apps x 20 tasks", "serde_json::Value", Times, 1.0, |f| {
            f.ratio("parse/vipd", "parse/value")
        }),
        at_most("its peak memory", "the JSON's size", Times, 1.5, |f| {
            f.ratio("parse/vipd-peak", "parse/body")
        }),
        at_most("resident memory, steady", "", Mebibytes, 40.0, |f| f.get("steady/memory/2000")),
        at_most("CPU between comparisons", "a core", Percent, 0.1, |f| f.get("steady/cpu/2000")),
        at_most("CPU of probing 200 hosts", "a core", Percent, 1.0, |f| f.get("probe/cpu/200")),
        at_most("its memory", "", Mebibytes, 1.0, |f| {
            Some(f.get("probe/memory/200")? / f64::from(1 << 20))
        }),
        at_most(
            "200 silent hosts of 400, 100 real servers each: the plan",
            "",
            Millis,
            100.0,
            |f| f.get("rack/200"),
        ),
        at_most("10,000 VIPs: growth of fill", "the C program's growth", Times, 1.3, |f| {
            growth_ratio(f, "fill")
        }),
        at_most("10,000 VIPs: growth of addresses", "the C program's growth", Times, 1.3, |f| {
            growth_ratio(f, "routes")
        }),
        at_most("10,000 VIPs: growth of apply", "the C programs' growth", Times, 1.3, |f| {
            growth_ratio(f, "apply")
        }),
        at_most("10,000 VIPs: growth of comparison", "the C program's growth", Times, 1.3, |f| {
            growth_ratio(f, "compare")
        }),
        at_most("cleanup of 10,000 VIPs", "", Millis, 10_000.0, |f| f.get("cleanup/vipd/10000")),
        at_most("removing 2,000 IPv6 addresses", "one by one", Times, 0.5, |f| {
            f.ratio("unbind6/link/2000", "unbind6/floor/2000")
        }),
        at_most("CPU of a DNS query, 1,000 names", "unbound", Times, 1.0, |f| {
            f.ratio("names/query/vipd", "names/query/unbound")
        }),
        at_most("a DNS answer at 1,000 queries/s, p99", "", Millis, 1.0, |f| {
            f.get("names/latency/vipd/p99")
        }),
        at_most("memory of a zone of 10,000 names", "", Mebibytes, 3.0, |f| {
            Some(f.get("names/swap-peak")? / f64::from(1 << 20))
        }),
        at_most("from a changed zone file to the changed zone", "", Millis, 1.0, |f| {
            f.get("names/follow")
        }),
        at_most("a change to 5,000 agents of a relay, CPU", "a plain loop", Times, 1.5, |f| {
            f.ratio_in_each_run("relay/change/cpu", &["relay/floor/cpu"])
        }),
        at_most("the same", "", Millis, 60.0, |f| f.get("relay/change/cpu")),
        at_most("the same, until the last byte is there", "", Millis, 250.0, |f| {
            f.get("relay/change/last")
        }),
        at_most("memory of a relay with 5,000 agents", "", Mebibytes, 150.0, |f| {
            f.get("relay/plain-later/memory")
        }),
        at_most("an event behind a relay, later than without one", "", Millis, 5.0, |f| {
            let median = |way: &str| f.get(&format!("relay/{way}/2000/p50"));
            Some(median("behind")? - median("direct")?)
        }),
        at_most("until all agents of a killed relay follow another", "", Millis, 10_000.0, |f| {
            f.get("relay/loss/killed")
        }),
        at_most("memory of an agent behind a relay", "reading Marathon itself", Times, 1.0, |f| {
            f.ratio("relay/agent/behind/memory", "relay/agent/direct/memory")
        }),
        at_most("its CPU from start to filled table", "the same", Times, 1.0, |f| {
            f.ratio("relay/agent/behind/cpu", "relay/agent/direct/cpu")
        }),
        at_most("size of the binary", "", Mebibytes, 12.0, |f| f.get("program/size")),
    ]
}

/// Returns vipd's time in relation to the C programs that do the same, run by run.
fn beside_floor(figures: &Figures, what: &str, vips: usize) -> Option<f64> {
    let floors = match what {
        "apply" => vec!["fill", bound_by(figures, vips)],
        _ => vec![what],
    };
    let floors: Vec<_> = floors.iter().map(|floor| format!("{floor}/floor/{vips}")).collect();
    figures.ratio_in_each_run(&format!("{what}/vipd/{vips}"), &floors)
}

/// Returns the C program that binds addresses as the apply did. Where nftables guards the
/// addresses, they have no routes of their own.
fn bound_by(figures: &Figures, vips: usize) -> &'static str {
    match figures.get(&format!("apply/guard/{vips}")) {
        Some(_) => "addresses",
        None => "routes",
    }
}

/// Returns the growth of vipd's time from 2,000 to 10,000 VIPs in relation to the C programs'
/// growth.
fn growth_ratio(figures: &Figures, what: &str) -> Option<f64> {
    Some(beside_floor(figures, what, 10_000)? / beside_floor(figures, what, 2_000)?)
}

/// Formats the promises as a Markdown table.
pub(crate) fn limits_table(figures: &Figures) -> String {
    let mut text =
        String::from("| measure | compared with | limit | measured | |\n|---|---|---|---|---|\n");
    let emulated = figures.kernel.starts_with("QEMU");
    for limit in all_limits(figures.kernel.starts_with("user-mode")) {
        let Limit { what, against, unit, bound, is_minimum, value } = limit;
        let Some(value) = value(figures) else { continue };
        let met = if is_minimum { value >= bound } else { value <= bound };
        let word = if met { "met" } else { "not met" };
        let must = format!("{} {}", if is_minimum { ">=" } else { "<=" }, unit.format_value(bound));
        // An emulated processor says nothing about times, only about their ratios.
        let timed = matches!(unit, Unit::Millis | Unit::Percent);
        let (must, word) = if timed && emulated { ("", "") } else { (must.as_str(), word) };
        let _ = writeln!(
            text,
            "| {what} | {against} | {must} | {} | {word} |",
            unit.format_value(value)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apply_stands_beside_what_binds_addresses_as_it_does() {
        let mut figures = Figures::default();
        for line in [
            "apply/vipd/2000 9 ms",
            "fill/floor/2000 2 ms",
            "routes/floor/2000 1 ms",
            "addresses/floor/2000 4 ms",
        ] {
            figures.add_line(line);
        }
        assert_eq!(beside_floor(&figures, "apply", 2_000), Some(3.0));
        figures.add_line("apply/guard/2000 1 ms");
        assert_eq!(beside_floor(&figures, "apply", 2_000), Some(1.5));
    }

    #[test]
    fn times_are_judged_where_the_processor_is_one() {
        let row = |kernel: &str| {
            let mut figures = Figures::default();
            figures.add_line("react/kernel/2000/p99 20.85 ms");
            figures.kernel = kernel.to_owned();
            limits_table(&figures).lines().last().unwrap().to_owned()
        };
        let what = "| weight change, whole agent on the kernel, p99 |  |";
        assert_eq!(
            row("user-mode Linux, Linux 6.1"),
            format!("{what} <= 5.00 ms | 20.85 ms | not met |")
        );
        assert_eq!(row("QEMU, Linux 6.12"), format!("{what}  | 20.85 ms |  |"));
    }
}
