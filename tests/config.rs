//! A configuration with problems: what it stops, what goes on, and what is said of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot run its tools should stop")]

mod support;

use std::path::PathBuf;

use serde_json::{Value, json};
use support::{Ran, example, vipd};
use tempfile::TempDir;

/// A configuration file in a directory of its own.
struct File {
    folder: TempDir,
}

impl File {
    /// Writes a file whose agent has its socket and its lock in the same directory.
    fn new(rest: &str) -> Self {
        let file = Self { folder: tempfile::tempdir().unwrap() };
        let (socket, lock) = (file.at("agent.sock"), file.at("lock"));
        let text = format!(
            "[node]\nlock = \"{}\"\n[agent]\nsocket = \"{}\"\n{rest}",
            lock.display(),
            socket.display()
        );
        std::fs::write(file.at("vipd.toml"), text).unwrap();
        file
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs vipd with this file.
    fn run(&self, args: &str) -> Ran {
        let path = self.at("vipd.toml");
        let args: Vec<_> =
            args.split_whitespace().chain(["--config", path.to_str().unwrap()]).collect();
        vipd(&args)
    }
}

/// Each kind of problem: a value, an unknown key, an unknown table, no TOML at all, a secret that is
/// missing.
const PROBLEMS: [&str; 5] = [
    "sync-period = 0\n",
    "sink-period = 30\n",
    "[agnet]\n",
    "sync-period = \n",
    "[[marathon]]\nurls = [\"http://127.0.0.1:1\"]\nuser = \"vipd\"\npassword-file = \"/none\"\n",
];

#[test]
fn commands_for_the_agent_find_its_socket_whatever_else_the_file_says() {
    for problem in PROBLEMS {
        let file = File::new(problem);
        let socket = file.at("agent.sock").display().to_string();
        for command in [
            "hold why",
            "release",
            "accept",
            "events",
            "names",
            "names --reassign a.b",
            "status --watch",
        ] {
            let ran = file.run(command);
            assert_eq!(ran.code, Some(2), "{command}: {ran:?}");
            let expected = format!("no agent listens on {socket}");
            assert!(ran.err.contains(&expected), "{problem:?}: {command}: {}", ran.err);
            // What they don't need, they don't read.
            let is_secret = problem.contains("password-file");
            assert_eq!(ran.err.contains("warning: "), !is_secret, "{problem:?}: {}", ran.err);
            assert!(is_secret || ran.err.contains("vipd.toml line "), "{problem:?}: {}", ran.err);
        }
    }
}

/// As far as they come without IPVS, which is the kernel's error.
#[test]
fn commands_for_the_kernel_go_on_whatever_the_file_says() {
    for problem in PROBLEMS {
        let file = File::new(problem);
        for command in ["cleanup", "cleanup --dry-run", "adopt 3.3.0.6:80", "status"] {
            let ran = file.run(command);
            let is_refused = ran.err.contains("not a valid configuration")
                && !ran.err.contains("not compared with Marathon");
            assert!(!is_refused, "{problem:?}: {command}: {}", ran.err);
        }
        assert!(file.at("lock").exists(), "{problem:?}: cleanup takes the lock of the file");
        let doctor = file.run("doctor --output json");
        let found: Value = serde_json::from_str(&doctor.out).unwrap();
        let group = &found["groups"][0];
        assert_eq!(
            (&group["name"], &group["checks"][0]["level"]),
            (&json!("configuration"), &json!("error"))
        );
    }
}

#[test]
fn labels_are_checked_whatever_the_file_says_and_that_is_said() {
    for problem in PROBLEMS {
        let file = File::new(problem);
        let ran = file.run(&format!("check {}", example("mysql.json")));
        // An unknown table, or a line that is no TOML, may be the one that says which VIPs are allowed.
        let is_unclear = ["[agnet]\n", "sync-period = \n"].contains(&problem);
        let expected = if is_unclear { Some(2) } else { Some(0) };
        assert_eq!(ran.code, expected, "{problem:?}: {ran:?}");
        assert!(ran.out.contains("1 VIP, 0 findings"), "{ran:?}");
        let is_secret = problem.contains("password-file");
        assert!(is_secret || ran.err.contains("checked without what it says"), "{}", ran.err);
    }
}

#[test]
fn labels_that_a_policy_may_forbid_are_never_simply_fine() {
    for policy in ["[vip]\nallow = [\"3.0.0.0/33\"]\n", "[vip\nallow = [\"9.0.0.0/8\"]\n"] {
        let file = File::new(policy);
        let ran = file.run(&format!("check {}", example("mysql.json")));
        assert_eq!(ran.code, Some(2), "{policy:?}: {ran:?}");
    }
}

#[test]
fn who_would_change_the_table_is_refused_with_every_problem() {
    for problem in PROBLEMS {
        let file = File::new(&format!("doubt = \"soon\"\n{problem}"));
        let from = example("mysql.json");
        for command in
            ["run".to_owned(), format!("diff --from {from}"), format!("apply --from {from}")]
        {
            let ran = file.run(&command);
            assert_eq!(ran.code, Some(2), "{command}: {ran:?}");
            let refused = ran.err.contains("vipd.toml is not a valid configuration: line");
            assert!(refused && ran.err.contains("[agent] doubt is"), "{command}: {}", ran.err);
        }
    }
}

#[test]
fn a_file_that_is_named_and_missing_is_an_error() {
    for command in ["hold", "status", "cleanup", "check -", "dns"] {
        let words: Vec<_> = command.split(' ').chain(["--config", "/none/vipd.toml"]).collect();
        let ran = vipd(&words);
        assert_eq!(ran.code, Some(2), "{command}: {ran:?}");
        assert!(ran.err.contains("cannot read /none/vipd.toml"), "{command}: {}", ran.err);
    }
}

#[test]
fn a_check_shows_every_problem_with_place_key_reason_and_remedy() {
    let file = File::new(
        "sync-period = 0\n[node]\n[[marathon]]\nurls = [\"http://127.0.0.1:1\"]\n\
         ca-file = \"/none/ca.pem\"\n[names]\nlisten = [\"0.0.0.0\"]\n",
    );
    let path = file.at("vipd.toml").display().to_string();
    let ran = file.run("config check");
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{ran:?}");
    for line in [
        format!("{path}:5:1: agent.sync-period: [agent] sync-period is 0 seconds: use 1 to 3600"),
        format!("{path}:9:1: marathon.ca-file: cannot read ca-file /none/ca.pem"),
        format!("{path}:11:1: names.listen: [names] listen is 0.0.0.0:53: vipd dns answers at"),
        format!("{path}:6:2: "),
    ] {
        assert!(ran.out.contains(&line), "{line:?} is not in\n{}", ran.out);
    }
    assert!(ran.out.ends_with("4 problems: the agent would neither start nor reload with these\n"));

    // A file may be named, and read by a machine.
    let ran = vipd(&["config", "check", &path, "--output", "json"]);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &found["file"], &found["ok"]), (Some(1), &json!(path), &json!(false)));
    let problems = found["problems"].as_array().unwrap();
    let listen = problems.iter().find(|each| each["key"] == "names.listen").unwrap();
    assert_eq!((&listen["line"], &listen["column"]), (&json!(11), &json!(1)));
    let missing = vipd(&["config", "check", "/none/vipd.toml"]);
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.out.contains("cannot read /none/vipd.toml"), "{missing:?}");
}

/// What is no key's fault alone is refused as a reload would.
#[test]
fn a_check_includes_clients_and_what_marathons_have_in_common() {
    let file = File::new("");
    let write = |text: &str| std::fs::write(file.at("vipd.toml"), text).unwrap();
    std::fs::write(file.at("ca.pem"), "no certificate").unwrap();
    let ca = file.at("ca.pem").display().to_string();
    write(&format!("[[marathon]]\nurls = [\"https://m1:8443\"]\nca-file = \"{ca}\"\n"));
    let ran = file.run("config check");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("cannot create an HTTP client for https://m1:8443"), "{ran:?}");
    write("[[marathon]]\nurls = [\"http://m1:8080\"]\n[[marathon]]\nurls = [\"http://m1:8080\"]\n");
    let ran = file.run("config check");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("two Marathons are named http://m1:8080"), "{ran:?}");
    write("");
    let ran = file.run("config check");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("no problem") && ran.err.contains("names no Marathon"), "{ran:?}");
}

#[test]
fn the_schema_is_printed_as_it_is_installed() {
    let ran = vipd(&["config", "schema"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.out, include_str!("../deploy/vipd.schema.json"));
}
