//! The project's own commands: `cargo xtask test | kernel | demo | bench`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program people run in a terminal")]

mod args;
mod bench;
mod cargo;
mod cargo_deny;
mod demo;
mod kernel;
mod libtest;
mod machine;
mod package;
mod picture;
mod progress;
mod style;
mod suite;
mod summary;
mod supervised_child;
mod test;
mod tools;

use std::process::ExitCode;

use args::{Command, CommandLine};
use clap::Parser;

fn main() -> ExitCode {
    match run_command(CommandLine::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs a command and tells whether all is well.
fn run_command(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Test { machine } => test::run(machine.on),
        Command::Kernel { list: true, filters, .. } => kernel::list(&filters),
        Command::Kernel { machine, list: false, filters } => kernel::run(machine.on, &filters),
        Command::Demo { machine } => demo::run(machine.on),
        Command::Picture => picture::run(),
        Command::Bench { machine, mode, filters } => bench::run(machine.on, mode, &filters),
        Command::Style { list } => style::run(list),
        Command::Package { test, machine } => package::run(test, machine.on),
        Command::DemoSteps => demo::steps(),
        Command::DemoClient { vip } => demo::client(&vip),
        Command::InGuest { suites, report } => machine::in_guest(&suites, &report),
    }
}
