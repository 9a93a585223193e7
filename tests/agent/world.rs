//! A cluster, an agent on one of its nodes, and the kernel of that node.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use marathon::client::{Auth, Client, ClientConfig, Url};
use marathon_sim::{Agent as SimAgent, Config as SimConfig, Handle as Sim};
use serde_json::{Value, json};
use testkit::SharedKernel;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use vip::liveness::{INTERVAL, ProbeReport, ProbeStatus};
use vip::naming::NameSettings;
use vip::{Observed, Protocol, TableSettings, Vip};
use vipd::agent::core::Config;
use vipd::agent::event_loop::{Agent, Handle, Setup};
use vipd::agent::prober::{LatestList, Prober, ProberSetup, ReportSender};
use vipd::agent::state_file::StateFiles;
use vipd::agent::status::Hold;
use vipd::config::RelaySettings;
use vipd::relay::Relay;
use vipd::sources::{RelayClient, SourceClient, SourceConfig, SourceKind};

/// How often the agent compares the kernel as a whole.
pub(crate) const SYNC: Duration = Duration::from_secs(2);

/// How long anything is waited for before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) struct World {
    pub(crate) sims: Vec<Sim>,
    pub(crate) kernel: SharedKernel,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) auth: Option<Auth>,
    pub(crate) hold: Option<Hold>,
    /// The longest time that a loss is doubted.
    pub(crate) doubt: Duration,
    /// The most addresses that one plan changes.
    pub(crate) portion: usize,
    /// Whether `[names]` is enabled.
    pub(crate) serves_names: bool,
    /// The zone of the names of tasks.
    pub(crate) task_zone: Option<&'static str>,
    /// What the agent has watched, and how to report about it.
    pub(crate) prober: FakeProber,
    /// The relays that the agent follows instead of the first Marathon.
    pub(crate) relays: Vec<RunningRelay>,
    /// The token of the relays, and that of the agent.
    pub(crate) relay_tokens: [Option<&'static str>; 2],
    agent: Option<Running>,
    http: reqwest::Client,
    /// For requests to a Marathon that wants one.
    token: Option<String>,
}

struct Running {
    handle: Handle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// A relay of the first Marathon.
pub(crate) struct RunningRelay {
    url: Url,
    task: JoinHandle<()>,
}

impl RunningRelay {
    /// Kills the relay, and with it all its connections.
    pub(crate) fn kill(&self) {
        self.task.abort();
    }
}

/// Stands for the prober of the agent.
#[derive(Default)]
pub(crate) struct FakeProber {
    /// Why it can't probe, which it tells as it starts.
    pub(crate) obstacle: Option<String>,
    pub(crate) lists: Arc<LatestList>,
    /// The time between two rounds of echoes, unless the usual one.
    pub(crate) interval: Option<Duration>,
    reports: Arc<Mutex<Option<ReportSender>>>,
}

impl FakeProber {
    fn prepare(&self) -> ProberSetup {
        let (lists, reports) = (self.lists.clone(), self.reports.clone());
        let obstacle = self.obstacle.clone();
        let start = move |sender: ReportSender, _| {
            if obstacle.is_some() {
                let status = ProbeStatus { obstacle, ..ProbeStatus::default() };
                sender.send_report(ProbeReport { status, ..ProbeReport::default() });
            }
            *reports.lock().unwrap() = Some(sender);
            Ok(Prober::without_thread(lists))
        };
        let interval = self.interval.unwrap_or(INTERVAL);
        ProberSetup { acts: true, interval, start: Box::new(start) }
    }

    /// Sends the agent a report.
    pub(crate) fn send_report(&self, report: ProbeReport) {
        self.reports.lock().unwrap().as_ref().unwrap().send_report(report);
    }
}

thread_local! {
    /// The agents that run on this thread's runtime.
    static AGENTS: RefCell<Vec<Handle>> = const { RefCell::new(Vec::new()) };
}

/// Does it on a runtime of its own, whose time goes by as fast as it can.
pub(crate) fn run(work: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        tokio::select! {
            () = work => {}
            () = let_time_go_by() => {}
        }
    });
    runtime.shutdown_background();
}

/// Moves the clock a little at a time, and only after sockets and the kernel have had their turn:
/// what is real must not take long by a clock that isn't.
async fn let_time_go_by() {
    const STEP: Duration = Duration::from_millis(10);
    const TURNS: usize = 4;
    let kernel_works = || {
        let works = |agent: &Handle| agent.view.borrow().status.asked_since.is_some();
        AGENTS.with_borrow(|agents| agents.iter().any(works))
    };
    loop {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        while kernel_works() {
            std::thread::yield_now();
            tokio::task::yield_now().await;
        }
        tokio::time::advance(STEP).await;
    }
}

impl World {
    /// One Marathon, and no agent yet.
    pub(crate) async fn new() -> Self {
        Self::with(&[&|_| {}]).await
    }

    /// A Marathon for each of these.
    pub(crate) async fn with(changes: &[&dyn Fn(&mut SimConfig)]) -> Self {
        let mut sims = Vec::new();
        for change in changes {
            let mut config = SimConfig::without_processes();
            let net = u8::try_from(sims.len()).unwrap();
            config.agents = [11, 12].map(|last| SimAgent::new([10, 1, net, last].into())).into();
            config.time_scale = 0.1;
            config.first_check = Duration::from_millis(20);
            config.heartbeat = Duration::from_secs(2);
            config.framework = format!("framework-{net}");
            change(&mut config);
            sims.push(marathon_sim::Sim::start(config).await.unwrap());
        }
        Self {
            sims,
            kernel: SharedKernel::default(),
            folder: tempfile::tempdir().unwrap(),
            auth: None,
            hold: None,
            doubt: marathon::watch::DEFAULT_DOUBT,
            portion: 256,
            serves_names: true,
            task_zone: None,
            prober: FakeProber::default(),
            relays: Vec::new(),
            relay_tokens: [None; 2],
            agent: None,
            http: reqwest::Client::new(),
            token: None,
        }
    }

    /// One Marathon with an app `/web` of so many tasks at 3.3.0.6:80, in the kernel.
    pub(crate) async fn serving(instances: usize) -> Self {
        let mut world = Self::new().await;
        world.run_app(&app("/web", "3.3.0.6:80", instances)).await;
        world.start().await;
        world.until_served("3.3.0.6:80", instances).await;
        let _ = world.kernel.take_history();
        world
    }

    /// Starts the agent.
    pub(crate) async fn start(&mut self) {
        assert!(self.agent.is_none());
        let urls = self
            .sims
            .iter()
            .map(|sim| sim.urls().iter().map(|url| Url::parse(url).unwrap()).collect::<Vec<_>>());
        let urls: Vec<_> = urls.collect();
        let sources = urls.iter().enumerate().map(|(index, urls)| SourceConfig {
            id: format!("m{index}").into(),
            servers: [].into(),
            names: vipd::sources::NameConfig {
                zone_len: 23,
                task_zone: self.task_zone.map(Into::into),
                ..vipd::sources::NameConfig::default()
            },
            kind: SourceKind::Marathon(marathon::watch::Config {
                urls: urls.len().try_into().unwrap(),
                agents: Some(1),
                seed: 7,
                doubt: self.doubt,
            }),
        });
        let clients = urls.iter().enumerate().map(|(index, urls)| {
            let config =
                ClientConfig { auth: self.auth.clone(), ..ClientConfig::new(urls.clone()) };
            let client = Arc::new(Client::new(&config).unwrap());
            let client = match index == 0 && !self.relays.is_empty() {
                true => SourceClient::Relay(Arc::new(self.relay_client(client))),
                false => SourceClient::Marathon(client),
            };
            (format!("m{index}").into(), client)
        });
        let kernel = self.kernel.clone();
        let listen = vec!["198.51.100.1:53".parse().unwrap()];
        let names = NameSettings::default().with_name_server(listen, self.task_zone.is_some());
        let controller = vip::controller::Config {
            node: "node1".into(),
            table: TableSettings {
                names: self.serves_names.then_some(names),
                ..TableSettings::default()
            },
            sync_period: SYNC,
            linger: Duration::from_secs(1),
            portion: self.portion.try_into().unwrap(),
            ..vip::controller::Config::default()
        };
        let (mut agent, handle) = Agent::new(Setup {
            may_write: Box::new(|| true),
            config: Config {
                controller,
                sources: sources.collect(),
                task_zone: self.task_zone.map(str::to_owned),
            },
            clients: clients.collect(),
            open_kernel: Box::new(move || Ok(kernel.clone())),
            monitor: None,
            state_files: Some(StateFiles::new(self.folder.path().join("state"))),
            zone_file: Some(self.folder.path().join("zone")),
            resolver: None,
            prober: Some(self.prober.prepare()),
            hold: self.hold.clone(),
            clock: marathon_sim::now,
        })
        .unwrap();
        AGENTS.with_borrow_mut(|agents| agents.push(handle.clone()));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            agent.run(async { drop(stopped.await) }).await;
        });
        self.agent = Some(Running { handle, stop, task });
    }

    /// Starts a relay of the first Marathon, or of the server at this URL.
    pub(crate) async fn start_relay(&mut self, of: Option<&str>) {
        let url = of.map_or_else(|| self.sims[0].url(), str::to_owned).parse().unwrap();
        let marathon = vipd::config::Marathon::new(vec![url], vipd::config::Access::default());
        let settings = RelaySettings {
            listen: ([127, 0, 0, 1], 0).into(),
            token: self.relay_tokens[0].map(Into::into),
            tls: None,
            relays: 1,
            max_clients: 100,
            clients_per_address: 100,
        };
        let start = self.relays.len() as u64;
        let relay = Relay::bind(settings, &marathon, "relay", start).await.unwrap();
        let url = format!("http://{}", relay.address().unwrap()).parse().unwrap();
        let task = tokio::spawn(relay.run());
        self.relays.push(RunningRelay { url, task });
    }

    fn relay_client(&self, direct: Arc<Client>) -> RelayClient {
        RelayClient {
            http: reqwest::Client::new(),
            urls: self.relays.iter().map(|relay| relay.url.clone()).collect(),
            token: self.relay_tokens[1].map(Into::into),
            wants_all: self.task_zone.is_some(),
            node: "node1".to_owned(),
            agents: Some(1),
            direct,
        }
    }

    /// Stops the agent as SIGTERM does.
    pub(crate) async fn stop(&mut self) {
        let Running { stop, task, .. } = self.agent.take().unwrap();
        drop(stop);
        task.await.unwrap();
        AGENTS.with_borrow_mut(Vec::clear);
    }

    /// Kills the agent in the middle of what it does.
    pub(crate) fn kill(&mut self) {
        self.agent.take().unwrap().task.abort();
        AGENTS.with_borrow_mut(Vec::clear);
    }

    pub(crate) fn agent(&self) -> &Handle {
        self.running().unwrap()
    }

    /// The agent, if it runs.
    pub(crate) fn running(&self) -> Option<&Handle> {
        self.agent.as_ref().map(|agent| &agent.handle)
    }

    pub(crate) fn sim(&self) -> &Sim {
        &self.sims[0]
    }

    /// Asks for a token at this URL, and shows it from now on.
    pub(crate) async fn log_in(&mut self, url: &str) {
        let answer = self.http.post(url).body("{}").send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        self.token = Some(answer["token"].as_str().unwrap().to_owned());
    }

    /// Sends a request to the first Marathon.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        self.send_to(0, method, path, body).await
    }

    pub(crate) async fn send_to(
        &self,
        sim: usize,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Value {
        let url = format!("{}{path}", self.sims[sim].url());
        let mut request = self.http.request(method.parse().unwrap(), url);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("token={token}"));
        }
        let response = request.body(body.to_string()).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    pub(crate) async fn run_app(&self, app: &Value) {
        self.run_app_on(0, app).await;
    }

    /// Posts an app and waits until its tasks are healthy.
    pub(crate) async fn run_app_on(&self, sim: usize, app: &Value) {
        self.send_to(sim, "POST", "/v2/apps", app).await;
        let (id, instances) = (app["id"].as_str().unwrap(), app["instances"].as_u64().unwrap());
        let path = format!("/v2/apps{id}");
        eventually(async || {
            let answer = self.send_to(sim, "GET", &path, &Value::Null).await;
            answer["app"]["tasksHealthy"].as_u64() == Some(instances)
        })
        .await;
    }

    /// The ids of an app's tasks.
    pub(crate) async fn tasks(&self, id: &str) -> Vec<Value> {
        let answer = self.send("GET", &format!("/v2/apps{id}/tasks"), &Value::Null).await;
        answer["tasks"].as_array().cloned().unwrap_or_default()
    }

    /// The real servers of a service that take new connections.
    pub(crate) fn served(&self, at: &str) -> Option<Vec<SocketAddr>> {
        served(&self.kernel.current_state(), at)
    }

    pub(crate) async fn until_served(&self, at: &str, servers: usize) {
        let is_so = async || self.served(at).is_some_and(|found| found.len() == servers);
        eventually(is_so).await;
    }

    /// The fewest servers that took new connections since this was asked last.
    pub(crate) fn fewest(&self, at: &str) -> usize {
        let history = self.kernel.take_history();
        let counts = history.iter().map(|(_, state)| served(state, at).map_or(0, |all| all.len()));
        counts.min().unwrap()
    }

    pub(crate) async fn end(mut self) {
        if self.agent.is_some() {
            self.stop().await;
        }
        self.relays.iter().for_each(RunningRelay::kill);
        for sim in self.sims {
            sim.shutdown().await;
        }
    }
}

pub(crate) fn vip(at: &str) -> Vip {
    let socket: SocketAddr = at.parse().unwrap();
    Vip { address: socket.ip(), port: socket.port().try_into().unwrap(), protocol: Protocol::Tcp }
}

pub(crate) fn weights(state: &Observed, at: &str) -> Option<BTreeMap<SocketAddr, u32>> {
    let servers = &state.service(&vip(at))?.servers;
    Some(servers.iter().map(|(at, server)| (*at, server.settings.weight)).collect())
}

fn served(state: &Observed, at: &str) -> Option<Vec<SocketAddr>> {
    let weights = weights(state, at)?.into_iter().filter(|(_, weight)| *weight > 0);
    Some(weights.map(|(server, _)| server).collect())
}

/// Where a task listens.
pub(crate) fn place(task: &Value) -> SocketAddr {
    let host: IpAddr = task["host"].as_str().unwrap().parse().unwrap();
    let port = task["ports"][0].as_u64().unwrap();
    SocketAddr::new(host, u16::try_from(port).unwrap())
}

/// Waits until it is so.
pub(crate) async fn eventually(is_so: impl AsyncFn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < end, "this takes too long");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn pass(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// An app with a TCP health check, whose tasks go on serving for a while when they are told to stop.
pub(crate) fn app(id: &str, vip: &str, instances: usize) -> Value {
    json!({
        "id": id,
        "instances": instances,
        "cpus": 0.1,
        "mem": 16,
        "env": {"SIM_STOP_DELAY_MS": "1500"},
        "container": {
            "type": "DOCKER",
            "docker": {"image": "echo"},
            "portMappings": [{"containerPort": 80, "hostPort": 0, "labels": {"VIP_0": vip}}],
        },
        "networks": [{"mode": "container/bridge"}],
        "healthChecks": [{
            "protocol": "TCP", "portIndex": 0, "gracePeriodSeconds": 5, "intervalSeconds": 2,
            "timeoutSeconds": 2, "maxConsecutiveFailures": 3,
        }],
    })
}
