//! Without a server, clients are rejected at once instead of timing out.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};

use serde_json::json;

use super::cells::{Network, Server};
use super::count::resent_syns;
use super::marathon::app_at;
use super::promise::Mode;
use super::say;
use super::serve::{PATIENCE, Protocol};
use super::topology::{Family, Net};
use super::world::{FAMILIES, apply, mode, network};

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
    for (port, what) in [(80, "a VIP without servers"), (81, "a port that nobody claimed")] {
        for family in FAMILIES {
            for client in ["n1", "n1b", "n1r", "n3", "n4"] {
                if mode == Mode::Reduced && (family == Family::V6 || port == 80) {
                    continue;
                }
                let at = format!("{}:{port}", vip(family)).parse().unwrap();
                let counts = refused(&net, client, at);
                assert_eq!(counts, (TIMES, 0), "{client} to {what}, {at}: refused, sent again");
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
