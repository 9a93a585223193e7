//! What [`Nft`] does to a real kernel, checked with `nft`.
//!
//! Needs root and nftables, which most machines' own kernels have: it takes no IPVS. Every test
//! works in a network namespace of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot read the kernel should stop")]

use std::collections::BTreeSet;
use std::io::Write;
use std::net::IpAddr;
use std::num::NonZeroU16;

use nl_ipvs::{Family, errno};
use node::Nft;
use testkit::netns;
use vip::nft::{Element, Guard, Masquerade, NftSupport, Rules, TableState};
use vip::{Op, Protocol, Vip};

const WHOLE: Rules = Rules { nat: Some(Masquerade::Always), guard: Guard::On };

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
    let nat = match rules.nat {
        None => "",
        Some(_) => {
            "chain prerouting { type nat hook prerouting priority -101; ip daddr @vips dnat to ip daddr; }
             chain output { type nat hook output priority -101; ip daddr @vips dnat to ip daddr; }"
        }
    };
    let refuse = "ct state new ip daddr . meta l4proto . th dport @empty meta l4proto tcp reject with tcp reset
        ct state new ip daddr . meta l4proto . th dport @empty reject;";
    let refuse = format!(
        "chain refuse {{ type filter hook input priority 97; {refuse} }}
         chain refuse-own {{ type filter hook output priority -102; {refuse} }}"
    );
    let guard = match rules.guard {
        Guard::Off => "",
        Guard::On => {
            "chain guard { type filter hook input priority 150;
             ip daddr . meta l4proto . th dport @open accept
             ct direction original ip daddr @vips meta l4proto tcp reject with tcp reset
             ct direction original ip daddr @vips meta l4proto udp reject; }"
        }
    };
    let postrouting = match rules.nat {
        None => "",
        Some(Masquerade::Off) => {
            "chain postrouting { type nat hook postrouting priority 99;
             ct original ip daddr @vips ip saddr @vips masquerade; }"
        }
        Some(Masquerade::Always) => {
            "chain postrouting { type nat hook postrouting priority 99;
             ct original ip daddr @vips ip saddr @vips masquerade
             ct original ip daddr @vips fib saddr type != local masquerade; }"
        }
    };
    let sets = "set vips { type ipv4_addr; }
        set empty { type ipv4_addr . inet_proto . inet_service; }
        set open { type ipv4_addr . inet_proto . inet_service; }";
    let text = format!("table ip vipd {{ {sets}\n{nat}\n{refuse}\n{guard}\n{postrouting}\n}}\n");
    match family {
        Family::Inet => text,
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
            assert_eq!(state(&mut nft, family), TableState::Whole(rules));
            let ours = listed(family);
            list("flush ruleset");
            assert_eq!(state(&mut nft, family), TableState::Missing);
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
    ];
    done(&mut nft, &[set(Family::Inet, WHOLE)]);
    done(&mut nft, &kept.map(add));
    let whole = listed(Family::Inet);
    for damage in [
        "add rule ip vipd guard counter",
        "insert rule ip vipd output accept",
        "flush chain ip vipd guard",
        "flush chain ip vipd refuse",
        "flush chain ip vipd refuse-own",
        "delete chain ip vipd postrouting",
        "add chain ip vipd other",
        "add set ip vipd other { type ipv4_addr; }",
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
