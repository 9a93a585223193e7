//! `vipd report`: what is in it whatever fails, and what never is.
#![allow(clippy::unwrap_used, reason = "a test that cannot run its tools should stop")]

mod support;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use support::{ForNobody, Ran, command, http, serve, vipd};

/// What is in every place that may hold a secret.
const SECRET: &str = "hunter2hunter2";

fn report(folder: &Path, config: &str, to: &Path) -> Ran {
    let file = folder.join("vipd.toml");
    std::fs::write(&file, config).unwrap();
    vipd(&["report", to.to_str().unwrap(), "--config", file.to_str().unwrap()])
}

/// Unpacks a report and returns each file's name with its content.
fn unpack(archive: &Path) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(archive).arg("-C").arg(folder.path());
    assert!(tar.status().unwrap().success());
    let find = Command::new("find").arg(folder.path()).args(["-type", "f"]).output().unwrap();
    let names = String::from_utf8(find.stdout).unwrap();
    let read = |path: &str| {
        let content = std::fs::read(path).unwrap();
        (path.to_owned(), String::from_utf8_lossy(&content).into_owned())
    };
    names.lines().map(read).collect()
}

#[test]
fn no_secret_of_the_configuration_gets_into_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let account = format!(
        r#"{{"uid": "vipd", "private_key": "{SECRET}", "login_endpoint": "http://127.0.0.1:1/"}}"#
    );
    std::fs::write(at("password"), SECRET).unwrap();
    std::fs::write(at("account.json"), account).unwrap();
    let socket = format!("[agent]\nsocket = \"{}\"\n[node]\nlock = \"{}\"\n", at("s"), at("l"));
    for (number, marathon) in [
        format!(
            "urls = [\"http://127.0.0.1:1\"]\nuser = \"u\"\npassword-file = \"{}\"\n",
            at("password")
        ),
        format!(
            "urls = [\"http://127.0.0.1:1\"]\nservice-account-file = \"{}\"\n",
            at("account.json")
        ),
        format!("urls = [\"http://127.0.0.1:1\"]\nproxy = \"http://u:{SECRET}@127.0.0.1:1\"\n"),
        format!("urls = [\"http://u:{SECRET}@127.0.0.1:1\"]\n"),
        format!("urls = [\"http://127.0.0.1:1/?token={SECRET}\"]\n"),
        format!("urls = [\"http://127.0.0.1:1\"]\nproxy = \"u:{SECRET}@p\"\n"),
        format!("urls = [\"http://127.0.0.1:1\"]\npassword = \"{SECRET}\"\n"),
        format!("urls = [\"http://127.0.0.1:1\"]\npassword = {SECRET}\n"),
    ]
    .iter()
    .enumerate()
    {
        let archive = folder.path().join(format!("{number}.tar.gz"));
        let ran = report(folder.path(), &format!("{socket}[[marathon]]\n{marathon}"), &archive);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(!format!("{ran:?}").contains(SECRET), "{ran:?}");
        let files = unpack(&archive);
        assert!(files.len() > 10, "{files:?}");
        for (name, content) in files {
            assert!(!content.contains(SECRET), "{marathon}: {name}: {content}");
        }
    }
}

#[test]
fn what_fails_is_named_and_the_rest_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("none.sock");
    let archive = folder.path().join("a.tar.gz");
    let config = format!("[agent]\nsocket = \"{}\"\nsync-period = 0\n", socket.display());
    assert_eq!(report(folder.path(), &config, &archive).code, Some(0));
    assert_eq!(archive.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let files = unpack(&archive);
    let read = |name: &str| {
        let found = files.iter().find(|(path, _)| path.ends_with(name));
        found.map_or_else(|| panic!("{name}: {files:?}"), |(_, content)| content.as_str())
    };
    let contents = read("/contents.txt");
    assert!(contents.contains("agent/status.json: missing: no agent listens on "), "{contents}");
    assert!(read("/version.json").contains("\"commit\""));
    assert!(read("/config.json").contains("agent.sync-period"));
    assert!(read("/commands/config-check.txt").contains("sync-period"));
    assert!(read("/commands/doctor.txt").contains("kernel"));
    assert!(read("/kernel/release.txt").contains("Linux"));
}

#[test]
fn a_report_never_takes_the_place_of_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let (target, link) = (folder.path().join("target"), folder.path().join("link"));
    std::fs::write(&target, "precious").unwrap();
    symlink(&target, &link).unwrap();
    symlink(folder.path().join("missing"), folder.path().join("dangling")).unwrap();
    for name in ["target", "link", "dangling", "no/folder"] {
        let ran = report(folder.path(), "", &folder.path().join(name));
        assert_eq!(ran.code, Some(2), "{name}: {ran:?}");
        assert!(ran.err.contains("cannot create"), "{name}: {ran:?}");
    }
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
    assert!(!folder.path().join("missing").exists());
    // Without a name, it is in the working directory.
    let ran = command(&["report"]).current_dir(folder.path()).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().any(|name| name.to_string_lossy().starts_with("vipd-report-")));
}

/// The agent's socket is for its user and root, and its HTTP for everybody; so is a relay's.
#[test]
fn an_ordinary_user_has_what_the_agent_and_a_relay_say_over_http() {
    let Some(nobody) = ForNobody::new() else { return };
    let closed = tempfile::tempdir().unwrap();
    std::fs::set_permissions(closed.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let writable = nobody.at("reports");
    std::fs::create_dir(&writable).unwrap();
    std::fs::set_permissions(&writable, PermissionsExt::from_mode(0o777)).unwrap();
    let [agent, relay] = [b"the agent says so", b"the relay says so"].map(|said| {
        serve(http("200 OK", "text/plain", said)).strip_prefix("http://").unwrap().to_owned()
    });
    let socket = closed.path().join("agent.sock");
    let config = nobody.at("vipd.toml");
    let text =
        format!("[agent]\nlisten = {agent:?}\nsocket = {socket:?}\n[relay]\nlisten = {relay:?}\n");
    std::fs::write(&config, text).unwrap();
    let archive = writable.join("a.tar.gz");
    let ran = nobody.run(&config, &["report", archive.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.err.contains("permission denied"), "it is said once for all, or not: {ran:?}");
    let files = unpack(&archive);
    for (part, said) in [
        ("/agent/status.json", "the agent says so"),
        ("/agent/config.json", "the agent says so"),
        ("/relay/status.json", "the relay says so"),
        ("/relay/readyz.txt", "the relay says so"),
    ] {
        let found = files.iter().find(|(path, _)| path.ends_with(part));
        let contents = files.iter().find(|(path, _)| path.ends_with("/contents.txt"));
        assert_eq!(found.map(|(_, content)| content.as_str()), Some(said), "{part}: {contents:?}");
    }
}

#[test]
fn the_log_and_the_state_of_every_unit_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["journalctl", "systemctl"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "#!/bin/sh\necho \"$@\"\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let archive = folder.path().join("a.tar.gz");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let ran = command(&["report", archive.to_str().unwrap()]).env("PATH", path).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let files = unpack(&archive);
    let units = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/systemd")).unwrap();
    let units = units.filter_map(|unit| {
        let name = unit.unwrap().file_name().into_string().unwrap();
        Some(name.strip_suffix(".service")?.to_owned())
    });
    let units: Vec<_> = units.collect();
    assert!(units.contains(&"vipd-relay".to_owned()), "{units:?}");
    for name in ["/log.txt", "/tools/systemctl.txt"] {
        let (_, said) = files.iter().find(|(path, _)| path.ends_with(name)).unwrap();
        let words: Vec<_> = said.split_whitespace().collect();
        for unit in &units {
            let is_named = |word: &&str| *word == unit || *word == format!("--unit={unit}");
            assert!(words.iter().any(is_named), "{name} lacks {unit}: {said}");
        }
    }
}
