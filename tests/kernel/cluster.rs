//! Nodes on one Ethernet with an agent on each, and a simulated Marathon beside them.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::netns;

/// Longest time to wait for a condition.
const PATIENCE: Duration = Duration::from_secs(120);

/// Address of the simulated Marathon's API.
pub(crate) const API: &str = "10.77.0.1:8080";

/// An app `/web` with a VIP, whose tasks Marathon checks.
pub(crate) fn checked_web(vip: &str, instances: usize) -> Value {
    json!({
        "id": "/web", "instances": instances, "cpus": 0.1, "mem": 16,
        "container": {
            "type": "DOCKER",
            "docker": {"image": "web"},
            "portMappings": [{"containerPort": 80, "hostPort": 0, "labels": {"VIP_0": vip}}],
        },
        "networks": [{"mode": "container/bridge"}],
        "healthChecks": [{
            "protocol": "TCP", "portIndex": 0, "gracePeriodSeconds": 60, "intervalSeconds": 5,
            "timeoutSeconds": 20, "maxConsecutiveFailures": 3,
        }],
    })
}

pub(crate) struct Cluster {
    pub(crate) nodes: Vec<String>,
    /// What agents call their nodes, in the same order.
    pub(crate) node_names: Vec<String>,
    agents: Vec<Option<Child>>,
    marathon: Child,
}

/// Ends a child with its test.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

impl Drop for Cluster {
    fn drop(&mut self) {
        end(&mut self.marathon);
        self.agents.iter_mut().flatten().for_each(end);
        for node in &self.nodes {
            // A namespace that can't be removed fails the next test that needs its name.
            let _ = Command::new("ip").args(["netns", "del", node]).status();
        }
    }
}

impl Cluster {
    /// Creates two nodes and the Marathon, without agents.
    pub(crate) fn new() -> Self {
        Self::with_nodes(2)
    }

    /// Creates so many nodes and the Marathon, without agents.
    pub(crate) fn with_nodes(count: usize) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        netns::enter_netns();
        netns::run_tool("ip", "link add lan type bridge");
        netns::run_tool("ip", "addr add 10.77.0.1/24 dev lan");
        netns::run_tool("ip", "link set lan up");
        let nodes: Vec<_> = (1..=count).map(|node| format!("c{number}n{node}")).collect();
        for (index, node) in nodes.iter().enumerate() {
            let address = address(index);
            netns::run_tool("ip", &format!("netns add {node}"));
            netns::run_tool(
                "ip",
                &format!("link add to{index} type veth peer name eth0 netns {node}"),
            );
            netns::run_tool("ip", &format!("link set to{index} master lan up"));
            netns::run_tool("ip", &format!("-n {node} link set lo up"));
            netns::run_tool("ip", &format!("-n {node} addr add {address}/24 dev eth0"));
            netns::run_tool("ip", &format!("-n {node} link set eth0 up"));
            netns::run_tool("ip", &format!("-n {node} route add default via 10.77.0.1"));
        }
        let agents = nodes.iter().enumerate();
        let agents = agents
            .flat_map(|(index, node)| ["--agent".to_owned(), format!("{}@{node}", address(index))]);
        let mut marathon = Command::new("marathon-sim")
            .args(["--listen", API, "--time-scale", "0.2"])
            .args(agents)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(marathon.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains(API), "{said}");
        let agents = nodes.iter().map(|_| None).collect();
        Self { agents, node_names: nodes.clone(), nodes, marathon }
    }

    /// Arguments of the agent on a node, after `vipd run`.
    fn own(&self, node: usize) -> [String; 6] {
        let name = &self.nodes[node];
        [
            "--lock".into(),
            format!("/run/{name}/lock"),
            "--socket".into(),
            format!("/run/{name}/agent.sock"),
            "--node-name".into(),
            self.node_names[node].clone(),
        ]
    }

    /// A command of vipd on a node.
    pub(crate) fn vipd(&self, node: usize, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.nodes[node], env!("CARGO_BIN_EXE_vipd")]);
        command.args(args).args(self.own(node)).env("VIPD_CONFIG", "/dev/null");
        command
    }

    /// Starts the agent of a node.
    pub(crate) fn start(&mut self, node: usize, args: &[&str]) {
        let url = format!("http://{API}");
        let state = format!("/run/{}/state", self.nodes[node]);
        let mut command = self.vipd(node, &["run", "--marathon", &url, "--state", &state]);
        command.args(args).stdin(Stdio::null());
        self.agents[node] = Some(command.spawn().unwrap());
    }

    /// Starts the agents and waits until they are ready.
    pub(crate) fn start_all(&mut self) {
        for node in 0..self.nodes.len() {
            self.start(node, &[]);
        }
        for node in 0..self.nodes.len() {
            eventually("the agent is ready", || self.report(node)["ready"] == json!(true));
        }
    }

    /// PID of the agent of a node. `ip netns exec` replaces itself by the command.
    pub(crate) fn process(&self, node: usize) -> u32 {
        self.agents[node].as_ref().unwrap().id()
    }

    /// Ends the agent by SIGKILL or SIGTERM and returns its exit code.
    pub(crate) fn stop(&mut self, node: usize, signal: &str) -> Option<i32> {
        let mut agent = self.agents[node].take().unwrap();
        // `ip netns exec` replaces itself by the command.
        netns::run_tool("kill", &format!("-{signal} {}", agent.id()));
        agent.wait().unwrap().code()
    }

    /// Stops Marathon as a machine that stands still does: nobody hears of what happens to tasks.
    pub(crate) fn pause_marathon(&self) {
        netns::run_tool("kill", &format!("-STOP {}", self.marathon.id()));
    }

    /// Lets Marathon go on.
    pub(crate) fn resume_marathon(&self) {
        netns::run_tool("kill", &format!("-CONT {}", self.marathon.id()));
    }

    /// Status of the agent of a node; null while it doesn't answer.
    pub(crate) fn report(&self, node: usize) -> Value {
        let output = self.vipd(node, &["status", "--output", "json"]).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        report["agent"].clone()
    }

    /// Runs a tool on a node, which may fail.
    pub(crate) fn try_on(&self, node: usize, line: &str) -> Result<String, String> {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.nodes[node]])
            .args(line.split(' '))
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Runs a tool on a node.
    pub(crate) fn on(&self, node: usize, line: &str) -> String {
        netns::run_tool("ip", &format!("netns exec {} {line}", self.nodes[node]))
    }

    /// Real servers of a TCP service on a node with their weights, read by ipvsadm.
    pub(crate) fn servers(&self, node: usize, vip: &str) -> BTreeSet<(String, u32)> {
        let table = self.on(node, "ipvsadm -Sn");
        let words = table.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let of_vip = words.filter(|words| words[..3] == ["-a", "-t", vip]);
        of_vip.map(|words| (words[4].to_owned(), words[7].parse().unwrap())).collect()
    }

    /// Sends a request to Marathon.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let mut stream = TcpStream::connect(API).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
        serde_json::from_str(body).unwrap_or_default()
    }

    /// Waits until the app has so many tasks, all healthy, and no deployment is running; returns them.
    pub(crate) fn settled(&self, id: &str, instances: usize) -> Vec<Value> {
        let mut tasks = Vec::new();
        eventually("the app is settled", || {
            let app = &self.send("GET", &format!("/v2/apps{id}"), &Value::Null)["app"];
            tasks = app["tasks"].as_array().unwrap().clone();
            let count = Some(instances as u64);
            app["tasksHealthy"].as_u64() == count
                && tasks.len() == instances
                && app["deployments"].as_array().unwrap().is_empty()
        });
        tasks
    }
}

/// Prints a measurement even if the test passes; libtest captures `eprintln!`.
pub(crate) fn tell(measured: &str) {
    let _ = writeln!(std::io::stderr(), "{measured}");
}

/// Address of a node.
pub(crate) fn address(node: usize) -> String {
    format!("10.77.0.{}", 11 + node)
}

/// Address and port of a task.
pub(crate) fn place(task: &Value) -> String {
    format!("{}:{}", task["host"].as_str().unwrap(), task["ports"][0])
}

/// Waits until a condition holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Clients that connect to a VIP repeatedly and count the outcomes.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    done: Arc<AtomicUsize>,
    failures: Arc<Mutex<Vec<String>>>,
}

impl Clients {
    /// Starts them: so many connections per second from each node.
    pub(crate) fn start(cluster: &Cluster, vip: &str, per_second: u32) -> Self {
        Self::start_on(&cluster.nodes, vip, per_second)
    }

    /// The same from these nodes alone.
    pub(crate) fn start_on(nodes: &[String], vip: &str, per_second: u32) -> Self {
        let at: SocketAddr = vip.parse().unwrap();
        let (stop, done) = <(Arc<AtomicBool>, Arc<AtomicUsize>)>::default();
        let failures = Arc::new(Mutex::new(Vec::new()));
        let threads = nodes.iter().map(|node| {
            let (node, stop) = (node.clone(), stop.clone());
            let (done, failures) = (done.clone(), failures.clone());
            thread::spawn(move || {
                netns::join_netns(&node);
                let mut next = Instant::now();
                while !stop.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    if let Err(error) = ask(at) {
                        let after = asked.elapsed();
                        let failure = format!("{node} to {at}: {error} after {after:.1?}");
                        tell(&failure);
                        failures.lock().unwrap().push(failure);
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    next += Duration::from_secs(1) / per_second;
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            })
        });
        Self { threads: threads.collect(), stop, done, failures }
    }

    /// Number of connections made.
    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Errors of the connections that failed.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap().clone()
    }

    /// Stops them and returns the number of connections and the errors of those that failed.
    pub(crate) fn stop(mut self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
        (self.done(), self.failures())
    }
}

/// Opens one connection, sends a request and reads the answer to its end.
///
/// A client on a busy machine may look silent to the server, which then greets and echoes it. Nothing
/// is sent after the request, so the answer ends in either case.
fn ask(at: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: vip\r\nConnection: close\r\n\r\n")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let is_whole = match answer.strip_prefix("/web ") {
        Some(greeting) => greeting.ends_with("close\r\n\r\n"),
        None => answer.starts_with("HTTP/1.1 200") && answer.ends_with("}\n"),
    };
    match is_whole {
        true => Ok(()),
        false => Err(std::io::Error::other(format!("a broken answer: {answer:?}"))),
    }
}
