//! Named VIPs on real kernels: the system's own resolver, the name server and real traffic.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::netns;

use crate::cluster::{Cluster, eventually, place, tell};

pub(crate) const NAME: &str = "web.marathon.l4lb.thisdcos.directory";
/// Where the hash of `web.marathon` leads.
pub(crate) const ADDRESS: &str = "11.225.36.193";
const SERVER: &str = "198.51.100.1";

pub(crate) fn web(instances: usize) -> Value {
    json!({
        "id": "/web", "instances": instances, "cpus": 0.1, "mem": 16,
        "container": {
            "type": "DOCKER",
            "docker": {"image": "web"},
            "portMappings": [{"containerPort": 80, "hostPort": 0, "labels": {"VIP_0": "/web:80"}}],
        },
        "networks": [{"mode": "container/bridge"}],
        "healthChecks": [{
            "protocol": "TCP", "portIndex": 0, "gracePeriodSeconds": 60, "intervalSeconds": 5,
        }],
    })
}

/// A name server on a node, and the resolver of the node that asks it.
pub(crate) struct NameServer(Child);

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl NameServer {
    pub(crate) fn start(cluster: &Cluster, node: usize) -> Self {
        let name = &cluster.nodes[node];
        // `ip netns exec` has a process see this file as /etc/resolv.conf.
        let folder = format!("/etc/netns/{name}");
        std::fs::create_dir_all(&folder).unwrap();
        let lines = format!("nameserver {SERVER}\noptions timeout:1 attempts:1\n");
        std::fs::write(format!("{folder}/resolv.conf"), lines).unwrap();
        let mut server = Command::new("ip");
        server.args(["netns", "exec", name, env!("CARGO_BIN_EXE_vipd"), "dns"]);
        server.args(["--listen", SERVER, "--zone-file", &format!("/run/{name}/zone")]);
        server.args(["--log", "info"]).env("VIPD_CONFIG", "/dev/null");
        server.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = server.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| tell(&line)));
        Self(child)
    }
}

fn resolve(cluster: &Cluster, node: usize, database: &str) -> Result<String, String> {
    cluster.try_on(node, &format!("getent {database} {NAME}"))
}

#[test]
fn a_name_resolves_and_connects_with_the_agent_and_without_it() {
    let mut cluster = Cluster::new();
    cluster.send("POST", "/v2/apps", &web(2));
    cluster.settled("/web", 2);
    cluster.start_all();
    let _servers = [0, 1].map(|node| NameServer::start(&cluster, node));
    for node in 0..2 {
        eventually("the name resolves", || resolve(&cluster, node, "ahosts").is_ok());
        let found = resolve(&cluster, node, "ahosts").unwrap();
        assert!(found.lines().all(|line| line.starts_with(ADDRESS)), "{found}");
        // There is no IPv6 address, which doesn't deny the name: libc maps the other one.
        let mapped = resolve(&cluster, node, "ahostsv6").unwrap();
        assert!(mapped.lines().all(|line| line.starts_with("::ffff:")), "{mapped}");
        let ask = || cluster.try_on(node, &format!("curl -sS --max-time 5 http://{NAME}/"));
        eventually("it connects", || ask().is_ok());
        cluster.try_on(node, "getent ahosts other.marathon.l4lb.thisdcos.directory").unwrap_err();
    }
    let status = cluster.vipd(0, &["status"]).output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains(&format!("web.marathon {ADDRESS}:80/tcp")), "{status}");
    let diff = cluster.vipd(0, &["diff", "--marathon", "http://10.77.0.1:8080"]).output().unwrap();
    assert_eq!(diff.status.code(), Some(0), "{diff:?}");

    let doctor = cluster.vipd(0, &["doctor"]).output().unwrap();
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    for finding in ["the name server answers at 198.51.100.1", "this node resolves names in l4lb"] {
        assert!(doctor.contains(finding), "{doctor}");
    }

    // Only its own port answers at the name server's address.
    if cluster.try_on(0, "nft list table ip vipd").is_ok() {
        let node = cluster.nodes[0].clone();
        let refused = std::thread::spawn(move || {
            netns::join_netns(&node);
            let _everywhere = TcpListener::bind("0.0.0.0:8888").unwrap();
            let at = format!("{SERVER}:8888").parse().unwrap();
            TcpStream::connect_timeout(&at, Duration::from_secs(5)).is_err()
        });
        assert!(refused.join().unwrap());
    }

    // Names answer without the agent, as long as their address is bound.
    cluster.stop(0, "KILL");
    assert!(resolve(&cluster, 0, "ahosts").is_ok());
    cluster.on(0, &format!("ip addr del {ADDRESS}/32 dev vipd0"));
    eventually("it resolves no longer", || resolve(&cluster, 0, "ahosts").is_err());
    cluster.start(0, &[]);
    eventually("it resolves again", || resolve(&cluster, 0, "ahosts").is_ok());
}

/// A query for the IPv4 address of a name.
fn query(name: &str) -> Vec<u8> {
    let mut query = vec![0x2a, 0x2a, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    query
}

/// Whether the name server gives the name of a query an address. `socket` is connected to it.
fn is_answered(socket: &UdpSocket, query: &[u8]) -> bool {
    let mut answer = [0; 512];
    let asked = socket.send(query).and_then(|_| socket.recv(&mut answer));
    // The last byte of the flags holds the response code, the bytes 6 and 7 count the answers.
    asked.is_ok_and(|length| length > 12 && answer[3] & 15 == 0 && answer[7] > 0)
}

/// Waits on a node, without a pause, until a condition holds, and returns the time.
fn await_on<T: Send + 'static>(
    node: &str,
    prepare: impl FnOnce() -> T + Send + 'static,
    mut is_so: impl FnMut(&T) -> bool + Send + 'static,
) -> thread::JoinHandle<Instant> {
    let node = node.to_owned();
    thread::spawn(move || {
        netns::join_netns(&node);
        let with = prepare();
        let end = Instant::now() + Duration::from_secs(60);
        while !is_so(&with) {
            assert!(Instant::now() < end, "waited in vain");
            thread::sleep(Duration::from_micros(200));
        }
        Instant::now()
    })
}

fn connect_to_name_server() -> UdpSocket {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect((SERVER, 53)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Prints how much later a name resolves and serves than a VIP by address of the same app.
#[test]
fn a_name_serves_when_its_app_does() {
    let mut cluster = Cluster::new();
    cluster.start_all();
    let _server = NameServer::start(&cluster, 0);
    let mut later = Vec::new();
    for n in 0..12 {
        let mut app = web(1);
        app["id"] = json!(format!("/app{n}"));
        let labels = json!({"VIP_0": format!("3.3.1.{n}:80"), "VIP_1": format!("/app{n}:80")});
        app["container"]["portMappings"][0]["labels"] = labels;
        let node = &cluster.nodes[0];
        let connects =
            |at: SocketAddr| TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_ok();
        let vip: SocketAddr = format!("3.3.1.{n}:80").parse().unwrap();
        let by_address = await_on(node, || (), move |()| connects(vip));
        let name = format!("app{n}.marathon.l4lb.thisdcos.directory");
        let asked = query(&name);
        let by_name = await_on(node, connect_to_name_server, move |socket| {
            is_answered(socket, &asked) && {
                let at = dns::DomainName::parse(&name).unwrap();
                let server = (SERVER.parse::<std::net::Ipv4Addr>().unwrap(), 53).into();
                let found = dns::look_up(&at, server, Duration::from_secs(1)).unwrap_or_default();
                found.into_iter().any(|address| connects((address, 80).into()))
            }
        });
        cluster.send("POST", "/v2/apps", &app);
        let (by_address, by_name) = (by_address.join().unwrap(), by_name.join().unwrap());
        later.push(by_name.saturating_duration_since(by_address));
    }
    tell(&format!(
        "names serve later than addresses by {later:.1?}, median {:.1?}",
        median(later.clone())
    ));
}

/// Sends queries from a node for as long as it lives.
struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<thread::JoinHandle<()>>,
    since: Instant,
}

impl Flood {
    fn start(node: &str) -> Self {
        let (stop, sent) = <(Arc<AtomicBool>, Arc<AtomicU64>)>::default();
        let (node, stopped, count) = (node.to_owned(), stop.clone(), sent.clone());
        let thread = thread::spawn(move || {
            netns::join_netns(&node);
            let socket = connect_to_name_server();
            socket.set_nonblocking(true).unwrap();
            let queries = [query(NAME), query("x.invalid"), b"garbage".to_vec()];
            let mut answer = [0; 512];
            while !stopped.load(Ordering::Relaxed) {
                for query in &queries {
                    let _ = socket.send(query);
                    let _ = socket.recv(&mut answer);
                }
                count.fetch_add(queries.len() as u64, Ordering::Relaxed);
            }
        });
        Self { stop, sent, thread: Some(thread), since: Instant::now() }
    }

    fn per_second(&self) -> f64 {
        self.sent.load(Ordering::Relaxed) as f64 / self.since.elapsed().as_secs_f64()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

/// Prints the time from a killed task to the kernel's table, with and without a flood of queries.
#[test]
fn a_flood_of_queries_does_not_stop_the_agent() {
    let mut cluster = Cluster::new();
    cluster.send("POST", "/v2/apps", &web(2));
    cluster.settled("/web", 2);
    cluster.start_all();
    let _server = NameServer::start(&cluster, 0);
    eventually("the name resolves", || resolve(&cluster, 0, "ahosts").is_ok());
    let reactions = || {
        let reaction = |_| {
            let tasks = cluster.settled("/web", 2);
            let (id, at) = (tasks[0]["id"].as_str().unwrap(), place(&tasks[0]));
            let (address, port) = at.split_once(':').unwrap();
            let address: std::net::Ipv4Addr = address.parse().unwrap();
            let port: u16 = port.parse().unwrap();
            let entry = format!("{:08X}:{port:04X}", address.to_bits());
            let table = || std::fs::read_to_string("/proc/thread-self/net/ip_vs").unwrap();
            eventually("it serves", || cluster.on(0, "ipvsadm -Sn").contains(&at));
            let gone = await_on(
                &cluster.nodes[0],
                || (),
                move |()| {
                    // A real server that leaves has weight 0 while connections to it are open.
                    table().lines().all(|line| {
                        !line.contains(&entry) || line.split_whitespace().nth(3) == Some("0")
                    })
                },
            );
            let killed = Instant::now();
            cluster.send("DELETE", &format!("/v2/apps/web/tasks/{id}"), &Value::Null);
            gone.join().unwrap().saturating_duration_since(killed)
        };
        (0..10).map(reaction).collect::<Vec<_>>()
    };
    let calm = reactions();
    let flood = Flood::start(&cluster.nodes[0]);
    let flooded = reactions();
    tell(&format!(
        "from a killed task to the table: {:.1?} calm, {:.1?} with {:.0} queries/s \
         (medians; all {calm:.1?}, {flooded:.1?})",
        median(calm.clone()),
        median(flooded.clone()),
        flood.per_second(),
    ));
    drop(flood);
    assert!(resolve(&cluster, 0, "ahosts").is_ok());
}
