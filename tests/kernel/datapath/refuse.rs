//! Without a server, clients are rejected at once instead of timing out.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::tcp::connect_from;

use super::cells::{Network, Server};
use super::count::resent_syns;
use super::marathon::app_at;
use super::promise::Mode;
use super::say;
use super::serve::{PATIENCE, Protocol, ask_through};
use super::topology::{Family, Net, address};
use super::world::{FAMILIES, apply, call_iptables, mode, network};

const TIMES: usize = 100;

/// Number of connections that were refused, and of SYNs that were retransmitted. Each retransmission
/// is a second of waiting.
fn refused(net: &Net, client: &str, at: SocketAddr) -> (usize, u64) {
    net.seat(client).run(move || {
        let before = resent_syns();
        // Stop at the first that isn't refused, since it may take long.
        let refused = (0..TIMES).take_while(|_| {
            let error = TcpStream::connect_timeout(&at, PATIENCE).err();
            error.is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        });
        (refused.count(), resent_syns() - before)
    })
}

fn all_clients() -> impl Iterator<Item = (Family, &'static str)> {
    let clients = ["n1", "n1b", "n1r", "n3", "n4"];
    FAMILIES.into_iter().flat_map(move |family| clients.map(|client| (family, client)))
}

#[test]
fn a_vip_without_servers_and_a_port_that_nobody_claimed_refuse_every_time_at_once() {
    let net = network();
    let server = Server { namespace: "n2", network: Network::Host };
    let vip = |family| if family == Family::V4 { "3.3.2.1" } else { "[fd03::2:1]" };
    let apps = FAMILIES.map(|family| {
        let mut app = app_at(&format!("{}:80", vip(family)), server, Protocol::Tcp, family);
        app["tasks"] = json!([]);
        app
    });
    apply(&net, &json!({"apps": apps}));
    let mode = mode(&net);
    for calls in [false, true] {
        // With the bridge filter, a container's packets meet the rules on the bridge.
        call_iptables(&net, calls);
        for (port, what) in [(80, "a VIP without servers"), (81, "a port that nobody claimed")] {
            for (family, client) in all_clients() {
                if mode == Mode::Reduced && (family == Family::V6 || port == 80) {
                    continue;
                }
                let at = format!("{}:{port}", vip(family)).parse().unwrap();
                let counts = refused(&net, client, at);
                assert_eq!(
                    counts,
                    (TIMES, 0),
                    "{client} to {what}, {at}, bridge filter {calls}: refused, sent again"
                );
            }
        }
    }
    if mode == Mode::Reduced {
        say(
            "not on this kernel: what refuses every client of a VIP without servers at once (IPVS's \
             own refusals are limited in number)",
        );
    }
}

/// A VIP with these servers by UDP.
fn udp_apps(at: impl Fn(Family) -> String, servers: &[Server]) -> Value {
    let elsewhere = Server { namespace: "n2", network: Network::Host };
    let apps = FAMILIES.map(|family| {
        let server = servers.first().copied().unwrap_or(elsewhere);
        let mut app = app_at(&at(family), server, Protocol::Udp, family);
        if servers.is_empty() {
            app["tasks"] = json!([]);
        }
        app
    });
    json!({"apps": apps})
}

/// Connection tracking knows the flow of a client that keeps its port, from when the VIP had a server.
#[test]
fn udp_clients_are_refused_once_there_is_no_server_whatever_the_kernel_knows_of_them() {
    let net = network();
    let at = |family| match family {
        Family::V4 => "3.3.2.2:53".to_owned(),
        Family::V6 => "[fd03::2:2]:53".to_owned(),
    };
    let server = Server { namespace: "n2", network: Network::Host };
    apply(&net, &udp_apps(at, &[]));
    if mode(&net) == Mode::Reduced {
        return say("not on this kernel: what refuses every UDP client of a VIP without servers");
    }
    for calls in [false, true] {
        call_iptables(&net, calls);
        let mut held = Vec::new();
        for (family, client) in all_clients() {
            let to: SocketAddr = at(family).parse().unwrap();
            let socket = net.seat(client).run(move || {
                let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.connect(to).unwrap();
                socket
            });
            held.push((family, client, socket));
        }
        let each_is_refused = |when: &str| {
            for (family, client, socket) in &held {
                let socket = socket.try_clone().unwrap();
                // The first datagram may be the one that makes the kernel forget.
                let answers = net.seat(client).run(move || {
                    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
                    let answers = [ask_through(&socket), ask_through(&socket)];
                    socket.set_read_timeout(Some(PATIENCE)).unwrap();
                    answers
                });
                let kind = answers[1].as_ref().map(drop).map_err(std::io::Error::kind);
                assert_eq!(
                    kind,
                    Err(ErrorKind::ConnectionRefused),
                    "{client} {family:?}, bridge filter {calls}, {when}: {answers:?}"
                );
            }
        };
        each_is_refused("at first");
        apply(&net, &udp_apps(at, &[server]));
        for (family, client, socket) in &held {
            let socket = socket.try_clone().unwrap();
            let answer = net.seat(client).run(move || {
                drop(socket.take_error());
                ask_through(&socket)
            });
            assert_eq!(answer.unwrap().who, "n2", "{client} {family:?}");
        }
        apply(&net, &udp_apps(at, &[]));
        each_is_refused("when its server is gone");
    }
}

/// The reset of a refused connection of the node itself goes to a VIP, since that is the client's
/// address. It must not be refused in turn where the client's port is one without a server.
#[test]
fn a_client_whose_port_is_that_of_another_vip_without_servers_is_refused_at_once_too() {
    let net = network();
    let vip = |family, port: u16| match family {
        Family::V4 => format!("3.3.2.3:{port}"),
        Family::V6 => format!("[fd03::2:3]:{port}"),
    };
    let server = Server { namespace: "n2", network: Network::Host };
    let apps = FAMILIES.into_iter().flat_map(|family| {
        [80, 40_000].map(|port| {
            let mut app = app_at(&vip(family, port), server, Protocol::Tcp, family);
            app["tasks"] = json!([]);
            app
        })
    });
    apply(&net, &json!({"apps": apps.collect::<Vec<_>>()}));
    if mode(&net) == Mode::Reduced {
        return say("not on this kernel: what refuses every client of a VIP without servers");
    }
    for family in FAMILIES {
        for _ in 0..5 {
            let at = vip(family, 80).parse().unwrap();
            let (answer, resent) = net.seat("n1").run(move || {
                let before = resent_syns();
                let answer = connect_from(40_000, at, PATIENCE).map(drop);
                (answer.map_err(|error| error.kind()), resent_syns() - before)
            });
            let expected = (Err(ErrorKind::ConnectionRefused), 0);
            assert_eq!((answer, resent), expected, "{family:?}: sent again");
        }
    }
}

/// The node's own input filter decides first: it may hide that there is a VIP, or limit what the node
/// answers.
#[test]
fn clients_that_the_nodes_input_filter_drops_get_no_answer_from_an_empty_vip() {
    let net = network();
    let at = |family| match family {
        Family::V4 => "3.3.2.4:80",
        Family::V6 => "[fd03::2:4]:80",
    };
    let server = Server { namespace: "n2", network: Network::Host };
    let apps = FAMILIES.into_iter().flat_map(|family| {
        [Protocol::Tcp, Protocol::Udp].map(|protocol| {
            let mut app = app_at(at(family), server, protocol, family);
            app["tasks"] = json!([]);
            app
        })
    });
    apply(&net, &json!({"apps": apps.collect::<Vec<_>>()}));
    if mode(&net) == Mode::Reduced {
        return say("not on this kernel: what refuses every client of a VIP without servers");
    }
    let answers = |family, client, patience| {
        let to: SocketAddr = at(family).parse().unwrap();
        net.seat(client).run(move || {
            let stream = TcpStream::connect_timeout(&to, patience).map(drop);
            let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).unwrap();
            socket.set_read_timeout(Some(patience)).unwrap();
            socket.connect(to).unwrap();
            [stream, ask_through(&socket).map(drop)]
                .map(|answer| answer.map_err(|error| error.kind()))
        })
    };
    for calls in [false, true] {
        call_iptables(&net, calls);
        for family in FAMILIES {
            for client in ["n1b", "n1r", "n4"] {
                let tool = net.firewall.tool(family);
                let rule = format!("INPUT -s {} -j DROP", address(client, family));
                net.on("n1", &format!("{tool} --wait -A {rule}"));
                let dropped = answers(family, client, Duration::from_secs(1));
                net.on("n1", &format!("{tool} --wait -D {rule}"));
                let let_in = answers(family, client, PATIENCE);
                let who = format!("{client} {family:?}, bridge filter {calls}");
                let silence = [Err(ErrorKind::TimedOut), Err(ErrorKind::WouldBlock)];
                assert_eq!(dropped, silence, "{who}: dropped");
                assert_eq!(let_in, [Err(ErrorKind::ConnectionRefused); 2], "{who}: let in");
            }
        }
    }
}
