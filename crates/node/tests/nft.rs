//! What [`Nft`] does to a real kernel, checked with `nft`.
//!
//! Needs root and nftables, which most machines' own kernels have: it takes no IPVS. Every test
//! works in a network namespace of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot read the kernel should stop")]

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use nl_ipvs::{Family, errno};
use node::{FailedSyn, Nft, ProbeAnswer, ProbeSockets};
use testkit::netns;
use vip::liveness::Refusal;
use vip::nft::{Element, Guard, LostSyns, Masquerade, NftSupport, Rules, TableState, Translation};
use vip::{Op, Protocol, Vip};

const WHOLE: Rules =
    Rules { nat: Some(Masquerade::Always), guard: Guard::On, lost_syns: LostSyns::Logged };
const FILTER: Rules = Rules { nat: None, lost_syns: LostSyns::Ignored, ..WHOLE };

/// A network namespace with nftables. Says so where there is none.
fn nft() -> Option<Nft> {
    if !nix::unistd::geteuid().is_root() {
        return lacking("root");
    }
    netns::enter_netns();
    let mut nft = Nft::open();
    let tables = nft.observe_tables().unwrap();
    match tables.describe_lacks().first() {
        Some(lacks) => lacking(lacks),
        None => Some(nft),
    }
}

/// Straight to standard error: what a test that passes prints is kept from people.
fn lacking<T>(what: &str) -> Option<T> {
    writeln!(std::io::stderr(), "not on this kernel: {what}").expect("standard error");
    None
}

fn list(args: &str) -> String {
    netns::run_tool("nft", args)
}

fn set(family: Family, rules: Rules) -> Op {
    Op::SetTable { family, before: TableState::Missing, rules }
}

fn guarded(address: &str) -> Element {
    Element::Guarded(address.parse().unwrap())
}

fn refused(address: &str, port: u16, protocol: Protocol) -> Element {
    let address: IpAddr = address.parse().unwrap();
    Element::Refused(Vip { address, port: NonZeroU16::new(port).unwrap(), protocol })
}

fn source(address: &str, server: &str, source: &str) -> Element {
    let [address, server, source] = [address, server, source].map(|text| text.parse().unwrap());
    Element::Source(Translation { address, server, source })
}

fn add(element: Element) -> Op {
    Op::AddElement { element }
}

fn delete(element: Element) -> Op {
    Op::DeleteElement { element }
}

/// What each operation is refused with, 0 if it isn't.
fn errnos(nft: &mut Nft, ops: &[Op]) -> Vec<i32> {
    let answers = nft.perform(&ops.iter().collect::<Vec<_>>());
    answers.into_iter().map(|answer| answer.map_or_else(|error| error.errno(), |()| 0)).collect()
}

#[track_caller]
fn done(nft: &mut Nft, ops: &[Op]) {
    assert_eq!(errnos(nft, ops), vec![0; ops.len()]);
}

fn state(nft: &mut Nft, family: Family) -> TableState {
    nft.observe_tables().unwrap().table(family).state
}

/// The table as nft makes it of its text.
fn written(family: Family, rules: Rules) -> String {
    let source = match rules.nat {
        Some(Masquerade::Always) => {
            "fib saddr type != local snat to ct original ip daddr . ip daddr map @sources
             fib saddr type != local masquerade;"
        }
        Some(Masquerade::Off) | None => "",
    };
    let nat = format!(
        "chain prerouting {{ type nat hook prerouting priority -101;
            ip daddr @vips dnat to ip daddr; }}
         chain own-to-vip {{
            ct direction original ip daddr . meta l4proto . th dport @empty jump refused
            dnat to ip daddr; }}
         chain output {{ type nat hook output priority -101; ip daddr @vips jump own-to-vip; }}
         chain source {{
            ip saddr @vips snat to ct original ip daddr . ip daddr map @sources
            ip saddr @vips masquerade
            {source}
         }}
         chain postrouting {{ type nat hook postrouting priority 99;
            ct original ip daddr @vips jump source; }}"
    );
    let refuse_own = "chain refuse-own {
            type filter hook output priority -102; ip daddr @vips jump new-to-vip; }";
    let guard = "chain not-taken {
            ip daddr . meta l4proto . th dport @open accept
            ct direction original jump refused; }
        chain guard { type filter hook input priority 150; ip daddr @vips jump not-taken; }";
    let logs = rules.lost_syns == LostSyns::Logged;
    let lost_syn = "chain lost-syn {
            ct status confirmed meta l4proto tcp tcp flags & (fin | syn | rst | ack) == syn \
                limit rate 100/second burst 100 packets log group 30313
            }
        chain own-syn { type filter hook output priority -99;
            ct state new ip daddr @vips jump lost-syn; }
        chain refusal { type filter hook prerouting priority -102;
            ct status dying ct direction reply meta l4proto tcp \
                tcp flags & (fin | syn | rst | ack) == rst | ack \
                ct original ip daddr @vips fib saddr . iif oif exists \
                update @refusing { ip saddr . th sport limit rate 5/second burst 50 packets } \
                limit rate 100/second burst 100 packets log prefix \"refused\" group 30313
            }";
    let text = [
        "table ip vipd {
            set vips { type ipv4_addr; }
            set empty { type ipv4_addr . inet_proto . inet_service; }
            set open { type ipv4_addr . inet_proto . inet_service; }
            map sources { type ipv4_addr . ipv4_addr : ipv4_addr; }
            set refusing { type ipv4_addr . inet_service; size 4096; flags dynamic, timeout; timeout 1m; }
            chain refused {
                meta l4proto tcp reject with tcp reset
                meta l4proto udp reject; }
            chain new-to-vip {
                ct state new ip daddr . meta l4proto . th dport @empty jump refused",
        if logs { "ct state new jump lost-syn; }" } else { "}" },
        if logs { lost_syn } else { "" },
        "chain refuse { type filter hook input priority 97; ip daddr @vips jump new-to-vip; }",
        if rules.nat.is_some() { &nat } else { refuse_own },
        if rules.guard == Guard::On { guard } else { "" },
        "}",
    ];
    of_family(family, &text.join("\n"))
}

/// A table's text, from IPv4 to a family.
fn of_family(family: Family, text: &str) -> String {
    match family {
        Family::Inet => text.to_owned(),
        Family::Inet6 => text
            .replace("table ip ", "table ip6 ")
            .replace("ipv4_addr", "ipv6_addr")
            .replace("ip daddr", "ip6 daddr")
            .replace("ip saddr", "ip6 saddr"),
    }
}

/// What nft lists, without the order of chains: it is that of their making.
fn listed(family: Family) -> BTreeSet<String> {
    let name = vip::nft::family_name(family);
    let text = list(&format!("list table {name} vipd"));
    let end = |c: char| c.is_whitespace() || c == '}';
    text.split("\n\n").map(|part| part.trim_end_matches(end).trim().to_owned()).collect()
}

#[test]
fn every_table_is_the_one_that_nft_makes_of_its_text() {
    let Some(mut nft) = nft() else { return };
    for family in [Family::Inet, Family::Inet6] {
        for rules in Rules::ALL {
            done(&mut nft, &[set(family, rules)]);
            assert_eq!(state(&mut nft, family), TableState::Whole(rules), "{rules}");
            let ours = listed(family);
            list("flush ruleset");
            assert_eq!(state(&mut nft, family), TableState::Missing, "{rules}");
            netns::run_tool_with_input("nft", "-f -", &written(family, rules));
            assert_eq!(ours, listed(family), "{rules}");
            // What nft made is recognised too: it says more than we do, and means the same.
            assert_eq!(state(&mut nft, family), TableState::Whole(rules), "{rules}");
        }
    }
}

#[test]
fn a_table_that_somebody_changed_is_seen_and_put_right_without_losing_an_element() {
    let Some(mut nft) = nft() else { return };
    let kept = [
        guarded("3.3.0.6"),
        guarded("3.3.0.7"),
        refused("3.3.0.6", 80, Protocol::Tcp),
        refused("3.3.0.7", 53, Protocol::Udp),
        source("3.3.0.6", "10.0.0.7", "10.0.0.9"),
    ];
    done(&mut nft, &[set(Family::Inet, WHOLE)]);
    done(&mut nft, &kept.map(add));
    let whole = listed(Family::Inet);
    for damage in [
        "add rule ip vipd guard counter",
        "insert rule ip vipd output accept",
        "flush chain ip vipd guard",
        "flush chain ip vipd refused",
        "flush chain ip vipd own-to-vip",
        "flush chain ip vipd new-to-vip",
        "flush chain ip vipd lost-syn",
        "flush chain ip vipd own-syn",
        "delete chain ip vipd refuse",
        "flush chain ip vipd prerouting",
        "delete chain ip vipd postrouting",
        "add chain ip vipd other",
        "add set ip vipd other { type ipv4_addr; }",
        "add map ip vipd other { type ipv4_addr : ipv4_addr; }",
        "add chain ip vipd guard { policy drop; }",
        "add table ip vipd { flags dormant; }",
    ] {
        // One command must not be split at its spaces only: nft reads it from its input.
        netns::run_tool_with_input("nft", "-f -", damage);
        assert_eq!(state(&mut nft, Family::Inet), TableState::Damaged, "{damage}");
        done(&mut nft, &[set(Family::Inet, WHOLE)]);
        assert_eq!(state(&mut nft, Family::Inet), TableState::Whole(WHOLE), "{damage}");
        assert_eq!(listed(Family::Inet), whole, "{damage}");
    }
    let elements: BTreeSet<_> = nft.observe_tables().unwrap().elements().collect();
    assert_eq!(elements, BTreeSet::from(kept));
}

#[test]
fn a_source_is_replaced_in_one_transaction() {
    let Some(mut nft) = nft() else { return };
    for (vip, server, first, second) in [
        ("3.3.0.6", "10.0.0.7", "10.0.0.9", "10.0.0.10"),
        ("fd03::6", "fd10::7", "fd10::9", "fd10::a"),
    ] {
        let (first, second) = (source(vip, server, first), source(vip, server, second));
        done(&mut nft, &[set(first.family(), WHOLE), add(first)]);
        assert_eq!(errnos(&mut nft, &[add(second)]), [errno::EEXIST]);
        done(&mut nft, &[delete(first), add(second)]);
        let held: Vec<_> = nft.observe_tables().unwrap().table(first.family()).elements().collect();
        assert_eq!(held, [second]);
        done(&mut nft, &[delete(second)]);
    }
}

#[test]
fn the_tables_of_others_are_never_touched() {
    let Some(mut nft) = nft() else { return };
    let others = "
        table ip nat {
            chain DOCKER {
                type nat hook prerouting priority -100
                tcp dport 3306 dnat to 172.17.0.2:3306
            }
        }
        table inet vipd {
            chain x { type filter hook input priority 0; policy accept; }
        }
        table ip other {
            set vips { type ipv4_addr; elements = { 3.3.0.9 }; }
            chain guard { counter; }
        }
        table bridge vipd {
            chain x { }
        }\n";
    netns::run_tool_with_input("nft", "-f -", others);
    let before = list("list ruleset");
    assert_eq!(nft.observe_tables().unwrap().elements().count(), 0);
    for family in [Family::Inet, Family::Inet6] {
        done(&mut nft, &[set(family, WHOLE)]);
    }
    done(&mut nft, &[add(guarded("3.3.0.6")), add(guarded("fd01::6"))]);
    for family in [Family::Inet, Family::Inet6] {
        done(&mut nft, &[Op::DeleteTable { family }]);
    }
    assert_eq!(list("list ruleset"), before);
}

#[test]
fn trying_what_the_kernel_can_do_changes_nothing() {
    let Some(mut nft) = nft() else { return };
    assert_eq!(list("list ruleset"), "");
    let tables = nft.observe_tables().unwrap();
    assert_eq!((tables.v4.support, tables.v6.support), (NftSupport::Nat, NftSupport::Nat));
    // One that somebody damaged is tried beside what is there.
    netns::run_tool_with_input("nft", "-f -", "table ip vipd {\nchain x { counter; }\n}\n");
    let before = list("list ruleset");
    assert_eq!(Nft::open().observe_tables().unwrap().v4.support, NftSupport::Nat);
    assert_eq!(list("list ruleset"), before);
}

#[test]
fn elements_are_answered_each_for_itself() {
    let Some(mut nft) = nft() else { return };
    let (one, two) = (guarded("3.3.0.6"), guarded("3.3.0.7"));
    assert_eq!(errnos(&mut nft, &[add(one)]), [errno::ENOENT], "there is no table");
    assert_eq!(errnos(&mut nft, &[Op::DeleteTable { family: Family::Inet }]), [errno::ENOENT]);
    done(&mut nft, &[set(Family::Inet, WHOLE), add(one)]);
    let mixed = [add(one), add(two), delete(guarded("3.3.0.8")), delete(one), delete(one)];
    let expected = [errno::EEXIST, 0, errno::ENOENT, 0, errno::ENOENT];
    assert_eq!(errnos(&mut nft, &mixed), expected);
    assert_eq!(nft.observe_tables().unwrap().elements().collect::<Vec<_>>(), [two]);
}

#[test]
fn elements_of_both_sets_and_families_are_what_nft_lists() {
    let Some(mut nft) = nft() else { return };
    for family in [Family::Inet, Family::Inet6] {
        done(&mut nft, &[set(family, WHOLE)]);
    }
    let elements = [
        guarded("3.3.0.6"),
        refused("3.3.0.6", 3306, Protocol::Tcp),
        guarded("fd01::6"),
        refused("fd01::6", 53, Protocol::Udp),
    ];
    done(&mut nft, &elements.map(add));
    let shown = list("-nn list ruleset");
    for part in [
        "elements = { 3.3.0.6 }",
        "elements = { 3.3.0.6 . 6 . 3306 }",
        "elements = { fd01::6 }",
        "elements = { fd01::6 . 17 . 53 }",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let read: BTreeSet<_> = nft.observe_tables().unwrap().elements().collect();
    assert_eq!(read, BTreeSet::from(elements));
    done(&mut nft, &elements.map(delete));
    assert_eq!(nft.observe_tables().unwrap().elements().count(), 0);
}

#[test]
fn ten_thousand_addresses_are_guarded_and_survive_a_rebuild() {
    let Some(mut nft) = nft() else { return };
    done(&mut nft, &[set(Family::Inet6, WHOLE)]);
    let elements: Vec<_> = (0..10_000)
        .flat_map(|number| {
            let address = format!("fd01::{number:x}");
            [guarded(&address), refused(&address, 80, Protocol::Tcp)]
        })
        .collect();
    let ops: Vec<_> = elements.iter().copied().map(add).collect();
    done(&mut nft, &ops);
    netns::run_tool("nft", "add rule ip6 vipd guard counter");
    done(&mut nft, &[set(Family::Inet6, WHOLE)]);
    let tables = nft.observe_tables().unwrap();
    assert_eq!(tables.v6.state, TableState::Whole(WHOLE));
    assert_eq!(tables.elements().count(), elements.len());
}

/// Binds a port that a listener of before had. A program that another test starts holds that one too, for the
/// moment between its fork and its exec.
fn bind_again(at: &str) -> TcpListener {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpListener::bind(at) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            bound => return bound.unwrap(),
        }
    }
}

/// With packets, but without IPVS, which only takes what these rules leave to it.
#[test]
fn new_clients_are_refused_and_open_connections_go_on() {
    let Some(mut nft) = nft() else { return };
    let families = [Family::Inet, Family::Inet6];
    let each = families.into_iter().flat_map(|family| [(family, WHOLE), (family, FILTER)]);
    for (family, guarding) in each {
        let unguarded = Rules { guard: Guard::Off, ..guarding };
        let (vip, listen) = match family {
            Family::Inet => ("3.3.0.6", "0.0.0.0:80"),
            Family::Inet6 => ("fd01::6", "[::]:80"),
        };
        netns::run_tool("ip", &format!("addr replace {vip} dev lo"));
        let at = SocketAddr::new(vip.parse().unwrap(), 80);
        let listener = bind_again(listen);
        let refusal = || TcpStream::connect(at).map(drop).map_err(|error| error.kind());
        done(&mut nft, &[set(family, unguarded), add(guarded(vip))]);
        let mut client = TcpStream::connect(at).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        assert_eq!(refusal(), Ok(()), "{family:?}, {guarding}");
        let empty = refused(vip, 80, Protocol::Tcp);
        done(&mut nft, &[add(empty)]);
        assert_eq!(refusal(), Err(ErrorKind::ConnectionRefused), "{family:?}, {guarding}");
        let mut byte = [0];
        client.write_all(b"x").unwrap();
        server.read_exact(&mut byte).unwrap();
        server.write_all(b"x").unwrap();
        client.read_exact(&mut byte).unwrap();
        done(&mut nft, &[delete(empty)]);
        assert_eq!(refusal(), Ok(()), "{family:?}, {guarding}");
        // What IPVS doesn't take.
        done(&mut nft, &[set(family, guarding)]);
        assert_eq!(refusal(), Err(ErrorKind::ConnectionRefused), "{family:?}, {guarding}");
        client.write_all(b"x").unwrap();
        let reset = client.read(&mut byte).map_err(|error| error.kind());
        assert_eq!(reset, Err(ErrorKind::ConnectionReset), "{family:?}, {guarding}");
        done(&mut nft, &[Op::DeleteTable { family }]);
    }
}

#[test]
fn a_syn_that_is_sent_again_is_logged_with_the_real_server() {
    let Some(mut nft) = nft() else { return };
    let mut sockets = ProbeSockets::open().unwrap();
    if let Some(why) = sockets.log_obstacle() {
        return lacking(&why).unwrap_or_default();
    }
    let second = ProbeSockets::open().unwrap().log_obstacle();
    assert!(second.is_some_and(|why| why.contains("the group 30313")), "two have one group");
    // A real server without power. Another program's rule stands for IPVS, so that the rules meet its
    // address instead of the VIP's.
    for line in [
        "link add out type dummy",
        "link set out up",
        "address add 10.0.0.1/24 dev out",
        "route add 3.3.0.0/16 dev out",
        "neighbour add 10.0.0.7 lladdr 02:00:00:00:00:07 dev out nud permanent",
    ] {
        netns::run_tool("ip", line);
    }
    done(&mut nft, &[set(Family::Inet, WHOLE)]);
    done(&mut nft, &[add(guarded("10.0.0.7"))]);
    let ipvs = "table ip other { chain output {
        type nat hook output priority -110; ip daddr 3.3.0.6 dnat to 10.0.0.7:8080; }; }";
    netns::run_tool_with_input("nft", "-f -", ipvs);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let vip = SocketAddr::from(([3, 3, 0, 6], 80));
    let begun = socket.connect(&vip.into()).map_err(|error| error.raw_os_error());
    assert_eq!(begun, Err(Some(nix::libc::EINPROGRESS)));
    let client = socket.local_addr().unwrap().as_socket().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    let heard = loop {
        assert!(Instant::now() < end, "nothing is logged");
        sockets.wait(Duration::from_secs(1));
        if let Some(first) = sockets.receive().first() {
            break *first;
        }
    };
    let server = SocketAddr::from(([10, 0, 0, 7], 8080));
    assert_eq!(heard, ProbeAnswer::FailedSyn(FailedSyn::Lost { client, server }));
}

/// A VIP whose real server is this node: it refuses clients of a port at which nobody listens.
fn refusing_vip() -> Option<(Nft, ProbeSockets)> {
    let mut nft = nft()?;
    let sockets = ProbeSockets::open().unwrap();
    if let Some(why) = sockets.log_obstacle() {
        return lacking(&why);
    }
    // Another program's rule stands for IPVS.
    for line in ["address add 10.0.0.7/24 dev lo", "route add local 3.3.0.6 dev lo src 10.0.0.7"] {
        netns::run_tool("ip", line);
    }
    done(&mut nft, &[set(Family::Inet, WHOLE)]);
    done(&mut nft, &[add(guarded("3.3.0.6"))]);
    let ipvs = "table ip other { chain output {
        type nat hook output priority -110; ip daddr 3.3.0.6 dnat to 10.0.0.7; }; }";
    netns::run_tool_with_input("nft", "-f -", ipvs);
    Some((nft, sockets))
}

fn is_refused(at: &str) -> bool {
    TcpStream::connect(at).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn a_refused_syn_is_logged_with_the_real_server_and_no_other_reset_is() {
    let Some((_nft, mut sockets)) = refusing_vip() else { return };
    let listener = TcpListener::bind("10.0.0.7:80").unwrap();
    // A connection that is reset once it is open, and a closed port that is no VIP's.
    let client = TcpStream::connect("3.3.0.6:80").unwrap();
    let (server, _) = listener.accept().unwrap();
    socket2::SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
    drop(server);
    assert!((&client).read(&mut [0]).is_err(), "it is reset");
    assert!(is_refused("10.0.0.7:8080"));
    assert!(is_refused("3.3.0.6:8080"));
    let server = SocketAddr::from(([10, 0, 0, 7], 8080));
    let refusal = Refusal { server, client: Some([10, 0, 0, 7].into()) };
    let end = Instant::now() + Duration::from_secs(20);
    let mut heard = Vec::new();
    while heard.is_empty() {
        assert!(Instant::now() < end, "nothing is logged");
        sockets.wait(Duration::from_secs(1));
        heard = sockets.receive();
    }
    assert_eq!(heard, [ProbeAnswer::FailedSyn(FailedSyn::Refused(refusal))]);
}

#[test]
fn a_real_server_that_refuses_all_the_time_hides_no_other() {
    let Some((mut nft, mut sockets)) = refusing_vip() else { return };
    let mut quiet: BTreeSet<u16> = (9001..=9005).collect();
    for port in &quiet {
        assert!((0..200).all(|_| is_refused("3.3.0.6:8080")));
        assert!(is_refused(&format!("3.3.0.6:{port}")));
    }
    let end = Instant::now() + Duration::from_secs(20);
    let mut noisy = 0;
    while !quiet.is_empty() {
        assert!(Instant::now() < end, "{quiet:?} are hidden");
        sockets.wait(Duration::from_secs(1));
        for answer in sockets.receive() {
            let ProbeAnswer::FailedSyn(FailedSyn::Refused(refusal)) = answer else { continue };
            noisy += usize::from(refusal.server.port() == 8080);
            quiet.remove(&refusal.server.port());
        }
    }
    // 5 a second after the first 50, however slow the machine is.
    assert!((50..500).contains(&noisy), "{noisy} of 1000 are logged");
    // What rules have put into a set is no damage, and nothing that a new table keeps.
    assert_eq!(state(&mut nft, Family::Inet), TableState::Whole(WHOLE));
    done(&mut nft, &[set(Family::Inet, WHOLE)]);
    let held: Vec<_> = nft.observe_tables().unwrap().elements().collect();
    assert_eq!(held, [guarded("3.3.0.6")]);
}
