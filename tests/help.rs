//! Help, man pages and completions: what is changed in them is seen in review.
#![allow(clippy::unwrap_used, reason = "a test that cannot run its tools should stop")]

mod support;

use std::process::Command;

use support::{command, vipd};

/// A command's words, without `vipd`.
type Words = Vec<String>;

/// Every command that there is, as the program lists them: first those of `vipd --help`, each followed by
/// those below it.
fn commands() -> Vec<Words> {
    fn add_below(words: &[String], all: &mut Vec<Words>) {
        let help = help(words);
        let Some((_, list)) = help.split_once("\nCommands:\n") else { return };
        let lines = list.lines().take_while(|line| !line.is_empty());
        // A description may go on in the next line.
        let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        for name in names.filter(|name| !matches!(*name, "" | "help")) {
            let below = [words, &[name.to_owned()]].concat();
            all.push(below.clone());
            add_below(&below, all);
        }
    }
    let mut all = Vec::new();
    add_below(&[], &mut all);
    let has = |words: &str| all.iter().any(|each| each.join(" ") == words);
    assert!(["run", "relay", "names import", "generate man"].into_iter().all(has), "{all:?}");
    all
}

/// `vipd [COMMAND] --help`, in nobody's environment.
fn help(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let output = command(&words).arg("--help").env_remove("VIPD_CONFIG").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_reads_as_reviewed() {
    insta::assert_snapshot!("vipd", help(&[]));
    for words in commands() {
        insta::assert_snapshot!(words.join("_"), own(&help(&words)));
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
    for words in commands() {
        let example = format!("Examples:\n  vipd {}", words.join(" "));
        assert!(help(&words).contains(&example), "{words:?}");
    }
}

/// Generates the man pages.
fn man_pages() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ran = vipd(&["generate", "man", folder.path().to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    folder
}

/// Asserts that whatever a page lists, such as a flag, is followed by a text about it.
#[track_caller]
fn assert_described(page: &str) {
    let mut lines = page.lines();
    let mut items = 0;
    while lines.any(|line| line == ".TP") {
        let item = lines.next().unwrap_or_default();
        let text = lines.next().unwrap_or_default();
        assert!(!text.is_empty() && !text.starts_with('.'), "{item} has no description:\n{page}");
        items += 1;
    }
    assert!(items > 3, "{page}");
}

#[test]
fn the_man_page_of_every_command_describes_every_flag_and_has_every_section() {
    let folder = man_pages();
    for words in commands() {
        let page = format!("vipd-{}.1", words.join("-"));
        let page = std::fs::read_to_string(folder.path().join(page)).unwrap();
        let sections = ["NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "ENVIRONMENT", "FILES"];
        for section in sections.iter().chain(&["EXIT STATUS", "SEE ALSO"]) {
            let heads = [format!(".SH {section}\n"), format!(".SH \"{section}\"\n")];
            assert!(heads.iter().any(|head| page.contains(head)), "{words:?}: {section}\n{page}");
        }
        assert!(!page.contains("Exit status:"), "{words:?}: it is a section");
        assert_described(&page);
        let help = help(&words);
        let flags = help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        for flag in flags.filter(|word| word.starts_with("--") && word.len() > 2) {
            let escaped = flag.replace('-', "\\-");
            assert!(page.contains(&escaped), "{words:?} lacks {flag}");
        }
    }
    assert_described(&std::fs::read_to_string(folder.path().join("vipd.1")).unwrap());
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
    assert_described(&page);
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
        for word in commands().iter().flatten() {
            assert!(ran.out.contains(word), "{shell} lacks {word}");
        }
        // Only a shell that is there can be asked whether it understands.
        let script = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(script.path(), &ran.out).unwrap();
        if let Ok(status) = Command::new(shell).arg("-n").arg(script.path()).status() {
            assert!(status.success(), "{shell} does not understand its completions");
        }
    }
}
