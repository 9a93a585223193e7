//! Network namespaces for tests on a real kernel.

use std::error::Error as _;
use std::io::{self, Write};
use std::process::{Command, ExitStatus, Stdio};

use nix::sched::{CloneFlags, setns, unshare};
use thiserror::Error;

/// Moves this thread into a new network namespace, with `lo` up. The namespace ends with the
/// thread; the test harness runs each test in a thread of its own.
///
/// # Panics
/// Without root, or where a namespace can't be made.
pub fn enter_netns() {
    enter_bare_netns();
    run_tool("ip", "link set lo up");
}

/// Moves this thread into a network namespace that `ip netns add` made.
///
/// # Panics
/// Without root, or if there is none of this name.
pub fn join_netns(name: &str) {
    let file = std::fs::File::open(format!("/run/netns/{name}"))
        .unwrap_or_else(|error| panic!("can't open the network namespace {name}: {error}"));
    setns(file, CloneFlags::CLONE_NEWNET)
        .unwrap_or_else(|errno| panic!("can't enter the network namespace {name}: {errno}"));
}

/// Moves this thread into a new network namespace with `lo` down and no local route table, as the
/// kernel makes it. IPVS refuses every real server there.
///
/// # Panics
/// Without root, or where a namespace can't be made.
pub fn enter_bare_netns() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|errno| {
        panic!("can't make a network namespace ({errno}): run this test as root")
    });
}

/// Runs a tool in this thread's network namespace and returns its output.
///
/// # Panics
/// When it can't be run or fails, with its message.
#[track_caller]
pub fn run_tool(tool: &str, args: &str) -> String {
    run_tool_with_input(tool, args, "")
}

/// Runs a tool with something on its standard input, and returns its output.
///
/// # Panics
/// When it can't be run or fails, with its message.
#[track_caller]
pub fn run_tool_with_input(tool: &str, args: &str, input: &str) -> String {
    match try_run_tool_with_input(tool, args, input) {
        Ok(text) => text,
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            panic!("`{tool} {args}`: {error}{cause}")
        }
    }
}

/// Runs a tool that may fail, and returns its output.
///
/// # Errors
/// When it can't be run or fails.
pub fn try_run_tool(tool: &str, args: &str) -> Result<String, ToolError> {
    try_run_tool_with_input(tool, args, "")
}

/// A failure of a tool.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ToolError {
    /// The tool did not start.
    #[error("cannot start it: is it installed?")]
    Start(#[source] io::Error),
    /// Writing the tool's input or reading its output failed.
    #[error("cannot exchange data with it")]
    Pipe(#[source] io::Error),
    /// The tool exited with an error.
    #[error("{status}: {output}")]
    Failed {
        /// Exit status.
        status: ExitStatus,
        /// Messages and output.
        output: String,
    },
}

fn try_run_tool_with_input(tool: &str, args: &str, input: &str) -> Result<String, ToolError> {
    let mut child = Command::new(tool)
        .args(args.split_ascii_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(ToolError::Start)?;
    // Inputs here are far smaller than a pipe's buffer.
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(ToolError::Pipe)?;
    }
    let output = child.wait_with_output().map_err(ToolError::Pipe)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(text)
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        let status = output.status;
        Err(ToolError::Failed { status, output: format!("{}{text}", errors.trim()) })
    }
}
