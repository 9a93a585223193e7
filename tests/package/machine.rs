//! The machine that the package is installed on, and a Mesos agent beside it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) const MARATHON: &str = "10.77.0.1:8080";

/// Longest time to wait for a condition.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a line of shell and returns what it prints. It must succeed.
#[track_caller]
pub(crate) fn sh(line: &str) -> String {
    let output = try_sh(line);
    let said = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "`{line}`: {}\n{text}{said}", output.status);
    text
}

/// Runs a line of shell.
pub(crate) fn try_sh(line: &str) -> Output {
    Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().unwrap()
}

/// Waits until a condition holds. If it never does, prints the agent's log.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() >= end {
            let status =
                try_sh("systemctl status --no-pager -l vipd vipd-setup; journalctl -b -u vipd");
            panic!("waited in vain until {what}\n{}", String::from_utf8_lossy(&status.stdout));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A Marathon on this machine, whose tasks run in two network namespaces, each a host of its own.
pub(crate) struct Marathon(Child);

/// The hosts, as namespace and network. The node has address 1, and the host address 11.
const HOSTS: [(&str, &str); 2] = [("worker", "10.77.0"), ("other", "10.78.0")];

impl Marathon {
    pub(crate) fn start() -> Self {
        let mut command = Command::new("marathon-sim");
        command.args(["--listen", MARATHON, "--time-scale", "0.2"]);
        for (name, network) in HOSTS {
            sh(&format!(
                "set -e
                 ip netns add {name}
                 ip link add to-{name} type veth peer name eth0 netns {name}
                 ip addr add {network}.1/24 dev to-{name}
                 ip link set to-{name} up
                 ip -n {name} link set lo up
                 ip -n {name} addr add {network}.11/24 dev eth0
                 ip -n {name} link set eth0 up
                 ip -n {name} route add default via {network}.1"
            ));
            command.args(["--agent", &format!("{network}.11@{name}")]);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains(MARATHON), "{said}");
        Self(child)
    }

    /// Deploys an app.
    pub(crate) fn post(&self, app: &Value) {
        self.send("POST", "/v2/apps", app);
    }

    /// Sends a request, which must succeed.
    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) {
        let answer = exchange(MARATHON.parse().unwrap(), &request(method, path, &body.to_string()));
        assert!(answer.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.1 20")), "{answer:?}");
    }
}

impl Drop for Marathon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        for (name, _) in HOSTS {
            try_sh(&format!("ip link del to-{name}; ip netns del {name}"));
        }
    }
}

/// Opens one connection to a task and returns the name that answers, if any.
///
/// A task greets a client that is silent for a moment and echoes its input, so a late client on a busy
/// machine has to shut down its side to see the end of the answer.
pub(crate) fn visit(at: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: vip\r\nConnection: close\r\n\r\n")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Returns a request without a body.
pub(crate) fn get(path: &str) -> String {
    request("GET", path, "")
}

fn request(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Sends a request and reads the whole answer.
pub(crate) fn exchange(at: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
