//! Help, man pages and completions: what is changed in them is seen in review.
#![allow(clippy::unwrap_used, reason = "a test that cannot run its tools should stop")]

mod support;

use std::process::Command;

use support::{command, vipd};

const COMMANDS: [&str; 18] = [
    "run", "diff", "apply", "adopt", "status", "explain", "check", "cleanup", "generate", "hold",
    "release", "accept", "doctor", "events", "dns", "names", "config", "try",
];

/// `vipd [COMMAND] --help`, in nobody's environment.
fn help(args: &[&str]) -> String {
    let output = command(args).arg("--help").env_remove("VIPD_CONFIG").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_reads_as_reviewed() {
    let all = help(&[]);
    insta::assert_snapshot!("vipd", all);
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {command} ")), "{command} is not in\n{all}");
        insta::assert_snapshot!(command, own(&help(&[command])));
    }
    for (command, sub) in [("names", "import"), ("config", "check"), ("config", "schema")] {
        insta::assert_snapshot!(format!("{command}_{sub}"), own(&help(&[command, sub])));
    }
}

/// A command's help without the options that every command has: those are in `vipd --help`.
fn own(help: &str) -> String {
    let (before, of_all) = help.split_once("Options of every command:\n").unwrap();
    let (_, after) = of_all.split_once("\nExamples:\n").unwrap();
    format!("{before}Options of every command...\n\nExamples:\n{after}")
}

#[test]
fn every_command_has_examples() {
    for command in COMMANDS {
        assert!(help(&[command]).contains(&format!("Examples:\n  vipd {command}")), "{command}");
    }
}

#[test]
fn there_is_a_man_page_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("man1");
    let ran = vipd(&["generate", "man", path.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for command in COMMANDS {
        let page = std::fs::read_to_string(path.join(format!("vipd-{command}.1"))).unwrap();
        assert!(page.contains(".SH NAME"), "{page}");
    }
    assert!(path.join("vipd.1").exists() && path.join("vipd-names-import.1").exists());
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = vipd(&["generate", "completions", shell]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        for command in COMMANDS {
            assert!(ran.out.contains(command), "{shell} lacks {command}");
        }
        // Only a shell that is there can be asked whether it understands.
        let script = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(script.path(), &ran.out).unwrap();
        if let Ok(status) = Command::new(shell).arg("-n").arg(script.path()).status() {
            assert!(status.success(), "{shell} does not understand its completions");
        }
    }
}
