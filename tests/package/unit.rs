//! The agent under its own unit, with its seccomp filter, its capabilities and its read-only system.
//!
//! The tests have a forbidden system call end the process, where the unit has it fail.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::machine::{MARATHON, Marathon, eventually, sh, try_sh, visit};
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

/// Returns what `vipd status` prints, which fails while the node is held.
fn status() -> String {
    String::from_utf8(try_sh("vipd status").stdout).unwrap()
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
    assert!(status().contains("why"));
    assert!(sh("cat /run/vipd/hold").contains("why"));
    assert_eq!(sh("stat -c '%U:%G %a' /run/vipd").trim(), "vipd:vipd 750");
    sh("vipd release && systemctl restart vipd");
    assert!(!status().contains("why"));
    node.serve_new("later", "3.3.0.8:80");
    assert_eq!(node.forbidden_calls(), [""; 0]);
}
