//! Network namespaces and tools for the tests.

use std::io::Write;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::process::Command as Process;

use nix::sched::{CloneFlags, unshare};
use nl_ipvs::{
    Command, Destination, DestinationSettings, Ipvs, KernelError, Scheduler, Service, ServiceKey,
    ServiceSettings,
};

/// Runs a test in a new network namespace with `lo` up: without it the kernel takes every
/// address for an invalid one. Programs the test starts are in it too.
pub(crate) fn in_namespace(test: impl FnOnce(&mut Ipvs) + Send) {
    let outcome = std::thread::scope(|scope| {
        let namespaced = || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a new network namespace (needs root)");
            run("ip", "link set lo up");
            let _flush = FlushAtEnd;
            test(&mut Ipvs::open().expect("a kernel with IPVS"));
        };
        scope.spawn(namespaced).join()
    });
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Empties the table of the namespace. The kernel would do that some time after the end of the
/// namespace, and the dump of a later test would miss a service then (see [`nl_ipvs::Dump`]).
struct FlushAtEnd;

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        // A namespace that can't do it has no services.
        let _ = Ipvs::open().map(|mut ipvs| ipvs.flush());
    }
}

/// What a program printed.
pub(crate) fn run(program: &str, arguments: &str) -> String {
    try_run(program, arguments).unwrap_or_else(|error| panic!("{program} {arguments}: {error}"))
}

pub(crate) fn try_run(program: &str, arguments: &str) -> Result<String, String> {
    let output = Process::new(program)
        .args(arguments.split_whitespace())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The whole table as `ipvsadm` would restore it, sorted.
pub(crate) fn saved() -> Vec<String> {
    let mut lines: Vec<_> =
        run("ipvsadm", "-Sn").lines().map(|line| line.trim_end().to_owned()).collect();
    lines.sort();
    lines
}

/// Says what this kernel can't do, past the test runner, which keeps a passing test's output.
pub(crate) fn not_here(what: &str) {
    writeln!(std::io::stderr(), "not on this kernel: {what}").expect("standard error");
}

pub(crate) fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address with a port")
}

pub(crate) fn key() -> ServiceKey {
    ServiceKey::tcp(at("10.96.0.1:80"))
}

pub(crate) fn settings(scheduler: &str) -> ServiceSettings {
    ServiceSettings::new(Scheduler::new(scheduler).expect("a name"))
}

pub(crate) fn add_service(key: ServiceKey) -> Command {
    Command::AddService { key, settings: settings("rr") }
}

pub(crate) fn add_server(service: ServiceKey, address: &str) -> Command {
    let settings = DestinationSettings::masquerade(1);
    Command::AddDestination { service, address: at(address), settings }
}

/// Does commands that must all succeed.
pub(crate) fn apply(ipvs: &mut Ipvs, commands: &[Command]) {
    let outcomes = ipvs.batch(commands).expect("known outcomes");
    for (command, outcome) in commands.iter().zip(outcomes) {
        assert_eq!(outcome, Ok(()), "{command:?}");
    }
}

/// Does one command; 0 or the number of the refusal.
pub(crate) fn errno_of(ipvs: &mut Ipvs, command: Command) -> i32 {
    let outcome = ipvs.batch(&[command]).expect("a known outcome").remove(0);
    outcome.as_ref().err().map_or(0, KernelError::errno)
}

/// All services, which must all be readable.
pub(crate) fn services(ipvs: &mut Ipvs) -> Vec<Service> {
    let dump = ipvs.services().expect("a dump");
    assert_eq!(dump.unreadable, []);
    dump.entries
}

/// All real servers of a service, which must all be readable.
pub(crate) fn servers(ipvs: &mut Ipvs, key: &ServiceKey) -> Vec<Destination> {
    let dump = ipvs.destinations(key).expect("a dump").expect("the service");
    assert_eq!(dump.unreadable, []);
    dump.entries
}
