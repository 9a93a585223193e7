//! Many short connections in sequence, which reuse client ports.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::cells::{Network, Server};
use super::count::resent_syns;
use super::marathon::app_at;
use super::say;
use super::serve::{PATIENCE, Protocol};
use super::topology::{Family, address};
use super::world::{apply, network};

const CONNECTIONS: usize = 20_000;
const SERVER: Server = Server { namespace: "n2", network: Network::Host };

/// A server that closes first, so that a client's port is free again while IPVS still has the
/// connection entry. Such connections once took a second each.
fn serve_shortly(at: SocketAddr) {
    let listener = TcpListener::bind(at).unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(drop));
}

fn connect(at: SocketAddr) -> std::io::Result<Duration> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    match stream.read(&mut [0]) {
        Ok(0) => Ok(begun.elapsed()),
        other => Err(std::io::Error::other(format!("not closed: {other:?}"))),
    }
}

#[test]
fn twenty_thousand_short_connections_wait_for_no_port() {
    let net = network();
    let (vip, family) = ("3.3.5.1:80", Family::V4);
    let mut app = app_at(vip, SERVER, Protocol::Tcp, family);
    app["tasks"][0]["ports"] = json!([31500]);
    apply(&net, &json!({"apps": [app]}));
    let at = SocketAddr::new(address("n2", family).parse().unwrap(), 31500);
    net.seat("n2").run(move || serve_shortly(at));
    // Each port is used ten times.
    net.set("n1", "net/ipv4/ip_local_port_range", "40000 41999");
    let mut took = Vec::new();
    let mut resent = 0;
    for _ in 0..20 {
        let (some, syns) = net.seat("n1").run(move || {
            let before = resent_syns();
            let some: std::io::Result<Vec<_>> =
                (0..CONNECTIONS / 20).map(|_| connect(vip.parse().unwrap())).collect();
            (some, resent_syns() - before)
        });
        took.extend(some.unwrap());
        resent += syns;
        // Show progress.
        say(&format!("short connections: {} of {CONNECTIONS}", took.len()));
    }
    net.set("n1", "net/ipv4/ip_local_port_range", "32768 60999");
    took.sort();
    let at = |permille: usize| took[(took.len() - 1) * permille / 1000];
    let slow = took.iter().filter(|took| **took > Duration::from_millis(500)).count();
    say(&format!(
        "{CONNECTIONS} short connections from 2,000 ports: p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}, \
         longest {:.1?}; over 500 ms: {slow}; opening packets sent again: {resent}",
        at(500),
        at(990),
        at(999),
        at(1000),
    ));
    // The delay was a retransmitted SYN, which a slow machine doesn't cause.
    assert_eq!(resent, 0, "of {CONNECTIONS}, opening packets sent again");
}
