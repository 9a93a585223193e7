//! Hosts that fall silent, and trouble that only looks like it.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::netns;

use crate::cluster::{API, Cluster, eventually, tell};

pub(crate) const WEB: &str = "3.3.0.6:80";

/// An agent on the first node, with its log, and real servers on the second.
pub(crate) struct Agent {
    pub(crate) cluster: Cluster,
    pub(crate) child: Child,
    pub(crate) log: PathBuf,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Agent {
    /// Starts it, and waits until all are served.
    pub(crate) fn start(extra: &[&str]) -> Self {
        Self::start_after(|_| {}, extra)
    }

    /// The same, after something that happens while all run.
    pub(crate) fn start_after(happens: impl FnOnce(&Cluster), extra: &[&str]) -> Self {
        Self::start_with(&[(WEB, json!({}))], happens, extra)
    }

    /// The same with these VIPs, each of an app whose port has these labels beside it.
    pub(crate) fn start_with(
        vips: &[(&str, Value)],
        happens: impl FnOnce(&Cluster),
        extra: &[&str],
    ) -> Self {
        let cluster = Cluster::new();
        let id = |number| if number == 0 { "/web".to_owned() } else { format!("/web{number}") };
        for (number, (vip, labels)) in vips.iter().enumerate() {
            let mut labels = labels.clone();
            labels["VIP_0"] = json!(vip);
            let app = json!({
                "id": id(number), "instances": 4, "cpus": 0.1, "mem": 16,
                "container": {
                    "type": "DOCKER",
                    "docker": {"image": "web"},
                    "portMappings": [{"containerPort": 80, "hostPort": 0, "labels": labels}],
                },
                "networks": [{"mode": "container/bridge"}],
            });
            cluster.send("POST", "/v2/apps", &app);
        }
        for number in 0..vips.len() {
            eventually("all are running", || {
                let path = format!("/v2/apps{}", id(number));
                cluster.send("GET", &path, &json!(null))["app"]["tasksRunning"] == json!(4)
            });
        }
        happens(&cluster);
        let folder = PathBuf::from(format!("/run/{}", cluster.nodes[0]));
        fs::create_dir_all(&folder).unwrap();
        let log = folder.join("log");
        let child = Self::run(&cluster, &log, extra);
        let agent = Self { cluster, child, log };
        for (vip, _) in vips {
            eventually("all are served", || agent.cluster.servers(0, vip).len() == 4);
        }
        agent
    }

    /// Runs an agent on the first node.
    fn run(cluster: &Cluster, log: &Path, extra: &[&str]) -> Child {
        let (url, state) = (format!("http://{API}"), log.with_file_name("state"));
        let args = ["run", "--marathon", &url, "--state", state.to_str().unwrap()];
        let mut command = cluster.vipd(0, &[&args[..], extra].concat());
        command.stdin(Stdio::null()).stderr(File::create(log).unwrap()).spawn().unwrap()
    }

    /// Kills it and starts another, after something that happens meanwhile. The log begins anew.
    pub(crate) fn restart_after(&mut self, happens: impl FnOnce(&Cluster)) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        happens(&self.cluster);
        self.child = Self::run(&self.cluster, &self.log, &[]);
    }

    pub(crate) fn count(&self, text: &str) -> usize {
        fs::read_to_string(&self.log).unwrap().matches(text).count()
    }

    /// The number of times that the other node was said to be silent.
    pub(crate) fn suspicions(&self) -> usize {
        assert_eq!(self.count("WARN  host "), self.count("WARN  host 10.77.0.12 silent for"));
        self.count("WARN  host 10.77.0.12 silent for")
    }

    /// The number of echoes that reached the other node.
    fn echoes(&self) -> u64 {
        let counters = self.cluster.on(1, "cat /proc/net/snmp");
        let lines: Vec<_> = counters.lines().filter(|line| line.starts_with("Icmp:")).collect();
        let columns = lines[0].split(' ').zip(lines[1].split(' '));
        let found = columns.into_iter().find(|(name, _)| *name == "InEchos");
        found.unwrap().1.parse().unwrap()
    }

    /// vipd's rules on the first node; nothing where the kernel has no nftables.
    pub(crate) fn rules(&self) -> String {
        let node = &self.cluster.nodes[0];
        let listed =
            netns::try_run_tool("ip", &format!("netns exec {node} nft list table ip vipd"));
        listed.unwrap_or_default()
    }

    /// A metric without labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.cluster.on(0, "curl -s http://127.0.0.1:9614/metrics");
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse().unwrap()
    }

    pub(crate) fn until_probed(&self) {
        let before = self.echoes();
        eventually("the other node is probed", || self.echoes() >= before + 10);
    }

    /// Takes the link of a node away, or puts it back: its neighbours hear nothing of it.
    pub(crate) fn set_link(node: usize, state: &str) {
        netns::run_tool("ip", &format!("link set to{node} {state}"));
    }
}

#[test]
fn a_host_that_is_cut_off_is_suspected_and_comes_back() {
    let agent = Agent::start(&[]);
    agent.until_probed();
    for round in 1..=2 {
        Agent::set_link(1, "down");
        eventually("it is suspected", || agent.suspicions() == round);
        Agent::set_link(1, "up");
        eventually("it is back", || agent.count("10.77.0.12 answers again") == round);
        agent.until_probed();
    }
    let log = fs::read_to_string(&agent.log).unwrap();
    let line = log.lines().find(|line| line.contains("silent for")).unwrap();
    assert!(line.contains("6 echoes, 1 connect; 1 other host answers"), "{line}");
}

/// As after a restart of the agent during a power failure.
#[test]
fn a_host_that_was_cut_off_before_the_agent_started_is_suspected() {
    let agent = Agent::start_after(|_| Agent::set_link(1, "down"), &[]);
    eventually("it is suspected", || agent.suspicions() == 1);
    Agent::set_link(1, "up");
    eventually("it is back", || agent.count("10.77.0.12 answers again") == 1);
}

#[test]
fn trouble_of_this_node_and_filters_are_no_silence() {
    let agent = Agent::start(&[]);
    agent.until_probed();
    // This node's own link.
    Agent::set_link(0, "down");
    sleep(Duration::from_secs(5));
    Agent::set_link(0, "up");
    agent.until_probed();
    assert_eq!(agent.suspicions(), 0, "{}", fs::read_to_string(&agent.log).unwrap());
    // A program that stands still.
    let process = agent.child.id();
    for signal in ["STOP", "CONT"] {
        netns::run_tool("kill", &format!("-{signal} {process}"));
        sleep(Duration::from_secs(5));
    }
    agent.until_probed();
    assert_eq!(agent.suspicions(), 0);
    // A filter of echoes: the port still answers, once; then it is left alone.
    agent.cluster.on(1, "sysctl -qw net.ipv4.icmp_echo_ignore_all=1");
    sleep(Duration::from_secs(10));
    Agent::set_link(1, "down");
    sleep(Duration::from_secs(5));
    assert_eq!(agent.suspicions(), 0);
}

/// Has a client on the first node connect again and again until told to stop.
fn keep_connecting(agent: &Agent, stop: Arc<AtomicBool>) -> JoinHandle<()> {
    let at: SocketAddr = WEB.parse().unwrap();
    let node = agent.cluster.nodes[0].clone();
    thread::spawn(move || {
        netns::join_netns(&node);
        while !stop.load(Ordering::Relaxed) {
            let _ = TcpStream::connect_timeout(&at, Duration::from_secs(4));
            sleep(Duration::from_millis(20));
        }
    })
}

/// Something on the way drops echoes, so that only the clients tell what answers.
#[test]
fn a_host_whose_echoes_are_filtered_is_suspected_by_the_lost_syns_of_clients() {
    let agent = Agent::start(&[]);
    agent.cluster.on(1, "sysctl -qw net.ipv4.icmp_echo_ignore_all=1");
    let rules = agent.rules();
    if !rules.contains("log group") {
        return tell("not on this kernel: lost SYNs that nftables logs");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4).map(|_| keep_connecting(&agent, Arc::clone(&stop))).collect();
    // Nothing is lost, and the host is alive though it answers no echo.
    sleep(Duration::from_secs(5));
    let lost_syns = || agent.metric("vipd_lost_syns_total");
    assert_eq!((agent.suspicions(), lost_syns()), (0, 0));
    Agent::set_link(1, "down");
    // The port answered a moment ago, when the first echoes were missed; that counts for a minute.
    eventually("it is suspected", || agent.suspicions() == 1);
    assert!(lost_syns() >= 2, "{}", lost_syns());
    let log = fs::read_to_string(&agent.log).unwrap();
    tell(log.lines().find(|line| line.contains("silent for")).unwrap());
    eventually("its servers are out of use", || {
        let servers = agent.cluster.servers(0, WEB);
        servers.iter().all(|(server, weight)| server.starts_with("10.77.0.12:") == (*weight == 0))
    });
    Agent::set_link(1, "up");
    eventually("it is back", || agent.count("10.77.0.12 answers again") == 1);
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn nothing_is_probed_if_that_is_off() {
    let config = std::env::temp_dir().join(format!("vipd-{}.toml", std::process::id()));
    fs::write(&config, "[probe]\nmode = \"off\"\n").unwrap();
    let agent = Agent::start(&["--config", config.to_str().unwrap()]);
    sleep(Duration::from_secs(3));
    assert_eq!(agent.echoes(), 0);
    let rules = agent.rules();
    assert!(!rules.contains("log group"), "{rules}");
    fs::remove_file(config).unwrap();
}

/// VIPs with the schedulers that clients meet, and the labels that choose them.
const SCHEDULERS: [(&str, &str, &str); 3] =
    [("wlc", WEB, ""), ("rr", "3.3.0.6:81", ""), ("mh", "3.3.0.6:82", "mh-port")];

/// Clients: on the node, in a container on it, and on another machine that routes VIPs through it.
pub(crate) struct Clients {
    pub(crate) netns: [String; 3],
}

impl Drop for Clients {
    fn drop(&mut self) {
        for client in &self.netns[1..] {
            netns::run_tool("ip", &format!("netns del {client}"));
        }
    }
}

impl Clients {
    pub(crate) fn build(cluster: &Cluster) -> Self {
        let node = &cluster.nodes[0];
        let (container, routed) = (format!("{node}c"), format!("{node}r"));
        let ip = |args: &str| netns::run_tool("ip", args);
        for client in [&container, &routed] {
            ip(&format!("netns add {client}"));
            ip(&format!("-n {client} link set lo up"));
        }
        ip(&format!("-n {node} link add docker0 type bridge"));
        ip(&format!("-n {node} addr add 172.17.0.1/16 dev docker0"));
        ip(&format!("-n {node} link set docker0 up"));
        ip(&format!("-n {node} link add tocontainer type veth peer name eth0 netns {container}"));
        ip(&format!("-n {node} link set tocontainer master docker0 up"));
        ip(&format!("-n {container} addr add 172.17.0.2/16 dev eth0"));
        ip(&format!("-n {node} link add torouted type veth peer name eth0 netns {routed}"));
        ip(&format!("-n {node} addr add 10.78.0.1/24 dev torouted"));
        ip(&format!("-n {node} link set torouted up"));
        ip(&format!("-n {routed} addr add 10.78.0.2/24 dev eth0"));
        cluster.on(1, "ip route add 10.78.0.0/24 via 10.77.0.11");
        for (client, route) in
            [(&container, "default via 172.17.0.1"), (&routed, "default via 10.78.0.1")]
        {
            ip(&format!("-n {client} link set eth0 up"));
            ip(&format!("-n {client} route add {route}"));
        }
        cluster.on(0, "sysctl -qw net.ipv4.ip_forward=1");
        // Without nftables vipd masquerades nobody: Docker does it for containers, and replies to the
        // routed client go back through the node.
        let masquerade = "-t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE";
        let by = |tool| cluster.try_on(0, &format!("{tool} --wait {masquerade}"));
        by("iptables-nft").or_else(|_| by("iptables-legacy")).unwrap();
        Self { netns: [node.clone(), container, routed] }
    }
}

/// What a client met: the time until it was connected, or why it wasn't.
type Met = Result<Duration, io::Error>;

/// Has clients connect 50 times a second, each time without waiting for the one before: from each
/// place to each scheduler in turn. After a while the second node is cut off.
fn connect_through_a_cut(clients: &Clients) -> Vec<Met> {
    let netns = clients.netns.clone();
    let clients = thread::spawn(move || {
        let connect = |nth: usize| {
            let place = netns[nth % netns.len()].clone();
            let (_, vip, _) = SCHEDULERS[nth / netns.len() % SCHEDULERS.len()];
            let at: SocketAddr = vip.parse().unwrap();
            thread::spawn(move || {
                netns::join_netns(&place);
                let start = Instant::now();
                TcpStream::connect_timeout(&at, Duration::from_secs(20)).map(|_| start.elapsed())
            })
        };
        let start = Instant::now();
        let each = Duration::from_millis(20);
        let clients: Vec<_> = (0..750_u32)
            .map(|nth| {
                sleep((start + each * nth).saturating_duration_since(Instant::now()));
                connect(nth as usize)
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    sleep(Duration::from_secs(5));
    Agent::set_link(1, "down");
    let met = clients.join().unwrap();
    Agent::set_link(1, "up");
    met
}

/// Sums up what clients met of a scheduler.
fn of_scheduler(met: &[Met], scheduler: usize) -> impl Iterator<Item = &Met> {
    let places = 3;
    let is_its = move |nth: usize| nth / places % SCHEDULERS.len() == scheduler;
    met.iter().enumerate().filter(move |(nth, _)| is_its(*nth)).map(|(_, met)| met)
}

fn describe<'a>(met: impl Iterator<Item = &'a Met>) -> String {
    let met: Vec<_> = met.collect();
    let mut times: Vec<_> = met.iter().filter_map(|met| met.as_ref().ok()).collect();
    times.sort();
    let slow = |over| times.iter().filter(|time| ***time > Duration::from_millis(over)).count();
    let slowest = times.last().map_or(Duration::ZERO, |time| **time);
    format!(
        "{} connections, {} failed, {} took over 1.2 s, {} over 2.2 s, the slowest {slowest:.1?}",
        met.len(),
        met.len() - times.len(),
        slow(1200),
        slow(2200),
    )
}

/// Prints what clients notice, beside what they do without probes.
#[test]
fn no_connection_fails_when_a_host_loses_its_power() {
    let off = std::env::temp_dir().join(format!("vipd-off-{}.toml", std::process::id()));
    fs::write(&off, "[probe]\nmode = \"off\"\n").unwrap();
    let config = ["--config", off.to_str().unwrap()];
    for (mode, extra) in [("off", &config[..]), ("act", &[])] {
        let vips = SCHEDULERS.map(|(scheduler, vip, flags)| {
            let mut labels = json!({"IPVS_SCHEDULER": scheduler});
            if !flags.is_empty() {
                labels["IPVS_FLAGS"] = json!(flags);
            }
            (vip, labels)
        });
        let agent = Agent::start_with(&vips, |_| {}, extra);
        let clients = Clients::build(&agent.cluster);
        if mode == "act" {
            agent.until_probed();
            // Echoes are lost for a moment, so that the host is asked by its port, which answers. That must
            // not speak for it when it is cut off later.
            let filter = |is_on| format!("sysctl -qw net.ipv4.icmp_echo_ignore_all={is_on}");
            agent.cluster.on(1, &filter(1));
            sleep(Duration::from_millis(1500));
            agent.cluster.on(1, &filter(0));
            agent.until_probed();
        }
        let met = connect_through_a_cut(&clients);
        for (number, (scheduler, ..)) in SCHEDULERS.iter().enumerate() {
            let line = describe(of_scheduler(&met, number));
            tell(&format!("probe.mode = {mode}, {scheduler}: {line}"));
        }
        let failed = met.iter().filter_map(|met| met.as_ref().err());
        match mode {
            "act" => assert_eq!(failed.map(ToString::to_string).collect::<Vec<_>>(), [""; 0]),
            _ => assert!(failed.count() > 0, "the cut harms nobody"),
        }
    }
    fs::remove_file(off).unwrap();
}
