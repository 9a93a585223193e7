//! The source address of connections to VIPs where nftables translates it, checked with packets: real
//! servers see the address that is configured, or that the route to them names.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::netns;

use crate::cluster::eventually;
use crate::marathon::marathon;
use crate::support::command;
use crate::world::{Running, app, apps, healthy, vipd};

const PATIENCE: Duration = Duration::from_secs(5);

/// A server's network, by its number: `10.N.0.0/24` and `fd10:N::/64`, with the server at 5. Over IPv6
/// it listens as well.
pub(crate) fn server(number: u8) -> [IpAddr; 2] {
    [IpAddr::from([10, number, 0, 5]), format!("fd10:{number}::5").parse().unwrap()]
}

pub(crate) fn vip(number: u8) -> [SocketAddr; 2] {
    [SocketAddr::from(([3, 3, 0, number], 80)), format!("[fd03::{number}]:80").parse().unwrap()]
}

/// Connects the node with a new namespace by `ethN`, and has a server answer there with the address
/// that it sees. Neither end has an address or a route yet, but for the server's own. Returns the name
/// of the namespace.
pub(crate) fn connect(number: u8) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("source{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let name = name.as_str();
    netns::run_tool("ip", &format!("netns add {name}"));
    netns::run_tool("ip", &format!("link add eth{number} type veth peer name eth0 netns {name}"));
    netns::run_tool("sysctl", &format!("-qw net.ipv6.conf.eth{number}.accept_dad=0"));
    netns::run_tool("ip", &format!("link set eth{number} up"));
    netns::run_tool("ip", &format!("-n {name} link set lo up"));
    netns::run_tool("ip", &format!("-n {name} link set eth0 up"));
    for address in server(number) {
        let length = if address.is_ipv4() { 32 } else { 128 };
        netns::run_tool("ip", &format!("-n {name} addr add {address}/{length} dev eth0 nodad"));
        let (serving, name) = (SocketAddr::new(address, 31001), name.to_owned());
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            netns::join_netns(&name);
            let tcp = TcpListener::bind(serving).unwrap();
            let udp = UdpSocket::bind(serving).unwrap();
            ready.send(()).unwrap();
            std::thread::spawn(move || {
                let mut datagram = [0; 16];
                while let Ok((_, peer)) = udp.recv_from(&mut datagram) {
                    let _ = udp.send_to(peer.ip().to_string().as_bytes(), peer);
                }
            });
            for mut stream in tcp.incoming().flatten() {
                std::thread::spawn(move || {
                    let _ = writeln!(stream, "{}", stream.peer_addr().unwrap().ip());
                    let mut reader = stream.try_clone().unwrap();
                    let _ = std::io::copy(&mut reader, &mut stream);
                });
            }
        });
        is_ready.recv().unwrap();
    }
    // Replies to whatever source find their way back, but for those to VIPs.
    // Over IPv6 a neighbour answers for the addresses of the interface only.
    netns::run_tool("ip", &format!("-6 addr add fe80::1/64 dev eth{number} nodad"));
    let routes = [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "fd10::/16 via fe80::1",
        "fd17::/16 via fe80::1",
        "fd30::/16 via fe80::1",
    ];
    for route in routes {
        netns::run_tool("ip", &format!("-n {name} route add {route} dev eth0"));
    }
    name.to_owned()
}

/// Gives `ethN` its addresses in the server's network, at 1.
pub(crate) fn number_uplink(number: u8) {
    netns::run_tool("ip", &format!("addr add 10.{number}.0.1/24 dev eth{number}"));
    netns::run_tool("ip", &format!("-6 addr add fd10:{number}::1/64 dev eth{number} nodad"));
}

/// Adds a dummy with the addresses `172.17.0.N` and `fd17::N`.
pub(crate) fn add_dummy(number: u8) {
    netns::run_tool("ip", &format!("link add dum{number} type dummy"));
    netns::run_tool("ip", &format!("link set dum{number} up"));
    netns::run_tool("ip", &format!("addr add 172.17.0.{number}/32 dev dum{number}"));
    netns::run_tool("ip", &format!("-6 addr add fd17::{number}/128 dev dum{number} nodad"));
}

fn on_dummy(number: u8) -> [String; 2] {
    [format!("172.17.0.{number}"), format!("fd17::{number}")]
}

/// An app for each protocol and family, at the VIP of the server's number.
pub(crate) fn served_by(numbers: &[u8]) -> Value {
    let mut all = Vec::new();
    for &number in numbers {
        for (vip, server) in vip(number).into_iter().zip(server(number)) {
            for protocol in ["tcp", "udp"] {
                let family = if vip.is_ipv4() { "v4" } else { "v6" };
                let id = format!("/s{number}-{protocol}-{family}");
                let label = json!({ "VIP_0": vip.to_string() });
                let host = server.to_string();
                let task = healthy(&host, 31001);
                all.push(app(&id, protocol, &label, &[task]));
            }
        }
    }
    apps(all)
}

/// The client that real servers see for this node's own, by each protocol.
pub(crate) fn seen(at: SocketAddr) -> Result<[String; 2], std::io::Error> {
    let udp = UdpSocket::bind(if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    udp.set_read_timeout(Some(PATIENCE))?;
    udp.connect(at)?;
    udp.send(b"who")?;
    let mut datagram = [0; 64];
    let length = udp.recv(&mut datagram)?;
    let by_udp = String::from_utf8_lossy(&datagram[..length]).into_owned();
    open(at).map(|(_, by_tcp)| [by_tcp, by_udp])
}

/// Opens a connection, which the server greets with the source that it sees.
pub(crate) fn open(at: SocketAddr) -> Result<(TcpStream, String), std::io::Error> {
    let stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.try_clone()?).read_line(&mut line)?;
    Ok((stream, line.trim_end().to_owned()))
}

#[track_caller]
fn sees(number: u8, sources: &[impl AsRef<str>; 2]) {
    for (vip, source) in vip(number).into_iter().zip(sources) {
        let source = source.as_ref().to_owned();
        assert_eq!(seen(vip).ok(), Some([source.clone(), source]), "{vip}");
    }
}

fn run(args: &[&str], apps: &Value) -> crate::support::Ran {
    vipd(&[args, &["--no-pods", "--from", "-"]].concat(), &apps.to_string())
}

#[track_caller]
pub(crate) fn apply(options: &[&str], apps: &Value) {
    let ran = run(&[&["apply", "--force"], options].concat(), apps);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let again = run(&[&["diff"], options].concat(), apps);
    assert_eq!(again.code, Some(0), "{again:?}");
}

pub(crate) fn translates() -> bool {
    let table = netns::try_run_tool("nft", "list table ip vipd").unwrap_or_default();
    table.contains("masquerade")
}

#[test]
fn real_servers_see_the_configured_address() {
    netns::enter_netns();
    connect(1);
    number_uplink(1);
    add_dummy(9);
    apply(&["--node-address", "172.17.0.9"], &served_by(&[1]));
    if !translates() {
        // The route of the VIP names it; IPv6 needs translation.
        assert_eq!(seen(vip(1)[0]).unwrap(), ["172.17.0.9", "172.17.0.9"]);
        apply(&["--node-address", "172.17.0.77"], &served_by(&[1]));
        assert_eq!(seen(vip(1)[0]).unwrap(), ["10.1.0.1", "10.1.0.1"]);
        return;
    }
    sees(1, &["172.17.0.9", "fd10:1::1"]);
    // Without it, or with one that the node lacks, as before.
    apply(&[], &served_by(&[1]));
    sees(1, &["10.1.0.1", "fd10:1::1"]);
    apply(&["--node-address", "172.17.0.77"], &served_by(&[1]));
    sees(1, &["10.1.0.1", "fd10:1::1"]);
}

#[test]
fn an_address_on_an_interface_younger_than_vipd0_serves_uplinks_without_one() {
    netns::enter_netns();
    connect(1);
    for address in server(1) {
        netns::run_tool("ip", &format!("route add {address} dev eth1"));
    }
    // The address that the reduced mode needs for its routes.
    let apps = served_by(&[1]);
    let before = run(&["apply", "--force"], &apps);
    assert_eq!(before.code, Some(0), "{before:?}");
    add_dummy(7);
    apply(&[], &apps);
    // Not only clients of VIPs need it.
    let route = netns::run_tool("ip", "route get 10.1.0.5");
    assert!(route.contains("src 172.17.0.7"), "{route}");
    assert_eq!(seen(vip(1)[0]).ok(), Some(["172.17.0.7".into(), "172.17.0.7".into()]));
    if translates() {
        sees(1, &on_dummy(7));
    }
}

#[test]
fn addresses_of_an_older_version_are_bound_anew_while_they_serve() {
    netns::enter_netns();
    add_dummy(7);
    connect(1);
    number_uplink(1);
    let apps = served_by(&[1]);
    apply(&[], &apps);
    netns::run_tool("ip", "addr add 3.3.0.1/31 dev vipd0 noprefixroute");
    netns::run_tool("ip", "addr del 3.3.0.1/32 dev vipd0");
    netns::run_tool("ip", "addr add 3.3.0.1/32 dev vipd0");
    netns::run_tool("ip", "addr del 3.3.0.1/31 dev vipd0");
    netns::run_tool("ip", "-6 addr change fd03::1/128 dev vipd0 preferred_lft forever");
    let vips = if translates() { vip(1).to_vec() } else { vip(1)[..1].to_vec() };
    let open: Vec<_> = vips.iter().map(|vip| open(*vip).unwrap()).collect();
    let routes = netns::run_tool("ip", "route show table local");
    let differs = run(&["diff"], &apps);
    assert_eq!(differs.code, Some(1), "{differs:?}");
    assert!(differs.out.contains("no longer a source for other connections"), "{differs:?}");
    apply(&[], &apps);
    let shown = netns::run_tool("ip", "-o addr show dev vipd0");
    assert!(shown.contains("3.3.0.1/32 scope host"), "{shown}");
    let lines = shown.lines().filter(|line| line.contains("fd03::1/128"));
    assert!(
        lines.clone().count() == 1 && lines.clone().all(|line| line.contains("deprecated")),
        "{shown}"
    );
    assert!(!shown.contains("3.3.0.1/31"), "{shown}");
    assert_eq!(netns::run_tool("ip", "route show table local"), routes);
    for (mut stream, _) in open {
        let mut byte = [0];
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut byte).unwrap();
    }
}

/// A node with two uplinks, whose routes each name an address of their own on a dummy.
fn two_uplinks() {
    netns::enter_netns();
    for number in [1, 2] {
        connect(number);
        number_uplink(number);
        add_dummy(number);
        for (server, source) in server(number).into_iter().zip(on_dummy(number)) {
            netns::run_tool("ip", &format!("route add {server} dev eth{number} src {source}"));
        }
    }
}

#[test]
fn real_servers_see_the_source_that_the_route_to_them_names() {
    two_uplinks();
    apply(&[], &served_by(&[1, 2]));
    if !translates() {
        for number in [1, 2] {
            let [v4, _] = on_dummy(number);
            assert_eq!(seen(vip(number)[0]).unwrap(), [v4.clone(), v4]);
        }
        return;
    }
    sees(1, &on_dummy(1));
    sees(2, &on_dummy(2));
    // The configured one is that of all IPv4 servers.
    apply(&["--node-address", "10.2.0.1"], &served_by(&[1, 2]));
    sees(1, &["10.2.0.1", "fd17::1"]);
}

#[test]
fn an_agent_follows_the_routes_to_real_servers() {
    two_uplinks();
    let url = marathon(&served_by(&[1, 2]), &json!([]));
    let folder = tempfile::tempdir_in("/run").unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (socket, lock, state) = (at("agent.sock"), at("lock"), at("state"));
    let args = ["run", "--marathon", &url, "--socket", &socket, "--lock", &lock];
    let agent = Running(command(&[&args[..], &["--state", &state]].concat()).spawn().unwrap());
    eventually("the VIPs are bound", || {
        netns::run_tool("ip", "-br addr show").contains("fd03::2/128")
    });
    if !translates() {
        return;
    }
    sees(1, &on_dummy(1));
    let by = |number: u8, sources: [&str; 2]| {
        let is = |(vip, source): (SocketAddr, &str)| {
            seen(vip).is_ok_and(|seen| seen.iter().all(|seen| seen == source))
        };
        vip(number).into_iter().zip(sources).all(is)
    };
    // A client that keeps its port.
    let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
    udp.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    udp.connect(vip(1)[0]).unwrap();
    let ask = || {
        let mut datagram = [0; 64];
        udp.send(b"who")?;
        let length = udp.recv(&mut datagram)?;
        std::io::Result::Ok(String::from_utf8_lossy(&datagram[..length]).into_owned())
    };
    assert_eq!(ask().unwrap(), "172.17.0.1");
    netns::run_tool("ip", "route replace 10.1.0.5 dev eth1 src 172.17.0.2");
    netns::run_tool("ip", "-6 route del fd10:1::5 dev eth1");
    eventually("the sources are followed", || by(1, ["172.17.0.2", "fd10:1::1"]));
    // Another table counts once a rule chooses it.
    netns::run_tool("ip", "route add 10.1.0.5 dev eth1 src 172.17.0.1 table 100");
    netns::run_tool("ip", "rule add to 10.1.0.5 table 100");
    eventually("a rule is followed", || by(1, ["172.17.0.1", "fd10:1::1"]));
    netns::run_tool("ip", "route replace 10.1.0.5 dev eth1 src 172.17.0.2 table 100");
    eventually("another table is followed", || by(1, ["172.17.0.2", "fd10:1::1"]));
    netns::run_tool("ip", "rule del to 10.1.0.5 table 100");
    // An address that goes takes the route along.
    netns::run_tool("ip", "addr del 172.17.0.1/32 dev dum1");
    netns::run_tool("ip", "addr del 172.17.0.2/32 dev dum2");
    eventually("the others are used", || by(1, ["10.1.0.1", "fd10:1::1"]));
    eventually("the client that keeps its port is answered", || {
        ask().is_ok_and(|source| source == "10.1.0.1")
    });
    let elements = netns::run_tool("nft", "list map ip vipd sources");
    assert!(!elements.contains("172.17.0.1"), "{elements}");
    drop(agent);
}
