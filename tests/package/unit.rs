//! The agent under its own unit, with its seccomp filter, its capabilities and its read-only system.
//!
//! The tests have a forbidden system call end the process, where the unit has it fail.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};

use crate::machine::{MARATHON, Marathon, eventually, exchange, get, sh, try_sh, visit};
use crate::{package, queries};

const VIP: &str = "3.3.0.6:80";

/// Names of the units.
const UNITS: [&str; 3] = ["vipd", "vipd-dns", "vipd-setup"];

/// A node with the package, and a Marathon with an app.
struct Node {
    marathon: Marathon,
    /// The place where this node's journal begins.
    cursor: String,
}

impl Node {
    /// Installs the package, and starts the agent.
    fn start() -> Self {
        // The lines before are of another test in the same boot.
        let cursor = sh("journalctl --sync; journalctl --lines=0 --quiet --show-cursor");
        let cursor = cursor.trim().strip_prefix("-- cursor: ").unwrap().to_owned();
        let marathon = Marathon::start();
        sh(&format!("dpkg -i {}", package().display()));
        for unit in UNITS {
            let folder = format!("/run/systemd/system/{unit}.service.d");
            std::fs::create_dir_all(&folder).unwrap();
            let text = "[Service]\nSystemCallErrorNumber=kill\n";
            std::fs::write(format!("{folder}/test.conf"), text).unwrap();
        }
        let node = Self { marathon, cursor };
        let text = format!("[[marathon]]\nurls = [\"http://{MARATHON}\"]\n");
        std::fs::write("/etc/vipd/vipd.toml", text).unwrap();
        node.marathon.post(&app("/web", &json!({"VIP_0": VIP, "VIP_1": "/web:80"})));
        sh("systemctl daemon-reload; systemctl restart vipd-dns; systemctl start vipd");
        eventually("all instances are served", || node.weights("-w 1") == 8);
        eventually("the name resolves", || queries::ask(1).is_ok());
        sh("printf 'nameserver 198.51.100.1\\n' >/etc/resolv.conf");
        node
    }

    /// Counts the real servers with a weight.
    fn weights(&self, weight: &str) -> usize {
        sh("ipvsadm -Sn").lines().filter(|line| line.ends_with(weight)).count()
    }

    /// Counts the real servers of a VIP.
    fn weights_of(&self, vip: &str) -> usize {
        let of_vip = format!(" {vip} -r ");
        sh("ipvsadm -Sn").lines().filter(|line| line.contains(&of_vip)).count()
    }

    /// Deploys an app that nobody had before, and waits until it is found by its name and answers.
    fn serve_new(&self, name: &str, vip: &str) {
        self.marathon.post(&app(
            &format!("/{name}"),
            &json!({"VIP_0": vip, "VIP_1": format!("/{name}:80")}),
        ));
        let at: SocketAddr = vip.parse().unwrap();
        eventually("it is served", || visit(at).is_ok_and(|answer| answer.contains(name)));
        let host = format!("{name}.marathon.l4lb.thisdcos.directory");
        eventually("its name resolves", || {
            try_sh(&format!("getent hosts {host}")).status.success()
        });
    }

    /// Returns the lines of the journal with these options.
    fn journal(&self, options: &str) -> Vec<String> {
        let cursor = &self.cursor;
        let text = sh(&format!(
            "journalctl --sync; journalctl --quiet --output=cat --after-cursor='{cursor}' {options}"
        ));
        text.lines().map(str::to_owned).collect()
    }

    /// Returns what the kernel's audit says of system calls that a filter forbids.
    fn forbidden_calls(&self) -> Vec<String> {
        let lines = self.journal("");
        let told = ["status=31/SYS", "SECCOMP", "type=1326"];
        lines.into_iter().filter(|line| told.iter().any(|text| line.contains(text))).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        try_sh(
            "dpkg --purge vipd; rm -rf /run/systemd/system/vipd*.service.d; systemctl daemon-reload",
        );
    }
}

fn app(id: &str, labels: &Value) -> Value {
    json!({
        "id": id, "instances": 4, "cpus": 0.1, "mem": 16,
        "container": {
            "type": "DOCKER",
            "docker": {"image": "web"},
            "portMappings": [{"containerPort": 80, "hostPort": 0, "labels": labels}],
        },
        "networks": [{"mode": "container/bridge"}],
    })
}

fn property(name: &str) -> String {
    sh(&format!("systemctl show --value -p {name} vipd.service")).trim().to_owned()
}

/// Returns what `vipd status` prints about what these arguments name. It fails while the node is held.
fn status(args: &str) -> String {
    String::from_utf8(try_sh(&format!("vipd status --servers {args}")).stdout).unwrap()
}

#[test]
fn an_agent_whose_runtime_directory_is_removed_comes_back_and_stays_held() {
    let node = Node::start();
    sh("rm -r /run/vipd");
    // Only an agent answers this.
    let is_back = || try_sh("vipd events").status.success() && property("ActiveState") == "active";
    eventually("it is back", is_back);
    node.serve_new("late", "3.3.0.7:80");

    sh("vipd hold why && rm -r /run/vipd");
    eventually("it is back", is_back);
    assert!(status("").contains("why"));
    assert!(sh("cat /run/vipd/hold").contains("why"));
    assert_eq!(sh("stat -c '%U:%G %a' /run/vipd").trim(), "vipd:vipd 750");
    sh("vipd release && systemctl restart vipd");
    assert!(!status("").contains("why"));
    node.serve_new("later", "3.3.0.8:80");
    assert_eq!(node.forbidden_calls(), [""; 0]);
}

/// The parts of the agent's work, each once: what the filter forbids would end it.
#[test]
fn an_agent_does_all_of_its_work_within_the_rights_of_its_unit() {
    let node = Node::start();
    let pid = property("MainPID");

    // Changes of apps: more and fewer instances, UDP, an app without tasks, one that is removed.
    node.serve_new("new", "3.3.0.7:80");
    node.marathon.send("PUT", "/v2/apps//web?force=true", &json!({"instances": 2}));
    eventually("those that ended are gone", || node.weights_of("3.3.0.6:80") == 2);
    let mut app = app("/dns", &json!({"VIP_0": "3.3.0.8:53"}));
    app["container"]["portMappings"][0]["protocol"] = json!("udp");
    node.marathon.post(&app);
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let asked = || {
        socket.send_to(b"?", "3.3.0.8:53").is_ok()
            && socket.recv_from(&mut [0; 512]).is_ok_and(|(_, from)| from.port() == 53)
    };
    eventually("a datagram is answered", asked);
    node.marathon.send("PUT", "/v2/apps//dns?force=true", &json!({"instances": 1}));
    eventually("the flow moved to who is left", || node.weights_of("3.3.0.8:53") == 1 && asked());
    node.marathon.send("PUT", "/v2/apps//new?force=true", &json!({"instances": 0}));
    let at: SocketAddr = "3.3.0.7:80".parse().unwrap();
    let refused = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
    eventually("clients of nobody are refused", || visit(at).is_err_and(|error| refused(&error)));
    node.marathon.send("DELETE", "/v2/apps//new?force=true", &json!(null));
    eventually("its VIP is gone", || !sh("ipvsadm -Sn").contains("3.3.0.7"));

    // Damage by others.
    let tables = sh("nft list tables");
    for damage in
        ["ipvsadm -C", "ip link del vipd0", "ip addr flush dev vipd0", "nft flush ruleset"]
    {
        sh(damage);
        eventually("the VIP is whole again", || visit(VIP.parse().unwrap()).is_ok());
    }
    eventually("the rules are back", || sh("nft list tables") == tables);

    // A host that answers nothing any longer, and answers again.
    sh("ip -n other rule add pref 1 blackhole");
    let visited = || try_sh("timeout 1 bash -c 'exec 3<>/dev/tcp/3.3.0.6/80'");
    eventually("it is seen", || {
        visited();
        status(VIP).contains("silent")
    });
    sh("ip -n other rule del pref 1");
    eventually("it is seen to be back", || !status(VIP).contains("silent"));

    // A Marathon without a leader, and one that is back.
    node.marathon.send("PUT", "/_sim/leader", &json!({"leader": null}));
    sh("sleep 2");
    assert!(visit(VIP.parse().unwrap()).is_ok());
    node.marathon.send("PUT", "/_sim/leader", &json!({"leader": 0}));
    node.serve_new("next", "3.3.0.9:80");

    // Commands, of root and of others, and what the agent says over HTTP.
    sh("vipd hold why && vipd release && vipd diff && vipd names && vipd events >/dev/null");
    for command in ["status", "explain 3.3.0.6:80", "events", "diff"] {
        sh(&format!("setpriv --reuid=65534 --regid=65534 --clear-groups vipd {command}"));
    }
    for path in ["/metrics", "/healthz", "/readyz", "/version", "/"] {
        let answer = exchange("127.0.0.1:9614".parse().unwrap(), &get(path)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    sh("cd /tmp && vipd report report.tar.gz && vipd try 3.3.0.6:80");

    // Reloads: one that changes how it works, and one that is refused.
    sh("printf '[log]\\nlevel = \"debug\"\\n[probe]\\nmode = \"off\"\\n' >>/etc/vipd/vipd.toml");
    sh("systemctl reload vipd");
    node.serve_new("reloaded", "3.3.0.10:80");
    sh("cp /etc/vipd/vipd.toml /tmp/good && echo nonsense >>/etc/vipd/vipd.toml");
    assert!(!try_sh("systemctl reload vipd").status.success());
    sh("cp /tmp/good /etc/vipd/vipd.toml && systemctl reload vipd");
    node.serve_new("again", "3.3.0.11:80");

    assert_eq!(property("MainPID"), pid, "it never ended");
    sh("systemctl restart vipd vipd-dns && systemctl stop vipd vipd-dns");
    assert_eq!(property("Result"), "success");
    assert_eq!(node.forbidden_calls(), [""; 0]);
    let denied = ["ermission denied", "not permitted", "EPERM", "EACCES"];
    let mut lines = node.journal("-u vipd -u vipd-dns -u vipd-setup");
    // A note is of a command, which goes on without the socket; the agent's own lines have a level.
    let is_denied = |line: &String| denied.iter().any(|text| line.contains(text));
    lines.retain(|line| is_denied(line) && !line.starts_with("note: "));
    assert_eq!(lines, [""; 0]);
}
