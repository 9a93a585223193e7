//! `cargo xtask demo`: shows vipd at work on a kernel with IPVS.

mod agents;
mod clients;
mod demo_context;
mod marathon;
mod name_server;
mod show;
mod steps;
mod table;
mod topology;
mod wait;

use std::ffi::OsStr;
use std::io::{IsTerminal, stdout};
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cargo::Workspace;
use crate::machine::Machine;
use crate::progress::{Step, format_duration};
use crate::suite::Suite;

pub(crate) use clients::run_client;
pub(crate) use steps::run_steps;

/// Builds vipd and the Marathon simulator, and runs the steps in a sandbox on a kernel with IPVS.
pub(crate) fn run_demo(on: Option<Machine>) -> Result<bool> {
    let machine = Machine::choose(on)?;
    let workspace = Workspace::read_metadata()?;
    // The build replaces this program, whose path is unknown then.
    let ours = own_program()?.display().to_string();
    let step = Step::start("building vipd and the Marathon simulator");
    let programs = workspace.build_programs()?;
    step.end("built");
    let suite = Suite {
        name: "the demo".to_owned(),
        dir: workspace.workspace_root,
        // The sandbox's output is a pipe, even if it ends up on a terminal.
        program: "env".into(),
        args: vec![
            colour_setting(stdout().is_terminal(), std::env::var_os("NO_COLOR").as_deref())
                .to_owned(),
            ours,
            "demo-steps".to_owned(),
        ],
        programs: programs.first().and_then(|built| built.executable.parent()).map(PathBuf::from),
        packages: Vec::new(),
        libtest: false,
        systemd: false,
    };
    let report = machine.run_suites(&[suite])?;
    for outcome in &report.outcomes {
        let how = outcome
            .problem
            .as_deref()
            .map_or("passed".to_owned(), |problem| format!("FAILED ({problem})"));
        let (place, kernel) = (machine.title(), &report.kernel);
        println!("\nThe demo on {place}, Linux {kernel}: {how}, {}", format_duration(outcome.took));
    }
    Ok(report.passed())
}

/// Returns the environment variable that turns colours on or off in the steps and their tools.
fn colour_setting(terminal: bool, no_color: Option<&OsStr>) -> &'static str {
    match (terminal, no_color) {
        (true, None) => "CLICOLOR_FORCE=1",
        _ => "NO_COLOR=1",
    }
}

fn own_program() -> Result<PathBuf> {
    std::env::current_exe().context("cannot tell where xtask is")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_colour_on_a_terminal_whose_owner_does_not_mind() {
        assert_eq!(colour_setting(true, None), "CLICOLOR_FORCE=1");
        assert_eq!(colour_setting(false, None), "NO_COLOR=1");
        assert_eq!(colour_setting(true, Some("1".as_ref())), "NO_COLOR=1");
    }
}
