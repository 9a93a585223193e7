//! The rules of an older vipd are replaced while traffic flows.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::netns;

use super::cells::{Network, Server};
use super::count::resent_syns;
use super::marathon::app_at;
use super::promise::Mode;
use super::say;
use super::serve::{PATIENCE, Protocol, ask_through, echo, open};
use super::topology::Family;
use super::world::{FAMILIES, PROTOCOLS, apply, mode, network, vipd};

const SERVER: Server = Server { namespace: "n2", network: Network::Host };

/// The client that uses the server without the VIP.
const CONTROL: &str = "n3";

/// The number of times that each layout replaces the other.
const TIMES: usize = 3;

/// The table as vipd made it before its output chain refused clients: every packet met the rules.
const OLDER: &str = "
    table ip vipd {
        set vips { type ipv4_addr; elements = { VIP }; }
        set empty { type ipv4_addr . inet_proto . inet_service; elements = { VIP . tcp . 81 }; }
        set open { type ipv4_addr . inet_proto . inet_service; }
        chain prerouting { type nat hook prerouting priority -101; ip daddr @vips dnat to ip daddr; }
        chain output { type nat hook output priority -101; ip daddr @vips dnat to ip daddr; }
        chain refuse { type filter hook input priority 97;
            ct state new ip daddr . meta l4proto . th dport @empty meta l4proto tcp reject with tcp reset
            ct state new ip daddr . meta l4proto . th dport @empty reject; }
        chain refuse-own { type filter hook output priority -102;
            ct state new ip daddr . meta l4proto . th dport @empty meta l4proto tcp reject with tcp reset
            ct state new ip daddr . meta l4proto . th dport @empty reject; }
        chain guard { type filter hook input priority 150;
            ip daddr . meta l4proto . th dport @open accept
            ct direction original ip daddr @vips meta l4proto tcp reject with tcp reset
            ct direction original ip daddr @vips meta l4proto udp reject; }
        chain postrouting { type nat hook postrouting priority 99;
            ct original ip daddr @vips ip saddr @vips masquerade
            ct original ip daddr @vips fib saddr type != local masquerade; }
    }\n";

fn address(family: Family) -> &'static str {
    if family == Family::V4 { "3.3.10.1" } else { "fd03::10:1" }
}

fn socket(family: Family, port: u16) -> SocketAddr {
    SocketAddr::new(address(family).parse().unwrap(), port)
}

/// A transaction that puts the older table in place of the one that is there.
fn older(family: Family) -> String {
    let text = format!("delete table ip vipd\n{OLDER}").replace("VIP", address(family));
    match family {
        Family::V4 => text,
        Family::V6 => text
            .replace("table ip ", "table ip6 ")
            .replace("ipv4_addr", "ipv6_addr")
            .replace("ip daddr", "ip6 daddr")
            .replace("ip saddr", "ip6 saddr"),
    }
}

/// One VIP: port 80 has a server, for both protocols, and port 81 none.
fn apps() -> Value {
    let served = PROTOCOLS.into_iter().flat_map(|protocol| {
        FAMILIES.map(|family| app_at(&socket(family, 80).to_string(), SERVER, protocol, family))
    });
    let empty = FAMILIES.map(|family| {
        let mut app = app_at(&socket(family, 81).to_string(), SERVER, Protocol::Tcp, family);
        app["tasks"] = json!([]);
        app
    });
    json!({"apps": served.chain(empty).collect::<Vec<_>>()})
}

/// Where a client finds a port with a server, and one without.
#[derive(Clone, Copy)]
struct Ports {
    served: SocketAddr,
    refusing: SocketAddr,
}

impl Ports {
    fn of_the_vip(family: Family) -> Self {
        Self { served: socket(family, 80), refusing: socket(family, 81) }
    }

    /// The server's own address, which no rule of vipd meets.
    fn of_the_server(family: Family) -> Self {
        let (host, port) = SERVER.real(family);
        let at = |port| SocketAddr::new(host.parse().unwrap(), port);
        Self { served: at(port), refusing: at(1) }
    }
}

/// The connections that took longer than a client waits before it sends its opening packet again.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<Vec<String>>>);

impl Slow {
    fn note(&self, what: &str, begun: Instant) {
        let took = begun.elapsed();
        if took > Duration::from_millis(900) {
            let mut slow = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            slow.push(format!("{what}: {took:.1?}"));
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Uses ports in a namespace until told to stop: an open connection, a UDP client that keeps its
/// port, new connections, and the port without a server. Returns the rounds.
fn traffic(
    client: &'static str,
    family: Family,
    ports: Ports,
    (slow, stop, gate): (Slow, Arc<AtomicBool>, Arc<RwLock<()>>),
) -> JoinHandle<u32> {
    thread::spawn(move || {
        netns::join_netns(client);
        let (mut held, _) = open(ports.served).unwrap();
        let any = if family == Family::V4 { "0.0.0.0:0" } else { "[::]:0" };
        let udp = UdpSocket::bind(any).unwrap();
        udp.set_read_timeout(Some(PATIENCE)).unwrap();
        udp.connect(ports.served).unwrap();
        let mut rounds = 0;
        while !stop.load(Ordering::Relaxed) {
            let who = format!("{client} {family:?}, round {rounds}");
            let open_gate = gate.read().unwrap_or_else(PoisonError::into_inner);
            echo(&mut held).unwrap_or_else(|error| panic!("{who}, open connection: {error}"));
            ask_through(&udp).unwrap_or_else(|error| panic!("{who}, UDP: {error}"));
            let begun = Instant::now();
            open(ports.served).unwrap_or_else(|error| panic!("{who}, new: {error}"));
            slow.note(&format!("{who}, new"), begun);
            let begun = Instant::now();
            let refused = TcpStream::connect_timeout(&ports.refusing, PATIENCE);
            let refused = refused.map(drop).map_err(|error| error.kind());
            slow.note(&format!("{who}, no server"), begun);
            assert_eq!(refused, Err(ErrorKind::ConnectionRefused), "{who}, no server");
            rounds += 1;
            drop(open_gate);
            // Leave an emulated processor time for what replaces the rules.
            thread::sleep(Duration::from_millis(20));
        }
        rounds
    })
}

#[test]
fn the_rules_of_an_older_vipd_are_replaced_under_traffic_and_nothing_is_lost() {
    let net = network();
    let apps = apps();
    apply(&net, &apps);
    if mode(&net) == Mode::Reduced {
        return say("not on this kernel: rules that an upgrade replaces");
    }
    let (slow, stop) = (Slow::default(), Arc::new(AtomicBool::new(false)));
    let gate = Arc::new(RwLock::new(()));
    let clients = ["n1", "n1b", "n1r", "n4"];
    let resent = || clients.map(|client| net.seat(client).run(resent_syns));
    // An emulated machine on a busy one stands still at times, for longer than a client waits before
    // it sends its opening packet again. A client that doesn't meet vipd's rules tells how often.
    let resent_by_control = || net.seat(CONTROL).run(resent_syns);
    let users = clients.map(|client| (client, Ports::of_the_vip as fn(Family) -> Ports));
    let running: Vec<_> = FAMILIES
        .into_iter()
        .flat_map(|family| {
            users
                .into_iter()
                .chain([(CONTROL, Ports::of_the_server as _)])
                .map(move |(client, ports)| (client, family, ports(family)))
        })
        .map(|(client, family, ports)| {
            let shared = (slow.clone(), Arc::clone(&stop), Arc::clone(&gate));
            (client, family, traffic(client, family, ports, shared))
        })
        .collect();
    for time in 1..=TIMES {
        // Show progress.
        say(&format!("upgrade: {time} of {TIMES}"));
        // Nobody sends meanwhile: a packet between two rules may escape both, and this forgets no flow.
        let closed = gate.write().unwrap_or_else(PoisonError::into_inner);
        for family in FAMILIES {
            let text = older(family);
            net.seat("n1").run(move || netns::run_tool_with_input("nft", "-f -", &text));
        }
        drop(closed);
        thread::sleep(Duration::from_secs(1));
        let (before, standstills) = (resent(), resent_by_control());
        slow.take();
        let ran = vipd(&net, "n1", &["apply", "--force", "--no-pods", "--from", "-"], &apps);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        for table in ["ip", "ip6"] {
            let now = net.on("n1", &format!("nft list table {table} vipd"));
            let has = |chain: &str| now.contains(&format!("chain {chain} {{"));
            assert!(has("own-to-vip") && has("own-syn") && !has("refuse-own"), "{now}");
        }
        // A packet that is between two hooks meets neither the older rules nor the newer ones: nftables
        // replaces rules at once for each chain, not for each packet. That is one for each client and
        // family at most; rules that refuse too late would cost one each second.
        thread::sleep(Duration::from_secs(4));
        let standstills = resent_by_control() - standstills;
        let slow = slow.take();
        for ((client, before), after) in clients.iter().zip(before).zip(resent()) {
            let again = after - before;
            say(&format!(
                "upgrade: {client} sent {again} opening packets again, {CONTROL} {standstills}"
            ));
            assert!(
                again <= 2 + standstills,
                "{client}: {again}, {CONTROL}: {standstills}; {slow:#?}"
            );
        }
    }
    stop.store(true, Ordering::Relaxed);
    for (client, family, running) in running {
        let rounds = running.join().unwrap();
        assert!(rounds > 0, "{client} {family:?}");
        say(&format!("upgrade: {client} {family:?}: {rounds} rounds, nothing lost"));
    }
}
