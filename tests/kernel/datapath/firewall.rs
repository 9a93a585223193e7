//! A firewall on the node that drops by default, before IPVS and after it.

use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::agent::{BELIEVING, marathon, start_with};
use super::cells::{Network, Server};
use super::docker::Firewall;
use super::marathon::app_at;
use super::promise::Mode;
use super::say;
use super::serve::ask;
use super::topology::{Family, Net};
use super::world::{FAMILIES, PROTOCOLS, apply, mode, network, vipd};
use crate::cluster::eventually;
use crate::support::Ran;

/// The `[vip] allow` of n1.
const ALLOW: [&str; 2] = ["--vip-allow", "3.0.0.0/8,fd03::/16"];

/// Time without an answer that counts as dropped, since nothing is rejected.
const SILENCE: Duration = Duration::from_secs(2);

fn vip(family: Family) -> &'static str {
    match family {
        Family::V4 => "3.3.4.1",
        Family::V6 => "[fd03::4:1]",
    }
}

/// VIPs with real servers on another node at port 80, and in a container of n1 at port 81.
fn apps() -> Value {
    let elsewhere = Server { namespace: "n2", network: Network::Host };
    let here = Server { namespace: "n1t", network: Network::Container };
    let apps = PROTOCOLS.into_iter().flat_map(|protocol| {
        FAMILIES.into_iter().flat_map(move |family| {
            [(80, elsewhere), (81, here)].map(|(port, server)| {
                app_at(&format!("{}:{port}", vip(family)), server, protocol, family)
            })
        })
    });
    json!({"apps": apps.collect::<Vec<_>>()})
}

/// Clients and their family: on n1, in a bridged and a routed container of it, and on a host that
/// routes via it.
fn clients(mode: Mode) -> Vec<(&'static str, Family)> {
    match mode {
        Mode::Full => ["n1", "n1b", "n1r", "n4"]
            .into_iter()
            .flat_map(|client| FAMILIES.map(|family| (client, family)))
            .collect(),
        Mode::Reduced => vec![("n1", Family::V4), ("n1b", Family::V4)],
    }
}

/// Clients without an answer, each with the address it asked. All ask at once, since a timeout takes
/// long.
fn unanswered(net: &Net, mode: Mode) -> Vec<String> {
    let asking = |(client, family): (&'static str, Family)| {
        let ports = [80, 81].map(|port| format!("{}:{port}", vip(family)));
        ports.map(|at| (client, at.parse::<SocketAddr>().unwrap()))
    };
    let reach = |(client, at): (&'static str, SocketAddr)| {
        net.seat(client)
            .run(move || thread::spawn(move || TcpStream::connect_timeout(&at, SILENCE)))
    };
    let asked: Vec<_> = clients(mode).into_iter().flat_map(asking).collect();
    let answers: Vec<_> = asked.iter().copied().map(reach).collect();
    let asked = asked.into_iter().zip(answers);
    let without = asked.filter_map(|((client, at), answer)| {
        answer.join().unwrap().is_err().then(|| format!("{client} {at}"))
    });
    without.collect()
}

#[track_caller]
fn everybody_is_answered(net: &Net, mode: Mode) {
    for (client, family) in clients(mode) {
        for (port, who) in [(80, "n2"), (81, "n1t")] {
            for protocol in PROTOCOLS {
                let at: SocketAddr = format!("{}:{port}", vip(family)).parse().unwrap();
                let answer = net.seat(client).run(move || ask(at, protocol));
                let answer = answer.map(|answer| answer.who);
                assert_eq!(answer.ok().as_deref(), Some(who), "{client} {at} {protocol:?}");
            }
        }
    }
}

/// A firewall on n1 that drops by default: the commands that open it again, and those that list it.
struct Closed<'a> {
    net: &'a Net,
    open: Vec<String>,
    list: Vec<String>,
}

impl<'a> Closed<'a> {
    fn by_iptables(net: &'a Net) -> Self {
        let tools = match net.firewall {
            Firewall::Nft => ["iptables-nft", "ip6tables-nft"],
            Firewall::Legacy => ["iptables-legacy", "ip6tables-legacy"],
        };
        // The forward chain has Docker's own rules.
        let rules =
            ["INPUT -i lo -j ACCEPT", "INPUT -p icmpv6 -j ACCEPT", "OUTPUT -p icmpv6 -j ACCEPT"];
        let mut closed = Self { net, open: Vec::new(), list: Vec::new() };
        for tool in tools {
            for chain in ["INPUT", "OUTPUT"] {
                net.on("n1", &format!("{tool} --wait -P {chain} DROP"));
                closed.open.push(format!("{tool} --wait -P {chain} ACCEPT"));
            }
            for rule in
                rules.into_iter().filter(|rule| tool.starts_with("ip6") || !rule.contains("v6"))
            {
                net.on("n1", &format!("{tool} --wait -A {rule}"));
                closed.open.push(format!("{tool} --wait -D {rule}"));
            }
            net.on("n1", &format!("{tool} --wait -I FORWARD -j DROP"));
            closed.open.push(format!("{tool} --wait -D FORWARD -j DROP"));
            closed.list.push(format!("{tool} --wait -S"));
        }
        closed
    }

    fn by_nft(net: &'a Net) -> Self {
        let chain = |hook: &str, rules: &str| {
            let text = format!("type filter hook {hook} priority 0; policy drop;");
            net.on("n1", &format!("nft add chain inet closed {hook} {{ {text} }}"));
            for rule in rules.split(';') {
                net.on("n1", &format!("nft add rule inet closed {hook} {}", rule.trim()));
            }
        };
        net.on("n1", "nft add table inet closed");
        chain("input", "iif lo accept; icmpv6 type != echo-request accept");
        chain("output", "icmpv6 type != echo-request accept");
        chain("forward", "ct state invalid drop");
        Self {
            net,
            open: vec!["nft delete table inet closed".into()],
            list: vec!["nft list table inet closed".into()],
        }
    }

    fn rules(&self) -> String {
        self.list.iter().map(|line| self.net.on("n1", line)).collect()
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        for line in &self.open {
            self.net.on("n1", line);
        }
    }
}

fn on_n1(net: &Net, command: &[&str]) -> Ran {
    let args: Vec<_> = command.iter().copied().chain(ALLOW).collect();
    vipd(net, "n1", &args, &apps())
}

fn insert(net: &Net, command: &str) -> Ran {
    on_n1(net, &[command, "--no-pods", "--from", "-", "--firewall", "insert"])
}

/// Firewall checks of `vipd doctor` on n1: level, text and remedy.
fn doctor(net: &Net) -> Vec<(String, String, String)> {
    let ran = on_n1(net, &["doctor", "--output", "json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    let groups = report["groups"].as_array().unwrap();
    let group = groups.iter().find(|group| group["name"] == "firewall").unwrap();
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let checks = group["checks"].as_array().unwrap().iter();
    checks.map(|check| (text(check, "level"), text(check, "text"), text(check, "cure"))).collect()
}

/// Goes through all states: closed, opened by vipd, damaged, opened by hand.
fn is_let_in(net: &Net, closed: &Closed<'_>, damage: &[&str]) {
    let mode = mode(net);
    let everybody = 2 * clients(mode).len();
    let before = closed.rules();
    assert_eq!(unanswered(net, mode).len(), everybody, "answered in spite of the firewall");
    let told = doctor(net);
    assert!(told.iter().all(|(level, text, _)| level != "ok" && text.contains("drop")), "{told:?}");

    let shown = insert(net, "diff");
    assert!(shown.out.contains("let 3.0.0.0/8 in, before all other rules"), "{shown:?}");
    assert_eq!(insert(net, "apply").code, Some(0));
    everybody_is_answered(net, mode);
    let told = doctor(net);
    assert!(told.len() == 1 && told[0].0 == "ok", "{told:?}");
    assert_eq!(insert(net, "diff").code, Some(0), "a second time there is nothing to do");
    // Traffic that isn't for a VIP is still dropped.
    let at = SocketAddr::from(([10, 77, 0, 11], 8095));
    net.seat("n1").run(move || drop(std::net::TcpListener::bind(at).map(Box::new).map(Box::leak)));
    for client in ["n4", "n1b"] {
        let reached = net.seat(client).run(move || TcpStream::connect_timeout(&at, SILENCE));
        assert!(reached.is_err(), "{client} reaches {at}");
    }

    for line in damage {
        net.on("n1", line);
    }
    let shown = insert(net, "diff");
    assert!(shown.out.contains("the node's firewall only"), "{shown:?}");
    assert_eq!(insert(net, "apply").code, Some(0));
    everybody_is_answered(net, mode);

    let off = on_n1(net, &["apply", "--no-pods", "--from", "-"]);
    assert!(off.out.contains("vipd's rule that lets 3.0.0.0/8 in"), "{off:?}");
    assert_eq!(closed.rules(), before, "something else was touched");
    assert_eq!(unanswered(net, mode).len(), everybody);

    let lines = doctor(net).into_iter().map(|(_, _, cure)| cure);
    for cure in lines {
        for line in cure.split('`').skip(1).step_by(2).filter(|line| !line.starts_with('[')) {
            net.on("n1", line);
        }
    }
    everybody_is_answered(net, mode);
    let told = doctor(net);
    assert!(told.iter().all(|(level, ..)| level == "ok"), "{told:?}");
    let needless = insert(net, "diff");
    assert_eq!(needless.code, Some(0), "{needless:?}");
}

#[test]
fn iptables_that_drop_by_default_let_vips_in_by_a_rule() {
    let net = network();
    apply(&net, &apps());
    everybody_is_answered(&net, mode(&net));
    let closed = Closed::by_iptables(&net);
    let tool = match net.firewall {
        Firewall::Nft => "iptables-nft",
        Firewall::Legacy => "iptables-legacy",
    };
    let ours = "-m conntrack --ctorigdst 3.0.0.0/8 -m comment --comment vipd:3.0.0.0/8 -j ACCEPT";
    is_let_in(&net, &closed, &[&format!("{tool} --wait -D INPUT {ours}")]);
    for tool in [tool.to_owned(), tool.replace("iptables", "ip6tables")] {
        let shown = net.on("n1", &format!("{tool} --wait -S"));
        for rule in shown.lines().filter(|rule| rule.contains("ctorigdst")) {
            net.on("n1", &format!("{tool} --wait {}", rule.replacen("-A", "-D", 1)));
        }
    }
}

#[test]
fn nftables_that_drop_by_default_let_vips_in_by_a_rule() {
    let net = network();
    apply(&net, &apps());
    if mode(&net) == Mode::Reduced {
        say("not on this kernel: a firewall of nftables in front of VIPs");
        return;
    }
    let closed = Closed::by_nft(&net);
    let anew = [
        "nft flush chain inet closed forward",
        "nft add rule inet closed forward ct state invalid drop",
    ];
    is_let_in(&net, &closed, &anew);
}

/// Reloads the firewall as an operator does: its script deletes the table and creates it again, and
/// nobody tells vipd.
#[test]
fn an_agent_lets_vips_in_again_when_a_firewall_is_loaded() {
    let net = network();
    apply(&net, &apps());
    if mode(&net) == Mode::Reduced {
        say("not on this kernel: a firewall of nftables in front of VIPs");
        return;
    }
    marathon(&net, &apps());
    // No full comparison for an hour: repairs follow from kernel notifications only.
    std::fs::write("/run/n1-firewall.toml", format!("{BELIEVING}sync-period = 3600\n")).unwrap();
    let options = [&["--config", "/run/n1-firewall.toml", "--firewall", "insert"][..], &ALLOW[..]];
    let _agent = start_with(&net, "/run/n1-agent/firewall", &options.concat());
    // From here on the firewall shuts off Marathon, and the agent keeps its last snapshot.
    let closed = Closed::by_nft(&net);
    let rules = closed.rules();
    let rules: Vec<_> = rules.lines().filter(|line| !line.contains("vipd:")).collect();
    let file = format!("delete table inet closed\n{}\n", rules.join("\n"));
    std::fs::write("/run/n1-firewall.nft", file).unwrap();
    for _ in 0..3 {
        eventually("VIPs are let in", || unanswered(&net, Mode::Full).is_empty());
        everybody_is_answered(&net, Mode::Full);
        net.on("n1", "nft -f /run/n1-firewall.nft");
    }
    eventually("VIPs are let in", || unanswered(&net, Mode::Full).is_empty());
}

#[test]
fn cleanup_takes_the_rules_out() {
    let net = network();
    apply(&net, &apps());
    let closed = Closed::by_iptables(&net);
    let before = closed.rules();
    assert_eq!(insert(&net, "apply").code, Some(0));
    assert_ne!(closed.rules(), before);
    assert_eq!(on_n1(&net, &["cleanup"]).code, Some(0));
    assert_eq!(closed.rules(), before);
    drop(closed);
    apply(&net, &apps());
    everybody_is_answered(&net, mode(&net));
}
