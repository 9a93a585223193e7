//! `cargo xtask bench`: measures vipd, compared with the kernel itself and with `ipvsadm`. Everything
//! that is compared runs on one kernel, in one run.

mod figures;
mod instructions;
mod limits;
mod log;
mod marathon_lb;
mod page;
mod path;
mod scale;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::args::BenchMode;
use crate::cargo::Workspace;
use crate::libtest::Tally;
use crate::machine::Machine;
use crate::progress::Step;
use crate::suite::{Suite, TIME_LIMITS};
use crate::{supervised_child, tools};
use figures::Figures;
use log::{Log, print_rows};

/// The measured programs and the one that measures.
struct Programs {
    bench: PathBuf,
    vipd: PathBuf,
    floor: PathBuf,
}

/// Measures, counts instructions or runs the model of many agents.
pub(crate) fn run_bench(on: Option<Machine>, mode: BenchMode, filters: &[String]) -> Result<bool> {
    let workspace = Workspace::read_metadata()?;
    if mode.scale {
        return scale::model_fleet(&workspace.workspace_root);
    }
    tools::ensure_installed(tools::BENCH)?;
    if mode.check || mode.record {
        return count_instructions(&workspace, mode.record);
    }
    if filters == ["path"] {
        let programs = build_programs(&workspace)?;
        let mut log = Log::create(&workspace.target_directory.join("bench.log"))?;
        let root = &workspace.workspace_root;
        return path::count_paths(&programs.bench, &programs.vipd, root, &mut log);
    }
    if filters == ["marathon-lb"] {
        let checkout = marathon_lb::ensure_checkout(&workspace.target_directory)?;
        let programs = build_programs(&workspace)?;
        let mut log = Log::create(&workspace.target_directory.join("bench.log"))?;
        let root = &workspace.workspace_root;
        return marathon_lb::measure_beside(
            &programs.bench,
            &programs.vipd,
            &checkout,
            root,
            &mut log,
        );
    }
    measure_figures(&workspace, Machine::choose(on)?, filters)
}

fn count_instructions(workspace: &Workspace, record: bool) -> Result<bool> {
    tools::ensure_installed(tools::VALGRIND)?;
    let step = Step::start("building the benchmark for counting instructions");
    let built = workspace.build_for_counting()?;
    step.end("built");
    let bench = built.iter().find(|built| built.executable.ends_with("vipd-bench"));
    let bench = &bench.context("cargo built no vipd-bench")?.executable;
    instructions::compare_or_record(bench, &workspace.workspace_root, record)
}

fn build_programs(workspace: &Workspace) -> Result<Programs> {
    let step = Step::start("building vipd and the benchmark for release");
    let built = workspace.build_for_bench()?;
    let find = |name: &str| {
        let built = built.iter().find(|built| built.executable.ends_with(name));
        built.map(|built| built.executable.clone()).context("cargo built something else")
    };
    let (bench, vipd) = (find("vipd-bench")?, find("vipd")?);
    let floor = bench.with_file_name("vipd-bench-floor");
    let source = workspace.workspace_root.join("bench/fixtures/floor.c");
    let status = Command::new("cc")
        .args(["-O2", "-o"])
        .args([&floor, &source])
        .status()
        .context("cannot start cc")?;
    ensure!(status.success(), "cc could not compile {}", source.display());
    step.end("built");
    Ok(Programs { bench, vipd, floor })
}

fn measure_figures(workspace: &Workspace, machine: Machine, filters: &[String]) -> Result<bool> {
    let programs = build_programs(workspace)?;
    let mut log = Log::create(&workspace.target_directory.join("bench.log"))?;
    let wanted =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter));
    let mut figures = Figures::default();
    figures.measure_program(&programs.vipd)?;
    let mut passed = true;
    // A run on QEMU is for the kernel: this machine is measured by other runs.
    let here_too = !matches!(machine, Machine::Qemu(_)) || !filters.is_empty();
    for name in ["parse", "react", "reread", "agent", "probe", "rack"] {
        if here_too && wanted(name) {
            passed &= measure_here(&programs.bench, &[name], &mut figures, &mut log)?;
        }
    }
    if here_too && wanted("names") {
        tools::ensure_installed(tools::NAME_SERVERS)?;
        passed &= measure_here(&programs.bench, &["names"], &mut figures, &mut log)?;
        let vipd = programs.vipd.display().to_string();
        let words = ["name-servers", &vipd];
        passed &= measure_here(&programs.bench, &words, &mut figures, &mut log)?;
    }
    if here_too && wanted("relay") {
        let vipd = programs.vipd.display().to_string();
        let measured: [&[&str]; 4] = [
            &["relay", &vipd, "5000"],
            &["relay-delay", &vipd],
            &["relay-loss", &vipd, "40"],
            &["relay-agents", &vipd],
        ];
        for words in measured {
            passed &= measure_here(&programs.bench, words, &mut figures, &mut log)?;
        }
    }
    let suites = kernel_suites(&programs, &workspace.workspace_root);
    let suites: Vec<_> = suites.into_iter().filter(|suite| wanted(&suite.name)).collect();
    if !suites.is_empty() {
        let report = machine.run_suites_into(&suites, &mut log.file)?;
        for outcome in &report.outcomes {
            println!("\n{}", outcome.name);
            print_rows(&outcome.tally.figures);
            outcome.tally.figures.iter().for_each(|line| figures.add_line(line));
            if let Some(problem) = &outcome.problem {
                println!("{}: {problem}", outcome.name);
            }
        }
        figures.kernel = format!("{}, Linux {}", machine.title(), report.kernel);
        passed &= report.passed();
    }
    let table = limits::limits_table(&figures);
    println!("\n{table}");
    if filters.is_empty() && passed {
        page::write_page(&workspace.workspace_root, machine, &figures, &table)?;
    }
    Ok(passed)
}

/// Runs a measurement that needs no kernel on this machine.
fn measure_here(
    bench: &Path,
    words: &[&str],
    figures: &mut Figures,
    log: &mut Log,
) -> Result<bool> {
    let step = Step::start(&format!("{}, on this machine", words[0]));
    let mut tally = Tally::default();
    let mut command = supervised_child::supervised_command(bench);
    command.args(words);
    let on_line = |line: &str| tally.add_line(line);
    let end = supervised_child::run_supervised(&mut command, TIME_LIMITS, &mut log.file, on_line)?;
    let problem = end.problem();
    print_rows(&tally.figures);
    step.end(problem.as_deref().unwrap_or("measured"));
    tally.figures.iter().for_each(|line| figures.add_line(line));
    Ok(problem.is_none())
}

/// Makes the allocator keep freed memory. The C program has its messages ready when its clock
/// starts; so vipd must not pay for fresh pages either.
const KEEPS_ITS_MEMORY: [&str; 2] =
    ["MALLOC_TRIM_THRESHOLD_=1073741824", "MALLOC_MMAP_THRESHOLD_=33554432"];

/// Lists the measurements that need a kernel with IPVS.
fn kernel_suites(programs: &Programs, root: &Path) -> Vec<Suite> {
    let floor = programs.floor.display().to_string();
    let vipd = programs.vipd.display().to_string();
    let suite = |name: &str, args: &[&str]| Suite {
        name: name.to_owned(),
        dir: root.to_owned(),
        program: programs.bench.clone(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        programs: None,
        packages: Vec::new(),
        libtest: false,
        systemd: false,
    };
    let bench = programs.bench.display().to_string();
    let table = |name: &str, args: &[&str]| {
        let args: Vec<_> = KEEPS_ITS_MEMORY
            .iter()
            .chain(&[bench.as_str(), "machine"])
            .chain(args)
            .copied()
            .collect();
        Suite { program: "/usr/bin/env".into(), ..suite(name, &args) }
    };
    vec![
        table("table of 2,000 VIPs", &[&floor, "2000", "10", "9", "5"]),
        table("table of 10,000 VIPs", &[&floor, "10000", "10", "5", "0"]),
        suite("addresses that go", &["unbind", &floor, "2000"]),
        suite("reaction on the kernel", &["agent-kernel"]),
        suite("steady agent", &["steady", &vipd, "2000", "10"]),
    ]
}
