//! Measures how soon new connections leave a task that has ended: through vipd and the kernel, and through
//! marathon-lb and haproxy. Both hear the same event of the same simulated Marathon.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use marathon_sim::{Agent, Config, Fate, Handle, Sim};
use serde_json::json;
use testkit::netns::run_tool;

use crate::figure::print_time;
use crate::process::{Running, child_command};
use crate::uplink::{UPLINK, make_uplink};

/// Tasks at the start. Those that end aren't replaced.
const TASKS: usize = 8;

/// The ports that a host offers to tasks. Each has a server.
const PORTS: std::ops::RangeInclusive<u16> = 31000..=31009;

const VIP: &str = "10.96.0.1:80";
const SERVICE_PORT: u16 = 10000;

/// Time between a client's connections.
const PACE: Duration = Duration::from_millis(2);

/// Time in which both must have noticed an event.
const NOTICE: Duration = Duration::from_secs(20);

/// Time limit of every other wait.
const PATIENCE: Duration = Duration::from_secs(120);

/// The head of haproxy's configuration, without the paths and pages of marathon-lb's image. marathon-lb
/// refuses one without this socket.
const HEAD: &str = "global
  maxconn 1000
  stats socket /var/run/haproxy/socket expose-fd listeners
defaults
  retries 3
  maxconn 1000
  timeout connect 3s
  timeout client 30s
  timeout server 30s
";

/// The connections of a client: when each began, and which server answered it.
type Connections = Arc<Mutex<Vec<(Instant, SocketAddr)>>>;

/// Ends `times` tasks, one after another. `checkout` is a checkout of marathon-lb.
pub(crate) fn measure_beside_marathon_lb(vipd: &Path, checkout: &Path, times: usize) {
    make_uplink();
    let hosts: Vec<_> = (11..=13).map(|last| Ipv4Addr::new(10, 9, 0, last)).collect();
    for host in &hosts {
        run_tool("ip", &format!("addr add {host}/32 dev {UPLINK}"));
        PORTS.for_each(|port| serve((*host, port).into()));
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let marathon = runtime.block_on(start_marathon(&hosts));
    let folder = tempfile::tempdir().unwrap();
    let _vipd = start_vipd(vipd, &marathon.url(), folder.path());
    let _marathon_lb = start_marathon_lb(checkout, &marathon.url(), folder.path());
    let ways = [
        ("vipd", VIP.parse().unwrap()),
        ("marathon-lb", (Ipv4Addr::LOCALHOST, SERVICE_PORT).into()),
    ];
    let clients = ways.map(|(name, address)| (name, connect_for_ever(address)));
    await_true("all tasks get connections", || {
        clients.iter().all(|(_, connections)| {
            let reached = connections.lock().unwrap();
            reached.iter().map(|(_, server)| server).collect::<BTreeSet<_>>().len() == TASKS
        })
    });
    for _ in 0..times {
        let task = marathon.running_tasks().remove(0);
        let ended: SocketAddr = (task.host, task.ports[0]).into();
        clients.iter().for_each(|(_, connections)| connections.lock().unwrap().clear());
        let said = Instant::now();
        marathon.set_fate(&task.task, Fate::Over);
        thread::sleep(NOTICE);
        for (name, connections) in &clients {
            let connections = connections.lock().unwrap();
            let mut since = connections.iter().filter(|(begun, _)| *begun > said);
            // If none reached it, the first one shows it.
            let first = since.next().expect("connections").0;
            let last = connections.iter().rfind(|(_, server)| *server == ended);
            let last = last.map_or(first, |(begun, _)| first.max(*begun));
            assert!(last.elapsed() > NOTICE / 4, "{name} still uses {ended}");
            print_time(&format!("beside/{name}"), last - said);
        }
    }
    run_tool("pkill", "haproxy");
}

/// Starts a Marathon with one app, whose tasks are the servers of this process.
async fn start_marathon(hosts: &[Ipv4Addr]) -> Handle {
    let agent = |host: &Ipv4Addr| Agent { ports: PORTS, ..Agent::new(*host) };
    let agents = hosts.iter().map(agent).collect();
    let marathon = Sim::start(Config { agents, ..Config::without_processes() }).await.unwrap();
    let app = json!({
        "id": "/web",
        "cmd": "serve",
        "cpus": 0.1,
        "mem": 32,
        "instances": TASKS,
        "backoffSeconds": 3600,
        "portDefinitions": [
            {"port": SERVICE_PORT, "protocol": "tcp", "labels": {"VIP_0": VIP}}
        ],
        "labels": {"HAPROXY_GROUP": "external", "HAPROXY_0_MODE": "tcp"},
    });
    post(marathon.addr(), "/v2/apps", &app.to_string());
    marathon
}

fn post(to: SocketAddr, path: &str, body: &str) {
    let mut stream = TcpStream::connect(to).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {to}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

fn start_vipd(vipd: &Path, marathon: &str, folder: &Path) -> Running {
    let in_folder = |name: &str| folder.join(name).display().to_string();
    let mut command = child_command(vipd);
    command.args(["run", "--marathon", marathon, "--listen", "127.0.0.1:9614"]);
    command.args(["--state", &in_folder("state"), "--lock", &in_folder("lock")]);
    Running(command.stdin(Stdio::null()).spawn().unwrap())
}

/// Starts marathon-lb as its image does, with haproxy's own way to take a new configuration: a new process
/// that takes the listeners over.
fn start_marathon_lb(checkout: &Path, marathon: &str, folder: &Path) -> Running {
    fs::create_dir_all("/var/run/haproxy").unwrap();
    fs::create_dir(folder.join("templates")).unwrap();
    fs::write(folder.join("templates/HAPROXY_HEAD"), HEAD).unwrap();
    let (config, pid) = (folder.join("haproxy.cfg"), folder.join("haproxy.pid"));
    let (config, pid) = (config.display(), pid.display());
    let reload = folder.join("reload");
    let script = format!(
        "if [ -e {pid} ]; then old=\"-x /var/run/haproxy/socket -sf $(cat {pid})\"; fi\n\
         exec haproxy -D -f {config} -p {pid} $old\n"
    );
    fs::write(&reload, script).unwrap();
    let mut command = child_command("/usr/bin/python3");
    command
        .arg(checkout.join("marathon_lb.py"))
        .args(["--marathon", marathon, "--group", "external", "--sse", "--dont-bind-http-https"])
        .args(["--haproxy-config", &config.to_string(), "--syslog-socket", "/dev/null"])
        .args(["--command", &format!("/bin/sh {}", reload.display())])
        .current_dir(folder)
        .stdin(Stdio::null());
    Running(command.spawn().unwrap())
}

/// Answers every connection with its own address.
fn serve(address: SocketAddr) {
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| writeln!(stream, "{address}"));
        }
    });
}

/// Connects to an address again and again, and notes which server answered a connection that began when.
fn connect_for_ever(address: SocketAddr) -> Connections {
    let connections = Connections::default();
    let noted = connections.clone();
    thread::spawn(move || {
        loop {
            let begun = Instant::now();
            if let Some(server) = ask(address) {
                noted.lock().unwrap().push((begun, server));
            }
            thread::sleep(PACE);
        }
    });
    connections
}

fn ask(address: SocketAddr) -> Option<SocketAddr> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.trim().parse().ok()
}

fn await_true(what: &str, mut is_true: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_true() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}
