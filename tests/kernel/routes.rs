//! Routes and resolvers that appear on a node that serves: what serves stays, what is new is judged.

use serde_json::{Value, json};
use testkit::netns;

use crate::cluster::eventually;
use crate::marathon::marathon;
use crate::support::command;
use crate::world::{Running, addresses, app, apply, apps, diff, healthy, node, table, vipd};

fn one_app(vips: &[&str]) -> Value {
    let app = |(number, vip): (u16, &&str)| {
        let task = healthy("10.9.0.11", 31000 + number);
        app(&format!("/app{number}"), "tcp", &json!({ "VIP_0": vip }), &[task])
    };
    apps((0..).zip(vips).map(app))
}

/// Routes that lead to no network of their own: parts of a default route as VPN clients add them,
/// and the cures of a routing loop.
const NO_NETWORKS: [&str; 10] = [
    "0.0.0.0/1 via 10.9.0.254",
    "128.0.0.0/1 via 10.9.0.254",
    "0.0.0.0/2 dev eth9",
    "blackhole 3.0.0.0/8",
    "unreachable 3.3.0.0/16",
    "prohibit 3.3.0.0/24",
    "blackhole 3.3.0.7/32",
    "throw 3.3.0.0/25",
    "3.2.0.0/15 dev lo",
    // BIRD announces the VIPs.
    "blackhole 3.3.0.0/22 proto 12",
];

fn ip_route(verb: &str, route: &str) {
    netns::run_tool("ip", &format!("route {verb} {route}"));
}

#[test]
fn a_route_that_appears_takes_no_vip_in_service_away() {
    node();
    apply(&one_app(&["3.3.0.6:80", "[fd01::6]:80"]));
    let before = (table(), addresses());
    let networks = ["3.0.0.0/8 dev eth9", "3.3.0.6/32 via 10.9.0.254"];
    for route in NO_NETWORKS.iter().chain(&networks) {
        ip_route("add", route);
        let ran = diff(&one_app(&["3.3.0.6:80", "[fd01::6]:80"]));
        assert_eq!(ran.code, Some(0), "{route}: {ran:?}");
        apply(&one_app(&["3.3.0.6:80", "[fd01::6]:80"]));
        assert_eq!((table(), addresses()), before, "{route}");
        ip_route("del", route);
    }
    netns::run_tool("ip", "-6 route add 2000::/3 dev eth9");
    netns::run_tool("ip", "-6 route add fd01::/16 dev eth9");
    let ran = diff(&one_app(&["3.3.0.6:80", "[fd01::6]:80"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("it serves already and stays"), "{ran:?}");
}

#[test]
fn a_new_vip_is_refused_only_where_a_network_is_in_use() {
    node();
    for route in NO_NETWORKS {
        ip_route("add", route);
    }
    netns::run_tool("ip", "-6 route add fd01::/64 dev lo");
    apply(&one_app(&["3.3.0.7:80", "[fd01::7]:80"]));
    assert_eq!(addresses(), ["3.3.0.7", "fd01::7"]);
    ip_route("add", "4.4.0.0/16 dev eth9");
    let refused = ["4.4.0.7:80", "10.9.0.254:80", "10.9.0.255:80"];
    let ran = diff(&one_app(&[&["3.3.0.7:80", "[fd01::7]:80"], &refused[..]].concat()));
    for part in ["a network that this node reaches by eth9", "a gateway", "a broadcast"] {
        assert!(ran.err.contains(part), "{part}: {ran:?}");
    }
}

#[test]
fn a_node_that_starts_again_serves_what_it_served() {
    node();
    let url = marathon(&one_app(&["3.3.0.6:80"]), &json!([]));
    let folder = tempfile::tempdir_in("/run").unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (socket, lock, state) = (at("agent.sock"), at("lock"), at("state"));
    let agent = || {
        let args = ["run", "--marathon", &url, "--socket", &socket, "--lock", &lock];
        Running(command(&[&args[..], &["--state", &state]].concat()).spawn().unwrap())
    };
    let first = agent();
    eventually("the VIP is bound", || addresses() == ["3.3.0.6"]);
    let saved = || {
        let served = std::fs::read_to_string(folder.path().join("state/vips.served"));
        served.is_ok_and(|served| served.contains("3.3.0.6"))
    };
    eventually("it is remembered", saved);
    drop(first);
    // The kernel of a node that starts knows nothing.
    netns::run_tool("ipvsadm", "-C");
    netns::run_tool("ip", "link del vipd0");
    ip_route("add", "3.0.0.0/8 dev eth9");
    let second = agent();
    eventually("the VIP is bound again", || addresses() == ["3.3.0.6"]);
    drop(second);
    // One that never served it refuses it.
    netns::run_tool("ipvsadm", "-C");
    netns::run_tool("ip", "link del vipd0");
    std::fs::remove_dir_all(&state).unwrap();
    let ran = diff(&one_app(&["3.3.0.6:80"]));
    assert!(ran.err.contains("a network that this node reaches by eth9"), "{ran:?}");
}

#[test]
fn ipv6_that_is_disabled_is_said_in_words() {
    node();
    netns::run_tool("sysctl", "-qw net.ipv6.conf.default.disable_ipv6=1");
    let input = one_app(&["3.3.0.6:80", "[fd01::6]:80"]).to_string();
    let ran = vipd(&["apply", "--force", "--no-pods", "--from", "-"], &input);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("IPv6 is disabled on vipd's interface"), "{ran:?}");
    assert_eq!(addresses(), ["3.3.0.6"], "the other one is bound");
}
