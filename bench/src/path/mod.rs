//! Counts the instructions of connections and round trips through a node, in a guest whose clock
//! counts instructions: QEMU with `-icount shift=0` and one processor.
//!
//! ```text
//! lan 10.77.0.1 ─┬─ node      10.77.0.11 ── docker0 172.17.0.1 ── container 172.17.0.2
//!                ├─ server    10.77.0.12
//!                └─ outside   10.77.0.13   routes the VIPs via the node
//! ```
//!
//! One thread is client and server, so that nothing waits and every instruction belongs to what is
//! measured.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::thread;

use network::{NODE, PORT, SERVER, VIP_PORT, build_network, tear_down_network};
use setup::{Setup, serve_vips, stop_programs};
use testkit::netns::join_netns;

use crate::figure::print_figure;

mod kube_proxy;
mod network;
mod setup;

/// Times that each row is measured, and the number of connections or round trips of one time.
const TIMES: usize = 5;
const EACH: usize = 100;

/// Measures this many VIPs, with everything that serves them and without.
pub(crate) fn measure_paths(vipd: &Path, vips: usize) {
    for &setup in Setup::all(vips) {
        build_network(setup.has_docker());
        serve_vips(setup, vipd, vips);
        let server: SocketAddr = format!("{SERVER}:{PORT}").parse().unwrap();
        let vip: SocketAddr = format!("3.3.0.1:{VIP_PORT}").parse().unwrap();
        let node: SocketAddr = format!("{NODE}:{PORT}").parse().unwrap();
        // IPVS takes replies of a real server for those of a VIP if a client has used the port for
        // both, so each row has its own ports.
        let mut ports = 20_000;
        let mut row = |from: &'static str, to: &'static str, listen: SocketAddr, at: SocketAddr| {
            let range = format!("{ports} {}", ports + 5_999);
            ports += 6_000;
            let set = ["sysctl", "-qw", &format!("net.ipv4.ip_local_port_range={range}")];
            let done = Command::new("ip").args(["netns", "exec", from]).args(set).status();
            assert!(done.is_ok_and(|status| status.success()), "can't set the ports of {from}");
            let place = if listen == node { "node" } else { "server" };
            let udp = to != "vip" || setup != Setup::Haproxy;
            let counts = thread::spawn(move || count_row(place, from, listen, at, udp));
            for (kind, counts) in counts.join().unwrap() {
                for count in counts {
                    let name = format!("path/{vips}/{}/{from}/{to}/{kind}", setup.name());
                    print_figure(&name, count, "instructions");
                }
            }
        };
        for from in ["node", "container", "outside"] {
            if setup.answers_vips() {
                row(from, "vip", server, vip);
            }
            row(from, "direct", server, server);
        }
        row("outside", "to-node", node, node);
        stop_programs(setup);
        tear_down_network();
    }
}

/// Counts the instructions of a connection, of a round trip, of a megabyte, and of UDP if it is
/// there.
fn count_row(
    place: &str,
    from: &str,
    listen: SocketAddr,
    at: SocketAddr,
    udp: bool,
) -> Vec<(&'static str, Vec<f64>)> {
    join_netns(place);
    let listener = TcpListener::bind(listen).unwrap();
    let server = UdpSocket::bind(listen).unwrap();
    join_netns(from);
    let connect = || {
        let client = TcpStream::connect(at).unwrap();
        (client, listener.accept().unwrap().0)
    };
    let connections = count_instructions(EACH, || drop(connect()));
    let (mut client, mut accepted) = connect();
    client.set_nodelay(true).unwrap();
    accepted.set_nodelay(true).unwrap();
    let mut byte = [0];
    let round_trips = count_instructions(EACH, || {
        client.write_all(b"x").unwrap();
        accepted.read_exact(&mut byte).unwrap();
        accepted.write_all(b"x").unwrap();
        client.read_exact(&mut byte).unwrap();
    });
    let mut chunk = vec![0; 64 << 10];
    let megabytes = count_instructions(1, || {
        for _ in 0..16 {
            client.write_all(&chunk).unwrap();
            accepted.read_exact(&mut chunk).unwrap();
        }
    });
    let mut rows =
        vec![("connection", connections), ("round-trip", round_trips), ("megabyte", megabytes)];
    if !udp {
        return rows;
    }
    let exchange = |client: &UdpSocket| {
        let mut byte = [0];
        client.send(b"x").unwrap();
        let (_, peer) = server.recv_from(&mut byte).unwrap();
        server.send_to(b"x", peer).unwrap();
        client.recv(&mut byte).unwrap();
    };
    let new_client = || {
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        client.connect(at).unwrap();
        client
    };
    let udp = new_client();
    exchange(&udp);
    let datagrams = count_instructions(EACH, || exchange(&udp));
    let flows = count_instructions(EACH, || exchange(&new_client()));
    rows.extend([("udp-round-trip", datagrams), ("udp-flow", flows)]);
    rows
}

/// Returns the instructions of one call, as often as it is measured. The first time warms up.
fn count_instructions(each: usize, mut work: impl FnMut()) -> Vec<f64> {
    let mut counts: Vec<f64> = Vec::with_capacity(TIMES + 1);
    for _ in 0..=TIMES {
        let before = instructions_so_far();
        (0..each).for_each(|_| work());
        counts.push((instructions_so_far() - before) as f64 / each as f64);
    }
    counts.split_off(1)
}

/// Reads the processor's clock, which counts instructions here.
#[allow(unsafe_code, reason = "the clock's instruction has no safe function")]
fn instructions_so_far() -> u64 {
    // SAFETY: the instruction reads a register, and every x86-64 processor has it.
    unsafe { std::arch::x86_64::_rdtsc() }
}
