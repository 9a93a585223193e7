//! The project's own commands: `cargo xtask test | kernel | demo | bench`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program people run in a terminal")]

mod args;
mod bench;
mod cargo;
mod demo;
mod kernel;
mod libtest;
mod machine;
mod package;
mod picture;
mod progress;
mod suite;
mod summary;
mod supervised_child;
mod test;
mod tools;

use std::process::ExitCode;

use args::Command;

fn main() -> ExitCode {
    let command = match args::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(problem) => {
            eprintln!("error: {problem}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    let result = match command {
        Command::Help => {
            println!("{}", args::USAGE);
            Ok(true)
        }
        Command::Test { on } => test::run(on),
        Command::Kernel { on, list: true, filters } => kernel::list(on, &filters),
        Command::Kernel { on, list: false, filters } => kernel::run(on, &filters),
        Command::Demo { on } => demo::run(on),
        Command::Picture => picture::run(),
        Command::Bench { on, task, filters } => bench::run(on, task, &filters),
        Command::Package { test, on } => package::run(test, on),
        Command::DemoSteps => demo::steps(),
        Command::DemoClient { vip } => demo::client(&vip),
        Command::InGuest { suites, report } => machine::in_guest(&suites, &report),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
