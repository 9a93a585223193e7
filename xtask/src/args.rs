//! The command line.

use std::path::PathBuf;

use crate::machine::{Machine, NAMES};

/// What `cargo xtask help` prints.
pub(crate) const USAGE: &str = "\
Usage: cargo xtask COMMAND

  test   [--on MACHINE]                     formatting, clippy, all tests, then the kernel tests
  kernel [--on MACHINE] [--list] [FILTER…]  the tests that need a kernel with IPVS
  demo   [--on MACHINE]                     vipd at work on three nodes, step by step
  bench  [--on MACHINE] [FILTER…]           how fast it is, beside what the kernel itself takes
  bench  --check | --record                 instructions of fixed work, beside those recorded
  bench  --scale                            what a Marathon gets from 1,000 and 5,000 agents
  picture                                   the status page, as docs/status-page.png
  package [--test] [--on MACHINE]           vipd for nodes: one static program, as a Debian package;
                                            with --test it is installed on a guest and tried
  help                                      this text

MACHINE is one of these; without --on, host where it can be, else uml:
  host           this machine's own kernel, inside throw-away namespaces; it takes root and IPVS
  uml            user-mode Linux, which takes neither
  qemu           QEMU in software, with the newest kernel of this Debian release or its backports
  qemu-bullseye  the same with Debian 11's kernel, Linux 5.10
FILTER is a part of a test's name; several mean any of them.

Tools that are missing are installed with apt-get when run by root on Debian.

Examples:
  cargo xtask test
  cargo xtask kernel --on uml mh_
  cargo xtask kernel --on qemu
  cargo xtask kernel --list";

/// One call of xtask.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Test {
        on: Option<Machine>,
    },
    Kernel {
        on: Option<Machine>,
        list: bool,
        filters: Vec<String>,
    },
    Demo {
        on: Option<Machine>,
    },
    Picture,
    Bench {
        on: Option<Machine>,
        task: Bench,
        filters: Vec<String>,
    },
    Package {
        test: bool,
        on: Option<Machine>,
    },
    /// Hidden: the demo's steps, inside the sandbox that `demo` made.
    DemoSteps,
    /// Hidden: connects to a VIP again and again, and counts.
    DemoClient {
        vip: String,
    },
    /// Hidden: runs the suites of one file, inside a guest, and writes a report.
    InGuest {
        suites: PathBuf,
        report: PathBuf,
    },
}

/// What `bench` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bench {
    /// Measure, print, and write docs/performance.md.
    Measure,
    /// Compare instruction counts with those recorded.
    Check,
    /// Record them.
    Record,
    /// Run the model of a thousand agents, and write docs/scale.md.
    Scale,
}

/// Reads the arguments that follow the program's name; the error says which one is wrong.
pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut on = None;
    let (mut list, mut test) = (false, false);
    let mut task = Bench::Measure;
    let mut words = Vec::new();
    let mut args = args;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--list" => list = true,
            "--check" => task = Bench::Check,
            "--record" => task = Bench::Record,
            "--scale" => task = Bench::Scale,
            "--test" => test = true,
            "--on" => {
                let name = args.next().ok_or_else(|| format!("--on needs a machine: {NAMES}"))?;
                on = Some(name.parse::<Machine>()?);
            }
            flag if flag.starts_with('-') => return Err(format!("unknown option {flag}")),
            _ => words.push(arg),
        }
    }
    let mut words = words.into_iter();
    let command = words.next().ok_or("no command given")?;
    let rest: Vec<String> = words.collect();
    for (given, flag, of) in [(list, "--list", "kernel"), (test, "--test", "package")] {
        if given && command != of {
            return Err(format!("{flag} does not go with {command}"));
        }
    }
    if task != Bench::Measure && command != "bench" {
        return Err(format!("--check, --record and --scale do not go with {command}"));
    }
    match (command.as_str(), rest.as_slice()) {
        ("bench", _) => Ok(Command::Bench { on, task, filters: rest }),
        ("kernel", _) => Ok(Command::Kernel { on, list, filters: rest }),
        ("help", []) => Ok(Command::Help),
        ("test", []) => Ok(Command::Test { on }),
        ("demo", []) => Ok(Command::Demo { on }),
        ("picture", []) => Ok(Command::Picture),
        ("package", []) => Ok(Command::Package { test, on }),
        ("demo-steps", []) => Ok(Command::DemoSteps),
        ("demo-client", [vip]) => Ok(Command::DemoClient { vip: vip.clone() }),
        ("in-guest", [suites, report]) => {
            Ok(Command::InGuest { suites: suites.into(), report: report.into() })
        }
        ("help" | "test" | "demo" | "picture" | "package" | "demo-steps", [extra, ..]) => {
            Err(format!("{command} does not take '{extra}'"))
        }
        _ => Err(format!("unknown command {command}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_may_stand_before_or_after_filters() {
        let expected = Command::Kernel {
            on: Some(Machine::Uml),
            list: true,
            filters: vec!["mh".to_owned(), "sh".to_owned()],
        };
        assert_eq!(parse_line("kernel mh --on uml sh --list"), Ok(expected));
    }

    #[test]
    fn without_on_the_machine_is_left_open() {
        assert_eq!(parse_line("test"), Ok(Command::Test { on: None }));
        assert_eq!(parse_line("demo"), Ok(Command::Demo { on: None }));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, named) in [
            ("", "no command"),
            ("tets", "tets"),
            ("test all", "'all'"),
            ("test --list", "--list"),
            ("kernel --on", "host, uml"),
            ("kernel --on mars", "mars"),
            ("kernel --fast", "--fast"),
            ("in-guest one", "in-guest"),
        ] {
            let problem = parse_line(line).unwrap_err();
            assert!(problem.contains(named), "{line}: {problem}");
        }
    }
}
