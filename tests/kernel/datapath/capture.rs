//! Only a service of the VIP answers on it, no other listener of the node.

use serde_json::json;

use super::cells::{Network, Server};
use super::docker::publish;
use super::marathon::app_at;
use super::promise::Mode;
use super::say;
use super::serve::{Protocol, ask, serve};
use super::topology::Family;
use super::world::{FAMILIES, apply, mode, network};

/// Clients: on a node, in a bridged and a routed container of it, and on a host that routes via it.
const CLIENTS: [&str; 4] = ["n1", "n1b", "n1r", "n4"];

const ELSEWHERE: Server = Server { namespace: "n2", network: Network::Host };

fn vip(family: Family, port: u16) -> String {
    match family {
        Family::V4 => format!("3.3.3.1:{port}"),
        Family::V6 => format!("[fd03::3:1]:{port}"),
    }
}

#[test]
fn a_host_port_that_equals_a_vips_port_does_not_capture_it() {
    let net = network();
    let ports = [8080, 8081].map(|port| FAMILIES.map(|family| (port, family)));
    let apps: Vec<_> = ports
        .iter()
        .flatten()
        .map(|&(port, family)| app_at(&vip(family, port), ELSEWHERE, Protocol::Tcp, family))
        .collect();
    apply(&net, &json!({"apps": apps}));
    if mode(&net) == Mode::Reduced {
        say("not on this kernel: what keeps a host port from capturing a VIP with the same port");
        return;
    }
    publish(&net, "n1", "n1s", 8080, Protocol::Tcp, false);
    publish(&net, "n1", "n1s", 8081, Protocol::Tcp, true);
    for (port, family) in ports.into_iter().flatten() {
        for client in CLIENTS {
            let at = vip(family, port).parse().unwrap();
            let answer = net.seat(client).run(move || ask(at, Protocol::Tcp));
            assert_eq!(
                answer.map(|answer| answer.who).ok().as_deref(),
                Some("n2"),
                "{client} {at}"
            );
        }
    }
}

#[test]
fn a_listener_on_every_address_is_reachable_by_no_vip() {
    let net = network();
    let apps = FAMILIES.map(|family| app_at(&vip(family, 80), ELSEWHERE, Protocol::Tcp, family));
    apply(&net, &json!({"apps": apps}));
    if mode(&net) == Mode::Reduced {
        say("not on this kernel: what keeps a listener on 0.0.0.0 from answering on every VIP");
        return;
    }
    for node in ["n1", "n3"] {
        for at in ["0.0.0.0:8083", "[::]:8083"] {
            let at = at.parse().unwrap();
            net.seat(node).run(move || {
                serve(at, "stranger", Protocol::Tcp);
                serve(at, "stranger", Protocol::Udp);
            });
        }
    }
    for family in FAMILIES {
        for client in CLIENTS.into_iter().chain(["n3"]) {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let at = vip(family, 8083).parse().unwrap();
                let refused = net.seat(client).run(move || ask(at, protocol)).unwrap_err();
                let kind = refused.kind();
                assert_eq!(
                    kind,
                    std::io::ErrorKind::ConnectionRefused,
                    "{client} {at} {protocol:?}"
                );
            }
        }
    }
}

#[test]
fn every_vip_answers_ping() {
    let net = network();
    let apps = FAMILIES.map(|family| app_at(&vip(family, 80), ELSEWHERE, Protocol::Tcp, family));
    apply(&net, &json!({"apps": apps}));
    for client in CLIENTS.into_iter().chain(["n3"]) {
        for at in ["3.3.3.1", "fd03::3:1"] {
            let said = net.on(client, &format!("ping -n -c 2 -i 0.2 -W 10 {at}"));
            assert!(said.contains(" 2 received, 0% packet loss"), "{client} {at}: {said}");
        }
    }
}
