//! A configuration with problems: what it stops, what goes on, and what is said of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot run its tools should stop")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use support::{
    ForNobody, Ran, example, http, read_request, serve_with, vipd, vipd_with, vipd_with_input,
};
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

/// A comment in another encoding is no reason to be without the commands that one needs then.
#[test]
fn a_file_in_another_encoding_is_like_one_that_says_nonsense() {
    let file = File::new("");
    let mut bytes = std::fs::read(file.at("vipd.toml")).unwrap();
    bytes.extend(b"\n[probe]\n# f\xfcr alle\nmode = \"off\"\n");
    std::fs::write(file.at("vipd.toml"), bytes).unwrap();
    let reason = "line 7 has a byte that is not UTF-8: save the file as UTF-8";
    let check = file.run("config check");
    assert!(check.code == Some(1) || check.code == Some(2), "{check:?}");
    assert!(format!("{}{}", check.out, check.err).contains(reason), "{check:?}");
    for command in ["hold why", "events", "status", "cleanup --dry-run --ignore-config"] {
        let ran = file.run(command);
        assert!(ran.err.contains(reason), "{command}: {}", ran.err);
        assert!(ran.err.contains("going on with what is legible"), "{command}: {}", ran.err);
        let socket = file.at("agent.sock").display().to_string();
        assert!(command != "hold why" || ran.err.contains(&socket), "{command}: {}", ran.err);
    }
    let doctor = file.run("doctor --output json");
    let found: Value = serde_json::from_str(&doctor.out).unwrap();
    assert_eq!(found["groups"][0]["checks"][0]["level"], json!("error"));
}

/// As far as they come without IPVS, which is the kernel's error.
#[test]
fn commands_for_the_kernel_go_on_whatever_the_file_says() {
    for problem in PROBLEMS {
        let file = File::new(problem);
        for command in ["cleanup", "cleanup --dry-run", "adopt 3.3.0.6:80", "status"] {
            let is_change = command != "status";
            let go_on = if is_change { " --ignore-config" } else { "" };
            let ran = file.run(&format!("{command}{go_on}"));
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

/// A line that is no TOML, or an unknown table, may be the one that names another interface.
#[test]
fn nothing_is_changed_where_another_interface_may_be_meant() {
    for text in ["[agnet]\n", "sync-period = \n", "[node]\ninterfase = \"x\"\n"] {
        let file = File::new("");
        std::fs::write(file.at("vipd.toml"), text).unwrap();
        let lock = file.at("lock").display().to_string();
        for command in ["cleanup", "adopt 3.3.0.6:80", "adopt --all --dry-run"] {
            let refused = file.run(command);
            assert_eq!(refused.code, Some(2), "{command}: {refused:?}");
            let said = "it may name another interface or lock than vipd0";
            assert!(refused.err.contains(said) && refused.err.contains("--ignore-config"));
            for told in ["--interface vipd0", "--ignore-config"] {
                let ran = file.run(&format!("{command} {told} --lock {lock}"));
                assert!(!ran.err.contains(said), "{command}: {}", ran.err);
            }
        }
    }
    // Another key costs nothing.
    let file = File::new("sync-period = 0\n");
    let ran = file.run("cleanup");
    assert!(!ran.err.contains("another interface"), "{}", ran.err);
}

/// As far as they come without IPVS, which is the kernel's error.
#[test]
fn a_held_node_is_changed_by_no_command_without_force() {
    let file = File::new("");
    let hold = json!({ "reason": "looking", "since": "2026-11-23T04:00:00Z" });
    std::fs::write(file.at("hold"), hold.to_string()).unwrap();
    let held = "the node is held since 2026-11-23T04:00:00Z";
    for command in ["cleanup", "adopt 3.3.0.6:80", "apply --from /dev/null"] {
        let refused = file.run(command);
        assert_eq!(refused.code, Some(2), "{command}: {refused:?}");
        assert!(refused.err.contains(held) && refused.err.contains("--force"), "{}", refused.err);
        let forced = file.run(&format!("{command} --force"));
        assert!(!forced.err.contains(held), "{command}: {}", forced.err);
    }
    for command in ["cleanup --dry-run", "adopt --all --dry-run"] {
        let looked = file.run(command);
        assert!(!looked.err.contains(held), "{command}: {}", looked.err);
    }
}

#[test]
fn a_value_that_nothing_could_use_is_refused_before_anything_starts() {
    for (args, said) in [
        ("run --interface a/b", "--interface"),
        ("cleanup --interface sixteen-bytes-16", "use 1 to 15 bytes"),
        ("run --listen 127.0.0.1:0", "use a port from 1 to 65535"),
        ("run --log vipd=loud", "--log"),
        ("dns --listen 198.51.100.1:0", "--listen"),
        ("diff --marathon http://m1:0", "is not the URL of a server"),
        ("diff --marathon ftp://m1", "is not the URL of a server"),
    ] {
        let ran = vipd(&args.split(' ').collect::<Vec<_>>());
        assert!(ran.code == Some(2) && ran.err.contains(said), "{args}: {ran:?}");
    }
    let file = File::new("listen = \"127.0.0.1:0\"\nagents = 0\n[log]\nlevel = \"loud\"\n");
    let checked = file.run("config check");
    assert_eq!(checked.code, Some(1), "{checked:?}");
    for key in ["agent.listen", "agent.agents", "log.level"] {
        assert!(checked.out.contains(key), "{key}: {}", checked.out);
    }
}

/// The unit has the agent's own file and flags checked at a reload, whatever its `ExecStart=` is.
#[test]
fn the_check_takes_the_flags_of_a_running_agent() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.toml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // It waits for what is written into the pipe.
    let mut agent = support::command(&["run", "--config", pipe.to_str().unwrap()]).spawn().unwrap();
    let pid = agent.id().to_string();
    let checked = vipd(&["config", "check", "--of-agent", &pid]);
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.out.contains(pipe.to_str().unwrap()), "{checked:?}");
    let other = vipd(&["config", "check", "--of-agent", &std::process::id().to_string()]);
    assert!(other.code == Some(2) && other.err.contains("is no `vipd run`"), "{other:?}");
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
    assert!(ran.out.contains(":3:1: marathon.ca-file: "), "{ran:?}");
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

/// In a container there may be no file but those with secrets.
#[test]
fn variables_name_the_files_with_what_marathon_asks_for() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&asked);
    let url = serve_with(move |mut stream| {
        heads.lock().unwrap().push(read_request(&mut stream));
        let _ = stream.write_all(&http("404 Not Found", "application/json", b"{}"));
    });
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("user", "vipd\n"), ("password", "hunter2\n")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let [user, password] = ["user", "password"].map(|name| folder.path().join(name));
    let files = [
        ("VIPD_MARATHON_USER_FILE", user.to_str().unwrap()),
        ("VIPD_MARATHON_PASSWORD_FILE", password.to_str().unwrap()),
    ];
    let credentials = [
        ("VIPD_MARATHON_USER_FILE", "credential:user"),
        ("VIPD_MARATHON_PASSWORD_FILE", "credential:password"),
        ("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap()),
    ];
    for access in [&files[..], &credentials] {
        let variables: Vec<_> = [&[("VIPD_MARATHON", url.as_str())], access].concat();
        for log in ["warn", "trace"] {
            let ran = vipd_with(&["doctor", "--log", log], &variables);
            assert!(!format!("{ran:?}").contains("hunter2"), "{ran:?}");
        }
        let heads = std::mem::take(&mut *asked.lock().unwrap());
        let basic = "authorization: basic dmlwzdpodw50zxiy";
        assert!(!heads.is_empty());
        assert!(heads.iter().all(|head| head.to_lowercase().contains(basic)), "{heads:?}");
    }
    // Another Marathon's server doesn't get them.
    let two = ["doctor", "--marathon", &url, "--marathon", "http://127.0.0.1:1"];
    let ran = vipd_with(&two, &files);
    assert!(ran.code == Some(2) && ran.err.contains("are for one Marathon"), "{ran:?}");
    assert!(asked.lock().unwrap().is_empty());
    let half = vipd_with(&["doctor", "--marathon", &url], &files[..1]);
    assert!(half.code == Some(2) && half.err.contains("password-file"), "{half:?}");
}

/// A package is set up, and a fleet is checked, outside of the unit, which may not have run yet.
#[test]
fn a_credential_that_only_the_unit_has_is_no_problem_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vipd.toml");
    let check = |keys: &str, variables: &[(&str, &str)]| {
        let text = format!(
            "[agent]\nsocket = \"{}\"\n[[marathon]]\nurls = [\"http://m1.example:8080\"]\n{keys}",
            folder.path().join("socket").display()
        );
        std::fs::write(&file, text).unwrap();
        vipd_with(&["config", "check", file.to_str().unwrap()], variables)
    };
    let keys = "user = \"vipd\"\npassword-file = \"credential:no-such\"\n\
                client-cert-file = \"credential:cert\"\nclient-key-file = \"/none/key\"\n";
    let ran = check(keys, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for name in ["no-such", "cert"] {
        let note = format!("not checked: credential {name} is in the unit only");
        assert!(ran.err.contains(&note), "{ran:?}");
    }
    let other = check(&format!("{keys}ca-file = \"/none/ca\"\n"), &[]);
    assert!(other.code == Some(1) && other.out.contains("ca-file"), "{other:?}");
    // The same from variables, which the unit may have.
    let variables = [
        ("VIPD_MARATHON_USER_FILE", "credential:no-user"),
        ("VIPD_MARATHON_PASSWORD_FILE", "credential:no-such"),
        ("VIPD_MARATHON_CA_FILE", "credential:no-ca"),
    ];
    let ran = check("", &variables);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for name in ["no-user", "no-such", "no-ca"] {
        let note = format!("not checked: credential {name} is in the unit only");
        assert!(ran.err.contains(&note), "{ran:?}");
    }
    let other = check("", &[("VIPD_MARATHON_CA_FILE", "/none/ca")]);
    assert!(other.code == Some(1) && other.out.contains("VIPD_MARATHON_*_FILE"), "{other:?}");
    // In the unit it is one.
    let inside = [("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap())];
    let ran = check(keys, &inside);
    assert!(ran.code == Some(1) && ran.out.contains("password-file"), "{ran:?}");
    let ran = check("", &[&variables[..], &inside].concat());
    assert!(ran.code == Some(1) && ran.out.contains("VIPD_MARATHON_*_FILE"), "{ran:?}");
    assert_eq!(check("password-file = \"credential:../a\"\n", &[]).code, Some(1));
}

/// Writes a file, and returns its name as TOML has it.
fn put(file: &File, name: &str, text: &str) -> String {
    std::fs::write(file.at(name), text).unwrap();
    format!("{:?}", file.at(name))
}

/// Asserts that `config check` finds exactly these problems: place, key and a part of the reason.
#[track_caller]
fn assert_problems(file: &File, args: &str, expected: &[(&str, &str, &str)]) {
    let ran = file.run(&format!("config check {args}"));
    let code = if expected.is_empty() { Some(0) } else { Some(1) };
    assert_eq!(ran.code, code, "{ran:?}");
    let path = file.at("vipd.toml").display().to_string();
    let found: Vec<_> = ran.out.lines().filter_map(|line| line.strip_prefix(&path)).collect();
    let found: Vec<_> = found.into_iter().filter(|line| *line != ": no problem").collect();
    assert_eq!(found.len(), expected.len(), "{}", ran.out);
    for (place, key, reason) in expected {
        let is_such =
            |line: &&str| line.starts_with(&format!(":{place}: {key}: ")) && line.contains(reason);
        assert!(found.iter().any(is_such), "{place} {key} {reason} is not in\n{}", ran.out);
    }
}

/// What doesn't answer, or has no end, is refused at once and named.
#[test]
fn a_file_that_is_no_file_is_refused_without_waiting_for_it() {
    let file = File::new("");
    let fifo = file.at("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let fifo = format!("{fifo:?}");
    let is = "fifo: is a FIFO, not a regular file";
    for (keys, key) in [
        (format!("user = \"vipd\"\npassword-file = {fifo}\n"), "password-file"),
        (format!("user-file = {fifo}\npassword-file = \"/none\"\n"), "user-file"),
        (format!("service-account-file = {fifo}\n"), "service-account-file"),
        (format!("ca-file = {fifo}\n"), "ca-file"),
        (format!("client-cert-file = {fifo}\nclient-key-file = \"/none\"\n"), "client-cert-file"),
        (format!("client-cert-file = \"/none\"\nclient-key-file = {fifo}\n"), "client-key-file"),
        (format!("relay = [\"http://r1:9615\"]\nrelay-token-file = {fifo}\n"), "relay-token-file"),
    ] {
        put(&file, "vipd.toml", &format!("[[marathon]]\nurls = [\"http://m1\"]\n{keys}"));
        let ran = file.run("config check");
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.out.contains(&format!("marathon.{key}: cannot read {key} ")), "{}", ran.out);
        assert!(ran.out.contains(is), "{}", ran.out);
    }
    let endless = vipd(&["config", "check", "/dev/zero"]);
    assert_eq!(endless.code, Some(1), "{endless:?}");
    assert!(endless.out.contains("/dev/zero is larger than 1 MiB"), "{}", endless.out);
    let pipe = vipd_with_input(&["config", "check", "/dev/stdin"], b"[agent]\nsync-period = 0\n");
    assert!(pipe.out.contains("/dev/stdin:2:1: agent.sync-period"), "{pipe:?}");
}

#[test]
fn a_user_or_password_of_nothing_is_refused() {
    let file = File::new("");
    let [empty, full] = [put(&file, "empty", "\n"), put(&file, "full", "x\n")];
    for (keys, key, reason) in [
        (
            format!("user = \"vipd\"\npassword-file = {empty}\n"),
            "4:1: marathon.password-file",
            "empty is empty",
        ),
        (format!("user = \"\"\npassword-file = {full}\n"), "3:1: marathon.user", "user is empty"),
        (
            format!("user-file = {empty}\npassword-file = {full}\n"),
            "3:1: marathon.user-file",
            "empty is empty",
        ),
    ] {
        put(&file, "vipd.toml", &format!("[[marathon]]\nurls = [\"http://m1\"]\n{keys}"));
        let (place, key) = key.split_once(": ").unwrap();
        assert_problems(&file, "", &[(place, key, reason)]);
    }
}

/// A fault of one key is no fault of another, and hides none.
#[test]
fn a_check_names_each_fault_once_at_its_own_key() {
    let file = File::new("");
    let [junk, none] = [put(&file, "junk", "no certificate"), "\"/none\"".to_owned()];
    let relay = "relay = [\"https://r1:9615\"]\n";
    for (keys, expected) in [
        (
            format!("user = \"vipd\"\npassword-file = {none}\n"),
            &[("4:1", "marathon.password-file", "cannot read password-file /none")][..],
        ),
        (
            format!("user-file = {none}\npassword-file = {none}\n"),
            &[
                ("3:1", "marathon.user-file", "cannot read user-file /none"),
                ("4:1", "marathon.password-file", "cannot read password-file /none"),
            ],
        ),
        (
            format!("client-cert-file = {none}\nclient-key-file = {none}\n"),
            &[
                ("3:1", "marathon.client-cert-file", "cannot read client-cert-file /none"),
                ("4:1", "marathon.client-key-file", "cannot read client-key-file /none"),
            ],
        ),
        (
            format!("{relay}relay-cert-file = {none}\nrelay-key-file = {none}\n"),
            &[
                ("4:1", "marathon.relay-cert-file", "cannot read relay-cert-file /none"),
                ("5:1", "marathon.relay-key-file", "cannot read relay-key-file /none"),
            ],
        ),
        (
            format!("client-cert-file = {junk}\nclient-key-file = {junk}\n"),
            &[
                ("3:1", "marathon.client-cert-file", "has no certificate as PEM"),
                ("4:1", "marathon.client-key-file", "is no private key as PEM"),
            ],
        ),
        (
            format!("{relay}relay-cert-file = {junk}\nrelay-key-file = {junk}\n"),
            &[
                ("4:1", "marathon.relay-cert-file", "has no certificate as PEM"),
                ("5:1", "marathon.relay-key-file", "is no private key as PEM"),
            ],
        ),
        (
            format!("ca-file = {junk}\n"),
            &[("3:1", "marathon.ca-file", "has no certificate as PEM")],
        ),
        (
            format!("{relay}relay-ca-file = {junk}\n"),
            &[("4:1", "marathon.relay-ca-file", "has no certificate as PEM")],
        ),
    ] {
        put(&file, "vipd.toml", &format!("[[marathon]]\nurls = [\"http://m1\"]\n{keys}"));
        assert_problems(&file, "", expected);
    }
    for (keys, expected) in [
        ("urls = []\n", &[("4:1", "marathon.urls", "needs")][..]),
        ("name = \"second\"\n", &[("3:1", "marathon", "needs urls")]),
        (
            "urls = \"http://m2\"\nuser = \"vipd\"\n",
            &[("4:1", "marathon.urls", "expected"), ("5:1", "marathon.user", "needs both")],
        ),
        (
            "urls = [\"m2\"]\n[[marathon]]\nname = \"third\"\n",
            &[("4:1", "marathon.urls", "not a URL"), ("5:1", "marathon", "needs urls")],
        ),
    ] {
        let first = "[[marathon]]\nurls = [\"http://m1\"]\n[[marathon]]\n";
        put(&file, "vipd.toml", &format!("{first}{keys}"));
        assert_problems(&file, "", expected);
    }
}

#[test]
fn a_check_finds_a_relay_that_could_not_start_or_serve() {
    let file = File::new("");
    for (keys, key, reason) in [
        ("max-clients = 0", "max-clients", "is 0"),
        ("max-clients = 99999999", "max-clients", "use at most 16384"),
        ("clients-per-address = 0", "clients-per-address", "is 0"),
        ("listen = \"127.0.0.1:0\"", "listen", "use a port from 1 to 65535"),
        ("cert-file = \"/none\"", "cert-file", "needs both cert-file and key-file"),
        ("key-file = \"/none\"", "key-file", "needs both cert-file and key-file"),
        ("client-ca-file = \"/none\"", "client-ca-file", "needs TLS"),
        ("client-ca-file = \"/none\"\nlisten = \"10.0.0.1:9615\"", "client-ca-file", "needs TLS"),
    ] {
        put(&file, "vipd.toml", &format!("[relay]\n{keys}\n"));
        assert_problems(&file, "", &[("2:1", &format!("relay.{key}"), reason)]);
    }
    let marathon = "[[marathon]]\nurls = [\"http://m1\"]\n";
    // The files are those of the relay's node alone.
    let files = "token-file = \"/none\"\ncert-file = \"/none\"\nkey-file = \"/none\"\n";
    put(&file, "vipd.toml", &format!("[relay]\n{files}{marathon}"));
    assert_problems(&file, "", &[]);
    let unread = [
        ("2:1", "relay.token-file", "cannot read token-file /none"),
        ("3:1", "relay.cert-file", "cannot read cert-file /none"),
        ("4:1", "relay.key-file", "cannot read key-file /none"),
    ];
    assert_problems(&file, "--relay", &unread);
    let credential = "[relay]\ntoken-file = \"credential:no-such\"\n";
    put(&file, "vipd.toml", &format!("{credential}{marathon}"));
    assert_problems(&file, "--relay", &[]);
    put(&file, "vipd.toml", "");
    assert_problems(&file, "", &[]);
    let ran = file.run("config check --relay");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("no Marathon is configured: a relay reads one"), "{ran:?}");
    let unit = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/deploy/systemd/vipd-relay.service"
    ));
    assert!(unit.unwrap().contains("\nExecStartPre=/usr/bin/vipd config check --relay\n"));
}

/// What can't be in a header would be refused at each request, or be another token at the other end.
#[test]
fn a_token_is_one_line_that_a_header_can_have_on_both_sides() {
    let file = File::new("");
    for (token, reason) in [
        ("", Some("is empty")),
        ("\n", Some("is empty")),
        ("one\ntwo\n", Some("is no token")),
        ("o\u{1}ne\n", Some("is no token")),
        ("tok\u{e9}n\n", Some("is no token")),
        (" token\n", Some("is no token")),
        ("to ken\n", None),
        ("dG9r+ZW4/==\r\n", None),
    ] {
        let path = put(&file, "token", token);
        for (args, text, key) in [
            (
                "",
                "[[marathon]]\nurls = [\"http://m1\"]\nrelay = [\"http://r1:9615\"]\nrelay-",
                ("4:1", "marathon.relay-token-file"),
            ),
            ("--relay", "[relay]\n", ("2:1", "relay.token-file")),
        ] {
            let after = match args {
                "--relay" => "[[marathon]]\nurls = [\"http://m1\"]\n",
                _ => "",
            };
            put(&file, "vipd.toml", &format!("{text}token-file = {path}\n{after}"));
            let expected: Vec<_> = reason.iter().map(|reason| (key.0, key.1, *reason)).collect();
            assert_problems(&file, args, &expected);
        }
    }
}

#[test]
fn a_value_that_no_node_can_have_is_refused() {
    let file = File::new("");
    let ends = ["127.0.0.1", "127.9.9.9", "0.0.0.0", "224.0.0.1", "255.255.255.255"];
    let addresses = ends.map(|address| ("node", "address", address));
    let others = [
        ("node", "name", ""),
        ("node", "name", "a\\tb"),
        ("node", "lock", ""),
        ("agent", "state", ""),
        ("agent", "socket", ""),
    ];
    for (table, key, value) in addresses.iter().chain(&others) {
        put(&file, "vipd.toml", &format!("[{table}]\n{key} = \"{value}\"\n"));
        assert_problems(
            &file,
            "",
            &[("2:1", &format!("{table}.{key}"), &format!("[{table}] {key}"))],
        );
    }
    let long = "/a".repeat(60);
    for (flag, value) in ends.map(|address| ("--node-address", address)).into_iter().chain([
        ("--node-name", ""),
        ("--lock", ""),
        ("--socket", ""),
        ("--socket", &long),
    ]) {
        let ran = vipd(&["check", &example("mysql.json"), flag, value]);
        assert!(ran.code == Some(2) && ran.err.contains(flag), "{flag} {value}: {ran:?}");
    }
    let relay = vipd(&["relay", "--listen", "127.0.0.1:0", "--marathon", "http://127.0.0.1:1"]);
    assert!(relay.code == Some(2) && relay.err.contains("use a port from 1 to 65535"), "{relay:?}");
}

/// A user who may not read a file knows nothing of its faults.
#[test]
fn a_missing_right_is_no_problem_of_the_file() {
    let Some(nobody) = ForNobody::new() else { return };
    let (config, password) = (nobody.at("vipd.toml"), nobody.at("password"));
    let private = |path: &PathBuf| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path, mode).unwrap();
    };
    std::fs::write(&password, "hunter2").unwrap();
    private(&password);
    let socket = nobody.at("socket");
    let write = |keys: &str| {
        let text = format!(
            "[agent]\nsocket = {socket:?}\n{keys}[[marathon]]\nurls = [\"http://127.0.0.1:1\"]\n\
             user = \"vipd\"\npassword-file = {password:?}\n"
        );
        std::fs::write(&config, text).unwrap();
    };
    write("");
    let ran = nobody.run(&config, &["config", "check"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let said = "not checked as a whole: this user may not read all of it";
    assert!(ran.out.contains("password-file") && ran.out.contains(said), "{ran:?}");
    assert!(!ran.out.contains("problem"), "{ran:?}");
    let ran = nobody.run(&config, &["config", "check", "--output", "json"]);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &found["ok"]), (Some(2), &json!(false)), "{found}");
    assert_eq!(found["problems"][0]["denied"], true, "{found}");
    let ran = nobody.run(&config, &["doctor", "--output", "json"]);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    let check = &found["groups"][0]["checks"][0];
    assert_eq!(check["level"], "ok", "{check}");
    assert!(check["cure"].as_str().unwrap().contains("run as root"), "{check}");
    // What is wrong all the same is a problem.
    write("sync-period = 0\n");
    let ran = nobody.run(&config, &["config", "check"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("\n1 problem: ") && ran.out.contains(said), "{ran:?}");
    // And the whole file.
    private(&config);
    let ran = nobody.run(&config, &["config", "check"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.out.contains("cannot read ") && ran.out.contains(said), "{ran:?}");
    assert!(!ran.out.contains("problem"), "{ran:?}");
}

/// The user of the unit isn't root, who reads everything.
#[test]
fn root_is_told_what_the_user_of_the_unit_may_not_read() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let marathon = "[[marathon]]\nurls = [\"http://127.0.0.1:1\"]\nuser = \"vipd\"\n";
    let file = File::new("");
    let (state, password) = (file.at("state"), file.at("password"));
    let rest = format!(
        "state = {state:?}\n{marathon}password-file = {password:?}\n[relay]\ntoken-file = {password:?}\n"
    );
    let text = std::fs::read_to_string(file.at("vipd.toml")).unwrap() + &rest;
    std::fs::write(file.at("vipd.toml"), text).unwrap();
    std::fs::create_dir(&state).unwrap();
    std::fs::write(&password, "secret").unwrap();
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(file.folder.path(), 0o755);
    set_mode(&password, 0o600);
    let ran = file.run("config check");
    assert_eq!(ran.code, Some(0), "root runs the agent: {ran:?}");
    chown(&state, Some(54321), Some(54321)).unwrap();
    for check in ["config check", "config check --relay"] {
        let ran = file.run(check);
        assert_eq!(ran.code, Some(1), "{check}: {ran:?}");
        assert!(ran.out.contains("password-file"), "{check}: {ran:?}");
        assert!(ran.out.contains("the unit runs as user 54321, the owner of"), "{check}: {ran:?}");
    }
    assert!(file.run("config check --relay").out.contains("relay.token-file"));
    chown(&password, None, Some(54321)).unwrap();
    set_mode(&password, 0o640);
    assert_eq!(file.run("config check").code, Some(0));
    set_mode(&file.at("vipd.toml"), 0o600);
    let ran = file.run("config check");
    assert!(ran.code == Some(1) && ran.out.contains("user 54321"), "{ran:?}");
}

/// What keeps an agent from starting, beside the values themselves.
#[test]
fn a_check_without_an_agent_finds_what_would_keep_it_from_starting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let file = File::new(&format!("listen = \"{listen}\"\n"));
    let start = "the agent would neither start nor reload with this\n";
    let ran = file.run("config check");
    assert!(ran.code == Some(1) && ran.out.contains(":5:1: agent.listen: "), "{ran:?}");
    assert!(ran.out.contains("cannot listen on 127") && ran.out.ends_with(start), "{ran:?}");
    drop(taken);
    assert_eq!(file.run("config check").code, Some(0));
    // A relay doesn't use it.
    let taken = TcpListener::bind(listen).unwrap();
    assert!(!file.run("config check --relay").out.contains("agent.listen"));
    drop(taken);
    std::fs::write(file.at("hold"), "{").unwrap();
    let ran = file.run("config check");
    assert!(ran.code == Some(1) && ran.out.contains("hold is not valid"), "{ran:?}");
    std::fs::write(file.at("hold"), r#"{"reason":"r","since":"s"}"#).unwrap();
    assert_eq!(file.run("config check").code, Some(0));
    let status = json!({
        "mode": "acting", "hold": null, "started": "2026-11-23T04:00:00Z", "ready": true,
        "unhealthy": [], "not_ready": [], "notes": [], "sources": {}, "draining": 0, "pending": 0,
        "unapplied_seconds": null, "failing": {},
    })
    .to_string();
    // One that answers as an agent may be the one that is to be replaced.
    let agent = serve_with(move |mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(&http("200 OK", "application/json", status.as_bytes()));
    });
    let file = File::new(&format!("listen = {:?}\n", agent.trim_start_matches("http://")));
    let ran = file.run("config check");
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// A reload is refused for the sake of an agent that serves; a start is another matter.
#[test]
fn what_only_a_reload_refuses_is_told_from_what_a_start_refuses_too() {
    let file = File::new("[vip]\nallow = [\"30.0.0.0/8\"]\n");
    let listener = UnixListener::bind(file.at("agent.sock")).unwrap();
    let socket = file.at("agent.sock").display().to_string();
    let config =
        json!({ "agent": { "listen": "127.0.0.1:9614", "socket": socket, "state": "/none" } });
    let vips: Vec<_> = (1..=4)
        .map(|number| {
            json!({
                "vip": format!("3.3.0.{number}:80"), "protocol": "tcp", "apps": ["/web"],
                "backend": [], "left_out": [], "problems": [], "state": "serving",
            })
        })
        .collect();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or_default();
            let is_config = head[..read].starts_with(b"GET /v1/config ");
            let answer = if is_config { config.to_string() } else { json!(vips).to_string() };
            let _ = stream.write_all(&http("200 OK", "application/json", answer.as_bytes()));
        }
    });
    let ran = file.run("config check");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains(":6:1: vip.allow: 4 of 4 VIPs of apps would be refused"), "{ran:?}");
    let end = "\n1 problem: a reload refuses this, and a restart takes it\n";
    assert!(ran.out.ends_with(end) && !ran.out.contains("neither"), "{ran:?}");
    let ran = file.run("config check --output json");
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &found["problems"][0]["reload_only"]), (Some(1), &json!(true)));
    // With one that a start refuses, too.
    let text = std::fs::read_to_string(file.at("vipd.toml")).unwrap();
    std::fs::write(file.at("vipd.toml"), format!("{text}[ipvs]\ntcp-timeout = -1\n")).unwrap();
    let ran = file.run("config check");
    let end = "\n2 problems: the agent would neither start nor reload with these\n";
    assert!(ran.code == Some(1) && ran.out.ends_with(end), "{ran:?}");
}

/// It is put in place with other rights, as by an installation; what it names is where it will be.
#[test]
fn a_file_that_is_not_yet_in_place_is_read_as_root() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let file = File::new("");
    set_mode(file.folder.path(), 0o755);
    let state = file.at("state");
    std::fs::create_dir(&state).unwrap();
    chown(&state, Some(54321), Some(54321)).unwrap();
    let private = tempfile::tempdir().unwrap();
    set_mode(private.path(), 0o700);
    let candidate = private.path().join("vipd.toml");
    let text = std::fs::read_to_string(file.at("vipd.toml")).unwrap();
    let write = |rest: &str| {
        std::fs::write(&candidate, format!("{text}state = {state:?}\n{rest}")).unwrap();
        set_mode(&candidate, 0o640);
    };
    write("");
    let path = candidate.to_str().unwrap();
    let ran = vipd(&["config", "check", path]);
    assert!(ran.code == Some(0) && ran.out.contains("no problem"), "{ran:?}");
    // The agent's own is read as the agent does, however it is written.
    let link = private.path().join("link.toml");
    std::os::unix::fs::symlink(&candidate, &link).unwrap();
    let ran = vipd(&["config", "check", path, "--config", link.to_str().unwrap()]);
    assert!(ran.code == Some(1) && ran.out.contains("user 54321"), "{ran:?}");
    // The files that it names are read as the user of the unit.
    let password = file.at("password");
    std::fs::write(&password, "secret").unwrap();
    set_mode(&password, 0o600);
    write(&format!(
        "[[marathon]]\nurls = [\"http://m1\"]\nuser = \"vipd\"\npassword-file = {password:?}\n"
    ));
    let ran = vipd(&["config", "check", path]);
    assert!(ran.code == Some(1) && ran.out.contains("password-file"), "{ran:?}");
    assert!(ran.out.contains("the unit runs as user 54321"), "{ran:?}");
}

/// As in a container, whose root lacks the right to pass over the rights of files.
#[test]
fn a_directory_that_is_left_from_another_user_is_named_with_the_cure() {
    let file = File::new("[[marathon]]\nurls = [\"http://127.0.0.1:1\"]\n");
    let folder = file.folder.path();
    if std::os::unix::fs::chown(folder, Some(4711), None).is_err() {
        return;
    }
    let mut command = std::process::Command::new("setpriv");
    command.args(["--bounding-set", "-dac_override,-dac_read_search", "--"]);
    command.args([env!("CARGO_BIN_EXE_vipd"), "run", "--config"]).arg(file.at("vipd.toml"));
    command.env_clear().args(["--listen", "127.0.0.1:1", "--state"]).arg(file.at("state"));
    let Ok(ran) = command.output() else { return };
    let said = String::from_utf8(ran.stderr).unwrap();
    let whose = format!("{} belongs to user 4711 with mode 0", folder.display());
    assert!(said.contains(&whose), "{said}");
    assert!(said.contains(&format!("`chown -R root: {}`", folder.display())), "{said}");
    assert!(!said.contains("run vipd as root"), "{said}");
}
