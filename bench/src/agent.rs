//! Measures the whole agent, with its connections and threads, on a kernel in memory or the real
//! one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use marathon::client::{Client, ClientConfig, Url};
use nl_ipvs::{DestinationSettings, ServiceKey};
use node::{Kernel, KernelError, LinuxKernel, Settings, SysctlReport};
use testkit::FakeKernel;
use testkit::netns::run_tool;
use tokio::sync::oneshot;
use vip::plan::OpError;
use vip::{Observed, Op, Stats, Vip, Ways};
use vipd::agent::core::Config;
use vipd::agent::event_loop::{Agent, Setup};
use vipd::sources::{SourceClient, SourceConfig, SourceKind};

use crate::cluster::Cluster;
use crate::figure::{print_figure, print_spread, print_time};
use crate::memory::bytes_held;
use crate::process::Running;
use crate::server::Server;
use crate::uplink::make_uplink;

/// The time after which an agent whose table is filled tells what memory it holds.
const SETTLING: Duration = Duration::from_secs(5);
/// Time limit of every wait.
const PATIENCE: Duration = Duration::from_secs(300);

/// A real server's new weight, and the time of the change.
type WeightChange = (Vip, SocketAddr, u32, Instant);

/// A kernel that reports when a real server was changed.
struct Watched<K> {
    kernel: K,
    changes: Sender<WeightChange>,
}

impl<K: Kernel> Kernel for Watched<K> {
    fn observe(&mut self) -> Result<Observed, KernelError> {
        self.kernel.observe()
    }

    fn observe_again(&mut self, known: &Observed) -> Result<Observed, KernelError> {
        self.kernel.observe_again(known)
    }

    fn perform(&mut self, ops: &[&Op]) -> Vec<Result<(), OpError>> {
        let answers = self.kernel.perform(ops);
        let at = Instant::now();
        for op in ops {
            let (Op::SetServer { vip, server, settings, .. }
            | Op::AddServer { vip, server, settings }) = op
            else {
                continue;
            };
            let _ = self.changes.send((*vip, *server, settings.weight, at));
        }
        answers
    }

    fn find_ways(&mut self, servers: &BTreeSet<IpAddr>) -> Result<Ways, KernelError> {
        self.kernel.find_ways(servers)
    }

    fn tune_sysctls(&mut self, mend: bool) -> Vec<SysctlReport> {
        self.kernel.tune_sysctls(mend)
    }

    fn read_traffic(&mut self) -> Result<BTreeMap<Vip, Stats>, KernelError> {
        self.kernel.read_traffic()
    }
}

/// A [`FakeKernel`] without a log, which would grow.
struct Forgetful(FakeKernel);

impl Kernel for Forgetful {
    fn observe(&mut self) -> Result<Observed, KernelError> {
        self.0.observe()
    }

    fn observe_again(&mut self, known: &Observed) -> Result<Observed, KernelError> {
        self.0.observe_again(known)
    }

    fn perform(&mut self, ops: &[&Op]) -> Vec<Result<(), OpError>> {
        self.0.log.clear();
        self.0.perform(ops)
    }

    fn find_ways(&mut self, servers: &BTreeSet<IpAddr>) -> Result<Ways, KernelError> {
        self.0.find_ways(servers)
    }

    fn tune_sysctls(&mut self, mend: bool) -> Vec<SysctlReport> {
        self.0.tune_sysctls(mend)
    }

    fn read_traffic(&mut self) -> Result<BTreeMap<Vip, Stats>, KernelError> {
        self.0.read_traffic()
    }
}

/// Measures the change of a real server's weight at these table sizes, on a kernel in memory.
pub(crate) fn measure_in_memory(vips: &[usize], events: usize) {
    for vips in vips {
        measure_with_fake("react/agent", *vips, events, read_marathon);
    }
}

/// Measures with a kernel in memory, and the client that this makes.
pub(crate) fn measure_with_fake<T>(
    name: &str,
    vips: usize,
    events: usize,
    make_client: impl FnOnce(&str) -> (SourceClient, T),
) {
    measure_reaction(name, vips, events, || Ok(Forgetful(FakeKernel::default())), make_client);
}

/// Makes the client of an agent that reads Marathon itself.
pub(crate) fn read_marathon(url: &str) -> (SourceClient, ()) {
    let client = Client::new(&ClientConfig::new(vec![Url::parse(url).unwrap()])).unwrap();
    (SourceClient::Marathon(Arc::new(client)), ())
}

/// Measures the same on this machine's own kernel.
pub(crate) fn measure_on_kernel(vips: &[usize], events: usize) {
    make_uplink();
    for vips in vips {
        let settings = || Settings::default();
        let open = move || LinuxKernel::open(settings());
        measure_reaction("react/kernel", *vips, events, open, read_marathon);
        measure_floor(*vips, events);
        run_tool("ipvsadm", "-C");
        run_tool("ip", "link del vipd0");
    }
}

/// Measures the minimum for comparison, at the same pace: a thread that reads from a connection and
/// makes the call to the kernel.
fn measure_floor(vips: usize, events: usize) {
    let cluster = Cluster::new(vips, 10);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    sender.set_nodelay(true).unwrap();
    let (mut receiver, _) = listener.accept().unwrap();
    let weigh = move |number: usize, weight: u32| {
        let (app, task) = (number * 7 % vips, number % 10);
        let vip = Vip::from_key(&ServiceKey::tcp((Cluster::vip_address(app), 80).into())).unwrap();
        let of = DestinationSettings::masquerade;
        let (before, settings) = (of(1 - weight), of(weight));
        Op::SetServer {
            vip,
            server: cluster.task_socket(app, task),
            before: before.into(),
            settings,
        }
    };
    let (done, at) = channel();
    let call = thread::spawn(move || {
        let mut kernel = LinuxKernel::open(Settings::default()).unwrap();
        for number in 0..events {
            receiver.read_exact(&mut [0]).unwrap();
            assert_eq!(kernel.perform(&[&weigh(number, 0)]), [Ok(())]);
            done.send(Instant::now()).unwrap();
            assert_eq!(kernel.perform(&[&weigh(number, 1)]), [Ok(())]);
        }
    });
    let times = (0..events).map(|_| {
        thread::sleep(Duration::from_millis(250));
        let said = Instant::now();
        sender.write_all(b"!").unwrap();
        at.recv_timeout(PATIENCE).expect("the weight is changed").duration_since(said)
    });
    print_spread(&format!("react/call/{vips}"), &times.collect::<Vec<_>>());
    call.join().unwrap();
}

/// Measures an agent whose client this makes for the URL of Marathon. Whatever comes with the client is
/// kept until the end.
fn measure_reaction<K: Kernel + 'static, T>(
    name: &str,
    vips: usize,
    events: usize,
    mut open: impl FnMut() -> Result<K, KernelError> + Send + 'static,
    make_client: impl FnOnce(&str) -> (SourceClient, T),
) {
    let cluster = Cluster::new(vips, 10);
    let (server, url) = Server::start(cluster.clone());
    let (changes, changed) = channel();
    let open_kernel =
        Box::new(move || open().map(|kernel| Watched { kernel, changes: changes.clone() }));
    let (stop, stopped) = oneshot::channel::<()>();
    let (client, _kept) = make_client(&url);
    let agent = thread::spawn(move || run_agent(client, open_kernel, stopped));
    for _ in 0..vips * 10 {
        changed.recv_timeout(PATIENCE).expect("the table is filled");
    }
    thread::sleep(Duration::from_secs(3));
    let mut times = Vec::new();
    let mut unhealthy = VecDeque::new();
    for number in 0..events {
        let (app, task) = (number * 7 % vips, number % 10);
        server.set_healthy(app, task, false);
        let said = server.send_event(&Cluster::health_event(app, task, false, number));
        times.push(
            await_weight_zero(&changed, app, cluster.task_socket(app, task)).duration_since(said),
        );
        // Slow enough that only a few apps wait for being read again.
        thread::sleep(Duration::from_millis(250));
        unhealthy.push_back((app, task));
        if unhealthy.len() > 5 {
            let (app, task) = unhealthy.pop_front().unwrap();
            server.set_healthy(app, task, true);
            server.send_event(&Cluster::health_event(app, task, true, number));
        }
    }
    print_spread(&format!("{name}/{vips}"), &times);
    let _ = stop.send(());
    agent.join().unwrap();
}

/// Runs an agent as `vipd run` does, until it is told to stop.
fn run_agent<K: Kernel + 'static>(
    client: SourceClient,
    open_kernel: Box<dyn FnMut() -> Result<K, KernelError> + Send>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let watch = marathon::watch::Config {
            urls: NonZeroUsize::MIN,
            agents: Some(1),
            seed: 7,
            doubt: marathon::watch::DEFAULT_DOUBT,
        };
        let source = SourceConfig {
            id: "m".into(),
            servers: [].into(),
            names: vipd::sources::NameConfig::default(),
            kind: SourceKind::Marathon(watch),
        };
        let controller = vip::controller::Config { node: "node1".into(), ..Default::default() };
        let (mut agent, _handle) = Agent::new(Setup {
            may_write: Box::new(|| true),
            config: Config { controller, sources: vec![source], task_zone: None },
            clients: [("m".into(), client)].into(),
            open_kernel,
            monitor: None,
            clock: marathon::Timestamp::now,
            state_files: None,
            zone_file: None,
            resolver: None,
            prober: None,
            hold: None,
        })
        .unwrap();
        agent.run(async { drop(stopped.await) }).await;
    });
    runtime.shutdown_background();
}

/// Runs an agent with a kernel in memory for ever. Once this many real servers were added it prints
/// a line.
pub(crate) fn follow(client: SourceClient, servers: usize) {
    let (changes, changed) = channel();
    let open_kernel = Box::new(move || {
        let kernel = Forgetful(FakeKernel::default());
        Ok(Watched { kernel, changes: changes.clone() })
    });
    thread::spawn(move || {
        for _ in 0..servers {
            changed.recv_timeout(PATIENCE).expect("the table is filled");
        }
        println!("served");
        thread::sleep(SETTLING);
        println!("{}", bytes_held());
        while changed.recv().is_ok() {}
    });
    let (_stop, stopped) = oneshot::channel::<()>();
    run_agent(client, open_kernel, stopped);
}

/// Waits until a real server's weight is 0, and returns the time of the change.
fn await_weight_zero(changed: &Receiver<WeightChange>, app: usize, server: SocketAddr) -> Instant {
    loop {
        let (vip, which, to, at) = changed.recv_timeout(PATIENCE).expect("the weight is changed");
        if (vip.address, which, to) == (Cluster::vip_address(app), server, 0) {
            return at;
        }
    }
}

/// Measures the program when it has nothing to do: its memory, and its share of a core between two
/// comparisons of the whole table.
pub(crate) fn measure_steady_agent(vipd: &Path, vips: usize, servers: usize) {
    let (_server, url) = Server::start(Cluster::new(vips, servers));
    run_tool("ip", "addr add 10.9.0.1/24 dev lo");
    run_tool("ip", "route add default dev lo");
    let mut child = Running(
        Command::new(vipd)
            .args(["run", "--marathon", &url, "--state", "/run/state", "--lock", "/run/vipd.lock"])
            .args(["--listen", "127.0.0.1:9614"])
            // As in the systemd unit and the image.
            .envs([("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "131072")])
            .stdin(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let end = Instant::now() + PATIENCE;
    while run_tool("ipvsadm", "-Sn").lines().count() < vips * (1 + servers) {
        assert!(Instant::now() < end, "the table is filled");
        assert_eq!(child.0.try_wait().unwrap(), None, "vipd ended");
        thread::sleep(Duration::from_millis(500));
    }
    // Let the start end: the read that confirms it, and the state on disk.
    thread::sleep(Duration::from_secs(70));
    print_figure(&format!("steady/peak/{vips}"), child.mebibytes("VmHWM"), "MiB");
    let mut shares = Vec::new();
    for _ in 0..40 {
        print_figure(&format!("steady/memory/{vips}"), child.mebibytes("VmRSS"), "MiB");
        print_figure(&format!("steady/of-it-program/{vips}"), child.mebibytes("RssFile"), "MiB");
        let (before, start) = (child.cpu_seconds(), Instant::now());
        thread::sleep(Duration::from_secs(2));
        shares.push((child.cpu_seconds() - before, start.elapsed()));
    }
    // Leave out the intervals with a comparison, which use the most time.
    shares.sort_by(|a, b| a.0.total_cmp(&b.0));
    let calm = &shares[..shares.len() * 3 / 4];
    let used: f64 = calm.iter().map(|(used, _)| used).sum();
    let time: f64 = calm.iter().map(|(_, time)| time.as_secs_f64()).sum();
    print_figure(&format!("steady/cpu/{vips}"), used / time * 100.0, "%");
    let used: f64 = shares.iter().map(|(used, _)| used).sum();
    let time: f64 = shares.iter().map(|(_, time)| time.as_secs_f64()).sum();
    print_figure(&format!("steady/cpu-all/{vips}"), used / time * 100.0, "%");
    print_time("steady/watched", Duration::from_secs_f64(time));
}
