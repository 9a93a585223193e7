//! An agent on n1, and a Marathon with prescribed answers.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::{Mutex, Once};
use std::thread;

use serde_json::{Value, json};

use super::topology::Net;
use crate::cluster::eventually;
use crate::support::{command, http, read_request};

const MARATHON: &str = "http://10.77.0.1:8080";

/// Marathon's answer about apps.
static APPS: Mutex<String> = Mutex::new(String::new());

/// Sets the answer about apps of a Marathon without an event stream. An agent polls it within half a
/// minute.
pub(super) fn marathon(net: &Net, apps: &Value) {
    static STARTED: Once = Once::new();
    *APPS.lock().unwrap() = apps.to_string();
    STARTED.call_once(|| {
        net.seat("lan").run(|| {
            let listener = TcpListener::bind("10.77.0.1:8080").unwrap();
            thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let request = read_request(&mut stream);
                    let path = request.split(' ').nth(1).unwrap_or_default();
                    let apps = APPS.lock().unwrap().clone();
                    let (status, body) = match path.split('?').next().unwrap_or_default() {
                        "/v2/apps" => ("200 OK", apps.as_bytes()),
                        "/v2/pods/::status" => ("200 OK", b"[]".as_slice()),
                        "/v2/info" => ("200 OK", br#"{"version":"1.8.222"}"#.as_slice()),
                        _ => ("404 Not Found", br#"{"message":"no"}"#.as_slice()),
                    };
                    let _ = stream.write_all(&http(status, "application/json", body));
                }
            });
        });
    });
}

const OWN: [&str; 6] =
    ["--lock", "/run/n1.lock", "--socket", "/run/n1-agent/sock", "--node-name", "n1"];

const CONFIG: &str = "/run/n1.toml";

/// The configuration of an agent that believes every answer: the table is that of the test before,
/// and an answer without its VIPs would be doubted.
pub(super) const BELIEVING: &str = "[agent]\ndoubt = \"0s\"\n";

/// A running agent. It ends with the test, since the next one needs its lock.
pub(super) struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts an agent and waits until it is ready. `state` is its state directory: each test has its
/// own, so that none starts with another's VIPs.
pub(super) fn start(net: &Net, state: &'static str) -> Agent {
    std::fs::write(CONFIG, BELIEVING).unwrap();
    start_with(net, state, &["--config", CONFIG])
}

/// Starts an agent with further options.
pub(super) fn start_with(net: &Net, state: &'static str, options: &[&'static str]) -> Agent {
    let options = options.to_vec();
    let agent = net.seat("n1").run(move || {
        let mut agent = command(&["run", "--marathon", MARATHON, "--state", state]);
        agent
            .args(OWN)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Agent(agent.spawn().unwrap())
    });
    eventually("the agent is ready", || {
        let output = net
            .seat("n1")
            .run(|| command(&["status", "--output", "json"]).args(OWN).output().unwrap());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        report["agent"]["ready"] == json!(true)
    });
    agent
}

impl Agent {
    /// Ends it by a signal.
    pub(super) fn end(&mut self, signal: &str) {
        testkit::netns::run_tool("kill", &format!("{signal} {}", self.0.id()));
        self.0.wait().unwrap();
    }
}
