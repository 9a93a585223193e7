//! The path MTU of the node's own clients through a VIP, checked with packets: once it is known, nothing
//! that they send is too big, however often the kernel forgets what it has learnt.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::netns;

use crate::support::Ran;
use crate::world::{app, apps, healthy, vipd};

const PATIENCE: Duration = Duration::from_secs(30);
/// As much as stays in flight with segments of any size, many times over.
const UPLOAD: usize = 1 << 20;

const VIPS: [&str; 2] = ["3.3.0.6:80", "[fd03::6]:80"];

fn ip(args: &str) -> String {
    netns::run_tool("ip", args)
}

/// Makes a namespace and returns its name.
fn new_namespace() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("mtu{}", COUNT.fetch_add(1, Ordering::Relaxed));
    ip(&format!("netns add {name}"));
    ip(&format!("-n {name} link set lo up"));
    name
}

/// Connects the node with a namespace by a link of this MTU: `10.N.0.0/24` and `fd10:N::/64`, with the
/// node at 1 and the other end, `eth0`, at 2.
fn connect_with(name: &str, number: u8, mtu: usize) {
    ip(&format!("link add eth{number} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {name}"));
    ip(&format!("addr add 10.{number}.0.1/24 dev eth{number}"));
    ip(&format!("-6 addr add fd10:{number}::1/64 dev eth{number} nodad"));
    ip(&format!("link set eth{number} up"));
    ip(&format!("-n {name} addr add 10.{number}.0.2/24 dev eth0"));
    ip(&format!("-n {name} -6 addr add fd10:{number}::2/64 dev eth0 nodad"));
    ip(&format!("-n {name} link set eth0 up"));
}

/// A server on a link of this MTU.
fn near_server(number: u8, mtu: usize) -> [SocketAddr; 2] {
    let server = new_namespace();
    connect_with(&server, number, mtu);
    serve_in(&server, [format!("10.{number}.0.2"), format!("fd10:{number}::2")])
}

/// A server behind a router, which sends no larger packets than of this MTU. The server doesn't know.
fn far_server(number: u8, mtu: usize) -> [SocketAddr; 2] {
    let (router, server) = (new_namespace(), new_namespace());
    connect_with(&router, number, 1500);
    ip(&format!(
        "-n {router} link add eth1 mtu {mtu} type veth peer name eth0 mtu 1500 netns {server}"
    ));
    ip(&format!("-n {router} addr add 10.{number}.1.1/24 dev eth1"));
    ip(&format!("-n {router} -6 addr add fd10:{number}:1::1/64 dev eth1 nodad"));
    ip(&format!("-n {router} link set eth1 up"));
    for forwarding in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"] {
        ip(&format!("netns exec {router} sysctl -qw {forwarding}"));
    }
    ip(&format!("-n {server} addr add 10.{number}.1.2/24 dev eth0"));
    ip(&format!("-n {server} -6 addr add fd10:{number}:1::2/64 dev eth0 nodad"));
    ip(&format!("-n {server} link set eth0 up"));
    ip(&format!("-n {server} route add default via 10.{number}.1.1"));
    ip(&format!("-n {server} -6 route add default via fd10:{number}:1::1"));
    ip(&format!("route add 10.{number}.1.0/24 via 10.{number}.0.2"));
    ip(&format!("-6 route add fd10:{number}:1::/64 via fd10:{number}::2"));
    serve_in(&server, [format!("10.{number}.1.2"), format!("fd10:{number}:1::2")])
}

/// Answers with the length of each datagram, and of each upload once it ends.
fn serve_in(name: &str, addresses: [String; 2]) -> [SocketAddr; 2] {
    addresses.map(|address| {
        let address: IpAddr = address.parse().unwrap();
        let (at, name) = (SocketAddr::new(address, 31001), name.to_owned());
        let (ready, is_ready) = mpsc::channel();
        thread::spawn(move || {
            netns::join_netns(&name);
            let (tcp, udp) = (TcpListener::bind(at).unwrap(), UdpSocket::bind(at).unwrap());
            ready.send(()).unwrap();
            thread::spawn(move || {
                let mut datagram = vec![0; 1 << 16];
                while let Ok((length, peer)) = udp.recv_from(&mut datagram) {
                    let _ = udp.send_to(length.to_string().as_bytes(), peer);
                }
            });
            for mut stream in tcp.incoming().flatten() {
                let length = std::io::copy(&mut stream, &mut std::io::sink()).unwrap_or(0);
                let _ = write!(stream, "{length}");
            }
        });
        is_ready.recv().unwrap();
        at
    })
}

/// An app for each protocol and family, with these servers.
fn served_by(servers: &[[SocketAddr; 2]]) -> Value {
    let mut all = Vec::new();
    for (family, vip) in VIPS.into_iter().enumerate() {
        for protocol in ["tcp", "udp"] {
            let hosts: Vec<_> = servers.iter().map(|at| at[family].ip().to_string()).collect();
            let tasks: Vec<_> = hosts.iter().map(|host| healthy(host, 31001)).collect();
            let id = format!("/{protocol}-{family}");
            all.push(app(&id, protocol, &json!({ "VIP_0": vip }), &tasks));
        }
    }
    apps(all)
}

fn run(command: &[&str], apps: &Value) -> Ran {
    vipd(&[command, &["--no-pods", "--from", "-"]].concat(), &apps.to_string())
}

/// Applies, and nothing is left to do.
#[track_caller]
fn apply(apps: &Value) {
    let ran = run(&["apply", "--force"], apps);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let again = run(&["diff"], apps);
    assert_eq!(again.code, Some(0), "{again:?}");
}

/// The VIPs that the node's own clients reach on other nodes: IPv6 needs translation.
fn vips() -> Vec<SocketAddr> {
    let table = netns::try_run_tool("nft", "list table ip vipd").unwrap_or_default();
    let vips = if table.contains("masquerade") { &VIPS[..] } else { &VIPS[..1] };
    vips.iter().map(|vip| vip.parse().unwrap()).collect()
}

/// The kernel forgets which paths are narrow.
fn forget_exceptions() {
    ip("route flush cache");
    ip("-6 route flush cache");
}

/// Complaints so far.
#[derive(Debug, PartialEq)]
struct Complaints {
    /// Messages that a packet was too big.
    too_big: u64,
    /// Segments of TCP that were sent again.
    sent_again: u64,
}

fn complaints() -> Complaints {
    let v4 = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let v6 = std::fs::read_to_string("/proc/thread-self/net/snmp6").unwrap();
    let v4 = |protocol: &str, name: &str| {
        let mut lines = v4.lines().filter(|line| line.starts_with(protocol));
        let names = lines.next().unwrap().split_whitespace();
        let mut columns = names.zip(lines.next().unwrap().split_whitespace());
        columns.find(|(of, _)| *of == name).unwrap().1.parse::<u64>().unwrap()
    };
    let v6 = v6.lines().find_map(|line| line.strip_prefix("Icmp6InPktTooBigs")).unwrap();
    let too_big = v4("Icmp:", "InDestUnreachs") + v6.trim().parse::<u64>().unwrap();
    Complaints { too_big, sent_again: v4("Tcp:", "RetransSegs") }
}

/// Uploads to a VIP.
#[track_caller]
fn upload(vip: SocketAddr) {
    let mut stream = TcpStream::connect_timeout(&vip, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&vec![7; UPLOAD]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    assert_eq!(told, UPLOAD.to_string(), "{vip}");
}

/// Uploads to a VIP without complaints. A kernel that stood still sends segments again, too, because
/// their timers ran out, but seldom twice in a row; those that are too big are sent again each time.
#[track_caller]
fn upload_smoothly(vip: SocketAddr) {
    let seen: Vec<_> = (0..3)
        .map(|_| {
            forget_exceptions();
            let before = complaints();
            upload(vip);
            let after = complaints();
            assert_eq!(after.too_big, before.too_big, "{vip}: an upload");
            after.sent_again - before.sent_again
        })
        .take_while(|sent_again| *sent_again > 0)
        .collect();
    assert!(seen.len() < 3, "{vip}: segments of uploads that were sent again: {seen:?}");
}

/// Sends a datagram to a VIP, once.
fn send_datagram(vip: SocketAddr, length: usize) -> std::io::Result<String> {
    let udp = UdpSocket::bind(if vip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    udp.set_read_timeout(Some(Duration::from_secs(2)))?;
    udp.connect(vip)?;
    udp.send(&vec![7; length])?;
    let mut told = [0; 16];
    let read = udp.recv(&mut told)?;
    Ok(String::from_utf8_lossy(&told[..read]).into_owned())
}

/// Nothing that is sent to the VIPs is too big.
#[track_caller]
fn nothing_is_too_big(mtu: usize) {
    for vip in vips() {
        // Over IPv6, IPVS drops the node's own datagrams that need fragments
        // (`__mtu_check_toobig_v6` in `net/netfilter/ipvs/ip_vs_xmit.c`).
        let may_be_sent = |length: &usize| vip.is_ipv4() || length + 48 <= mtu;
        for length in [1200, 1400, 3000].into_iter().filter(may_be_sent) {
            forget_exceptions();
            let before = complaints();
            assert_eq!(send_datagram(vip, length).ok(), Some(length.to_string()), "{vip}");
            let (too_big, before) = (complaints().too_big, before.too_big);
            assert_eq!(too_big, before, "{vip}: a datagram of {length} bytes");
        }
        upload_smoothly(vip);
    }
}

/// The MTUs of the VIPs' routes.
fn mtus() -> Vec<Option<String>> {
    let of_vip = |args: String| {
        let routes = ip(&args);
        let (_, mtu) = routes.split_once(" mtu ")?;
        mtu.split_whitespace().next().map(ToOwned::to_owned)
    };
    let route = |vip: &SocketAddr| of_vip(format!("route get {}", vip.ip()));
    vips().iter().map(route).collect()
}

#[track_caller]
fn have_mtu(mtu: &str) {
    let all = mtus();
    assert!(all.iter().all(|seen| seen.as_deref() == Some(mtu)), "{all:?}");
}

/// Nothing of ours is left in the routing tables.
#[track_caller]
fn nothing_is_left() {
    let routes = ip("route show table all") + &ip("-6 route show table all");
    assert!(!routes.contains("3.3.0.") && !routes.contains("fd03::"), "{routes}");
}

#[test]
fn the_mtu_of_the_link_to_a_server_is_that_of_its_vip() {
    netns::enter_netns();
    for (number, mtu) in [(1, 1500), (2, 1300)] {
        let apps = served_by(&[near_server(number, mtu)]);
        apply(&apps);
        have_mtu(&mtu.to_string());
        nothing_is_too_big(mtu);
    }
    // What somebody else takes away is put back, and a VIP that goes takes its route along.
    let apps = served_by(&[[([10, 2, 0, 2], 31001).into(), "[fd10:2::2]:31001".parse().unwrap()]]);
    let local = "dev vipd0 table local proto kernel";
    ip(&format!("route change local 3.3.0.6 {local} scope host src 10.2.0.1"));
    ip("-6 route del local fd03::6 dev vipd0 table local");
    apply(&apps);
    have_mtu("1300");
    ip("link set vipd0 down");
    apply(&apps);
    have_mtu("1300");
    ip("-6 addr del fd03::6/128 dev vipd0");
    apply(&crate::world::apps(Vec::new()));
    nothing_is_left();
    apply(&apps);
    let ran = vipd(&["cleanup"], "");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    nothing_is_left();
}

/// Reports changes of IPv4 routes of this namespace, one a line.
fn monitor_routes() -> (Child, impl Iterator<Item = String>) {
    let mut command = Command::new("ip");
    command.args(["-o", "-4", "monitor", "route"]).stdout(Stdio::piped());
    let mut monitor = command.spawn().unwrap();
    let lines = BufReader::new(monitor.stdout.take().unwrap()).lines().map_while(Result::ok);
    let (told, changes) = mpsc::channel();
    thread::spawn(move || lines.for_each(|line| told.send(line).unwrap_or_default()));
    // Until it listens.
    loop {
        ip("route replace 198.51.100.1 dev lo");
        ip("route del 198.51.100.1 dev lo");
        if changes.recv_timeout(Duration::from_millis(100)).is_ok() {
            break;
        }
    }
    ip("route replace 198.51.100.2 dev lo");
    (monitor, changes.into_iter())
}

#[test]
fn a_vip_keeps_a_local_route_while_it_changes() {
    netns::enter_netns();
    let elsewhere = served_by(&[near_server(1, 1300)]);
    let own = [([10, 1, 0, 1], 31001).into(), "[fd10:1::1]:31001".parse().unwrap()];
    apply(&elsewhere);
    for is_twofold in [false, true] {
        if is_twofold {
            // The kernel's own route may stand behind ours then.
            ip("link set vipd0 down");
            ip("link set vipd0 up");
            apply(&elsewhere);
        }
        let (mut monitor, mut changes) = monitor_routes();
        apply(&served_by(&[own]));
        ip("route del 198.51.100.2 dev lo");
        let changes = changes.by_ref();
        let seen: Vec<_> = changes.take_while(|line| !is_end(line)).collect();
        monitor.kill().unwrap();
        monitor.wait().unwrap();
        assert!(seen.iter().any(|line| line.contains("3.3.0.6")), "{seen:?}");
        let deleted = seen.iter().filter(|line| line.starts_with("Deleted local 3.3.0.6"));
        assert!(deleted.count() <= usize::from(is_twofold), "{seen:?}");
        let routes = ip("route show table local 3.3.0.6");
        assert!(routes.contains("vipd0") && !routes.contains("mtu"), "{routes}");
        apply(&elsewhere);
    }
}

/// Tells whether a line reports the last change of [`monitor_routes`].
fn is_end(line: &str) -> bool {
    line.starts_with("Deleted") && line.contains("198.51.100.2")
}

#[test]
fn a_link_that_is_narrow_further_away_is_learnt_while_the_kernel_knows_it() {
    netns::enter_netns();
    let (far, near) = (far_server(1, 1300), near_server(2, 1400));
    let apps = served_by(&[far]);
    apply(&apps);
    have_mtu("1500");
    let before = complaints();
    vips().into_iter().for_each(upload);
    assert_ne!(complaints().too_big, before.too_big, "the kernel learns");
    let differs = run(&["diff"], &apps);
    assert_eq!(differs.code, Some(1), "{differs:?}");
    assert!(differs.out.contains("mtu of the node's own connections 1500 -> 1300"), "{differs:?}");
    // The new route makes the kernel forget it, so another `apply` would look for the size again.
    let ran = run(&["apply", "--force"], &apps);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    have_mtu("1300");
    nothing_is_too_big(1300);
    // Once the kernel knows it no longer.
    forget_exceptions();
    apply(&apps);
    have_mtu("1500");
    apply(&served_by(&[far, near]));
    have_mtu("1400");
    apply(&served_by(&[near_server(3, 1450)]));
    have_mtu("1450");
}
