//! `cargo xtask bench path`: the instructions that connections and round trips cost, with vipd and
//! without.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use super::figures::Figures;
use super::log::Log;
use crate::machine::Machine;
use crate::suite::Suite;
use crate::tools;

/// Numbers of VIPs.
const VIPS: [&str; 3] = ["20", "2000", "10000"];

/// Kinds of traffic that are counted.
const KINDS: [&str; 5] = ["connection", "round-trip", "udp-flow", "udp-round-trip", "megabyte"];

/// Tools that serve VIPs in other ways.
const PEERS: &[tools::Tool] = &[tools::tool("haproxy", "haproxy"), tools::tool("ipset", "ipset")];

/// Counts, in a guest whose clock counts instructions, and prints a table.
pub(super) fn count_paths(bench: &Path, vipd: &Path, root: &Path, log: &mut Log) -> Result<bool> {
    tools::ensure_installed(PEERS)?;
    let suite = |vips: &str| Suite {
        name: format!("paths with {vips} VIPs"),
        dir: root.to_owned(),
        program: bench.to_owned(),
        args: ["path", &vipd.display().to_string(), vips].map(str::to_owned).to_vec(),
        programs: None,
        packages: Vec::new(),
        libtest: false,
        systemd: false,
    };
    let report = Machine::count_in_guest(&VIPS.map(suite), &mut log.file)?;
    let mut figures = Figures::default();
    for outcome in &report.outcomes {
        outcome.tally.figures.iter().for_each(|line| figures.add_line(line));
        if let Some(problem) = &outcome.problem {
            println!("{}: {problem}", outcome.name);
        }
    }
    print!("{}\n{}", others_table(&figures), vips_table(&figures));
    Ok(report.passed())
}

/// Formats the medians of traffic that has nothing to do with VIPs, beside those of the same node
/// without vipd.
fn others_table(figures: &Figures) -> String {
    let mut table = String::from(
        "\n| VIPs | node | other traffic | what | without vipd | IPVS alone | with vipd | limit | |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for number in VIPS {
        for (without, alone, with) in
            [("bare", "", "vipd"), ("docker", "docker+ipvs", "docker+vipd")]
        {
            for traffic in ["node/direct", "container/direct", "outside/to-node"] {
                for kind in KINDS {
                    let name = |setup: &str| format!("path/{number}/{setup}/{traffic}/{kind}");
                    let Some(count) = figures.get(&name(without)) else { continue };
                    let ratio = |setup: &str| figures.ratio(&name(setup), &name(without));
                    let times = |ratio: Option<f64>| {
                        ratio.map(|ratio| format!("{ratio:.3}x")).unwrap_or_default()
                    };
                    let (alone, with) = (ratio(alone), ratio(with));
                    // A node without any rules pays for connection tracking, too.
                    let judged = (without == "docker").then(|| judge(with, OTHERS_LIMIT));
                    let judged = judged.unwrap_or_else(|| " | ".to_owned());
                    let (alone, with) = (times(alone), times(with));
                    let _ = writeln!(
                        table,
                        "| {number} | {without} | {traffic} | {kind} | {count:.0} | {alone} | {with} \
                         | {judged} |"
                    );
                }
            }
        }
    }
    table
}

/// The most that vipd may cost the other traffic of a node with Docker's rules.
const OTHERS_LIMIT: f64 = 1.03;

/// Formats a limit, and whether a ratio meets it.
fn judge(ratio: Option<f64>, limit: f64) -> String {
    let met = match ratio {
        Some(ratio) if ratio <= limit => "met",
        Some(_) => "not met",
        None => "not measured",
    };
    format!("<= {limit:.2}x | {met}")
}

/// Formats the medians of what serves VIPs, as multiples of a direct connection from the same place.
fn vips_table(figures: &Figures) -> String {
    let mut table = String::from(
        "| VIPs | client | what | direct | vipd | kube-proxy's IPVS rules | its nftables mode \
         | haproxy | vipd / IPVS rules | limit | |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for number in VIPS {
        for from in ["node", "container", "outside"] {
            for kind in KINDS {
                let name = |setup: &str, to: &str| {
                    format!("path/{number}/docker{setup}/{from}/{to}/{kind}")
                };
                let Some(direct) = figures.get(&name("", "direct")) else { continue };
                let multiple = |setup: &str| {
                    let ratio = figures.ratio(&name(setup, "vip"), &name("", "direct"));
                    ratio.map(|ratio| format!("{ratio:.2}x")).unwrap_or_default()
                };
                let multiples =
                    ["+vipd", "+kube-proxy-ipvs", "+kube-proxy-nftables", "+haproxy"].map(multiple);
                let beside = figures.ratio(&name("+vipd", "vip"), &name("+kube-proxy-ipvs", "vip"));
                let limit = if kind == "connection" && from != "node" { 0.97 } else { 1.0 };
                let judged = judge(beside, limit);
                let beside = beside.map(|ratio| format!("{ratio:.3}x")).unwrap_or_default();
                let _ = writeln!(
                    table,
                    "| {number} | {from} | {kind} | {direct:.0} | {} | {beside} | {judged} |",
                    multiples.join(" | ")
                );
            }
        }
    }
    table
}
