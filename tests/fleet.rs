//! The script that installs vipd on many nodes, with directories in the place of nodes.
#![allow(clippy::unwrap_used, reason = "a test that cannot run its tools should stop")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

fn script_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/fleet/install.sh")
}

/// Nodes, each a directory, that the fleet script reaches by programs in the place of ssh and scp. What
/// it runs there runs here, with programs in the place of those that would change this machine.
struct Fleet {
    folder: tempfile::TempDir,
}

/// In the place of ssh: node and command.
const SSH: &str = r#"node=${1#root@}; shift
echo "$node $*" >>"$FLEET/log"
export HOME="$FLEET/$node" NODE="$FLEET/$node" PATH="$FLEET/bin:$PATH"
case "$1" in
    sh) sed "s#=/#=$NODE/#" | "$@" ;;
    *) sh -c "$1" ;;
esac"#;

/// In the place of scp: `-q FROM root@NODE:PATH`.
const SCP: &str = r#"to=${3#*:}; node=${3#root@}; node=${node%%:*}
case "$node" in lost) exit 1 ;; esac
cp "$2" "$to""#;

/// In the place of systemctl: a unit that is active unless what is installed or configured is slow.
const SYSTEMCTL: &str = r#"case "$*" in
    *show*) cat "$NODE/invocation" ;;
    *restart*) echo again >>"$NODE/invocation" ;;
    *is-active*) ! grep -q slow "$NODE/installed" "$NODE/etc/vipd/vipd.toml" ;;
esac"#;

/// In the place of vipd, also in the package.
const VIPD: &str = r#"case "$*" in
    "config check "*) ! grep invalid "$3" ;;
    status*) echo '  "not_ready": [],' ;;
esac"#;

impl Fleet {
    /// Makes nodes that run `old` with the configuration `before`.
    fn new(nodes: &[&str]) -> Self {
        let fleet = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(fleet.at("bin")).unwrap();
        fs::create_dir_all(fleet.at("tree/usr/bin")).unwrap();
        for (name, body) in [
            ("ssh", SSH),
            ("scp", SCP),
            ("bin/systemctl", SYSTEMCTL),
            ("bin/vipd", VIPD),
            ("tree/usr/bin/vipd", VIPD),
            ("bin/dpkg-deb", "tar -C \"$FLEET/tree\" -c ./usr/bin/vipd"),
            ("bin/dpkg", "eval last=\\${$#}; grep -v broken \"$last\" >\"$NODE/installed\""),
            ("bin/getent", "exit 1"),
        ] {
            fs::write(fleet.at(name), format!("#!/bin/sh\n{body}\n")).unwrap();
            fs::set_permissions(fleet.at(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let program = format!("#!/bin/sh\n{VIPD}");
        for node in nodes {
            for (name, text) in [
                ("usr/bin/vipd", program.as_str()),
                ("etc/vipd/vipd.toml", "before"),
                ("var/cache/vipd/installed.deb", "old"),
                ("installed", "old"),
                ("invocation", "first"),
            ] {
                let path = fleet.at(&format!("{node}/{name}"));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, format!("{text}\n")).unwrap();
            }
        }
        fleet
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_default().trim().to_owned()
    }

    /// Installs a package and a configuration of these contents, and returns the exit code and what
    /// was said.
    fn install(&self, nodes: &[&str], package: &str, configuration: &str) -> (Option<i32>, String) {
        fs::write(self.at("vipd.deb"), format!("{package}\n")).unwrap();
        fs::write(self.at("vipd.toml"), format!("{configuration}\n")).unwrap();
        self.run(&[self.at("vipd.deb"), self.at("vipd.toml")], nodes, &[])
    }

    /// Runs the script with these files, nodes and variables.
    fn run(
        &self,
        files: &[PathBuf],
        nodes: &[&str],
        variables: &[(&str, &str)],
    ) -> (Option<i32>, String) {
        let ran = Command::new(script_path())
            .args(files)
            .args(nodes)
            .env("FLEET", self.folder.path())
            .env("SSH", self.at("ssh"))
            .env("SCP", self.at("scp"))
            .env("AT_ONCE", "2")
            .env("PATIENCE", "2")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        (
            ran.status.code(),
            String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned(),
        )
    }

    /// Returns what a node has: package and configuration.
    fn state(&self, node: &str) -> (String, String) {
        (self.read(&format!("{node}/installed")), self.read(&format!("{node}/etc/vipd/vipd.toml")))
    }
}

fn pair(package: &str, configuration: &str) -> (String, String) {
    (package.to_owned(), configuration.to_owned())
}

#[test]
fn a_fleet_is_installed_node_by_node_and_keeps_what_it_had() {
    let nodes = ["n1", "n2", "n3", "n4", "n5"];
    let fleet = Fleet::new(&nodes);
    let (code, said) = fleet.install(&nodes, "new", "after");
    assert_eq!(code, Some(0), "{said}");
    for node in nodes {
        assert_eq!(fleet.state(node), pair("new", "after"), "{node}: {said}");
        assert_eq!(fleet.read(&format!("{node}/etc/vipd/vipd.toml.previous")), "before");
        assert_eq!(fleet.read(&format!("{node}/var/cache/vipd/installed.deb")), "new");
        let left: Vec<_> = fs::read_dir(fleet.at(node)).unwrap().flatten().collect();
        let is_scratch = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(".vipd");
        assert!(!left.iter().any(|entry| is_scratch(&entry.file_name())), "{left:?}");
    }
}

#[test]
fn a_fleet_is_left_alone_after_a_node_where_something_fails() {
    // Refused by the new program, which leaves the node untouched; not installed; not ready with the
    // new program, or with the new configuration.
    for (package, configuration, why) in [
        ("new", "invalid", "the configuration is refused: nothing was changed"),
        ("broken", "after", "went back, and that is ready"),
        ("slow", "after", "went back, and that is ready"),
        ("new", "slow", "went back, and that is ready"),
    ] {
        let nodes = ["n1", "n2", "n3"];
        let fleet = Fleet::new(&nodes);
        let (code, said) = fleet.install(&nodes, package, configuration);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(why) && said.contains("n1: not done"), "{package}: {said}");
        for node in nodes {
            assert_eq!(fleet.state(node), pair("old", "before"), "{node}: {said}");
            assert_eq!(fleet.read(&format!("{node}/var/cache/vipd/installed.deb")), "old");
        }
        // The path on the node has random letters.
        let is_second = |line: &str| line.starts_with("n2 ");
        assert!(!fleet.read("log").lines().any(is_second), "the first is tried alone: {said}");
        let is_restarted = fleet.read("n1/invocation") != "first";
        assert_eq!(is_restarted, configuration != "invalid", "{package}: {said}");
    }
    // Later nodes: those that began with the failing one are done, and no further ones.
    let nodes = ["n1", "n2", "lost", "n4", "n5"];
    let fleet = Fleet::new(&nodes);
    let (code, said) = fleet.install(&nodes, "new", "after");
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(fleet.state("n2"), pair("new", "after"), "{said}");
    for node in ["lost", "n4", "n5"] {
        assert_eq!(fleet.state(node), pair("old", "before"), "{node}: {said}");
    }
    assert!(said.contains("stopped; not done: n4 n5"), "{said}");
}

#[test]
fn what_cannot_be_meant_is_refused_before_any_node_is_touched() {
    let fleet = Fleet::new(&["n1"]);
    let files = ["vipd.deb", "vipd.toml"].map(|name| fleet.at(name));
    for file in &files {
        fs::write(file, "new\n").unwrap();
    }
    let assert_refused = |files: &[PathBuf], nodes: &[&str], variables: &[(&str, &str)]| {
        let (code, said) = fleet.run(files, nodes, variables);
        assert_eq!(code, Some(2), "{nodes:?} {variables:?}: {said}");
        assert_eq!(fleet.read("log"), "", "{nodes:?} {variables:?}: {said}");
        said
    };
    for name in ["AT_ONCE", "PATIENCE"] {
        for value in ["0", "-1", "abc", "2m", "1.5", "08", " 5", "99999999999999999999"] {
            let said = assert_refused(&files, &["n1"], &[(name, value)]);
            assert!(said.contains(&format!("{name} is {value}: ")), "{said}");
        }
    }
    for name in ["SSH", "SCP"] {
        let said = assert_refused(&files, &["n1"], &[(name, "/none/program -p 22")]);
        assert!(said.contains("no program /none/program"), "{said}");
    }
    for nodes in [&["n1", ""][..], &["n1", "-v"], &["n1", "n 2"], &["n1", "fd00::1"]] {
        let said = assert_refused(&files, nodes, &[]);
        assert!(said.contains("is no name of a node"), "{said}");
    }
    let said = assert_refused(&files, &["n1", "n2", "n1"], &[]);
    assert!(said.contains("n1 is named twice"), "{said}");
    // What isn't a file may be read only once, for the first node.
    for position in 0..2 {
        let mut files = files.clone();
        files[position] = fleet.folder.path().to_owned();
        assert_refused(&files, &["n1"], &[]);
    }
}

#[test]
fn a_node_without_an_earlier_package_gets_its_configuration_back() {
    let fleet = Fleet::new(&["n1"]);
    fs::remove_file(fleet.at("n1/var/cache/vipd/installed.deb")).unwrap();
    let (code, said) = fleet.install(&["n1"], "new", "slow");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no earlier package is kept"), "{said}");
    assert_eq!(fleet.state("n1"), pair("new", "before"), "{said}");
}

/// The kept package is an old one, since somebody installed another one since.
#[test]
fn a_node_whose_program_is_not_the_kept_one_gets_its_configuration_back() {
    let fleet = Fleet::new(&["n1"]);
    fs::write(fleet.at("n1/usr/bin/vipd"), "another\n").unwrap();
    let (code, said) = fleet.install(&["n1"], "new", "slow");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no earlier package is kept"), "{said}");
    assert_eq!(fleet.state("n1"), pair("new", "before"), "{said}");
}

/// The state belongs to the user of the unit, and the candidate is in a directory of root's alone.
#[test]
fn the_program_itself_checks_the_configuration_on_a_node_whose_agent_has_a_user() {
    let nodes = ["n1", "n2"];
    let fleet = Fleet::new(&nodes);
    fs::copy(env!("CARGO_BIN_EXE_vipd"), fleet.at("tree/usr/bin/vipd")).unwrap();
    let state = fleet.at("state");
    fs::create_dir(&state).unwrap();
    // Only root may; without it, nobody but the user of the test reads anything.
    let _ = chown(&state, Some(54321), Some(54321));
    let socket = fleet.at("agent.sock");
    let text = format!("[agent]\nstate = {state:?}\nsocket = {socket:?}\nlisten = \"127.0.0.1:9\"");
    let (code, said) = fleet.install(&nodes, "new", &text);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(fleet.state("n2"), pair("new", &text), "{said}");
    let invalid = format!("{text}\nsync-period = 0");
    let (code, said) = fleet.install(&nodes, "newer", &invalid);
    assert!(code == Some(1) && said.contains("agent.sync-period"), "{said}");
    assert_eq!(fleet.state("n1"), pair("new", &text), "{said}");
}

/// A user of the node could put a link there, which root would follow.
#[test]
fn the_fleet_script_puts_nothing_where_everybody_may_write() {
    let script = fs::read_to_string(script_path()).unwrap();
    let code = script.lines().filter(|line| !line.trim_start().starts_with('#'));
    assert!(code.clone().count() > 20);
    assert!(code.clone().all(|line| !line.contains("/tmp")), "{script}");
}
