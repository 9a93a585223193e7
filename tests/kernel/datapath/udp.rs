//! UDP clients that keep their port are served by whoever serves now, not by who did when the
//! kernel first saw them.

use std::net::{SocketAddr, UdpSocket};

use serde_json::{Value, json};

use super::cells::{Network, Server};
use super::marathon::app_at;
use super::promise::Mode;
use super::say;
use super::serve::{PATIENCE, Protocol, ask_through};
use super::topology::{Family, Net};
use super::world::{FAMILIES, apply, apply_with, mode, network};

const FIRST: Server = Server { namespace: "n2", network: Network::Host };
const SECOND: Server = Server { namespace: "n3", network: Network::Host };

/// Datagrams of which one must be answered: the first may be what makes the kernel forget.
const DATAGRAMS: usize = 2;

fn vip(family: Family, port: u16) -> String {
    match family {
        Family::V4 => format!("3.3.7.1:{port}"),
        Family::V6 => format!("[fd03::7:1]:{port}"),
    }
}

fn apps(of: impl Fn(Family) -> Value) -> Value {
    json!({"apps": FAMILIES.map(of)})
}

fn served_by(server: Server) -> Value {
    apps(|family| app_at(&vip(family, 53), server, Protocol::Udp, family))
}

/// A client's socket with a port that it keeps.
struct Held {
    client: &'static str,
    family: Family,
    socket: UdpSocket,
}

fn hold(net: &Net, mode: Mode, clients: &[&'static str]) -> Vec<Held> {
    let mut all = Vec::new();
    for family in FAMILIES {
        for &client in clients {
            if mode == Mode::Reduced && (family == Family::V6 || client == "n4") {
                continue;
            }
            let at: SocketAddr = vip(family, 53).parse().unwrap();
            let socket = net.seat(client).run(move || {
                let any = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.connect(at).unwrap();
                socket
            });
            all.push(Held { client, family, socket });
        }
    }
    all
}

/// Each is answered by a server.
fn all_are_answered(net: &Net, all: &[Held], server: Server, when: &str) {
    let mut lost = 0;
    for Held { client, family, socket } in all {
        let socket = socket.try_clone().unwrap();
        let answers: Vec<_> = net.seat(client).run(move || {
            // The error of an earlier datagram that was refused.
            drop(socket.take_error());
            let mut answers = Vec::new();
            while answers.len() < DATAGRAMS && !answers.last().is_some_and(Result::is_ok) {
                answers.push(ask_through(&socket));
            }
            answers
        });
        lost += answers.len() - 1;
        let last = answers.last().unwrap().as_ref().map(|answer| answer.who.as_str());
        assert_eq!(last.ok(), Some(server.name()), "{client} {family:?}, {when}: {answers:?}");
    }
    say(&format!("udp: {} clients with a fixed port, {when}: {lost} datagrams lost", all.len()));
}

#[test]
fn a_client_that_keeps_its_port_moves_on_when_its_server_goes() {
    let net = network();
    apply(&net, &served_by(FIRST));
    let all = hold(&net, mode(&net), &["n1", "n1b", "n1r", "n3", "n4"]);
    all_are_answered(&net, &all, FIRST, "at first");
    apply(&net, &served_by(SECOND));
    all_are_answered(&net, &all, SECOND, "when its server is gone");
    let nobody = apps(|family| {
        let mut app = app_at(&vip(family, 53), FIRST, Protocol::Udp, family);
        app["tasks"] = json!([]);
        app
    });
    apply(&net, &nobody);
    apply(&net, &served_by(FIRST));
    all_are_answered(&net, &all, FIRST, "when a server comes back");
}

/// The kernel tracks such a flow past IPVS, and goes on doing so for as long as the client sends.
#[test]
fn a_client_that_sent_before_there_was_a_service_reaches_it_once_there_is() {
    let net = network();
    let nothing = apps(|family| app_at("3.3.7.2:80", FIRST, Protocol::Tcp, family));
    let another_port = apps(|family| app_at(&vip(family, 80), FIRST, Protocol::Tcp, family));
    for (before, when) in [(nothing, "the VIP"), (another_port, "its port")] {
        apply(&net, &before);
        let all = hold(&net, mode(&net), &["n1", "n1b", "n1r", "n3"]);
        for Held { socket, client, .. } in &all {
            let socket = socket.try_clone().unwrap();
            // Either refused or lost.
            net.seat(client).run(move || drop(socket.send(b"who")));
        }
        apply(&net, &served_by(FIRST));
        all_are_answered(&net, &all, FIRST, &format!("that sent before there was {when}"));
    }
}

/// A firewall that reloads removes our rules. The kernel would never translate the source of a flow
/// that began meanwhile.
#[test]
fn a_client_that_first_sent_while_our_rules_were_gone_is_answered_once_they_are_back() {
    let net = network();
    // The node's own clients are masqueraded in any case.
    let modes = [("off", &["n1"][..]), ("always", &["n1", "n1b", "n1r", "n3"])];
    for (masquerade, clients) in modes {
        let serve = || apply_with(&net, &["--masquerade", masquerade], &served_by(FIRST));
        serve();
        if mode(&net) == Mode::Reduced {
            return say("udp: no rule translates a source here");
        }
        let all = hold(&net, mode(&net), clients);
        // Only a translated source is answered: else the server's replies would come back by the router.
        net.on("n2", "ip route replace blackhole 3.3.0.0/16");
        net.on("n2", "ip -6 route replace blackhole fd03::/16");
        net.on("n1", "nft flush ruleset");
        // The firewall's own rules, without which the kernel would track nothing meanwhile.
        net.on("n1", "nft add table inet reloaded");
        net.on("n1", "nft add chain inet reloaded out { type filter hook output priority 0 ; }");
        net.on("n1", "nft add rule inet reloaded out ct state established accept");
        for Held { socket, client, .. } in &all {
            let socket = socket.try_clone().unwrap();
            net.seat(client).run(move || drop(socket.send(b"who")));
        }
        serve();
        all_are_answered(&net, &all, FIRST, "that first sent while the rules were gone");
    }
}
