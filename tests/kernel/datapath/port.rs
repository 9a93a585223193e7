//! Clients that use a port again.

use std::io::Read;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::tcp::connect_from;

use super::cells::{Network, Server};
use super::count::resent_syns;
use super::marathon::app_at;
use super::promise::Mode;
use super::say;
use super::serve::{PATIENCE, Protocol};
use super::topology::{Family, Net};
use super::world::{FAMILIES, apply, mode, network};

const SERVER: Server = Server { namespace: "n2", network: Network::Host };

/// A connection to a real server leaves its socket in `TIME_WAIT`. In reduced mode the answers by
/// way of a VIP go to the very same address and port.
#[test]
fn a_port_that_a_client_used_for_a_real_server_serves_for_a_vip() {
    let net = network();
    let (vip, family) = ("3.3.11.1:80", Family::V4);
    apply(&net, &json!({"apps": [app_at(vip, SERVER, Protocol::Tcp, family)]}));
    let (host, port) = SERVER.real(family);
    let direct = format!("{host}:{port}").parse().unwrap();
    let vip = vip.parse().unwrap();
    for client in ["n1", "n3"] {
        for from in 40_100..40_110 {
            let resent = net.seat(client).run(move || {
                greet(from, direct);
                let before = resent_syns();
                greet(from, vip);
                resent_syns() - before
            });
            assert_eq!(resent, 0, "{client}, port {from}: opening packets sent again");
        }
    }
}

/// Connects from a port, and ends the connection first.
fn greet(from: u16, at: SocketAddr) {
    let mut stream = connect_from(from, at, PATIENCE).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut greeting = String::new();
    stream.read_to_string(&mut greeting).unwrap();
    assert!(greeting.starts_with("n2 "), "{at}: {greeting}");
}

fn vip(family: Family, port: u16) -> String {
    match family {
        Family::V4 => format!("3.3.11.2:{port}"),
        Family::V6 => format!("[fd03::11:2]:{port}"),
    }
}

fn apps(port: u16) -> Value {
    json!({"apps": FAMILIES.map(|family| app_at(&vip(family, port), SERVER, Protocol::Tcp, family))})
}

/// Clients, and the port of the VIP that each asks for.
fn clients(mode: Mode) -> Vec<(&'static str, SocketAddr)> {
    let each = |family| ["n1", "n1b", "n1r", "n3", "n4"].map(|client| (client, family));
    let has = |of: &(_, _)| mode == Mode::Full || (of.1 == Family::V4 && of.0 != "n4");
    let clients = FAMILIES.into_iter().flat_map(each).filter(has);
    clients.map(|(client, family)| (client, vip(family, 80).parse().unwrap())).collect()
}

/// A client's port and the VIP's port change their sides: the opening packet of the second connection looks
/// like an answer to the first one. The node's own clients, whose address is the VIP's, must wait until IPVS
/// has forgotten the first one (docs/limits.md).
#[test]
fn ports_that_change_sides_serve_containers_and_others_at_once() {
    const PORTS: (u16, u16) = (40_300, 41_300);
    let net = network();
    let at = |family, port| app_at(&vip(family, port), SERVER, Protocol::Tcp, family);
    let of_family = |family| [PORTS.0, PORTS.1].map(|port| at(family, port));
    apply(&net, &json!({"apps": FAMILIES.into_iter().flat_map(of_family).collect::<Vec<_>>()}));
    let clients = clients(mode(&net)).into_iter();
    for (client, at) in clients.filter(|(client, _)| !["n1", "n3"].contains(client)) {
        for (from, to) in [PORTS, (PORTS.1, PORTS.0)] {
            let at = SocketAddr::new(at.ip(), to);
            let resent = net.seat(client).run(move || {
                let before = resent_syns();
                greet(from, at);
                resent_syns() - before
            });
            assert_eq!(resent, 0, "{client} from {from} to {at}: opening packets sent again");
        }
    }
}

/// Has each client send an opening packet from a port, which comes to nothing.
fn all_try_in_vain(net: &Net, from: u16, clients: &[(&'static str, SocketAddr)]) {
    for &(client, at) in clients {
        let answer =
            net.seat(client).run(move || connect_from(from, at, Duration::from_secs(1)).map(drop));
        assert!(answer.is_err(), "{client} {at}");
    }
}

/// Each is answered from that port, without a repeated opening packet.
fn all_are_answered(net: &Net, from: u16, clients: &[(&'static str, SocketAddr)]) {
    let ask = |&(client, at): &(&'static str, SocketAddr)| {
        let answer = net.seat(client).run(move || {
            let before = resent_syns();
            connect_from(from, at, PATIENCE).map(|_| resent_syns() - before)
        });
        (!matches!(answer, Ok(0))).then(|| format!("{client} {at}: {answer:?}"))
    };
    let late: Vec<_> = clients.iter().filter_map(ask).collect();
    assert_eq!(late, [""; 0], "port {from}: failed, or opening packets sent again");
}

/// Connection tracking knows such a port from an opening packet that went past IPVS.
#[test]
fn a_port_from_which_a_client_tried_before_there_was_a_service_serves_once_there_is() {
    let net = network();
    let clients = clients(mode(&net));
    let nothing = json!({"apps": [app_at("3.3.11.3:80", SERVER, Protocol::Tcp, Family::V4)]});
    // There is no VIP; there is one, but it refuses that port.
    for (from, before) in [(40_200, nothing), (40_201, apps(443))] {
        apply(&net, &before);
        all_try_in_vain(&net, from, &clients);
        apply(&net, &apps(80));
        all_are_answered(&net, from, &clients);
    }
}

/// A firewall that reloads removes our rules. Nothing translates the source of what is sent meanwhile.
#[test]
fn a_port_from_which_a_client_tried_while_our_rules_were_gone_serves_once_they_are_back() {
    let net = network();
    apply(&net, &apps(80));
    if mode(&net) == Mode::Reduced {
        return say("port: no rule translates a source here");
    }
    // Only a translated source is answered: else the server's replies would come back by the router.
    net.on("n2", "ip route replace blackhole 3.3.0.0/16");
    net.on("n2", "ip -6 route replace blackhole fd03::/16");
    // Docker's rules stay: without any, the kernel would track nothing meanwhile.
    for family in ["ip", "ip6"] {
        net.on("n1", &format!("nft delete table {family} vipd"));
    }
    let all = clients(Mode::Full).into_iter();
    let own: Vec<_> = all.filter(|(client, _)| *client == "n1").collect();
    all_try_in_vain(&net, 40_202, &own);
    apply(&net, &apps(80));
    all_are_answered(&net, 40_202, &own);
}
