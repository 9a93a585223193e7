//! Network namespaces for tests on a real kernel.

use std::process::Command;

use nix::sched::{CloneFlags, setns, unshare};

/// Moves this thread into a network namespace of its own, with `lo` up. It ends with the thread;
/// the test harness gives every test one.
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
/// Without root, or where there is none of this name.
pub fn join_netns(name: &str) {
    let file = std::fs::File::open(format!("/run/netns/{name}"))
        .unwrap_or_else(|error| panic!("can't open the network namespace {name}: {error}"));
    setns(file, CloneFlags::CLONE_NEWNET)
        .unwrap_or_else(|errno| panic!("can't enter the network namespace {name}: {errno}"));
}

/// The same, with `lo` down and no local route table, as the kernel makes it: there IPVS refuses
/// every real server.
///
/// # Panics
/// Without root, or where a namespace can't be made.
pub fn enter_bare_netns() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|errno| {
        panic!("can't make a network namespace ({errno}): run this test as root")
    });
}

/// Runs a tool in this thread's network namespace and returns what it prints.
///
/// # Panics
/// When it can't be run or fails, with what it said.
#[track_caller]
pub fn run_tool(tool: &str, args: &str) -> String {
    run_tool_with_input(tool, args, "")
}

/// The same, with something on its standard input.
///
/// # Panics
/// When it can't be run or fails, with what it said.
#[track_caller]
pub fn run_tool_with_input(tool: &str, args: &str, input: &str) -> String {
    match try_run_tool_with_input(tool, args, input) {
        Ok(text) => text,
        Err(why) => panic!("`{tool} {args}`: {why}"),
    }
}

/// Runs a tool that may fail, and returns what it prints or else what it said about it.
///
/// # Errors
/// When it can't be run or fails.
pub fn try_run_tool(tool: &str, args: &str) -> Result<String, String> {
    try_run_tool_with_input(tool, args, "")
}

fn try_run_tool_with_input(tool: &str, args: &str, input: &str) -> Result<String, String> {
    use std::io::Write;
    use std::process::Stdio;

    let mut child = Command::new(tool)
        .args(args.split_ascii_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{error}: is it installed?"))?;
    // Inputs here are far smaller than a pipe's buffer.
    child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()))
        .map_err(|error| error.to_string())?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(text)
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}: {}{text}", output.status, said.trim()))
    }
}
