//! `cargo xtask package` and `cargo xtask dist`: build and try the packages and the container image.

mod changelog;
mod deb;
mod dist;
mod image;
mod modes;
mod release;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::cargo::Workspace;
use crate::machine::Machine;
use crate::progress::Step;
use crate::suite::{Report, Suite};
use crate::{summary, tools};

pub(crate) use self::release::BuildAhead;

/// Tools that make a guest a node.
const NODE: &[tools::Tool] =
    &[tools::tool("/lib/systemd/systemd", "systemd"), tools::tool("adduser", "adduser")];

/// Builds the package; with `test`, tries the image, and the package on a guest. Builds the program, unless
/// one is given.
pub(crate) fn build_and_test(
    test: bool,
    program: Option<&Path>,
    on: Option<Machine>,
) -> Result<bool> {
    if !test {
        build_package(&Workspace::read_metadata()?, program)?;
        return Ok(true);
    }
    let (machine, report) = report_package_tests(program, on)?;
    print!("{}", summary::kernel_summary(machine.title(), &report));
    Ok(report.passed())
}

/// Builds the package and what is published beside it, and tries the image, and the package on a guest.
pub(crate) fn report_package_tests(
    program: Option<&Path>,
    on: Option<Machine>,
) -> Result<(Machine, Report)> {
    let workspace = Workspace::read_metadata()?;
    // systemd mounts one in the guest.
    ensure!(
        !workspace.workspace_root.starts_with("/tmp"),
        "the guests of these tests have a /tmp of their own, so they can't see {}: move the checkout \
         elsewhere",
        workspace.workspace_root.display()
    );
    let package = build_package(&workspace, program)?;
    try_image(&workspace, &package)?;
    dist::publish_package(&workspace, &package)?;
    let machine = choose_guest(on)?;
    Ok((machine, install_on(&workspace, &package, machine)?))
}

/// Builds everything that is published. With a tag it must be fit for a release.
pub(crate) fn make_dist(tag: Option<&str>, program: Option<&Path>) -> Result<bool> {
    let workspace = Workspace::read_metadata()?;
    if let Some(tag) = tag {
        dist::check_release(&workspace, tag)?;
    }
    let package = build_package(&workspace, program)?;
    let folder = dist::publish_package(&workspace, &package)?;
    println!("\n{}:", folder.display());
    for file in dist::list_files(&folder)? {
        let length = fs::metadata(&file)?.len();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        println!("  {name}  {:.1} MiB", length as f64 / f64::from(1 << 20));
    }
    if tag.is_none() {
        println!("A trial, not a release: `cargo xtask dist --release TAG` makes one.");
    }
    Ok(true)
}

/// Builds the static program and the Debian package that holds it.
fn build_package(workspace: &Workspace, program: Option<&Path>) -> Result<PathBuf> {
    let program = match program {
        Some(program) => program.canonicalize().with_context(|| program.display().to_string())?,
        None => {
            let step = Step::start("building vipd for release, without shared libraries");
            let program = release::build_static(workspace)?;
            step.end(&format!("built {}", program.display()));
            program
        }
    };
    let step = Step::start("making the Debian package, and checking it with lintian");
    let package = deb::make_package(workspace, &program)?;
    step.end(&format!("made {}", package.display()));
    // The image's recipe takes it from here.
    fs::copy(&program, package.with_file_name("vipd"))
        .with_context(|| format!("cannot copy {}", program.display()))?;
    Ok(package)
}

fn try_image(workspace: &Workspace, package: &Path) -> Result<()> {
    let step = Step::start("building the image and running it");
    image::try_image(workspace, package.parent().unwrap_or(package))?;
    step.end("vipd in it found Marathon by its name");
    Ok(())
}

/// Chooses the guest to install the package on, never this machine itself.
fn choose_guest(on: Option<Machine>) -> Result<Machine> {
    let machine = match on {
        None | Some(Machine::Host) => Machine::Uml,
        Some(guest) => guest,
    };
    tools::ensure_installed(NODE)?;
    Machine::choose(Some(machine))
}

fn install_on(workspace: &Workspace, package: &Path, machine: Machine) -> Result<Report> {
    let step = Step::start("building the tests of the package");
    let tests = workspace.build_package_tests()?;
    let programs = workspace.build_programs()?;
    step.end("built");
    let test = tests.into_iter().next().context("there is no test target `package`")?;
    let suite = Suite {
        name: "the package on a node".to_owned(),
        dir: test.dir,
        program: test.executable,
        args: vec!["--test-threads=1".to_owned(), "--nocapture".to_owned()],
        programs: programs.first().and_then(|built| built.executable.parent()).map(Path::to_owned),
        packages: vec![("VIPD_PACKAGE".to_owned(), package.to_owned())],
        libtest: true,
        systemd: true,
    };
    machine.run_tests(&[suite], &[])
}
