//! The project's own commands: `cargo xtask test | kernel | demo | bench | style | ...`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program people run in a terminal")]

mod args;
mod bench;
mod cargo;
mod cargo_tool;
mod demo;
mod kernel;
mod libtest;
mod machine;
mod package;
mod picture;
mod progress;
mod published;
mod published_builds;
mod python_package;
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
        Command::Test { machine } => test::run_test_steps(machine.on),
        Command::Kernel { list: true, filters, .. } => kernel::list_kernel_tests(&filters),
        Command::Kernel { machine, list: false, filters } => {
            kernel::run_kernel_tests(machine.on, &filters)
        }
        Command::Soak { machine } => kernel::run_soak(machine.on),
        Command::Demo { machine } => demo::run_demo(machine.on),
        Command::Picture => picture::draw_status_page(),
        Command::Bench { machine, mode, filters } => bench::run_bench(machine.on, mode, &filters),
        Command::Api => {
            println!("{}", published::compare_public_api()?);
            Ok(true)
        }
        Command::Published => {
            println!("{}", published_builds::check_single_features()?);
            println!("{}", published_builds::check_packaged_tests()?);
            Ok(true)
        }
        Command::OldestRust => {
            println!("{}", published::check_oldest_rust()?);
            Ok(true)
        }
        Command::Semver { revision } => published::check_semver(revision.as_deref()),
        Command::Style { list } => style::check_style(list),
        Command::Package { test, program, machine } => {
            package::build_and_test(test, program.as_deref(), machine.on)
        }
        Command::Dist { release, program } => {
            package::make_dist(release.as_deref(), program.as_deref())
        }
        Command::DemoSteps => demo::run_steps(),
        Command::DemoClient { vip } => demo::run_client(&vip),
        Command::InGuest { suites, report } => machine::run_in_guest(&suites, &report),
    }
}
