//! An agent in a process of its own, with a kernel in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use marathon::client::{Client, ClientConfig};
use node::{Kernel, KernelError, SysctlReport};
use testkit::FakeKernel;
use vip::plan::OpError;
use vip::{Observed, Op, Protocol, Stats, Vip, Ways};
use vipd::admin::Admin;
use vipd::agent::core;
use vipd::agent::event_loop::{Agent, Setup};
use vipd::config::{Access, AgentSection, Config, Marathon};
use vipd::sources::{NameConfig, SourceClient, SourceConfig, SourceKind};

/// The variable with Marathon's URL. The test below is the agent only if it is set.
const URL: &str = "VIPD_HOSTILE_URL";

pub(crate) struct AgentProcess {
    child: Mutex<(Child, ChildStdin, BufReader<ChildStdout>)>,
    pid: u32,
    address: String,
    http: reqwest::Client,
}

impl AgentProcess {
    /// Starts an agent of this Marathon, with the environment of the unit.
    pub(crate) fn start(url: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "agent::run_agent", "--nocapture"]).env(URL, url);
        let environment = unit_value("Environment");
        command.envs(environment.split(' ').filter_map(|pair| pair.split_once('=')));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut output = BufReader::new(output);
        let address = read_answer(&mut output);
        let pid = child.id();
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy();
        let http = http.timeout(Duration::from_secs(60)).build().unwrap();
        Self { child: Mutex::new((child, input, output)), pid, address, http }
    }

    /// The real servers of a VIP that take new connections.
    pub(crate) fn served(&self, vip: &str) -> Vec<String> {
        let (_, input, output) = &mut *self.child.lock().unwrap();
        writeln!(input, "{vip}").unwrap();
        let answer = read_answer(output);
        answer.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(format!("http://{}{path}", self.address)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The number of ended reads.
    pub(crate) async fn reads(&self) -> u64 {
        let (_, metrics) = self.get("/metrics").await;
        let reads = metrics.lines().filter(|line| line.starts_with("vipd_source_reads_total"));
        let counts = reads.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
        counts.sum()
    }

    /// Connects and sends half of a request.
    pub(crate) fn connect_slowly(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
        stream
    }

    /// The most memory that the process ever had.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let (child, ..) = &mut *self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The test harness prints lines of its own.
fn read_answer(output: &mut BufReader<ChildStdout>) -> String {
    loop {
        let mut line = String::new();
        assert!(output.read_line(&mut line).unwrap() > 0, "the agent has ended");
        if let Some((_, answer)) = line.split_once("answer: ") {
            return answer.trim_end().to_owned();
        }
    }
}

/// The value of a key in the agent's unit.
fn unit_value(key: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/vipd.service");
    let unit = std::fs::read_to_string(path).unwrap();
    let values = unit.lines().filter_map(|line| line.split_once('='));
    values.filter(|(found, _)| *found == key).map(|(_, value)| value.to_owned()).next().unwrap()
}

/// The memory that the unit allows.
pub(crate) fn memory_max() -> u64 {
    let value = unit_value("MemoryMax");
    value.strip_suffix('M').unwrap().parse::<u64>().unwrap() << 20
}

/// The agent itself, in the process that [`AgentProcess::start`] starts.
#[test]
fn run_agent() {
    let Ok(url) = std::env::var(URL) else { return };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(serve(&url));
}

async fn serve(url: &str) {
    let kernel = OwnKernel::default();
    let config = ClientConfig {
        read_timeout: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(2),
        ..ClientConfig::new(vec![url.parse().unwrap()])
    };
    let client = SourceClient::Marathon(Arc::new(Client::new(&config).unwrap()));
    let source = SourceConfig {
        id: "m".into(),
        servers: [].into(),
        names: NameConfig::default(),
        kind: SourceKind::Marathon(marathon::watch::Config {
            urls: std::num::NonZeroUsize::MIN,
            agents: Some(1),
            seed: 7,
            doubt: marathon::watch::DEFAULT_DOUBT,
        }),
    };
    let controller = vip::controller::Config {
        node: "node1".into(),
        linger: Duration::from_secs(1),
        ..vip::controller::Config::default()
    };
    let opened = kernel.clone();
    let (mut agent, handle) = Agent::new(Setup {
        may_write: Box::new(|| true),
        config: core::Config { controller, sources: vec![source], task_zone: None },
        clients: BTreeMap::from([("m".into(), client)]),
        open_kernel: Box::new(move || Ok(opened.clone())),
        monitor: None,
        state_files: None,
        zone_file: None,
        resolver: None,
        prober: None,
        hold: None,
        clock: marathon::Timestamp::now,
    })
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let admin = start_admin(folder.path(), kernel.clone(), handle).await;
    println!("answer: {}", admin.address());
    // The agent ends with the process that started it.
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _stop = stop;
        for line in std::io::stdin().lines() {
            println!("answer: {}", served(&kernel, &line.unwrap()).join(" "));
        }
    });
    agent.run(async { drop(stopped.await) }).await;
}

async fn start_admin(
    folder: &Path,
    kernel: OwnKernel,
    handle: vipd::agent::event_loop::Handle,
) -> Admin {
    let mut agent = AgentSection::default().resolve().unwrap();
    agent.socket = folder.join("agent.sock");
    agent.listen = "127.0.0.1:0".parse().unwrap();
    let config = Config {
        relay: vipd::config::RelaySection::default(),
        marathons: Vec::new(),
        interface: "vipd0".into(),
        node_address: None,
        modes: vip::nft::Modes::default(),
        node_name: "node1".into(),
        lock: folder.join("lock"),
        strict_arp: false,
        ipv6_forwarding: None,
        log_level: vipd::config::LogLevel::Info,
        timeouts: vip::Timeouts::default(),
        firewall: vip::firewall::LetIn::Off,
        policy: vip::Policy::default(),
        names: vipd::config::Names::default(),
        probe: vipd::config::ProbeSettings::default(),
        agent,
    };
    let urls = ["http://marathon.example:8080".parse().unwrap()];
    let marathons = [Marathon::new(urls.into(), Access::default())];
    let open: vipd::admin::Open = Box::new(move || Ok(Box::new(kernel.clone())));
    Admin::start(&config, &marathons, open, handle).await.unwrap()
}

fn served(kernel: &OwnKernel, at: &str) -> Vec<String> {
    let socket: std::net::SocketAddr = at.parse().unwrap();
    let port = socket.port().try_into().unwrap();
    let vip = Vip { address: socket.ip(), port, protocol: Protocol::Tcp };
    let kernel = kernel.0.lock().unwrap();
    let service = kernel.state.services.get(&vip.into());
    let servers = service.iter().flat_map(|service| &service.servers);
    let used = servers.filter(|(_, server)| server.settings.weight > 0);
    used.map(|(server, _)| server.to_string()).collect()
}

/// A kernel in memory, without a history, which would count as memory of the agent.
#[derive(Debug, Clone, Default)]
struct OwnKernel(Arc<Mutex<FakeKernel>>);

impl Kernel for OwnKernel {
    fn observe(&mut self) -> Result<Observed, KernelError> {
        self.0.lock().unwrap().observe()
    }

    fn read_traffic(&mut self) -> Result<BTreeMap<Vip, Stats>, KernelError> {
        self.0.lock().unwrap().read_traffic()
    }

    fn perform(&mut self, ops: &[&Op]) -> Vec<Result<(), OpError>> {
        self.0.lock().unwrap().perform(ops)
    }

    fn find_ways(&mut self, servers: &BTreeSet<IpAddr>) -> Result<Ways, KernelError> {
        self.0.lock().unwrap().find_ways(servers)
    }

    fn tune_sysctls(&mut self, mend: bool) -> Vec<SysctlReport> {
        self.0.lock().unwrap().tune_sysctls(mend)
    }
}
