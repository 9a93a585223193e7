//! What [`Nft`] sees of a node's own firewall and does to it, checked with `nft` and `iptables`.
//!
//! Needs root and nftables, which most machines' own kernels have. Every test works in a network
//! namespace of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot read the kernel should stop")]

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use ipnet::IpNet;
use nl_ipvs::errno;
use node::{Monitor, Nft};
use testkit::netns;
use vip::firewall::{Backend, ChainPlace, Families, Fate, Hook, OwnRules};
use vip::{Firewall, Op};

/// A network namespace with nftables. Says so where there is none.
fn nft() -> Option<Nft> {
    if !nix::unistd::geteuid().is_root() {
        return lacking("root");
    }
    netns::enter_netns();
    match netns::try_run_tool("nft", "list ruleset") {
        Ok(_) => Some(Nft::open()),
        Err(why) => lacking(&why.to_string()),
    }
}

/// The same with iptables-nft.
fn iptables() -> Option<Nft> {
    let nft = nft()?;
    // What an extension lacks shows when one is used.
    let tried = netns::try_run_tool("iptables-nft", "-A INPUT -m conntrack --ctorigdst 9.9.9.9");
    tried
        .map(|_| netns::run_tool("nft", "flush ruleset"))
        .or_else(|why| lacking(&why.to_string()).ok_or(()))
        .ok()?;
    Some(nft)
}

/// Straight to standard error: what a test that passes prints is kept from people.
fn lacking<T>(what: &str) -> Option<T> {
    writeln!(std::io::stderr(), "not on this kernel: {what}").expect("standard error");
    None
}

/// nft wants each end of a block on a line of its own.
fn load(text: &str) {
    netns::run_tool_with_input("nft", "-f -", &format!("{}\n", text.replace("; }", ";\n}\n")));
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn place(families: Families, table: &str, chain: &str) -> ChainPlace {
    ChainPlace { backend: Backend::Nftables, families, table: table.into(), chain: chain.into() }
}

/// The fate of VIPs in each chain, as `inet f in: Dropped`.
fn fates(firewall: &Firewall, prefix: &str) -> Vec<String> {
    let prefix = net(prefix);
    let seen = firewall.base_chains().filter(|(place, _)| place.families.covers_prefix(&prefix));
    seen.map(|(place, _)| {
        format!("{place}: {:?}", firewall.chain_fate(place, &prefix, OwnRules::All))
    })
    .collect()
}

#[test]
fn rules_of_nft_are_understood() {
    let Some(mut nft) = nft() else { return };
    for (rules, v4, v6) in [
        ("policy drop;", Fate::Dropped, Fate::Dropped),
        ("policy accept;", Fate::Passes, Fate::Passes),
        ("policy drop; ct state established,related accept", Fate::Dropped, Fate::Dropped),
        ("policy drop; ct state { established, new } accept", Fate::Passes, Fate::Passes),
        ("policy drop; ip daddr 3.0.0.0/8 accept", Fate::Passes, Fate::Dropped),
        ("policy drop; ip daddr 3.3.0.6 accept", Fate::Depends, Fate::Dropped),
        ("policy drop; ip daddr 3.0.0.0/7 counter accept", Fate::Passes, Fate::Dropped),
        ("policy drop; ip daddr 3.128.0.0/9 accept", Fate::Depends, Fate::Dropped),
        ("policy drop; ip daddr 4.0.0.0/8 accept", Fate::Dropped, Fate::Dropped),
        ("policy drop; ip daddr != 4.0.0.0/8 accept", Fate::Depends, Fate::Dropped),
        ("policy drop; ip6 daddr fd03::/16 accept", Fate::Dropped, Fate::Passes),
        ("policy drop; ct original ip daddr 3.0.0.0/8 accept", Fate::Passes, Fate::Dropped),
        ("policy drop; ct original ip6 daddr fd03::/16 accept", Fate::Dropped, Fate::Passes),
        ("policy drop; meta nfproto ipv4 accept", Fate::Passes, Fate::Dropped),
        ("policy drop; ip daddr 3.0.0.0/8 tcp dport 80 accept", Fate::Depends, Fate::Dropped),
        ("policy drop; tcp dport vmap { 22 : accept }", Fate::Depends, Fate::Depends),
        (
            "policy accept; iif lo accept; reject with icmpx admin-prohibited",
            Fate::Depends,
            Fate::Depends,
        ),
        ("policy accept; ct state established accept; drop", Fate::Dropped, Fate::Dropped),
        ("policy accept; jump sub", Fate::Passes, Fate::Dropped),
    ] {
        load("flush ruleset");
        load(&format!(
            "table inet f {{ chain sub {{ ip saddr 9.9.9.9 drop; ip6 version 6 drop; meta nfproto ipv6 drop; }}
             chain in {{ type filter hook input priority 0; {rules}; }} }}"
        ));
        let firewall = nft.observe_firewall();
        assert!(firewall.unread.is_empty(), "{:?}", firewall.unread);
        let line = |fate: Fate| [format!("inet f in: {fate:?}")];
        assert_eq!(fates(&firewall, "3.0.0.0/8"), line(v4), "{rules}");
        assert_eq!(fates(&firewall, "fd03::/16"), line(v6), "{rules}");
    }
}

#[test]
fn rules_of_iptables_are_understood() {
    let Some(mut nft) = iptables() else { return };
    netns::run_tool("iptables-nft", "-P INPUT DROP");
    netns::run_tool(
        "iptables-nft",
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    );
    netns::run_tool("iptables-nft", "-P FORWARD DROP");
    netns::run_tool("iptables-nft", "-N DOCKER");
    netns::run_tool("iptables-nft", "-A FORWARD -j DOCKER");
    netns::run_tool(
        "iptables-nft",
        "-A FORWARD -o docker0 -m conntrack --ctstate ESTABLISHED -j ACCEPT",
    );
    netns::run_tool("ip6tables-nft", "-A FORWARD -j REJECT");
    assert_eq!(
        fates(&nft.observe_firewall(), "3.0.0.0/8"),
        ["ip filter FORWARD: Depends", "ip filter INPUT: Dropped"]
    );
    assert_eq!(fates(&nft.observe_firewall(), "fd03::/16"), ["ip6 filter FORWARD: Dropped"]);
    netns::run_tool("iptables-nft", "-I FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT");
    netns::run_tool("iptables-nft", "-A INPUT -d 3.0.0.0/8 -m comment --comment x -j ACCEPT");
    assert_eq!(
        fates(&nft.observe_firewall(), "3.0.0.0/8"),
        ["ip filter FORWARD: Passes", "ip filter INPUT: Passes"]
    );
}

/// Does it in each chain that wants it, and looks again.
fn let_in(nft: &mut Nft, prefixes: &[IpNet]) {
    let firewall = nft.observe_firewall();
    for (place, prefix) in firewall.wanted_rules(prefixes).difference(&firewall.rules_in_place()) {
        let hook = firewall.chains[place].base.unwrap().hook;
        nft.perform(&[&Op::InsertRule { place: place.clone(), hook, prefix: *prefix }])
            .remove(0)
            .unwrap();
    }
    let firewall = nft.observe_firewall();
    assert_eq!(firewall.find_drops(prefixes), []);
    assert_eq!(firewall.rules_in_place(), firewall.wanted_rules(prefixes));
}

#[test]
fn a_rule_is_the_one_that_nft_makes_of_the_line_that_is_printed() {
    let Some(mut nft) = nft() else { return };
    let table = "table inet f { chain in { type filter hook input priority 0; policy drop; }
        chain onward { type filter hook forward priority 0; policy drop; ip ttl 1 drop; } }";
    let prefixes = [net("3.0.0.0/8"), net("fd03::/16"), net("3.3.0.6/32"), net("3.0.0.0/9")];
    load(table);
    let before = netns::run_tool("nft", "list ruleset");
    let findings = nft.observe_firewall().find_drops(&prefixes);
    for finding in &findings {
        for line in vip::firewall::remedy_commands(&nft.observe_firewall(), finding) {
            netns::run_tool("nft", line.strip_prefix("nft ").unwrap());
        }
    }
    assert_eq!(nft.observe_firewall().find_drops(&prefixes), [], "the lines cure it");
    assert_eq!(nft.observe_firewall().wanted_rules(&prefixes), [].into());
    let by_hand: BTreeSet<_> =
        netns::run_tool("nft", "list ruleset").lines().map(str::to_owned).collect();
    load("flush ruleset");
    load(table);
    let_in(&mut nft, &prefixes);
    let by_vipd = netns::run_tool("nft", "list ruleset");
    for prefix in prefixes {
        assert!(by_vipd.contains(&format!("comment \"vipd:{prefix}\"")), "{by_vipd}");
    }
    let without_comment = |line: &str| line.split(" comment ").next().unwrap().to_owned();
    let by_vipd: BTreeSet<_> = by_vipd.lines().map(without_comment).collect();
    // nft leaves the length of a host's prefix out.
    assert_eq!(by_vipd, by_hand);
    for (place, prefix) in nft.observe_firewall().marked_rules() {
        let delete = Op::DeleteRule { place, prefix };
        nft.perform(&[&delete]).remove(0).unwrap();
        assert_eq!(nft.perform(&[&delete]).remove(0).unwrap_err().errno(), errno::ENOENT);
    }
    assert_eq!(netns::run_tool("nft", "list ruleset"), before, "nothing else was touched");
}

#[test]
fn a_rule_that_somebody_removed_changed_or_doubled_is_made_anew() {
    let Some(mut nft) = nft() else { return };
    load(
        "table ip t { chain in { type filter hook input priority 0; policy drop; tcp dport 22 accept; } }",
    );
    let prefix = [net("3.0.0.0/8")];
    let_in(&mut nft, &prefix);
    let right = netns::run_tool("nft", "list ruleset");
    for damage in [
        "flush chain ip t in\nadd rule ip t in tcp dport 22 accept",
        "insert rule ip t in ct original ip daddr 3.0.0.0/8 accept comment \"vipd:3.0.0.0/8\"",
        "add rule ip t in accept comment \"vipd:3.0.0.0/8\"",
    ] {
        load(damage);
        assert_eq!(nft.observe_firewall().rules_in_place(), [].into(), "{damage}");
        let_in(&mut nft, &prefix);
        assert_eq!(netns::run_tool("nft", "list ruleset"), right, "{damage}");
    }
}

#[test]
fn iptables_can_still_read_and_change_its_tables() {
    let Some(mut nft) = iptables() else { return };
    for (tool, prefix) in [("iptables-nft", "3.0.0.0/8"), ("ip6tables-nft", "fd03::/16")] {
        for chain in ["INPUT", "FORWARD", "OUTPUT"] {
            netns::run_tool(tool, &format!("-P {chain} DROP"));
        }
        netns::run_tool(tool, "-A FORWARD -i docker0 -j ACCEPT");
        let before = netns::run_tool(tool, "-S");
        let_in(&mut nft, &[net(prefix)]);
        let shown = netns::run_tool(tool, "-S");
        for line in [
            format!(
                "-A INPUT -m conntrack --ctorigdst {prefix} -m comment --comment \"vipd:{prefix}\" -j ACCEPT"
            ),
            format!(
                "-A OUTPUT -m conntrack --ctorigdst {prefix} -m comment --comment \"vipd:{prefix}\" -j ACCEPT"
            ),
            format!(
                "-A FORWARD -m conntrack --ctorigdst {prefix} --ctdir REPLY -m comment --comment \"vipd:{prefix}\" -j ACCEPT"
            ),
        ] {
            let unquoted = line.replace('"', "");
            assert!(shown.contains(&line) || shown.contains(&unquoted), "{line} in {shown}");
        }
        // As Docker does at every start.
        netns::run_tool(tool, "-I FORWARD -o docker0 -j ACCEPT");
        netns::run_tool(tool, "-D FORWARD -o docker0 -j ACCEPT");
        netns::run_tool(tool, "-C FORWARD -i docker0 -j ACCEPT");
        let saved = netns::run_tool(&format!("{tool}-save"), "-t filter");
        assert!(saved.contains("vipd:"), "{saved}");
        // The line that is printed does the same.
        for (place, prefix) in nft.observe_firewall().marked_rules() {
            nft.perform(&[&Op::DeleteRule { place, prefix }]).remove(0).unwrap();
        }
        assert_eq!(netns::run_tool(tool, "-S"), before);
        let firewall = nft.observe_firewall();
        for finding in firewall.find_drops(&[net(prefix)]) {
            for line in vip::firewall::remedy_commands(&firewall, &finding) {
                let (_, args) = line.split_once(' ').unwrap();
                netns::run_tool(tool, args);
            }
        }
        assert_eq!(nft.observe_firewall().find_drops(&[net(prefix)]), []);
        netns::run_tool(tool, "-F");
        for chain in ["INPUT", "FORWARD", "OUTPUT"] {
            netns::run_tool(tool, &format!("-P {chain} ACCEPT"));
        }
    }
}

#[test]
fn what_takes_a_rule_out_and_a_chain_at_a_hook_are_heard() {
    let Some(mut nft) = nft() else { return };
    let table = "table ip t { chain in { type filter hook input priority 0; policy drop; }
        chain more { ip ttl 1 drop; } }";
    load(table);
    let_in(&mut nft, &[net("3.0.0.0/8")]);
    let mut monitor = Monitor::open("vipd0").unwrap();
    let mut heard = || monitor.wait_for_change(Duration::from_millis(500)).unwrap();
    assert!(!heard());
    load("add rule ip t more ip ttl 2 drop\nadd chain ip t other\nflush chain ip t more");
    assert!(!heard(), "no packet comes to these first, and no rule is ours");
    for change in [
        "add chain ip t in { policy accept; }",
        "add chain ip t onward { type filter hook forward priority 0; policy accept; }",
        "flush chain ip t in",
        "delete table ip t",
    ] {
        load(change);
        assert!(heard(), "{change}");
        load(
            "add table ip t\nadd chain ip t in { type filter hook input priority 0; policy drop; }",
        );
        let_in(&mut nft, &[net("3.0.0.0/8")]);
        while heard() {}
    }
}

#[test]
fn a_chain_that_is_gone_takes_no_rule() {
    let Some(mut nft) = nft() else { return };
    let (place, prefix) = (place(Families::Both, "f", "in"), net("3.0.0.0/8"));
    let insert = Op::InsertRule { place, hook: Hook::Input, prefix };
    assert_eq!(nft.perform(&[&insert]).remove(0).unwrap_err().errno(), errno::ENOENT);
}

#[test]
fn vipds_own_tables_and_chains_elsewhere_are_no_firewall() {
    let Some(mut nft) = nft() else { return };
    load(
        "table ip vipd { chain guard { type filter hook input priority 150; drop; } }
        table ip n { chain pre { type filter hook prerouting priority 0; policy drop; } }
        table arp a { chain in { type filter hook input priority 0; policy drop; } }",
    );
    assert_eq!(nft.observe_firewall().base_chains().count(), 0);
}
