//! The vipd program: see [`vipd::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    vipd::cli::main()
}
