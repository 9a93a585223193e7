//! Measures a relay with thousands of connections: what a change costs it, beside a plain loop that
//! writes the same bytes, and its memory.

mod agents;
mod clients;
mod delay;
mod fan_out;
mod follower;
mod loss;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::cluster::Cluster;
use crate::figure::{print_figure, print_time};
use crate::process::{Running, child_command};
use crate::server::Server;
use clients::Clients;
use fan_out::FanOut;

pub(crate) use agents::run_agent;
pub(crate) use delay::measure_delay;
pub(crate) use fan_out::run_fan_out;
pub(crate) use follower::measure_followers;
pub(crate) use loss::measure_loss;

/// The cluster: apps with a VIP each, and tasks of each.
const CLUSTER: (usize, usize) = (1_000, 10);
/// Connections that are opened at a time: a relay waits 5 s for the request of each.
const PORTION: usize = 100;
/// The bytes that a snapshot has at least: `hello` alone is shorter.
const SNAPSHOT: u64 = 10_000;
/// Certificates of the tests.
const CERTIFICATES: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/marathon/tests/fixtures/tls");

/// A relay in a process of its own.
pub(crate) struct Relay {
    pub(crate) process: Running,
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Relay {
    /// Starts a relay of this Marathon, and waits until it listens.
    pub(crate) fn start(vipd: &Path, marathon: &str, with_tls: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let tls = if with_tls {
            format!("cert-file = {CERTIFICATES:?}\nkey-file = {CERTIFICATES:?}\n")
                .replacen("tls\"", "tls/server.pem\"", 1)
                .replacen("tls\"", "tls/server.key\"", 1)
        } else {
            String::new()
        };
        let config = folder.path().join("relay.toml");
        fs::write(
            &config,
            format!("[relay]\nlisten = \"{address}\"\nclients-per-address = 200\n{tls}"),
        )
        .unwrap();
        let mut command = child_command(vipd);
        command.args(["relay", "--marathon", marathon, "--config"]).arg(&config);
        // As in the systemd unit and the image.
        command.envs([("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "131072")]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(address).is_err() {
            assert!(Instant::now() < end, "the relay listens");
            sleep(Duration::from_millis(20));
        }
        Self { process: Running(child), address, _folder: folder }
    }
}

/// Measures a relay with this many connections, without TLS and with it.
pub(crate) fn measure_relay(vipd: &Path, count: usize, rounds: usize) {
    raise_file_limit();
    let (server, url) = Server::start(Cluster::new(CLUSTER.0, CLUSTER.1));
    let relay = Relay::start(vipd, &url, false);
    sleep(Duration::from_secs(3));
    print_memory("relay/alone", &relay);
    let mut clients = open_streams("relay", &relay, count, None);
    print_memory("relay/plain", &relay);
    measure_changes(&server, &relay, &mut clients, count, rounds);
    print_memory("relay/plain-later", &relay);
    drop(clients);
    // Until the relay has noticed.
    sleep(Duration::from_secs(5));
    measure_storm(&relay, count);
    print_memory("relay/storm", &relay);
    drop(relay);
    let relay = Relay::start(vipd, &url, true);
    sleep(Duration::from_secs(3));
    let mut clients = open_streams("relay/tls", &relay, count, Some(&trusting()));
    print_memory("relay/tls", &relay);
    for _ in 0..rounds {
        measure_change(&server, &relay, &mut clients, count, "relay/tls");
    }
}

/// Allows this process and its children as many connections as it may.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

fn print_memory(name: &str, relay: &Relay) {
    print_figure(&format!("{name}/memory"), relay.process.mebibytes("VmRSS"), "MiB");
    print_figure(&format!("{name}/peak"), relay.process.mebibytes("VmHWM"), "MiB");
}

/// Returns the client's side of TLS, which trusts the relay's authority.
fn trusting() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(Path::new(CERTIFICATES).join("ca.pem")).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    // Each agent is another client.
    config.resumption = rustls::client::Resumption::disabled();
    config.into()
}

/// Opens connections in portions, and prints what it costs the relay to accept them, and to send each
/// a snapshot.
fn open_streams(
    name: &str,
    relay: &Relay,
    count: usize,
    tls: Option<&Arc<ClientConfig>>,
) -> Clients {
    let mut clients = Clients::new();
    let (mut accepting, mut sending, mut time) = (0.0, 0.0, Duration::ZERO);
    for _ in 0..count / PORTION {
        let (begin, start) = (relay.process.cpu_seconds(), Instant::now());
        let requests = clients.connect(relay.address, PORTION, tls);
        let (accepted, took) = (relay.process.cpu_seconds(), start.elapsed());
        clients.mark();
        clients.send_requests(&requests);
        clients.until_quiet(PORTION, SNAPSHOT);
        let sent = relay.process.cpu_seconds();
        accepting += accepted - begin;
        sending += sent - accepted;
        time += took;
    }
    print_figure(&format!("{name}/accept/cpu"), accepting * 1e3, "ms");
    print_time(&format!("{name}/accept/time"), time);
    print_figure(&format!("{name}/snapshots/cpu"), sending * 1e3, "ms");
    clients
}

/// Measures all agents at once, as after the loss of another relay.
fn measure_storm(relay: &Relay, count: usize) {
    let mut clients = Clients::new();
    let (begin, start) = (relay.process.cpu_seconds(), Instant::now());
    for _ in 0..count / PORTION {
        let requests = clients.connect(relay.address, PORTION, None);
        clients.send_requests(&requests);
        while clients.wait(Duration::ZERO) {}
    }
    let arrival = clients.until_quiet(count, SNAPSHOT);
    print_figure("relay/storm/cpu", (relay.process.cpu_seconds() - begin) * 1e3, "ms");
    print_time("relay/storm/time", arrival.times.1 - start);
    print_figure("relay/snapshot/bytes", arrival.bytes.0 as f64, "bytes");
}

/// Measures changes of a task's health, and the same bytes from a plain loop.
fn measure_changes(
    server: &Server,
    relay: &Relay,
    clients: &mut Clients,
    count: usize,
    rounds: usize,
) {
    let mut fan_out = FanOut::start(count);
    let mut plain = Clients::new();
    plain.connect(fan_out.address, count, None);
    for _ in 0..rounds {
        let pieces = measure_change(server, relay, clients, count, "relay");
        let before = fan_out.process.cpu_seconds();
        for (number, piece) in pieces.iter().enumerate() {
            plain.mark();
            let start = Instant::now();
            fan_out.write(piece);
            let arrival = plain.until_quiet(count, piece.len() as u64);
            if number == 0 {
                print_time("relay/floor/last", arrival.times.1 - start);
            }
        }
        let used = fan_out.process.cpu_seconds() - before;
        print_figure("relay/floor/cpu", used * 1e3, "ms");
        // What the relay has sent meanwhile.
        while clients.wait(Duration::ZERO) {}
    }
}

/// Measures a change of a task's health, and returns what each connection gets, in pieces.
fn measure_change(
    server: &Server,
    relay: &Relay,
    clients: &mut Clients,
    count: usize,
    name: &str,
) -> Vec<Vec<u8>> {
    // After a heartbeat there is time for a change until the next one.
    while clients.wait(Duration::ZERO) {}
    clients.mark();
    clients.until_quiet(count, 1);
    clients.mark();
    let before = relay.process.cpu_seconds();
    server.set_healthy(17, 3, false);
    let start = server.send_event(&Cluster::health_event(17, 3, false, server.next_second()));
    let arrival = clients.until_quiet(count, 1);
    let used = relay.process.cpu_seconds() - before;
    print_figure(&format!("{name}/change/cpu"), used * 1e3, "ms");
    print_time(&format!("{name}/change/first"), arrival.times.0 - start);
    print_time(&format!("{name}/change/last"), arrival.times.1 - start);
    print_figure(&format!("{name}/change/bytes"), arrival.bytes.1 as f64, "bytes");
    print_figure(&format!("{name}/change/fewest-bytes"), arrival.bytes.0 as f64, "bytes");
    print_figure(&format!("{name}/change/pieces"), clients.pieces().len() as f64, "pieces");
    let pieces = clients.pieces().to_vec();
    // Back, which is a change of its own.
    server.set_healthy(17, 3, true);
    server.send_event(&Cluster::health_event(17, 3, true, server.next_second()));
    clients.mark();
    clients.until_quiet(count, 1);
    pieces
}
