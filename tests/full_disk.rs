//! Runs of the program where nothing can be written: /dev/full is a disk without room.
#![allow(clippy::unwrap_used, reason = "a test that cannot run its tools should stop")]

mod support;

use std::fs::File;

use support::{command, example};

/// A file that takes nothing.
fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// Each command, as far as it comes without an agent.
fn commands() -> Vec<Vec<String>> {
    let example = example("mysql.json");
    let lines = [
        "",
        "--help",
        "--version",
        "--no-such-option",
        "run --marathon http://127.0.0.1:1",
        "run --marathon http://127.0.0.1:1 --log-format json",
        "diff --marathon http://127.0.0.1:1",
        &format!("diff --from {example}"),
        &format!("apply --from {example}"),
        "adopt 3.3.0.6:3306",
        "status",
        "status --watch",
        "events",
        "explain /mysql",
        "names",
        "names import --from dns://127.0.0.1",
        "hold why",
        "release",
        "accept",
        &format!("check {example}"),
        &format!("check --output json {example}"),
        "check /none",
        "config check",
        "config schema",
        "doctor",
        "doctor --output json",
        "cleanup --dry-run",
        "dns --listen 0.0.0.0",
        "generate completions bash",
        "generate man /dev/null",
    ];
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    lines.into_iter().map(words).collect()
}

#[test]
fn no_command_panics_where_nothing_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    for args in commands() {
        let mut command = command(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let command = command.stdout(full()).stderr(full()).env("VIPD_LOG", "trace");
        let command = command.env("VIPD_LOCK", folder.path().join("lock"));
        let status = command.env("VIPD_SOCKET", folder.path().join("socket")).status().unwrap();
        assert!(matches!(status.code(), Some(0..=2)), "{args:?}: {status}");
    }
}

/// A script that redirects the output must not take a part of it for all.
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let example = example("mysql.json");
    for args in [
        &["--help"][..],
        &["--version"],
        &["check", "--help"],
        &["check", &example],
        &["check", "--output", "json", &example],
        &["config", "check"],
        &["config", "schema"],
        &["generate", "completions", "bash"],
    ] {
        let output = command(args).stdout(full()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains("cannot write to standard output"), "{args:?}: {said}");
    }
}
