//! Connections whose other end is gone are reset instead of left hanging.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use testkit::netns;

use super::cells::{Network, Server};
use super::count::resent_segments;
use super::marathon::app_at;
use super::promise::Mode;
use super::serve::{Protocol, echo, open};
use super::topology::{Family, Net};
use super::world::{FAMILIES, apply, mode, network};
use crate::cluster::eventually;

const FIRST: Server = Server { namespace: "n2", network: Network::Host };
const SECOND: Server = Server { namespace: "n3", network: Network::Host };

fn vip(family: Family, port: u16) -> String {
    match family {
        Family::V4 => format!("3.3.4.1:{port}"),
        Family::V6 => format!("[fd03::4:1]:{port}"),
    }
}

/// A VIP's port with these servers, and another port that keeps its address bound.
fn apps(servers: &[Server]) -> Value {
    let apps = FAMILIES.iter().flat_map(|&family| {
        let port_80 = servers
            .iter()
            .map(move |&server| app_at(&vip(family, 80), server, Protocol::Tcp, family));
        port_80.chain([app_at(&vip(family, 443), FIRST, Protocol::Tcp, family)])
    });
    json!({"apps": apps.collect::<Vec<_>>()})
}

/// A connection that a client holds.
struct Held {
    client: &'static str,
    stream: TcpStream,
}

/// Opens one connection from each client in each family of the mode, and checks that it works.
fn hold(net: &Net, mode: Mode) -> Vec<Held> {
    let mut all = Vec::new();
    for family in FAMILIES {
        for client in ["n1", "n1b", "n1r", "n3", "n4"] {
            if mode == Mode::Reduced && (family == Family::V6 || client == "n4") {
                continue;
            }
            let at: SocketAddr = vip(family, 80).parse().unwrap();
            let opened = net.seat(client).run(move || {
                let (mut stream, _) = open(at)?;
                echo(&mut stream).map(|()| stream)
            });
            let stream = opened.unwrap_or_else(|error| panic!("{client} to {at}: {error}"));
            all.push(Held { client, stream });
        }
    }
    all
}

/// Sends a byte through each connection and back.
fn used(net: &Net, all: Vec<Held>) -> Vec<Held> {
    let each = all.into_iter().map(|Held { client, mut stream }| {
        let stream = net.seat(client).run(move || echo(&mut stream).map(|()| stream));
        Held { client, stream: stream.unwrap_or_else(|error| panic!("{client}: {error}")) }
    });
    each.collect()
}

/// Asserts that data on each connection is answered by a reset at once, without retransmission.
fn all_are_reset(net: &Net, all: Vec<Held>, why: &str) {
    for Held { client, mut stream } in all {
        let peer = stream.peer_addr().unwrap();
        let (outcome, resent) = net.seat(client).run(move || {
            let before = resent_segments();
            (echo(&mut stream), resent_segments() - before)
        });
        let kind = outcome.map_err(|error| error.kind());
        assert_eq!(kind, Err(ErrorKind::ConnectionReset), "{client} to {peer}: {why}");
        assert_eq!(resent, 0, "{client} to {peer}: {why}: sent again");
    }
}

#[test]
fn an_open_connection_is_reset_when_its_server_is_deleted() {
    let net = network();
    apply(&net, &apps(&[FIRST]));
    let held = hold(&net, mode(&net));
    apply(&net, &apps(&[SECOND]));
    all_are_reset(&net, held, "its server is gone");
}

#[test]
fn an_open_connection_is_reset_when_its_service_is_deleted() {
    let net = network();
    apply(&net, &apps(&[FIRST]));
    let held = hold(&net, mode(&net));
    apply(&net, &apps(&[]));
    all_are_reset(&net, held, "its service is gone");
}

#[test]
fn an_open_connection_is_reset_when_ipvs_has_forgotten_it() {
    let net = network();
    apply(&net, &apps(&[FIRST]));
    let held = hold(&net, mode(&net));
    for node in ["n1", "n3"] {
        net.on(node, "ipvsadm --set 2 2 2");
    }
    // A packet makes the new timeout take effect.
    let held = used(&net, held);
    for node in ["n1", "n3"] {
        eventually("IPVS has forgotten every connection", || {
            let known = netns::run_tool("ip", &format!("netns exec {node} ipvsadm -Lnc"));
            !known.contains("ESTABLISHED")
        });
        net.on(node, "ipvsadm --set 900 120 300");
    }
    all_are_reset(&net, held, "IPVS has forgotten it");
}
