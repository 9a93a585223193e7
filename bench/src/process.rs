//! Child processes, their processor time and their memory.

use std::ffi::OsStr;
use std::fs;
use std::process::{Child, Command};

/// Returns a command that the kernel kills with this process: a measurement may fail.
pub(crate) fn child_command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A child that is killed when it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Returns the processor time of all its threads, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap().flatten();
        let of = |task: fs::DirEntry| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<f64>().ok()
        };
        tasks.filter_map(of).sum::<f64>() / 1e9
    }

    /// Returns a line of proc(5)'s `status`, such as `VmRSS`, in MiB.
    pub(crate) fn mebibytes(&self, key: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}
