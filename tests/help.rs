//! Help, man pages and completions: what is changed in them is seen in review.
#![allow(clippy::unwrap_used, reason = "a test that cannot run its tools should stop")]

mod support;

use std::process::Command;

use support::{command, vipd};

const COMMANDS: [&str; 20] = [
    "run", "diff", "apply", "adopt", "status", "explain", "check", "cleanup", "generate", "hold",
    "release", "accept", "doctor", "events", "dns", "names", "config", "report", "version", "try",
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

/// Generates the man pages.
fn man_pages() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ran = vipd(&["generate", "man", folder.path().to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    folder
}

#[test]
fn the_man_page_of_every_command_describes_every_flag_and_has_every_section() {
    let folder = man_pages();
    for command in COMMANDS {
        let page = format!("vipd-{command}.1");
        let page = std::fs::read_to_string(folder.path().join(page)).unwrap();
        let sections = ["NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "ENVIRONMENT", "FILES"];
        for section in sections.iter().chain(&["EXIT STATUS", "SEE ALSO"]) {
            let heads = [format!(".SH {section}\n"), format!(".SH \"{section}\"\n")];
            assert!(heads.iter().any(|head| page.contains(head)), "{command}: {section}\n{page}");
        }
        assert!(!page.contains("Exit status:"), "{command}: it is a section");
        let words = help(&[command]);
        let words = words.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        for flag in words.filter(|word| word.starts_with("--") && word.len() > 2) {
            let escaped = flag.replace('-', "\\-");
            assert!(page.contains(&escaped), "{command} lacks {flag}");
        }
    }
    assert!(folder.path().join("vipd.1").exists());
    assert!(folder.path().join("vipd-names-import.1").exists());
}

#[test]
fn the_man_page_of_the_configuration_has_every_key() {
    let folder = man_pages();
    let page = std::fs::read_to_string(folder.path().join("vipd.toml.5")).unwrap();
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let reference = std::fs::read_to_string(reference).unwrap();
    let mut keys = 0;
    for line in reference.lines() {
        if let Some(title) = line.strip_prefix("## `").and_then(|rest| rest.strip_suffix('`')) {
            assert!(page.contains(&format!(".SH \"{title}\"")), "{title}");
        }
        if let Some((key, _)) = line.strip_prefix("| `").and_then(|rest| rest.split_once('`')) {
            assert!(page.contains(&format!("\n.B {}\n", key.replace('-', "\\-"))), "{key}");
            keys += 1;
        }
    }
    assert!(keys > 30);
}

#[test]
fn groff_finds_nothing_wrong_with_the_man_pages() {
    let folder = man_pages();
    for page in std::fs::read_dir(folder.path()).unwrap() {
        let page = page.unwrap().path();
        // Only a machine with groff can ask it.
        let lint = Command::new("groff").args(["-man", "-ww", "-z", "-Tutf8"]).arg(&page).output();
        if let Ok(lint) = lint {
            let said = String::from_utf8_lossy(&lint.stderr);
            assert!(lint.status.success() && said.is_empty(), "{}: {said}", page.display());
        }
    }
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
