//! Entry point of the program; its commands are in [`vipd::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    vipd::cli::main()
}
