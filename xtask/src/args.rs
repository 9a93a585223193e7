//! The command line of `cargo xtask`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::machine::Machine;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", disable_version_flag = true, after_help = EXAMPLES)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Tools that are missing are installed: with apt-get when run by root on Debian.

Examples:
  cargo xtask test
  cargo xtask kernel --on uml mh_
  cargo xtask kernel --on qemu
  cargo xtask kernel --list
  cargo xtask bench --check";

/// One call of xtask.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Command {
    /// Check everything: format, lints, dependencies, unit, behaviour and real-kernel tests.
    Test {
        #[command(flatten)]
        machine: OnMachine,
    },
    /// Run the tests that need a kernel with IPVS.
    Kernel {
        #[command(flatten)]
        machine: OnMachine,
        /// Print the names of the tests and run none.
        #[arg(long, conflicts_with = "on")]
        list: bool,
        /// Run only tests with one of these in their name.
        #[arg(value_name = "FILTER")]
        filters: Vec<String>,
    },
    /// Run the tests of long trouble, about 20 minutes: lost packets, delays, an agent that stands
    /// still. They count false verdicts about hosts.
    Soak {
        #[command(flatten)]
        machine: OnMachine,
    },
    /// Show vipd at work on three nodes, step by step.
    Demo {
        #[command(flatten)]
        machine: OnMachine,
    },
    /// Measure vipd's speed, compared with what the kernel itself needs.
    Bench {
        #[command(flatten)]
        machine: OnMachine,
        #[command(flatten)]
        mode: BenchMode,
        /// Measure only what has one of these in its name.
        #[arg(value_name = "FILTER")]
        filters: Vec<String>,
    },
    /// Compare the public API of the published crates with the files that record it.
    Api,
    /// Compile the published crates with each feature alone, and the tests and examples in their packages.
    Published,
    /// Compile the published crates with the oldest Rust that they name.
    OldestRust,
    /// Look for changes of the published crates' API that their versions don't allow, by
    /// cargo-semver-checks, which is built first, for minutes.
    Semver {
        /// Compare with this revision; without it, with the latest tag.
        #[arg(value_name = "REVISION")]
        revision: Option<String>,
    },
    /// Measure the source's style: names, comments, circles of imports.
    Style {
        /// Print the places too.
        #[arg(long)]
        list: bool,
    },
    /// Draw the status page as docs/status-page.png.
    Picture,
    /// Build vipd for nodes: one static program, as a Debian package.
    Package {
        /// Install the package on a guest and try it there.
        #[arg(long)]
        test: bool,
        /// Pack this program, which must be static, instead of building one for minutes.
        #[arg(long, value_name = "FILE")]
        program: Option<PathBuf>,
        #[command(flatten)]
        machine: OnMachine,
    },
    /// Build what is published, under target/dist: packages, an archive, an image, checksums, and a list of
    /// what is in them. For the architecture of this machine.
    Dist {
        /// Make the release with this tag, such as v0.2.0. Without it the files are a trial.
        #[arg(long, value_name = "TAG")]
        release: Option<String>,
        /// Pack this program, as `package` does; for trials only.
        #[arg(long, value_name = "FILE", conflicts_with = "release")]
        program: Option<PathBuf>,
    },
    /// Run the demo's steps, inside the sandbox that `demo` made.
    #[command(hide = true)]
    DemoSteps,
    /// Connect to a VIP again and again, and count.
    #[command(hide = true)]
    DemoClient { vip: String },
    /// Run the suites of a file, inside a guest, and write a report.
    #[command(hide = true)]
    InGuest { suites: PathBuf, report: PathBuf },
}

/// The machine to run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct OnMachine {
    /// Run on this machine; without it, on host where it can be, else on uml.
    #[arg(long, value_name = "MACHINE")]
    pub(crate) on: Option<Machine>,
}

/// The task of `bench`; without any it measures and writes docs/performance.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
#[group(multiple = false)]
pub(crate) struct BenchMode {
    /// Compare the instruction counts of fixed work with those recorded.
    #[arg(long)]
    pub(crate) check: bool,
    /// Record the instruction counts of fixed work.
    #[arg(long)]
    pub(crate) record: bool,
    /// Model the load on a Marathon from 1,000 and 5,000 agents, and write docs/scale.md.
    #[arg(long)]
    pub(crate) scale: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse_line(line: &str) -> Result<Command, String> {
        let words = ["xtask"].into_iter().chain(line.split_whitespace());
        let parsed = CommandLine::try_parse_from(words).map_err(|error| error.to_string());
        parsed.map(|line| line.command)
    }

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_or_after_filters() {
        let expected = |list, on| Command::Kernel {
            machine: OnMachine { on },
            list,
            filters: vec!["mh".to_owned(), "sh".to_owned()],
        };
        let on_uml = expected(false, Some(Machine::Uml));
        assert_eq!(parse_line("kernel mh --on uml sh"), Ok(on_uml));
        assert_eq!(parse_line("kernel mh sh --list"), Ok(expected(true, None)));
    }

    #[test]
    fn without_on_the_machine_is_left_open() {
        let machine = OnMachine { on: None };
        assert_eq!(parse_line("test"), Ok(Command::Test { machine }));
        assert_eq!(parse_line("demo"), Ok(Command::Demo { machine }));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, named) in [
            ("", "Usage: cargo xtask"),
            ("tets", "tets"),
            ("test all", "'all'"),
            ("test --list", "--list"),
            ("test --check", "--check"),
            ("kernel --on", "host, uml"),
            ("kernel --on mars", "mars"),
            ("kernel --fast", "--fast"),
            ("kernel --list --on uml", "--list"),
            ("bench --check --record", "--record"),
            ("in-guest one", "<REPORT>"),
        ] {
            let problem = parse_line(line).unwrap_err();
            assert!(problem.contains(named), "{line}: {problem}");
        }
    }
}
