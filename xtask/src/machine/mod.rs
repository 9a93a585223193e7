//! The machines on which kernel tests run.

mod apt;
mod debian;
mod guest_dir;
mod host;
mod qemu;
mod uml;

use std::fs;
use std::io::{Write, stdout};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use clap::builder::PossibleValue;

use self::debian::Kernel;
use self::qemu::Processors;
use crate::cargo::Workspace;
use crate::suite::{self, Report, Suite};
use crate::tools;

/// A kernel with IPVS to run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    /// This machine's own kernel.
    Host,
    /// User-mode Linux: a kernel that runs as an ordinary process.
    Uml,
    /// QEMU in software, with one of Debian's kernels.
    Qemu(Kernel),
}

impl Machine {
    /// The machine for vipd's whole data path: it has all of netfilter.
    pub(crate) const WHOLE: Self = Self::Qemu(Kernel::Newest);

    /// Returns the machine that was asked for, or else the best one. Installs its tools, and prints
    /// the choice with the reason.
    pub(crate) fn choose(asked: Option<Self>) -> Result<Self> {
        tools::ensure_installed(tools::ORACLES)?;
        let (machine, why) = match (asked, host::find_lack()?) {
            (Some(Self::Host), Some(lack)) => {
                bail!("cannot run on this machine's own kernel: {lack}; `--on uml` doesn't need it")
            }
            (Some(machine), _) => (machine, "as asked".to_owned()),
            (None, None) => (Self::Host, "it has IPVS and we are root".to_owned()),
            (None, Some(lack)) => (Self::Uml, format!("not this machine's own kernel: {lack}")),
        };
        match machine {
            Self::Host => {}
            Self::Uml => tools::ensure_installed(tools::USER_MODE_LINUX)?,
            Self::Qemu(_) => tools::ensure_installed(tools::QEMU)?,
        }
        println!("kernel tests run on {} ({why})", machine.title());
        Ok(machine)
    }

    /// Runs the suites on this machine.
    pub(crate) fn run_suites(self, suites: &[Suite]) -> Result<Report> {
        self.run_suites_into(suites, &mut stdout())
    }

    /// Runs the suites on this machine. `shown` gets their output.
    pub(crate) fn run_suites_into(self, suites: &[Suite], shown: &mut dyn Write) -> Result<Report> {
        match self {
            Self::Host => suite::run_suites(suites, shown, |_| Ok(())),
            Self::Uml => uml::run_uml(suites, shown),
            Self::Qemu(kernel) => qemu::run_qemu(kernel, Processors::Two, suites, shown),
        }
    }

    /// Runs the tests of these suites that a filter selects, in as many guests as this machine's
    /// processors have time for. The output of the first is printed as it comes, that of each other one
    /// at its end. A few tests that fail run again in a guest of their own, and what they say there
    /// counts: beside other guests, a guest stands still for longer than a node does.
    pub(crate) fn run_tests(self, suites: &[Suite], filters: &[String]) -> Result<Report> {
        let parts = suite::split_suites(suites, filters, self.guests_at_once())?;
        let Some((first, others)) = parts.split_first() else { return self.run_suites(&[]) };
        let reports = thread::scope(|scope| {
            let run = |part: &Vec<Suite>| {
                let mut shown = Vec::new();
                let report = self.run_suites_into(part, &mut shown);
                stdout().write_all(&shown)?;
                report
            };
            let others: Vec<_> = others.iter().map(|part| scope.spawn(move || run(part))).collect();
            let first = self.run_suites(first);
            let join = |other: thread::ScopedJoinHandle<'_, _>| {
                other.join().unwrap_or_else(|panic| resume_unwind(panic))
            };
            [first].into_iter().chain(others.into_iter().map(join)).collect::<Vec<_>>()
        });
        let mut all = Report::default();
        for report in reports {
            let Report { kernel, outcomes } = report?;
            all.kernel = kernel;
            all.outcomes.extend(outcomes);
        }
        if parts.len() > 1 {
            for again in suite::failed_suites(&parts.concat(), &all.outcomes) {
                println!("again, alone: {}", again.args.join(" "));
                for rerun in self.run_suites(&[again])?.outcomes {
                    let of = all.outcomes.iter_mut().find(|outcome| outcome.name == rerun.name);
                    of.into_iter().for_each(|outcome| outcome.add_rerun(rerun.clone()));
                }
            }
        }
        Ok(all)
    }

    /// Returns how many guests run at the same time. Tests wait much of the time: user-mode Linux uses less
    /// than half of a processor, QEMU in software most of one.
    fn guests_at_once(self) -> usize {
        match self {
            Self::Host => 1,
            Self::Uml => uml::GUESTS,
            Self::Qemu(_) => 2,
        }
    }

    /// Runs the suites in a guest whose clock counts instructions. `shown` gets their output.
    pub(crate) fn count_in_guest(suites: &[Suite], shown: &mut dyn Write) -> Result<Report> {
        tools::ensure_installed(tools::QEMU)?;
        qemu::run_qemu(Kernel::Newest, Processors::Counting, suites, shown)
    }

    /// Downloads the packages of the programs that tests run beside vipd, and returns their
    /// directories by the variables that name them. Only guests unpack packages, and only one with
    /// all of netfilter can run the daemons. Tests that miss them, since Debian's archive is out of
    /// reach, say so.
    pub(crate) fn download_packages(self) -> Result<Vec<(String, PathBuf)>> {
        let target = Workspace::read_metadata()?.target_directory;
        let daemons = ("VIPD_TEST_PACKAGES", tools::DAEMONS, "packages");
        let resolvers = ("VIPD_TEST_RESOLVERS", tools::RESOLVERS, "resolver-packages");
        let wanted = match self {
            Self::Host => vec![],
            Self::Uml => vec![resolvers],
            Self::Qemu(_) => vec![daemons, resolvers],
        };
        let mut found = Vec::new();
        for (variable, packages, folder) in wanted {
            match tools::download_with_needs(packages, &target.join(folder)) {
                Ok(folder) => found.push((variable.to_owned(), folder)),
                Err(error) => println!("    {error:#}"),
            }
        }
        Ok(found)
    }

    /// Returns its name for people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Host => "this machine's own kernel",
            Self::Uml => "user-mode Linux",
            Self::Qemu(Kernel::Newest) => "QEMU",
            Self::Qemu(Kernel::Bullseye) => "QEMU with Debian 11's kernel",
        }
    }
}

impl ValueEnum for Machine {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Host, Self::Uml, Self::Qemu(Kernel::Newest), Self::Qemu(Kernel::Bullseye)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Host => ("host", "This machine's own kernel, in namespaces; needs root and IPVS"),
            Self::Uml => ("uml", "User-mode Linux; needs neither"),
            Self::Qemu(Kernel::Newest) => {
                ("qemu", "QEMU in software, with the newest kernel of this Debian release")
            }
            Self::Qemu(Kernel::Bullseye) => {
                ("qemu-bullseye", "QEMU in software, with Debian 11's kernel, Linux 5.10")
            }
        };
        Some(PossibleValue::new(name).help(help))
    }
}

/// Runs the suites listed in one file, inside a guest. The report in the other file is updated
/// after each suite, so that a guest that dies leaves its results.
pub(crate) fn run_in_guest(suites: &Path, report: &Path) -> Result<bool> {
    let suites = fs::read(suites).with_context(|| format!("cannot read {}", suites.display()))?;
    let suites: Vec<Suite> = serde_json::from_slice(&suites).context("cannot read the suites")?;
    let done = suite::run_suites(&suites, &mut stdout(), |so_far| {
        fs::write(report, serde_json::to_vec(so_far)?)
            .with_context(|| format!("cannot write {}", report.display()))
    })?;
    Ok(done.passed())
}
