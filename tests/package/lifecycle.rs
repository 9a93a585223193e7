//! From `dpkg -i` to `dpkg --purge`.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::machine::{MARATHON, Marathon, eventually, sh, try_sh, visit};
use crate::package;
use crate::queries::{self, Queries};

const VIP: &str = "3.3.0.6:80";

/// The bits of `CAP_NET_ADMIN` and `CAP_NET_RAW`, as /proc/PID/status shows them
/// (`linux/capability.h`).
const RIGHTS: &str = "0000000000003000";

fn property(name: &str) -> String {
    sh(&format!("systemctl show --value -p {name} vipd.service")).trim().to_owned()
}

/// Waits until systemd has done with the units what it was told.
fn wait_for_jobs() {
    eventually("no job is left", || !sh("systemctl list-jobs --no-legend").contains("vipd"));
}

/// Opens connections to the VIP in sequence until told to stop.
struct Traffic {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    thread: thread::JoinHandle<Vec<String>>,
}

impl Traffic {
    fn start() -> Self {
        let (stop, done) = <(Arc<AtomicBool>, Arc<AtomicUsize>)>::default();
        let (until, count) = (stop.clone(), done.clone());
        let at: SocketAddr = VIP.parse().unwrap();
        let thread = thread::spawn(move || {
            let mut failures = Vec::new();
            while !until.load(Ordering::Relaxed) {
                match visit(at) {
                    Ok(answer) if answer.contains("/web") => {}
                    other => failures.push(format!("{other:?}")),
                }
                count.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(10));
            }
            failures
        });
        Self { stop, done, thread }
    }

    fn wait_for_more(&self, more: usize) {
        let then = self.done.load(Ordering::Relaxed);
        eventually("there is traffic", || self.done.load(Ordering::Relaxed) >= then + more);
    }

    fn stop(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.thread.join().unwrap();
        (self.done.load(Ordering::Relaxed), failures)
    }
}

/// Builds the same package with a later version.
fn later() -> String {
    let package = package();
    sh(&format!(
        "set -e
         rm -rf /tmp/later
         dpkg-deb --raw-extract {} /tmp/later
         sed -i 's/^Version: .*/&+later/' /tmp/later/DEBIAN/control
         dpkg-deb --build --root-owner-group /tmp/later /tmp/later.deb",
        package.display()
    ));
    "/tmp/later.deb".to_owned()
}

#[test]
fn the_package_is_installed_used_upgraded_removed_and_purged() {
    let installed = sh(&format!("dpkg -i {} 2>&1", package().display()));
    assert!(installed.contains("set Marathon's URLs in /etc/vipd/vipd.toml"), "{installed}");
    assert_eq!(sh("stat -c '%U:%G %a' /etc/vipd/vipd.toml").trim(), "root:vipd 640");
    assert_eq!(sh("systemctl is-enabled vipd vipd-setup").trim(), "enabled\nenabled");
    assert!(sh("man -w vipd 2>&1 || ls /usr/share/man/man1/vipd.1.gz").contains("vipd"));

    let marathon = Marathon::start();
    marathon.post(&json!({
        "id": "/web", "instances": 2, "cpus": 0.1, "mem": 16,
        "container": {
            "type": "DOCKER",
            "docker": {"image": "web"},
            "portMappings": [{"containerPort": 80, "hostPort": 0, "labels": {
                "VIP_0": VIP, "VIP_1": "/web:80",
            }}],
        },
        "networks": [{"mode": "container/bridge"}],
    }));
    sh(&format!("printf '[[marathon]]\\nurls = [\"http://{MARATHON}\"]\\n' >>/etc/vipd/vipd.toml"));
    // The unit is active once the agent is ready; systemctl waits for that.
    sh("systemctl start vipd");
    eventually("both instances are served", || sh("ipvsadm -Sn").matches("-w 1").count() == 4);
    assert_eq!(property("User"), "vipd");
    let rights = sh(&format!("grep -h Cap /proc/{}/status", property("MainPID")));
    for line in rights.lines().filter(|line| !line.contains("CapInh")) {
        assert!(line.ends_with(RIGHTS), "{rights}");
    }
    sh("! test -e /etc/modules-load.d/vipd.conf");
    let setup = sh("systemctl is-active vipd-setup || journalctl -u vipd-setup --no-pager");
    assert_eq!(setup.trim(), "active");
    assert_eq!(sh("cat /proc/sys/net/ipv4/vs/conntrack").trim(), "1", "by vipd-setup.service");
    // Commands run by root work beside the agent.
    sh("vipd status");
    assert_eq!(try_sh("vipd apply --marathon http://10.77.0.1:8080").status.code(), Some(2));

    // The name server is a process of its own, without any right.
    let main_pid = sh("systemctl show --value -p MainPID vipd-dns.service");
    let rights = sh(&format!("grep -h Cap /proc/{}/status", main_pid.trim()));
    assert!(rights.lines().all(|line| line.ends_with("0000000000000000")), "{rights}");
    eventually("the name resolves", || queries::ask(1).is_ok());
    sh("printf 'nameserver 198.51.100.1\\n' >/etc/resolv.conf");
    let found = sh("getent hosts web.marathon.l4lb.thisdcos.directory");
    assert!(found.starts_with("11.225.36.193"), "{found}");

    let queries = Queries::start();
    let traffic = Traffic::start();
    let open = TcpStream::connect(VIP.parse::<SocketAddr>().unwrap()).unwrap();
    traffic.wait_for_more(20);
    wait_for_jobs();
    let before = property("InvocationID");
    // Where the node's policy forbids it, nothing is restarted. What an operator disables stays so.
    sh("printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
        systemctl disable --quiet vipd-setup");
    sh(&format!("dpkg -i {} && rm /usr/sbin/policy-rc.d", package().display()));
    wait_for_jobs();
    assert_eq!(property("InvocationID"), before);
    // A relay goes on that could not start with the configuration that there is by now.
    sh("systemctl start vipd-relay
        cp /etc/vipd/vipd.toml /tmp/vipd.toml
        sed -i 's,^#token-file = .*,token-file = \"/etc/vipd/no-token\",' /etc/vipd/vipd.toml");
    let of_relay = || sh("systemctl show --value -p InvocationID,ActiveState vipd-relay");
    let relay = of_relay();
    let upgraded = sh(&format!("dpkg -i {} 2>&1", later()));
    assert!(upgraded.contains("the relay is not restarted"), "{upgraded}");
    eventually("the new one is ready", || {
        property("InvocationID") != before && property("ActiveState") == "active"
    });
    assert_eq!(of_relay(), relay);
    sh("systemctl stop vipd-relay; cat /tmp/vipd.toml >/etc/vipd/vipd.toml");
    traffic.wait_for_more(20);
    assert_eq!(sh("systemctl is-enabled vipd-setup || true").trim(), "disabled");
    sh("systemctl restart vipd-dns.service");
    // A stopped agent stays stopped, and names answer all the same.
    sh("systemctl stop vipd");
    queries::ask(2).unwrap();
    sh("systemctl start vipd");
    let (asked, lost) = queries.stop();
    eprintln!("upgraded and restarted: {asked} queries, {} lost", lost.len());
    assert_eq!(lost, [""; 0], "of {asked}");

    // A hung process, which the watchdog has to detect.
    sh("mkdir -p /run/systemd/system/vipd.service.d
        printf '[Service]\\nWatchdogSec=4\\n' >/run/systemd/system/vipd.service.d/test.conf
        systemctl daemon-reload; systemctl restart vipd");
    let hung = property("MainPID");
    sh(&format!("kill -STOP {hung}"));
    eventually("there is another", || {
        property("MainPID") != hung && property("ActiveState") == "active"
    });
    traffic.wait_for_more(20);
    let (done, failures) = traffic.stop();
    eprintln!("upgraded, restarted and hung: {done} connections, {} failed", failures.len());
    assert_eq!(failures, [""; 0], "of {done}");
    // The connection that was open all the time still works.
    assert_eq!(open.peer_addr().unwrap().to_string(), VIP);
    assert!(open.take_error().unwrap().is_none());
    drop(open);

    // IPv6 forwarding is for those who ask for it, and goes with the package.
    let forwarding = || sh("sysctl -n net.ipv6.conf.all.forwarding");
    assert_eq!(forwarding().trim(), "0");
    sh("sed -i 's/^#ipv6-forwarding = .*/ipv6-forwarding = true/' /etc/vipd/vipd.toml
        systemctl restart vipd-setup");
    assert_eq!(forwarding().trim(), "1");

    sh("dpkg -r vipd");
    assert_eq!(forwarding().trim(), "0");
    assert_eq!(sh("ipvsadm -Sn"), "");
    assert!(!sh("ip -br link").contains("vipd0"));
    assert!(try_sh("systemctl is-active vipd").status.code() != Some(0));

    // What ran before a removal runs after it, and ends with the package whatever the policy says.
    sh(&format!("dpkg -i {}", package().display()));
    eventually("both instances are served again", || {
        sh("ipvsadm -Sn").matches("-w 1").count() == 4
    });
    sh("systemctl enable --quiet vipd-relay
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
        dpkg -r vipd && rm /usr/sbin/policy-rc.d");
    assert_eq!(sh("ipvsadm -Sn"), "");
    assert!(try_sh("systemctl is-active vipd").status.code() != Some(0));

    sh("test -e /etc/vipd/vipd.toml && dpkg --purge vipd && ! test -e /etc/vipd");
    sh("! test -e /var/lib/vipd && ! getent passwd vipd");
    assert_eq!(sh("find /etc/systemd/system -name 'vipd*'"), "");
}

#[test]
fn masked_units_do_not_fail_an_installation() {
    let units = "vipd.service vipd-setup.service vipd-dns.socket vipd-relay.service";
    sh(&format!("systemctl mask {units}"));
    sh(&format!("dpkg -i {}", package().display()));
    sh(&format!("dpkg -i {}", later()));
    sh("dpkg -r vipd && dpkg --purge vipd");
    sh(&format!("systemctl unmask {units}"));
}
