//! The data path keeps working while vipd isn't running.

use std::net::TcpStream;

use serde_json::json;

use super::agent::{marathon, start};
use super::cells::{Network, Server};
use super::marathon::app_at;
use super::promise::Mode;
use super::serve::{Protocol, echo, open};
use super::topology::{Family, Net};
use super::world::{FAMILIES, apply, mode, network};

fn vip(family: Family) -> String {
    let vip = if family == Family::V4 { "3.3.6.1" } else { "[fd03::6:1]" };
    format!("{vip}:80")
}

/// The state of the data path, read by other tools.
fn kernel(net: &Net, mode: Mode) -> String {
    let mut text = net.on("n1", "ipvsadm -Sn") + &net.on("n1", "ip -br addr show vipd0");
    text += &net.on("n1", "ip route show table local");
    if mode == Mode::Full {
        text += &net.on("n1", "nft list table ip vipd");
        text += &net.on("n1", "nft list table ip6 vipd");
    }
    text
}

#[test]
fn nothing_changes_when_vipd_is_killed_stopped_and_started() {
    let net = network();
    let server = Server { namespace: "n2", network: Network::Host };
    let apps = FAMILIES.map(|family| app_at(&vip(family), server, Protocol::Tcp, family));
    let apps = json!({"apps": apps});
    apply(&net, &apps);
    marathon(&net, &apps);
    let mode = mode(&net);
    let mut agent = start(&net, "/run/n1-agent/restart");
    let right = kernel(&net, mode);
    let families = if mode == Mode::Full { FAMILIES.to_vec() } else { vec![Family::V4] };
    let mut held: Vec<(&str, Family, TcpStream)> = Vec::new();
    for &family in &families {
        for client in ["n1", "n1b", "n1r"] {
            let at = vip(family).parse().unwrap();
            held.push((client, family, net.seat(client).run(move || open(at)).unwrap().0));
        }
    }
    let mut all_is_well = |what: &str| {
        assert_eq!(kernel(&net, mode), right, "{what}");
        for (client, family, stream) in &mut held {
            let mut old = stream.try_clone().unwrap();
            let at = vip(*family).parse().unwrap();
            let (old, new) = net.seat(client).run(move || (echo(&mut old), open(at)));
            old.unwrap_or_else(|error| panic!("{what}: {client} {at}: {error}"));
            new.unwrap_or_else(|error| panic!("{what}: {client} {at}: {error}"));
        }
    };
    all_is_well("at work");
    for signal in ["-KILL", "-TERM"] {
        agent.end(signal);
        all_is_well(signal);
        agent = start(&net, "/run/n1-agent/restart");
        all_is_well("started again");
    }
}
