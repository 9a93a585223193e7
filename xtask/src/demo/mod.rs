//! `cargo xtask demo`: vipd at work, on a kernel with IPVS, in front of the reader's eyes.

mod show;
mod steps;
mod topology;

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cargo::Workspace;
use crate::machine::Machine;
use crate::progress::Step;
use crate::suite::Suite;
use crate::summary;

pub(crate) use steps::run as steps;

/// Builds vipd and the Marathon simulator, and runs the steps in a sandbox on a kernel with IPVS.
pub(crate) fn run(on: Option<Machine>) -> Result<bool> {
    let machine = Machine::choose(on)?;
    let workspace = Workspace::read()?;
    let step = Step::start("building vipd and the Marathon simulator");
    let programs = workspace.build_programs()?;
    step.end("built");
    let suite = Suite {
        name: "the demo".to_owned(),
        dir: workspace.workspace_root,
        program: program()?,
        args: vec!["demo-steps".to_owned()],
        programs: programs.first().and_then(|built| built.executable.parent()).map(PathBuf::from),
        libtest: false,
    };
    let report = machine.run(&[suite])?;
    print!("{}", summary::kernel(machine.title(), &report));
    Ok(report.passed())
}

fn program() -> Result<PathBuf> {
    std::env::current_exe().context("cannot tell where xtask is")
}
