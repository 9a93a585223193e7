//! Checks of the documentation against the program and the repository: commands, configuration, links
//! and paths.
#![allow(clippy::unwrap_used, reason = "a test that cannot run its tools should stop")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::{command, vipd};
use vip::label::{DEFAULT_DRAIN, DEFAULT_SCHEDULER, Scheduling, read_port};

/// Every page in the root, in docs/, tests/ and the crates.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = |path: PathBuf| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = folder(root.join("crates")).collect();
    folders.extend(["", "docs", "tests"].map(|name| root.join(name)));
    let files = folders.into_iter().flat_map(folder);
    let pages = files.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let mut pages: Vec<_> = pages.map(|path| (path.clone(), read(&path))).collect();
    pages.sort();
    assert!(pages.len() > 8, "{pages:?}");
    pages
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fenced blocks of one kind, as lines.
fn blocks<'a>(page: &'a str, kind: &str) -> Vec<Vec<&'a str>> {
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    let mut inside = None;
    for line in page.lines() {
        match (line.trim().strip_prefix("```"), inside) {
            (Some(found), None) => {
                inside = Some(found == kind);
                blocks.extend((found == kind).then(Vec::new));
            }
            (Some(_), Some(_)) => inside = None,
            (None, Some(true)) => blocks.last_mut().unwrap().push(line),
            (None, _) => {}
        }
    }
    blocks
}

/// Whether the lines are as expected; a line `...` stands for any number of lines.
fn alike(expected: &[&str], lines: &[&str]) -> bool {
    match expected.split_first() {
        None => lines.is_empty(),
        Some((&"...", rest)) => (0..=lines.len()).any(|skipped| alike(rest, &lines[skipped..])),
        Some((first, rest)) => lines.first() == Some(first) && alike(rest, &lines[1..]),
    }
}

/// The arguments of each vipd command in a line of shell.
fn vipd_calls(line: &str) -> impl Iterator<Item = Vec<&str>> {
    let line = line.split(" #").next().unwrap_or_default();
    line.split('|').filter_map(|part| {
        let mut words = part.trim().trim_start_matches("$ ").split_whitespace();
        (words.next() == Some("vipd")).then(|| words.collect())
    })
}

#[test]
fn what_a_console_shows_is_what_the_program_prints() {
    let mut ran = 0;
    for (path, page) in pages() {
        for block in blocks(&page, "console") {
            let starts = (0..block.len()).filter(|&index| block[index].starts_with("$ "));
            for start in starts {
                let mut calls = vipd_calls(block[start]);
                let Some(words) = calls.next().filter(|words| words[0] == "check") else {
                    continue;
                };
                let after = &block[start + 1..];
                let end = after.iter().position(|line| line.contains("$ "));
                let expected: Vec<_> = after[..end.unwrap_or(after.len())].to_vec();
                let expected = expected.strip_suffix(&[""]).unwrap_or(&expected);
                let said = command(&words).output().unwrap();
                let said = String::from_utf8([said.stdout, said.stderr].concat()).unwrap();
                let lines: Vec<_> = said.lines().collect();
                let place = format!("{}: {}", path.display(), block[start]);
                assert!(alike(expected, &lines), "{place}\nprints\n{said}\nnot\n{expected:#?}");
                ran += 1;
            }
        }
    }
    assert!(ran >= 2, "only {ran} examples were run");
}

#[test]
fn every_vipd_command_line_names_a_command_and_flags_that_there_are() {
    let mut seen = 0;
    for (path, page) in pages() {
        let fenced = ["sh", "console"].map(|kind| blocks(&page, kind)).concat().concat();
        let inline = page.split('`').skip(1).step_by(2);
        for words in fenced.into_iter().chain(inline).flat_map(vipd_calls) {
            let Some(name) = words.first().filter(|word| !word.starts_with('-')) else { continue };
            // A command of a command has its own help.
            let second = words
                .get(1)
                .filter(|second| vipd(&[name, "--help"]).out.contains(&format!("\n  {second} ")));
            let help = match second {
                Some(second) => vipd(&[name, second, "--help"]),
                None => vipd(&[name, "--help"]),
            };
            let place = format!("{}: vipd {}", path.display(), words.join(" "));
            assert_eq!(help.code, Some(0), "{place}: {}", help.err);
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                let flag = flag.split('=').next().unwrap_or_default();
                assert!(help.out.contains(flag), "{place}: {name} has no {flag}");
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} command lines were found");
}

/// `VIPD_WRITE_DOCS=1 cargo test --test docs caps` writes the table.
#[test]
fn the_table_of_caps_is_the_code() {
    let mut table = String::from("| cap | of what, and what happens beyond |\n|---|---|\n");
    for cap in caps::ALL {
        let value = match cap.value {
            value if cap.is_bytes && value >= 1 << 20 => format!("{} MiB", value >> 20),
            value if cap.is_bytes && value >= 1 << 10 => format!("{} KiB", value >> 10),
            value if cap.is_bytes => format!("{value} bytes"),
            value => value.to_string(),
        };
        table += &format!("| {value} | {} |\n", cap.meaning);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/limits.md");
    let page = read(&path);
    let (before, rest) = page.split_once("| cap | of what, and what happens beyond |").unwrap();
    let after = rest.split_once("\n\n").map_or("", |(_, after)| after);
    let written = format!("{before}{table}\n{after}");
    if std::env::var_os("VIPD_WRITE_DOCS").is_some() {
        fs::write(&path, &written).unwrap();
    }
    assert_eq!(page, written, "write it with VIPD_WRITE_DOCS=1 cargo test --test docs caps");
}

#[test]
fn the_table_of_exit_statuses_is_what_the_commands_say_and_do() {
    let page = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operating.md"));
    let table = page.split("## Exit status").nth(1).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let mut told = Vec::new();
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        for name in cells[0].split(", ").map(|name| name.trim_matches('`')) {
            let words: Vec<_> = name.split(' ').chain(["--help"]).collect();
            let help = vipd(&words).out;
            let (_, said) = help.split_once("Exit status: ").unwrap();
            let said = said.split("\n\n").next().unwrap();
            for (status, cell) in cells[1..].iter().enumerate() {
                let status = status.to_string();
                assert_eq!(said.contains(&status), !cell.is_empty(), "{name} {status}: {said}");
            }
            told.push(name.to_owned());
        }
    }
    told.sort();
    assert_eq!(
        told,
        [
            "accept",
            "adopt",
            "apply",
            "check",
            "cleanup",
            "config check",
            "diff",
            "dns",
            "doctor",
            "events",
            "explain",
            "hold",
            "names",
            "relay",
            "release",
            "report",
            "run",
            "status",
            "try"
        ]
    );
    // To these two a missing file is a finding.
    let others = told.iter().filter(|name| !["config check", "doctor"].contains(&name.as_str()));
    for name in others {
        let argument: &[&str] = match name.as_str() {
            "adopt" | "check" | "explain" | "try" => &["3.3.0.6:3306"],
            _ => &[],
        };
        let ran = vipd(&[&[name.as_str(), "--config", "/no/such.toml"], argument].concat());
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
}

#[test]
fn the_configuration_that_is_shown_is_one_and_its_variables_and_flags_are_there() {
    let help = vipd(&["run", "--help"]).out;
    let mut seen = 0;
    // A published crate shows the Cargo.toml of its users.
    let is_crate = |path: &Path| path.components().any(|part| part.as_os_str() == "crates");
    for (path, page) in pages().into_iter().filter(|(path, _)| !is_crate(path)) {
        for block in blocks(&page, "toml") {
            let (_, problems) = vipd::config::resolve_keys(&block.join("\n"), Ok).unwrap();
            assert_eq!(problems, [], "{}", path.display());
            let comments = block.iter().filter_map(|line| line.split_once('#'));
            let words = comments.flat_map(|(_, comment)| comment.split([' ', ',', ';']));
            for word in words.filter(|word| word.starts_with("VIPD_") || word.starts_with("--")) {
                assert!(help.contains(word), "{}: {word} is not in the help", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "only {seen} were found");
}

#[test]
fn every_link_inside_the_project_leads_to_a_file() {
    for (path, page) in pages() {
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                let file = path.parent().unwrap().join(target);
                assert!(file.exists(), "{} links to {link}", path.display());
            }
        }
    }
}

/// Whether `path` is in the repository. One with a `*` is checked as far as that.
fn exists(path: &Path) -> bool {
    path.iter()
        .take_while(|part| !part.to_string_lossy().contains('*'))
        .collect::<PathBuf>()
        .exists()
}

/// A path begins with a directory of the root, or is relative to the page. A bare name of a Rust file
/// is in the directory of the path before it on the page.
#[test]
fn every_path_in_backticks_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for (page, text) in pages() {
        let here = page.parent().unwrap();
        let mut last = here.to_owned();
        let words = text.split('`').skip(1).step_by(2).flat_map(str::split_whitespace);
        for word in words {
            let name = word.split(':').next().unwrap().trim_matches([',', ';', '(', ')', '"']);
            let Some((first, _)) = name.split_once('/') else {
                if name.len() > ".rs".len() && name.ends_with(".rs") {
                    assert!(exists(&last.join(name)), "{}: {name} in {last:?}", page.display());
                    seen += 1;
                }
                continue;
            };
            let is_in_root = !first.is_empty() && first != "." && root.join(first).is_dir();
            // What is built is there only at times.
            if first != "target" && (is_in_root || name.ends_with(".rs")) {
                let known =
                    [root, here].map(|base| base.join(name)).into_iter().find(|it| exists(it));
                let path = known.unwrap_or_else(|| panic!("{}: no {name}", page.display()));
                last = if path.is_dir() { path } else { path.parent().unwrap().to_owned() };
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "only {seen} paths were found");
}

/// The page is generated from the defaults in the code; the help's are written by hand.
#[test]
fn the_help_names_the_defaults_of_the_configuration() {
    let page = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md"));
    let [agent, relay] = ["run", "relay"].map(|command| vipd(&[command, "--help"]).out);
    let mut seen = 0;
    let rows = page.split("\n## ").flat_map(|section| {
        let help = match section.split('\n').next().unwrap() {
            // The name server's flags aren't named after the keys.
            "`[names]`" => "",
            "`[relay]`" => &relay,
            _ => &agent,
        };
        section.lines().filter(|line| line.starts_with("| `")).map(move |row| (row, help))
    });
    for (row, help) in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let flag = format!("--{} <", cells[0].trim_matches('`'));
        let default = cells[2].trim_matches(['`', '"']);
        let Some((_, about)) = help.split_once(&flag) else { continue };
        if !default.is_empty() {
            let about = about.split("\n      --").next().unwrap();
            let words = about.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains(&format!("[default: {default}]")), "{row}\n{flag} {about}");
            seen += 1;
        }
    }
    assert!(seen > 4, "only {seen} flags were found");
}

/// The cells of the table row that begins with this one.
fn table_row<'a>(page: &'a str, first: &str) -> Vec<&'a str> {
    let start = format!("| {first} |");
    let row = page.lines().find(|line| line.starts_with(&start));
    let row = row.unwrap_or_else(|| panic!("no row {first}"));
    row.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn the_defaults_of_options_are_those_of_the_program() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let labels = read(&docs.join("labels.md"));
    let scheduler = table_row(&labels, "`IPVS_SCHEDULER`");
    let names: Vec<_> = scheduler[1].split(' ').map(|name| name.trim_matches('`')).collect();
    assert_eq!(names, Scheduling::ALL.map(Scheduling::name));
    assert_eq!(scheduler[2], format!("`{}`", DEFAULT_SCHEDULER.name()));

    let drain = table_row(&labels, "`IPVS_DRAIN`")[2].trim_matches('`');
    let documented = read_port(&[("IPVS_DRAIN", drain)], &[]).options.drain;
    assert_eq!(documented, DEFAULT_DRAIN, "docs/labels.md: IPVS_DRAIN");
    let agent = read(&docs.join("agent.md"));
    let most = format!("at most {} s (`IPVS_DRAIN`)", DEFAULT_DRAIN.as_secs());
    assert!(agent.contains(&most), "docs/agent.md: {most}");
}
