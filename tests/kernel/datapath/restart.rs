//! The data path does not need vipd to be there.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use super::cells::{Network, Server};
use super::marathon::app_at;
use super::promise::Mode;
use super::serve::{Protocol, echo, open};
use super::topology::{Family, Net};
use super::world::{FAMILIES, apply, mode, network};
use crate::cluster::eventually;
use crate::support::{command, http, read_request};

const MARATHON: &str = "http://10.77.0.1:8080";

fn vip(family: Family) -> String {
    let vip = if family == Family::V4 { "3.3.6.1" } else { "[fd03::6:1]" };
    format!("{vip}:80")
}

/// A Marathon without an event stream that always says the same.
fn marathon(net: &Net, apps: &Value) {
    let apps = apps.to_string();
    net.seat("lan").run(move || {
        let listener = TcpListener::bind("10.77.0.1:8080").unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let request = read_request(&mut stream);
                let path = request.split(' ').nth(1).unwrap_or_default();
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
}

const OWN: [&str; 6] =
    ["--lock", "/run/n1.lock", "--socket", "/run/n1-agent/sock", "--node-name", "n1"];

/// Ends with the test, as the next one needs its lock.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(net: &Net) -> Agent {
    let agent = net.seat("n1").run(|| {
        let mut agent = command(&["run", "--marathon", MARATHON, "--state", "/run/n1-agent/state"]);
        agent.args(OWN).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
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

/// All that makes the data path, as other tools tell.
fn kernel(net: &Net, mode: Mode) -> String {
    let mut text = net.on("n1", "ipvsadm -Sn") + &net.on("n1", "ip -br addr show vipd0");
    text += &net.on("n1", "ip route show table local");
    if mode == Mode::Full {
        text += &net.on("n1", "nft list table ip vipd");
        text += &net.on("n1", "nft list table ip6 vipd");
    }
    text
}

#[test]
fn nothing_changes_when_vipd_is_killed_stopped_and_started() {
    let net = network();
    let server = Server { namespace: "n2", network: Network::Host };
    let apps = FAMILIES.map(|family| app_at(&vip(family), server, Protocol::Tcp, family));
    let apps = json!({"apps": apps});
    apply(&net, &apps);
    marathon(&net, &apps);
    let mode = mode(&net);
    let mut agent = start(&net);
    let right = kernel(&net, mode);
    let families = if mode == Mode::Full { FAMILIES.to_vec() } else { vec![Family::V4] };
    let mut held: Vec<(&str, Family, TcpStream)> = Vec::new();
    for &family in &families {
        for client in ["n1", "n1b", "n1r"] {
            let at = vip(family).parse().unwrap();
            held.push((client, family, net.seat(client).run(move || open(at)).unwrap().0));
        }
    }
    let mut all_is_well = |what: &str| {
        assert_eq!(kernel(&net, mode), right, "{what}");
        for (client, family, stream) in &mut held {
            let mut old = stream.try_clone().unwrap();
            let at = vip(*family).parse().unwrap();
            let (old, new) = net.seat(client).run(move || (echo(&mut old), open(at)));
            old.unwrap_or_else(|error| panic!("{what}: {client} {at}: {error}"));
            new.unwrap_or_else(|error| panic!("{what}: {client} {at}: {error}"));
        }
    };
    all_is_well("at work");
    for signal in ["-KILL", "-TERM"] {
        testkit::netns::run("kill", &format!("{signal} {}", agent.0.id()));
        agent.0.wait().unwrap();
        all_is_well(signal);
        agent = start(&net);
        all_is_well("started again");
    }
}
