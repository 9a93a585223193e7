//! The scripts of the Debian package, in a folder that stands for the node, with a `systemctl` that records.
#![allow(clippy::unwrap_used, reason = "a test that cannot run its tools should stop")]
#![allow(clippy::print_stdout, reason = "what could not be run is said")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// As systemd does, it refuses to enable or to start a masked unit. Units are active while there is a file of
/// this name.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "systemctl $*" >>$ROOT/calls
action= ; masked=
for word; do
    case $word in
    -*) ;;
    preset | is-enabled | enable | disable | start | stop | restart | try-restart | show | is-active | daemon-reload) action=$word ;;
    *) [ "$(readlink $ROOT/etc/systemd/system/$word)" != /dev/null ] || masked=yes
       [ $action != preset ] || [ $masked ] || {
           wants=$(sed -n s/^WantedBy=//p $ROOT/usr/lib/systemd/system/$word).wants
           mkdir -p $ROOT/etc/systemd/system/$wants
           ln -s /usr/lib/systemd/system/$word $ROOT/etc/systemd/system/$wants/
       } ;;
    esac
done
[ $action != show ] || echo 0
[ $action != is-active ] || exec test -e $ROOT/active
[ $action != is-enabled ] || echo ${masked:+masked}
[ ! $masked ] || [ $action = show ] || exit 1
"#;

/// Succeeds, and records that it was called.
const RECORD: &str = "#!/bin/sh\necho \"${0##*/} $*\" >>$ROOT/calls\n";

const UNITS: [&str; 5] = [
    "vipd.service",
    "vipd-setup.service",
    "vipd-relay.service",
    "vipd-dns.service",
    "vipd-dns.socket",
];

/// A folder that stands for a node.
struct Node(tempfile::TempDir);

impl Node {
    /// Makes a node on which the files of the package are. `None`: this machine isn't Debian.
    fn new(has_systemd: bool) -> Option<Self> {
        if !Path::new("/usr/bin/deb-systemd-helper").exists() {
            println!("not run: this machine has no deb-systemd-helper");
            return None;
        }
        let node = Self(tempfile::tempdir().unwrap());
        for folder in ["usr/lib/systemd/system", "usr/bin", "etc/systemd/system", "etc/vipd", "run"]
        {
            fs::create_dir_all(node.path(folder)).unwrap();
        }
        for unit in UNITS {
            fs::copy(
                deploy(&format!("systemd/{unit}")),
                node.path("usr/lib/systemd/system").join(unit),
            )
            .unwrap();
        }
        let text = "[[marathon]]\nurls = [\"http://m1:8080\"]\n";
        fs::write(node.path("etc/vipd/vipd.toml"), text).unwrap();
        node.put_program("systemctl", SYSTEMCTL);
        for name in
            ["adduser", "deluser", "chgrp", "deb-systemd-invoke", "runuser", "vipd", "getent"]
        {
            node.put_program(name, RECORD);
        }
        if has_systemd {
            fs::create_dir_all(node.path("run/systemd/system")).unwrap();
        }
        Some(node)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put_program(&self, name: &str, text: &str) {
        let file = self.path("usr/bin").join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a script as dpkg does, and returns which programs it called. It must succeed.
    #[track_caller]
    fn run(&self, script: &str, args: &[&str]) -> String {
        let root = self.0.path().display().to_string();
        let mut text = fs::read_to_string(deploy(&format!("debian/{script}"))).unwrap();
        for folder in ["/etc/", "/run/", "/usr/sbin/", "/var/"] {
            text = text.replace(folder, &format!("{root}{folder}"));
        }
        let _ = fs::remove_file(self.path("calls"));
        let path = format!("{root}/usr/bin:{}", std::env::var("PATH").unwrap());
        let output: Output = Command::new("sh")
            .args(["-c", &text, script])
            .args(args)
            .envs([("PATH", path.as_str()), ("ROOT", &root), ("DPKG_ROOT", &root)])
            .env("DPKG_MAINTSCRIPT_PACKAGE", "vipd")
            .output()
            .unwrap();
        assert!(output.status.success(), "{script} {args:?}: {output:?}");
        fs::write(self.path("said"), output.stderr).unwrap();
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    /// Installs the package, after a version that was removed if there was one.
    #[track_caller]
    fn install(&self, before: &str) -> String {
        let arguments = ["install", before];
        self.run("preinst", if before.is_empty() { &arguments[..1] } else { &arguments });
        self.run("postinst", &["configure", before])
    }

    fn is_enabled(&self, unit: &str) -> bool {
        let folders = ["multi-user.target.wants", "sockets.target.wants"];
        let link = |folder: &str| self.path("etc/systemd/system").join(folder).join(unit);
        folders.iter().any(|folder| link(folder).is_symlink())
    }

    /// Lists the units that are enabled.
    fn enabled(&self) -> Vec<&str> {
        UNITS.into_iter().filter(|unit| self.is_enabled(unit)).collect()
    }

    fn mask(&self, unit: &str) {
        symlink("/dev/null", self.path("etc/systemd/system").join(unit)).unwrap();
    }

    /// Enables a unit, or disables it, as an operator does.
    fn set_enabled(&self, unit: &str, is_on: bool) {
        let link = self.path("etc/systemd/system/multi-user.target.wants").join(unit);
        if is_on {
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink(format!("/usr/lib/systemd/system/{unit}"), link).unwrap();
        } else {
            fs::remove_file(link).unwrap();
        }
    }
}

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

#[test]
fn masked_units_do_not_fail_an_installation_or_an_upgrade() {
    let Some(node) = Node::new(true) else { return };
    for unit in UNITS {
        node.mask(unit);
    }
    node.install("");
    assert_eq!(node.enabled(), [""; 0]);
    node.run("postinst", &["configure", "0.1.0"]);
    node.run("prerm", &["remove"]);
    node.run("postrm", &["remove"]);
}

#[test]
fn an_agent_starts_after_a_removal_and_is_only_restarted_by_an_upgrade() {
    let Some(node) = Node::new(true) else { return };
    let start = "systemctl start --no-block vipd.service\n";
    assert!(node.install("").contains(start));
    let upgraded = node.run("postinst", &["configure", "0.1.0"]);
    assert!(upgraded.contains("systemctl try-restart --no-block vipd.service\n"), "{upgraded}");
    assert!(!upgraded.contains(start), "{upgraded}");
    node.run("prerm", &["remove"]);
    node.run("postrm", &["remove"]);
    let again = node.install("0.1.0");
    assert!(again.contains(start), "{again}");
    assert!(!again.contains("vipd-relay.service\n"), "it isn't enabled: {again}");
    // What an operator has disabled isn't started.
    node.set_enabled("vipd.service", false);
    let disabled = node.install("0.1.0");
    assert!(!disabled.contains(start) && !node.is_enabled("vipd.service"), "{disabled}");
}

#[test]
fn an_upgrade_restarts_a_relay_only_with_a_configuration_that_it_takes() {
    let Some(node) = Node::new(true) else { return };
    let upgrade = || {
        let called = node.run("postinst", &["configure", "0.1.0"]);
        let is_restarted = called.contains("systemctl try-restart --no-block vipd-relay.service\n");
        let said = fs::read_to_string(node.path("said")).unwrap();
        (called, is_restarted, said.contains("systemctl restart vipd-relay"))
    };
    node.install("");
    let (called, is_restarted, _) = upgrade();
    assert!(!is_restarted && !called.contains("--relay"), "none runs: {called}");
    fs::write(node.path("active"), "").unwrap();
    let (called, is_restarted, says_why) = upgrade();
    assert!(called.contains("vipd config check --relay\n"), "{called}");
    assert!(is_restarted && !says_why, "{called}");
    node.put_program("runuser", &format!("{RECORD}case \"$*\" in *--relay) exit 1 ;; esac\n"));
    let (called, is_restarted, says_why) = upgrade();
    assert!(!is_restarted && says_why, "{called}");
    assert!(called.contains("systemctl try-restart --no-block vipd.service\n"), "{called}");
    // What a changed unit has it read isn't known.
    let unit = node.path("etc/systemd/system/vipd-relay.service");
    fs::create_dir_all(unit.parent().unwrap()).unwrap();
    fs::write(&unit, "[Service]\nEnvironmentFile=/etc/default/vipd-relay\n").unwrap();
    let (called, is_restarted, _) = upgrade();
    assert!(is_restarted && !called.contains("--relay"), "{called}");
    fs::remove_file(&unit).unwrap();
    // An invalid configuration of the agent is no reason to leave a relay as it is.
    node.put_program(
        "runuser",
        &format!("{RECORD}case \"$*\" in *--relay) ;; *) exit 1 ;; esac\n"),
    );
    let (called, is_restarted, says_why) = upgrade();
    assert!(is_restarted && !says_why, "{called}");
    assert!(!called.contains("systemctl try-restart --no-block vipd.service\n"), "{called}");
}

#[test]
fn an_upgrade_from_a_version_without_records_enables_nothing() {
    let Some(node) = Node::new(true) else { return };
    node.set_enabled("vipd.service", true);
    node.run("postinst", &["configure", "0.0.1"]);
    assert_eq!(node.enabled(), ["vipd.service"]);
    node.run("postinst", &["configure", "0.1.0"]);
    assert_eq!(node.enabled(), ["vipd.service"]);
}

#[test]
fn an_image_enables_no_name_server_and_its_removal_leaves_the_host_alone() {
    let Some(node) = Node::new(false) else { return };
    node.install("");
    assert_eq!(node.enabled(), ["vipd.service", "vipd-setup.service"]);
    let removed = node.run("prerm", &["remove"]);
    assert_eq!(removed, "");
    // Nor does its first upgrade on a node.
    fs::create_dir_all(node.path("run/systemd/system")).unwrap();
    node.run("postinst", &["configure", "0.1.0"]);
    assert!(!node.is_enabled("vipd-dns.socket"));
}

#[test]
fn a_removal_stops_the_agent_whatever_the_policy_says() {
    let Some(node) = Node::new(true) else { return };
    node.install("");
    let removed = node.run("prerm", &["remove"]);
    let stop = removed.find("systemctl stop vipd.service").unwrap();
    assert!(stop < removed.find("vipd cleanup").unwrap(), "{removed}");
}

#[test]
fn a_purge_leaves_no_link_even_of_a_relay() {
    let Some(node) = Node::new(true) else { return };
    node.install("");
    node.set_enabled("vipd-relay.service", true);
    assert_eq!(node.enabled().len(), UNITS.len());
    node.put_program("deluser", "#!/bin/sh\nexit 8\n");
    for script in [["prerm", "remove"], ["postrm", "remove"], ["postrm", "purge"]] {
        node.run(script[0], &script[1..]);
    }
    assert_eq!(node.enabled(), [""; 0]);
    assert!(!node.path("run/vipd.installing").exists());
}
