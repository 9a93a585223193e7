//! vipd beside the real Docker daemon and the real firewalld, from Debian's packages.
//!
//! Only a guest unpacks the packages, into its root file system, which is discarded at its end.

use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::netns;

use crate::cluster::tell;
use crate::support::{Ran, vipd_with_input};
use crate::world::{app, apps, healthy};

/// Time limit for a daemon on an emulated machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// Time without an answer that counts as dropped.
const SILENCE: Duration = Duration::from_secs(2);

const VIP: &str = "3.3.9.1:80";

/// Unpacks the packages once. Returns false, and prints so, if there are none.
fn unpacked() -> bool {
    static UNPACK: Once = Once::new();
    let is_there = unpack_packages(&UNPACK, "VIPD_TEST_PACKAGES");
    if !is_there {
        tell(
            "not on this kernel: Docker's daemon and firewalld, whose packages guests of QEMU get",
        );
    }
    is_there
}

/// Unpacks the packages in the directory that a variable names, once. Returns false if it names none.
pub(crate) fn unpack_packages(once: &Once, variable: &str) -> bool {
    let Some(folder) = std::env::var_os(variable).map(PathBuf::from) else { return false };
    once.call_once(|| {
        for entry in std::fs::read_dir(folder).unwrap() {
            let package = entry.unwrap().path();
            if package.extension().is_some_and(|end| end == "deb") {
                // On a merged-/usr Debian these directories are links, which old packages don't know.
                let unpack = "dpkg-deb --fsys-tarfile \"$0\" | \
                              tar --extract --keep-directory-symlink --directory /";
                let done = Command::new("sh").args(["-c", unpack]).arg(&package).status().unwrap();
                assert!(done.success(), "{}", package.display());
            }
        }
    });
    true
}

/// A node, `NODE`, and another machine on the same Ethernet with a real server, which reaches VIPs
/// through it.
struct Network {
    node: &'static str,
    peer: String,
}

impl Network {
    fn build(node: &'static str) -> Self {
        netns::enter_netns();
        let peer = format!("{node}-peer");
        let ip = |args: &str| netns::run_tool("ip", args);
        for namespace in [node, &peer] {
            ip(&format!("netns add {namespace}"));
            ip(&format!("-n {namespace} link set lo up"));
        }
        ip(&format!("-n {node} link add eth0 type veth peer name eth0 netns {peer}"));
        for (namespace, number) in [(node, 1), (&peer, 2)] {
            ip(&format!("-n {namespace} addr add 10.78.0.{number}/24 dev eth0"));
            ip(&format!("-n {namespace} link set eth0 up"));
        }
        ip(&format!("-n {peer} addr add 10.78.0.3/24 dev eth0"));
        ip(&format!("-n {node} route add default via 10.78.0.2"));
        ip(&format!("-n {peer} route add 3.0.0.0/8 via 10.78.0.1"));
        serve(&peer, "10.78.0.3:31001", "peer");
        Self { node, peer }
    }

    fn on(&self, line: &str) -> String {
        netns::run_tool("ip", &format!("netns exec {} {line}", self.node))
    }

    /// Runs a line of shell on the node.
    #[track_caller]
    fn sh(&self, line: &str) -> String {
        let command = self.command("sh").args(["-c", line]).output().unwrap();
        let said = String::from_utf8_lossy(&command.stderr);
        assert!(command.status.success(), "`{line}`: {said}");
        String::from_utf8_lossy(&command.stdout).into_owned()
    }

    /// Command on the node with the machine's mounts, which `ip netns exec` would replace.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.node)).arg(program).stdin(Stdio::null());
        command
    }

    fn vipd(&self, args: &[&str]) -> Ran {
        let lock = format!("/run/{}.lock", self.node);
        let own = ["--vip-allow", "3.0.0.0/8", "--lock", &lock, "--node-name", self.node];
        let args: Vec<_> = args.iter().chain(&own).map(|arg| (*arg).to_owned()).collect();
        let server = app("/web", "tcp", &json!({"VIP_0": VIP}), &[healthy("10.78.0.3", 31001)]);
        let (input, node) = (apps([server]).to_string(), self.node);
        let ran = thread::spawn(move || {
            netns::join_netns(node);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            vipd_with_input(&args, input.as_bytes())
        });
        ran.join().unwrap()
    }

    #[track_caller]
    fn apply(&self, mode: &str) {
        let ran = self.vipd(&["apply", "--force", "--no-pods", "--from", "-", "--firewall", mode]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }

    /// Whether `vipd diff` reports no difference.
    fn is_settled(&self, mode: &str) -> bool {
        let ran = self.vipd(&["diff", "--no-pods", "--from", "-", "--firewall", mode]);
        ran.code == Some(0)
    }

    /// Firewall checks of `vipd doctor`: level, text and remedy.
    fn doctor(&self) -> Vec<[String; 3]> {
        let ran = self.vipd(&["doctor", "--output", "json"]);
        let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
        let groups = report["groups"].as_array().unwrap().iter();
        let group = { groups }.find(|group| group["name"] == "firewall").unwrap();
        let checks = group["checks"].as_array().unwrap().iter();
        let part = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
        checks.map(|check| ["level", "text", "cure"].map(|key| part(check, key))).collect()
    }

    /// Name of the server that answers at the VIP, from the other machine or from the node itself.
    fn answer(&self, from: &str) -> Option<String> {
        ask(from, VIP)
    }
}

/// Serves a name until the end of the test.
fn serve(namespace: &str, at: &str, name: &'static str) {
    let (namespace, at) = (namespace.to_owned(), at.to_owned());
    let (ready, is_ready) = std::sync::mpsc::channel();
    thread::spawn(move || {
        netns::join_netns(&namespace);
        let listener = TcpListener::bind(at).unwrap();
        ready.send(()).unwrap();
        for mut stream in listener.incoming().flatten() {
            let _ = writeln!(stream, "{name}");
        }
    });
    is_ready.recv().unwrap();
}

fn ask(from: &str, at: &str) -> Option<String> {
    let (from, at) = (from.to_owned(), at.parse::<SocketAddr>().unwrap());
    let asked = thread::spawn(move || {
        netns::join_netns(&from);
        let stream = TcpStream::connect_timeout(&at, SILENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        std::io::read_to_string(stream).ok()
    });
    Some(asked.join().unwrap()?.trim().to_owned())
}

/// A daemon that ends with the test.
pub(crate) struct Daemon {
    child: Child,
    log: String,
}

impl Daemon {
    pub(crate) fn start(mut command: Command, name: &str) -> Self {
        let log = format!("/run/{name}.log");
        let file = File::create(&log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: command.spawn().unwrap_or_else(|error| panic!("{name}: {error}")), log }
    }

    #[track_caller]
    pub(crate) fn wait_until(&mut self, what: &str, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so() {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || Instant::now() > end {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                panic!("waited in vain until {what} ({ended:?}):\n{log}");
            }
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn docker_daemon(network: &Network) -> Daemon {
    let mut command = network.command("dockerd");
    command.args(["--host=unix:///run/docker-test.sock", "--data-root=/run/docker-data"]);
    command.args(["--exec-root=/run/docker-exec", "--pidfile=/run/docker-test.pid"]);
    command.args(["--storage-driver=vfs", "--userland-proxy=false"]);
    let mut daemon = Daemon::start(command, "dockerd");
    daemon.wait_until("Docker's daemon answers", || {
        let asked = network.command("docker-test").output();
        asked.is_ok_and(|output| output.status.success())
    });
    daemon
}

#[test]
fn docker_and_vips_on_one_node() {
    if !unpacked() {
        return;
    }
    let network = Network::build("docker");
    // Docker needs cgroups, which the machine of the tests may not have mounted.
    if netns::try_run_tool("mountpoint", "-q /sys/fs/cgroup").is_err() {
        netns::run_tool("mount", "-t cgroup2 none /sys/fs/cgroup");
    }
    std::fs::write(
        "/usr/local/sbin/docker-test",
        "#!/bin/sh\n[ $# -gt 0 ] || set -- info\n\
         exec /usr/bin/docker --host unix:///run/docker-test.sock \"$@\"\n",
    )
    .unwrap();
    netns::run_tool("chmod", "+x /usr/local/sbin/docker-test");
    let daemon = docker_daemon(&network);
    // The image contains only one program, which answers.
    network.sh("set -e
        mkdir -p /run/image/bin && cp \"$(command -v busybox)\" /run/image/bin/
        tar -C /run/image -c . | docker-test import - web
        docker-test run --detach --name web --publish 80:80 web \
            /bin/busybox nc -ll -p 80 -e /bin/busybox echo container");
    let rules = network.on("iptables -S FORWARD");
    assert!(rules.contains("-P FORWARD DROP") && rules.contains("DOCKER"), "{rules}");

    network.apply("off");
    let told = network.doctor();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        told[0][..2],
        [
            "warning".to_owned(),
            "ip filter FORWARD may drop replies of 3.0.0.0/8 (its policy)".to_owned(),
        ]
    );
    // The published host port equals the VIP's port, and replies go to another machine.
    assert_eq!(network.answer(network.node).as_deref(), Some("peer"));
    assert_eq!(network.answer(&network.peer), None, "Docker's policy drops the answers");
    let in_container = "docker-test exec web /bin/busybox nc -w 10 3.3.9.1 80";
    assert_eq!(network.sh(in_container), "peer\n");
    assert_eq!(ask(&network.peer, "10.78.0.1:80").as_deref(), Some("container"));

    network.apply("insert");
    assert_eq!(network.answer(&network.peer).as_deref(), Some("peer"));
    assert_eq!(network.sh(in_container), "peer\n");
    assert_eq!(ask(&network.peer, "10.78.0.1:80").as_deref(), Some("container"));
    let rules = network.on("iptables -S FORWARD");
    assert!(rules.contains("vipd:3.0.0.0/8"), "{rules}");

    // Docker still changes its own tables: it publishes, withdraws and restarts.
    network.sh("docker-test rm --force web");
    drop(daemon);
    let _daemon = docker_daemon(&network);
    network.sh("docker-test run --detach --publish 81:80 web \
                /bin/busybox nc -ll -p 80 -e /bin/busybox echo container");
    assert_eq!(ask(&network.peer, "10.78.0.1:81").as_deref(), Some("container"));
    assert!(network.is_settled("insert"), "{}", network.on("iptables -S FORWARD"));
    assert_eq!(network.answer(&network.peer).as_deref(), Some("peer"));
    network.apply("off");
    assert_eq!(network.answer(&network.peer), None);
}

#[test]
fn firewalld_and_vips_on_one_node() {
    if !unpacked() {
        return;
    }
    let network = Network::build("fire");
    std::fs::create_dir_all("/run/dbus").unwrap();
    // The package's installation script does this: polkit policies.
    let actions = "/usr/share/polkit-1/actions/org.fedoraproject.FirewallD1";
    let link = std::os::unix::fs::symlink(
        format!("{actions}.server.policy.choice"),
        format!("{actions}.policy"),
    );
    link.unwrap();
    let mut command = network.command("dbus-daemon");
    command.args(["--system", "--nofork", "--nopidfile"]);
    let mut bus = Daemon::start(command, "dbus");
    bus.wait_until("D-Bus listens", || {
        std::os::unix::net::UnixStream::connect("/run/dbus/system_bus_socket").is_ok()
    });
    let mut command = network.command("firewalld");
    command.args(["--nofork", "--nopid"]);
    let mut firewalld = Daemon::start(command, "firewalld");
    firewalld.wait_until("firewalld runs", || {
        let asked = network.command("firewall-cmd").arg("--state").output();
        asked.is_ok_and(|output| output.status.success())
    });

    network.apply("off");
    assert_eq!(network.answer(&network.peer), None, "firewalld refuses what it doesn't know");
    let told = network.doctor();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0][1].starts_with("inet firewalld filter_INPUT"), "{told:?}");

    // firewalld's own way, as printed by `vipd doctor`.
    let lines: Vec<_> = told[0][2].split('`').skip(1).step_by(2).collect();
    for line in lines.iter().filter(|line| line.starts_with("firewall-cmd")) {
        network.sh(line);
    }
    assert_eq!(network.answer(&network.peer).as_deref(), Some("peer"));
    let told = network.doctor();
    assert_eq!(told[0][0], "ok", "{told:?}");
    assert!(network.is_settled("insert"), "then no rule of vipd is needed");
    network.sh("firewall-cmd --permanent --delete-policy vipd && firewall-cmd --reload");
    assert_eq!(network.answer(&network.peer), None);

    // vipd's way, which a reload of firewalld removes again.
    network.apply("insert");
    assert_eq!(network.answer(&network.peer).as_deref(), Some("peer"));
    network.sh("firewall-cmd --reload");
    assert!(!network.is_settled("insert"));
    network.apply("insert");
    assert_eq!(network.answer(&network.peer).as_deref(), Some("peer"));
    assert_eq!(network.sh("firewall-cmd --check-config"), "success\n");
    network.apply("off");
    assert_eq!(network.answer(&network.peer), None);
}
