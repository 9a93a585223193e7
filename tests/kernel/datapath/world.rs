//! The network with its servers at work and every node's table filled.

use std::net::SocketAddr;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::cells::{Network, Server};
use super::docker::{Firewall, publish};
use super::marathon::app;
use super::promise::Mode;
use super::serve::{Protocol, serve};
use super::topology::{Family, HOSTS, NODES, Net, address};
use crate::support::{Ran, vipd_with_input};

pub(super) const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];
pub(super) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

static NET: LazyLock<Mutex<Net>> = LazyLock::new(|| Mutex::new(make()));

/// The network with every server at work, made once: one test at a time has it. What VIPs there
/// are, each test says with [`apply`].
pub(super) fn network() -> MutexGuard<'static, Net> {
    // A failed test has reported it itself.
    NET.lock().unwrap_or_else(PoisonError::into_inner)
}

fn make() -> Net {
    // The first thread to call returns to its own namespace.
    std::thread::scope(|scope| scope.spawn(make_here).join().unwrap())
}

fn make_here() -> Net {
    testkit::netns::enter_netns();
    let net = Net::build(Firewall::of_this_kernel());
    // Each server binds one address, possibly in both families.
    for server in Server::all().into_iter().filter(|server| server.network != Network::Dnat) {
        let port = if server.network == Network::Host { server.real(Family::V4).1 } else { 80 };
        for protocol in PROTOCOLS {
            for family in FAMILIES {
                let at = SocketAddr::new(address(server.namespace, family).parse().unwrap(), port);
                net.seat(server.namespace).run(move || serve(at, server.name(), protocol));
            }
        }
    }
    for server in Server::all() {
        let (node, port) = (server.node(), server.real(Family::V4).1);
        for protocol in PROTOCOLS {
            match server.network {
                Network::Proxy => publish(&net, node, server.namespace, port, protocol, true),
                Network::Dnat => publish(&net, node, server.namespace, port, protocol, false),
                Network::Host | Network::Container => {}
            }
        }
    }
    net
}

/// An answer of /v2/apps with every server.
pub(super) fn every_server() -> Value {
    let mut apps = Vec::new();
    for server in Server::all() {
        for protocol in PROTOCOLS {
            apps.extend(FAMILIES.map(|family| app(server, protocol, family)));
        }
    }
    json!({"apps": apps})
}

/// Runs vipd on a node.
pub(super) fn vipd(net: &Net, node: &'static str, args: &[&str], input: &Value) -> Ran {
    let input = input.to_string();
    let lock = format!("/run/{node}.lock");
    let own = ["--lock", &lock, "--node-name", node];
    let args: Vec<String> = args.iter().copied().chain(own).map(str::to_owned).collect();
    net.seat(node).run(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        vipd_with_input(&args, input.as_bytes())
    })
}

/// `vipd apply` on every node, which must do all there is to do.
#[track_caller]
pub(super) fn apply(net: &Net, apps: &Value) {
    apply_with(net, &[], apps);
}

/// The same with options.
#[track_caller]
pub(super) fn apply_with(net: &Net, options: &[&str], apps: &Value) {
    let read = [&["--no-pods", "--from", "-"], options].concat();
    for node in NODES {
        let ran = vipd(net, node, &[&["apply", "--force"], &read[..]].concat(), apps);
        assert_eq!(ran.code, Some(0), "{node}: {ran:?}");
        let again = vipd(net, node, &[&["diff"], &read[..]].concat(), apps);
        assert_eq!(again.code, Some(0), "{node}: {again:?}");
    }
}

/// The mode that vipd is in, by what nft says there is.
pub(super) fn mode(net: &Net) -> Mode {
    let tables = net.on("n1", "nft list tables");
    if tables.contains("table ip vipd") { Mode::Full } else { Mode::Reduced }
}

/// Whether the bridges' own traffic goes through iptables too.
pub(super) fn call_iptables(net: &Net, on: bool) {
    for node in HOSTS {
        for setting in ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"] {
            net.set(node, &format!("net/bridge/{setting}"), if on { "1" } else { "0" });
        }
    }
}
