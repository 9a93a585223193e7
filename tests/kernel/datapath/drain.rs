//! A draining server takes no new connections and keeps its old ones for its drain time.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use super::agent::{marathon, start};
use super::cells::{Network, Server};
use super::marathon::app_at;
use super::serve::{Protocol, echo, open};
use super::topology::{Family, Net};
use super::world::network;
use crate::cluster::eventually;

const LEAVES: Server = Server { namespace: "n2", network: Network::Host };
const STAYS: Server = Server { namespace: "n3", network: Network::Host };

/// VIPs with their drain time.
const SHORT: (&str, &str) = ("3.3.8.1:80", "8s");
const LONG: (&str, &str) = ("3.3.8.2:80", "1h");

/// Two servers behind each VIP; the app may have withdrawn one, whose task still runs.
fn apps(claimed: bool) -> Value {
    let apps = [SHORT, LONG].into_iter().flat_map(|(vip, time)| {
        [LEAVES, STAYS].map(|server| {
            let mut app = app_at(vip, server, Protocol::Tcp, Family::V4);
            let id = format!("{}-{time}", app["id"].as_str().unwrap());
            app["id"] = json!(id);
            app["tasks"][0]["appId"] = json!(id);
            app["tasks"][0]["id"] = json!(format!("{}.1", id.trim_start_matches('/')));
            let labels = match claimed || server == STAYS {
                true => json!({"VIP_0": vip, "IPVS_DRAIN": time}),
                false => json!({}),
            };
            app["portDefinitions"][0]["labels"] = labels;
            app
        })
    });
    json!({"apps": apps.collect::<Vec<_>>()})
}

/// Opens a connection to the leaving server. All ten stay open meanwhile, so that the
/// scheduler spreads them over both servers.
fn held(net: &Net, client: &str, vip: &str) -> TcpStream {
    let at: SocketAddr = vip.parse().unwrap();
    let opened = net.seat(client).run(move || {
        let mut opened = Vec::new();
        while opened.len() < 10 {
            let (stream, answer) = open(at).unwrap();
            opened.push((stream, answer.who));
        }
        opened
    });
    let who: Vec<_> = opened.iter().map(|(_, who)| who.clone()).collect();
    let to_it = opened.into_iter().find(|(_, who)| who == LEAVES.name());
    to_it.unwrap_or_else(|| panic!("{client}: {who:?}; {}", net.on("n1", "ipvsadm -Ln"))).0
}

fn works(net: &Net, client: &str, stream: &TcpStream) -> Result<(), ErrorKind> {
    let mut stream = stream.try_clone().unwrap();
    net.seat(client).run(move || echo(&mut stream)).map_err(|error| error.kind())
}

/// Weight of the leaving server; `None` once it is removed.
fn weight(net: &Net, vip: &str) -> Option<String> {
    let table = net.on("n1", "ipvsadm -Sn");
    let line =
        table.lines().find(|line| line.starts_with(&format!("-a -t {vip} -r 10.77.0.12:")))?;
    line.split(" -w ").nth(1).map(|weight| weight.trim().to_owned())
}

#[test]
fn a_drain_keeps_an_open_connection_for_its_time_and_not_longer() {
    let net = network();
    marathon(&net, &apps(true));
    let _agent = start(&net, "/run/n1-agent/drain");
    let clients = ["n1", "n1b", "n1r"];
    let hold = |vip| clients.map(|client| (client, held(&net, client, vip)));
    let (short, long) = (hold(SHORT.0), hold(LONG.0));
    let all_work = |all: &[(&str, TcpStream)]| {
        all.iter().try_for_each(|(client, stream)| works(&net, client, stream))
    };
    marathon(&net, &apps(false));
    eventually("the server takes no new connections", || {
        weight(&net, SHORT.0).as_deref() != Some("1")
            && weight(&net, LONG.0).as_deref() != Some("1")
    });
    let mut kept = 0;
    eventually("its short time is over", || {
        let work = all_work(&short);
        match weight(&net, SHORT.0) {
            None => true,
            // The server was there before and after them.
            Some(weight) => {
                assert_eq!((weight.as_str(), work), ("0", Ok(())), "while it drains");
                kept += 1;
                false
            }
        }
    });
    assert!(kept > 0, "it went before its time");
    for (client, stream) in &short {
        let error = works(&net, client, stream).unwrap_err();
        // A broken pipe is the second error, if the loop above met the reset.
        let reset = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(reset.contains(&error), "{client}: {error}");
    }
    assert_eq!(weight(&net, LONG.0).as_deref(), Some("0"), "that has an hour");
    assert_eq!(all_work(&long), Ok(()), "that has an hour");
    for vip in [SHORT.0, LONG.0] {
        for client in clients {
            let at = vip.parse().unwrap();
            let answer = net.seat(client).run(move || open(at)).unwrap().1;
            assert_eq!(answer.who, STAYS.name(), "{client} to {vip}, anew");
        }
    }
}
