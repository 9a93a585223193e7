//! Containers on the node itself whose host port exists only as a DNAT rule.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};
use testkit::netns;

use crate::support::Ran;
use crate::world::{app, apps, healthy, node, table, vipd};

const HOST: &str = "10.9.0.1:31001";

/// A node with a bridge, and a container behind it that serves on port 80. Its host port 31001 is a
/// rule of the firewall, as Docker without userland proxy and the port mapper of Mesos make it.
fn node_with_a_container(name: &'static str) {
    node();
    netns::run_tool("ip", "link add br0 type bridge");
    netns::run_tool("ip", "addr add 172.17.0.1/16 dev br0");
    netns::run_tool("ip", "link set br0 up");
    netns::run_tool("ip", &format!("netns add {name}"));
    netns::run_tool("ip", &format!("link add veth0 type veth peer name eth0 netns {name}"));
    netns::run_tool("ip", "link set veth0 master br0 up");
    for line in ["link set lo up", "addr add 172.17.0.2/16 dev eth0", "link set eth0 up"] {
        netns::run_tool("ip", &format!("-n {name} {line}"));
    }
    netns::run_tool("ip", &format!("-n {name} route add default via 172.17.0.1"));
    for chain in ["PREROUTING", "OUTPUT"] {
        netns::run_tool(
            "iptables-legacy",
            &format!(
                "-t nat -A {chain} -m addrtype --dst-type LOCAL -p tcp --dport 31001 \
                 -j DNAT --to-destination 172.17.0.2:80"
            ),
        );
    }
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        netns::join_netns(name);
        serve(&TcpListener::bind("0.0.0.0:80").unwrap(), "container", &ready);
    });
    is_ready.recv().unwrap();
}

fn serve(listener: &TcpListener, says: &str, ready: &std::sync::mpsc::Sender<()>) {
    ready.send(()).unwrap();
    for mut stream in listener.incoming().flatten() {
        let _ = stream.write_all(says.as_bytes());
    }
}

fn ask(at: &str) -> String {
    let mut said = String::new();
    let stream =
        TcpStream::connect_timeout(&at.parse().unwrap(), std::time::Duration::from_secs(10));
    stream.and_then(|mut stream| stream.read_to_string(&mut said)).unwrap();
    said
}

fn with(config: &str, args: &[&str]) -> Ran {
    let name = format!("/run/vipd-local-{:?}.toml", std::thread::current().id());
    std::fs::write(&name, config).unwrap();
    let args: Vec<_> = args.iter().copied().chain(["--from", "-", "--config", &name]).collect();
    vipd(&args, &definition().to_string())
}

/// Its task has the container's address and port 80 behind its host port.
fn definition() -> Value {
    let labels = json!({ "VIP_0": "3.3.0.6:3306" });
    apps([app("/mysql", "tcp", &labels, &[healthy("10.9.0.1", 31001)])])
}

const APPLY: &[&str] = &["apply", "--no-pods"];

fn servers() -> Vec<String> {
    let lines = table().into_iter().filter(|line| line.starts_with("-a"));
    lines.map(|line| line.split(' ').nth(4).unwrap().to_owned()).collect()
}

#[test]
fn a_container_behind_a_rule_is_reached_by_its_own_address() {
    node_with_a_container("local1");
    assert_eq!(ask(HOST), "container", "the rule works for those who don't come by IPVS");
    let shown = with("", &["diff", "--no-pods"]);
    assert!(shown.out.contains("+ 172.17.0.2:80  weight 1"), "{}", shown.out);
    let why = "(healthy; on this node, by its own address, since nothing listens on its host port \
               10.9.0.1:31001)";
    assert!(shown.out.contains(why), "{}", shown.out);
    assert_eq!(with("", APPLY).code, Some(0));
    assert_eq!(servers(), ["172.17.0.2:80"]);
    assert_eq!(ask("3.3.0.6:3306"), "container");
    assert_eq!(with("", APPLY).out, "nothing to do\n");
    let explained = with("", &["explain", "/mysql"]);
    assert!(explained.out.contains("since nothing listens on its host port"), "{explained:?}");

    // Nobody answers on the host port: packets from IPVS don't traverse the DNAT rules.
    assert_eq!(with("[node]\nlocal-servers = \"host-port\"\n", APPLY).code, Some(0));
    assert_eq!(servers(), [HOST]);
    let refused = TcpStream::connect("3.3.0.6:3306").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    netns::run_tool("ip", "netns del local1");
}

#[test]
fn a_container_behind_a_proxy_is_reached_by_its_host_port() {
    node_with_a_container("local2");
    assert_eq!(with("", APPLY).code, Some(0));
    assert_eq!(servers(), ["172.17.0.2:80"]);
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn({
        let listener = TcpListener::bind("0.0.0.0:31001").unwrap();
        move || serve(&listener, "proxy", &ready)
    });
    is_ready.recv().unwrap();
    let moved = with("", APPLY);
    assert_eq!(moved.code, Some(0), "{moved:?}");
    assert!(moved.out.contains("by its host port, where something listens"), "{}", moved.out);
    assert_eq!(servers(), [HOST]);
    assert_eq!(ask("3.3.0.6:3306"), "proxy");
    assert_eq!(with("", APPLY).out, "nothing to do\n");
    assert_eq!(with("[node]\nlocal-servers = \"container\"\n", APPLY).code, Some(0));
    assert_eq!(servers(), ["172.17.0.2:80"]);
    netns::run_tool("ip", "netns del local2");
}
