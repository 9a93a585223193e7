//! Nodes whose ways to the real servers are not one uplink with one address: clients on the node, in a
//! container and outside reach VIPs, and what happens to routes and rules meanwhile takes no connection
//! away.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;
use testkit::netns;

use crate::cluster::eventually;
use crate::marathon::marathon;
use crate::sources::{
    add_dummy, apply, connect, number_uplink, open, seen, served_by, translates, vip,
};
use crate::support::command;
use crate::world::Running;

/// Time limit of a datagram's answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A place of clients: this node, or a network namespace behind it.
struct Place {
    name: &'static str,
    namespace: Option<String>,
}

impl Place {
    fn run<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let namespace = &self.namespace;
        let run = move || {
            namespace.as_deref().inspect(|name| netns::join_netns(name));
            what()
        };
        thread::scope(|scope| scope.spawn(run).join().unwrap())
    }
}

/// Connects a namespace whose gateway is this node, on a bridge or directly, and gives both ends
/// addresses: `172.30.N.0/24` and `fd30:N::/64`.
fn attach(name: &'static str, number: u8, bridged: bool) -> Place {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let namespace = format!("uplinks{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let ip = |line: String| netns::run_tool("ip", &line);
    ip(format!("netns add {namespace}"));
    ip(format!("link add {name} type veth peer name eth0 netns {namespace}"));
    let gateway = if bridged { format!("br-{name}") } else { name.to_owned() };
    if bridged {
        ip(format!("link add {gateway} type bridge"));
        ip(format!("link set {name} master {gateway} up"));
    }
    ip(format!("link set {gateway} up"));
    ip(format!("addr add 172.30.{number}.1/24 dev {gateway}"));
    ip(format!("-6 addr add fd30:{number}::1/64 dev {gateway} nodad"));
    ip(format!("-n {namespace} link set eth0 up"));
    ip(format!("-n {namespace} addr add 172.30.{number}.2/24 dev eth0"));
    ip(format!("-n {namespace} -6 addr add fd30:{number}::2/64 dev eth0 nodad"));
    ip(format!("-n {namespace} route add default via 172.30.{number}.1"));
    ip(format!("-n {namespace} -6 route add default via fd30:{number}::1"));
    Place { name, namespace: Some(namespace) }
}

/// Enters a node with clients on it, in a container of it and outside of it, and with two servers,
/// each behind an uplink that has no address yet. Returns the clients' places and the servers' names.
fn node() -> ([Place; 3], [String; 2]) {
    netns::enter_netns();
    netns::run_tool("sysctl", "-qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    let servers = [1, 2].map(|number| {
        let server = connect(number);
        // It finds the way back to containers, where nothing is masqueraded.
        netns::run_tool("sysctl", &format!("-qw net.ipv4.conf.eth{number}.proxy_arp=1"));
        server
    });
    let node = Place { name: "node", namespace: None };
    ([node, attach("container", 1, true), attach("outside", 2, false)], servers)
}

/// A client with open connections, which goes on using them.
struct Client<'a> {
    place: &'a Place,
    at: SocketAddr,
    tcp: TcpStream,
    udp: UdpSocket,
}

impl<'a> Client<'a> {
    fn connect(place: &'a Place, at: SocketAddr) -> Self {
        let opened = place.run(|| {
            let udp = UdpSocket::bind(if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
            udp.set_read_timeout(Some(PATIENCE))?;
            udp.connect(at)?;
            open(at).map(|(tcp, _)| (tcp, udp))
        });
        let (tcp, udp) = opened.unwrap_or_else(|error| panic!("{} to {at}: {error}", place.name));
        // The kernel repeats what was lost, later each time.
        tcp.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let client = Self { place, at, tcp, udp };
        client.ask().unwrap_or_else(|error| panic!("{} to {at} by UDP: {error}", place.name));
        client
    }

    fn echo(&mut self) -> io::Result<()> {
        self.tcp.write_all(b"x")?;
        self.tcp.read_exact(&mut [0])
    }

    fn ask(&self) -> io::Result<usize> {
        self.udp.send(b"who")?;
        self.udp.recv(&mut [0; 64])
    }

    /// Uses the open connection, the port that it keeps for UDP, and new ones of both.
    fn use_all(&mut self) -> io::Result<()> {
        self.echo()?;
        self.ask()?;
        let at = self.at;
        self.place.run(move || seen(at)).map(drop)
    }
}

/// Opens connections from all places to the VIPs of both servers, in the families that this kernel
/// supports for all of them.
fn connect_all<'a>(places: &'a [Place; 3], numbers: &[u8]) -> Vec<Client<'a>> {
    let families = if translates() { 2 } else { 1 };
    let vips = numbers.iter().flat_map(|number| vip(*number).into_iter().take(families));
    let each = |at| places.iter().map(move |place| Client::connect(place, at));
    vips.flat_map(each).collect()
}

#[track_caller]
fn all_work(clients: &mut [Client<'_>], when: &str) {
    for client in clients {
        let used = client.use_all();
        used.unwrap_or_else(|error| {
            panic!("{} to {}, {when}: {error}", client.place.name, client.at)
        });
    }
}

/// An agent for the VIPs of both servers, once it serves them.
fn agent(folder: &tempfile::TempDir) -> Running {
    let url = marathon(&served_by(&[1, 2]), &json!([]));
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (socket, lock, state) = (at("agent.sock"), at("lock"), at("state"));
    let args = ["run", "--marathon", &url, "--socket", &socket, "--lock", &lock];
    let agent = command(&[&args[..], &["--state", &state]].concat()).spawn().unwrap();
    let agent = Running(agent);
    eventually("the VIPs are bound", || {
        let shown = netns::run_tool("ip", "-br addr show");
        vip(2).iter().all(|vip| shown.contains(&vip.ip().to_string()))
    });
    agent
}

/// Makes the node with an address on each uplink, and the VIPs of a server behind each. Returns the
/// places of clients.
fn serve_over_two_uplinks() -> [Place; 3] {
    let (places, _) = node();
    number_uplink(1);
    number_uplink(2);
    apply(&[], &served_by(&[1, 2]));
    places
}

#[test]
fn strict_reverse_path_filters_let_every_client_through_either_uplink() {
    let places = serve_over_two_uplinks();
    let mut clients = connect_all(&places, &[1, 2]);
    for interface in std::fs::read_dir("/proc/sys/net/ipv4/conf").unwrap() {
        std::fs::write(interface.unwrap().path().join("rp_filter"), "1").unwrap();
    }
    all_work(&mut clients, "filtered");
    connect_all(&places, &[1, 2]);
}

#[test]
fn rules_by_source_and_by_mark_that_appear_take_no_connection_away() {
    let places = serve_over_two_uplinks();
    let mut clients = connect_all(&places, &[1, 2]);
    netns::run_tool("ip", "link add wg0 type dummy");
    netns::run_tool("ip", "link set wg0 up");
    for (family, any, tail) in [("-4", "10.1.0.0/24", "0.1"), ("-6", "fd10:1::/64", "::1")] {
        let own = |number: u8| match family {
            "-4" => format!("10.{number}.{tail}"),
            _ => format!("fd10:{number}{tail}"),
        };
        for line in [
            // Each uplink answers what came to its address.
            format!("rule add from {} lookup 101 priority 1001", own(1)),
            format!("rule add from {} lookup 102 priority 1002", own(2)),
            format!("route add {any} dev eth1 table 101"),
            "route add default dev eth1 table 101".to_owned(),
            "route add default dev eth2 table 102".to_owned(),
            // As wg-quick does for a VPN that takes all but its own packets.
            "rule add not fwmark 51820 lookup 51820 priority 2002".to_owned(),
            "rule add lookup main suppress_prefixlength 0 priority 2001".to_owned(),
            "route add default dev wg0 table 51820".to_owned(),
        ] {
            netns::run_tool("ip", &format!("{family} {line}"));
        }
    }
    all_work(&mut clients, "with rules");
    apply(&[], &served_by(&[1, 2]));
    all_work(&mut clients, "applied again");
    connect_all(&places, &[1, 2]);
}

#[test]
fn every_client_is_answered_where_only_a_dummy_has_the_nodes_address() {
    for dummy_first in [true, false] {
        let run = move || {
            let (places, _) = node();
            for number in [1, 2] {
                for server in crate::sources::server(number) {
                    netns::run_tool("ip", &format!("route add {server} dev eth{number}"));
                }
            }
            if dummy_first {
                add_dummy(7);
                apply(&[], &served_by(&[1, 2]));
            } else {
                apply(&[], &served_by(&[1, 2]));
                add_dummy(7);
                apply(&[], &served_by(&[1, 2]));
            }
            let mut clients = connect_all(&places, &[1, 2]);
            all_work(&mut clients, if dummy_first { "before vipd0" } else { "after vipd0" });
        };
        thread::spawn(run).join().unwrap();
    }
}

#[test]
fn a_vpn_that_comes_and_goes_takes_no_connection_away() {
    let (places, _) = node();
    number_uplink(1);
    number_uplink(2);
    let folder = tempfile::tempdir_in("/run").unwrap();
    let _agent = agent(&folder);
    let mut clients = connect_all(&places, &[1, 2]);
    for time in ["first", "second"] {
        netns::run_tool("ip", "link add tun0 type dummy");
        netns::run_tool("ip", "link set tun0 up");
        netns::run_tool("ip", "addr add 10.8.0.2/24 dev tun0");
        for half in ["0.0.0.0/1 via 10.8.0.1", "128.0.0.0/1 via 10.8.0.1"] {
            netns::run_tool("ip", &format!("route add {half}"));
        }
        for half in ["::/1", "8000::/1"] {
            netns::run_tool("ip", &format!("-6 route add {half} dev tun0"));
        }
        all_work(&mut clients, &format!("the VPN is up for the {time} time"));
        netns::run_tool("ip", "link del tun0");
        all_work(&mut clients, &format!("the VPN is down after the {time} time"));
    }
    connect_all(&places, &[1, 2]);
}

/// As a routing daemon has it that announces addresses of `lo`.
#[test]
fn a_served_vip_that_is_added_to_lo_takes_no_connection_away() {
    let (places, _) = node();
    number_uplink(1);
    number_uplink(2);
    let folder = tempfile::tempdir_in("/run").unwrap();
    let _agent = agent(&folder);
    let mut clients = connect_all(&places, &[1, 2]);
    let all = [1, 2].into_iter().flat_map(vip).map(|vip| vip.ip());
    let change = |what: &str| {
        for vip in all.clone() {
            let length = if vip.is_ipv4() { 32 } else { 128 };
            netns::run_tool("ip", &format!("addr {what} {vip}/{length} dev lo"));
        }
    };
    for what in ["add", "del"] {
        change(what);
        for _ in 0..8 {
            all_work(&mut clients, &format!("after {what}"));
            thread::sleep(Duration::from_millis(500));
        }
        connect_all(&places, &[1, 2]);
        let shown = netns::run_tool("ip", "-br addr show dev vipd0");
        assert!(all.clone().all(|vip| shown.contains(&vip.to_string())), "{what}: {shown}");
    }
}

/// The firewall's own rules, as in `/etc/nftables.conf`.
const FIREWALL: &str = "
    flush ruleset
    table inet reloaded {
        chain input { type filter hook input priority 0; ct state established,related accept; }
        chain forward { type filter hook forward priority 0; ct state established,related accept; }
    }\n";

#[test]
fn a_firewall_that_reloads_takes_no_connection_away() {
    let (places, servers) = node();
    number_uplink(1);
    number_uplink(2);
    let folder = tempfile::tempdir_in("/run").unwrap();
    let _agent = agent(&folder);
    let has_nft = translates();
    if !has_nft {
        let docker = "POSTROUTING -s 172.30.1.0/24 ! -o br-container -j MASQUERADE";
        netns::run_tool("iptables-legacy", &format!("-t nat -A {docker}"));
    }
    let mut clients = connect_all(&places, &[1, 2]);
    for server in servers.iter().filter(|_| has_nft) {
        // A server that reaches a container directly resets what it never saw: the connection by its
        // untranslated source, while the rules are gone.
        netns::run_tool("ip", &format!("-n {server} route add blackhole 172.30.0.0/16"));
        netns::run_tool("ip", &format!("-n {server} -6 route replace blackhole fd30::/16"));
    }
    for _ in 0..3 {
        if has_nft {
            netns::run_tool_with_input("nft", "-f -", FIREWALL);
        } else {
            let rules = netns::run_tool("iptables-legacy-save", "");
            netns::run_tool_with_input("iptables-legacy-restore", "", &rules);
        }
        // Who asks right now may lose a packet, and asks again.
        for client in &clients {
            drop(client.udp.send(b"who"));
            drop((&client.tcp).write_all(b"x"));
        }
        if has_nft {
            eventually("the rules are back", || {
                let tables = netns::run_tool("nft", "list tables");
                ["ip", "ip6"].iter().all(|family| tables.contains(&format!("table {family} vipd")))
            });
        }
        for client in &mut clients {
            (&client.tcp).read_exact(&mut [0]).unwrap_or_else(|error| {
                panic!("{} to {}: {error}", client.place.name, client.at);
            });
            eventually("the port that it keeps is answered", || client.ask().is_ok());
            // Answers to what was sent before.
            client.udp.set_nonblocking(true).unwrap();
            while client.udp.recv(&mut [0; 64]).is_ok() {}
            client.udp.set_nonblocking(false).unwrap();
        }
        all_work(&mut clients, "the firewall was loaded");
    }
}

/// Connection tracking is told to leave packets alone: nothing translates their source, and the guard
/// takes nobody for a client.
#[test]
fn untracked_clients_keep_their_source_and_pass_the_guard() {
    let places = serve_over_two_uplinks();
    if !translates() {
        return;
    }
    // Of both families.
    let any = std::net::TcpListener::bind("[::]:8083").unwrap();
    thread::spawn(move || any.incoming().for_each(drop));
    netns::run_tool_with_input(
        "nft",
        "-f -",
        "table inet raw {
            chain prerouting { type filter hook prerouting priority -300; notrack; }
            chain output { type filter hook output priority -300; notrack; }
        }",
    );
    let [node, behind @ ..] = &places;
    let own = [["172.30.1.2", "fd30:1::2"], ["172.30.2.2", "fd30:2::2"]];
    for (family, at) in vip(1).into_iter().enumerate() {
        for (place, own) in behind.iter().zip(own) {
            let source = own[family];
            let sources = place.run(move || seen(at)).ok();
            assert_eq!(sources, Some([source.to_owned(), source.to_owned()]), "{}", place.name);
            let at = SocketAddr::new(at.ip(), 8083);
            place.run(move || TcpStream::connect_timeout(&at, PATIENCE)).unwrap();
        }
        // Its source is the VIP, to which no server replies.
        let own = node.run(move || TcpStream::connect_timeout(&at, Duration::from_secs(1)));
        assert!(own.is_err(), "{at}");
    }
}
