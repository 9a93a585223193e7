//! What [`Flows`] does to a real kernel, checked with `conntrack`.
//!
//! Needs root and connection tracking, which most machines' own kernels have: it takes no IPVS.
//! Every test works in a network namespace of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot read the kernel should stop")]

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;

use node::Flows;
use testkit::netns::{self, ToolError};
use vip::plan::StaleFlows;
use vip::{Op, Protocol, Vip};

/// A flow that is tracked: protocol, client, where it sends to, and who is to answer.
type Flow = (&'static str, &'static str, &'static str, &'static str);

fn track((protocol, client, to, answers): Flow) -> Result<String, ToolError> {
    let [client, to, answers] = [client, to, answers].map(|at| at.parse::<SocketAddr>().unwrap());
    let state = if protocol == "tcp" { " --state SYN_SENT" } else { "" };
    netns::try_run_tool(
        "conntrack",
        &format!(
            "-I -p {protocol} -t 100{state} -s {} --sport {} -d {} --dport {} -r {} \
             --reply-port-src {} -q {} --reply-port-dst {}",
            client.ip(),
            client.port(),
            to.ip(),
            to.port(),
            answers.ip(),
            answers.port(),
            client.ip(),
            client.port(),
        ),
    )
}

/// A network namespace with connection tracking. Says so where there is none.
fn tracking() -> Option<Flows> {
    let lacking = |what: &str| {
        writeln!(std::io::stderr(), "not on this kernel: {what}").expect("standard error");
        None
    };
    if !nix::unistd::geteuid().is_root() {
        return lacking("root");
    }
    netns::enter_netns();
    match track(("udp", "10.0.0.9:1", "10.0.0.9:1", "10.0.0.9:1")) {
        Ok(_) => Some(Flows::open()),
        Err(why) => lacking(&format!("connection tracking ({why})")),
    }
}

/// The clients of all flows of a protocol and family.
fn clients(protocol: &str, family: &str) -> BTreeSet<String> {
    let text = netns::run_tool("conntrack", &format!("-L -p {protocol} -f {family}"));
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some(words.find_map(|word| word.strip_prefix("src="))?.to_owned())
    });
    lines.collect()
}

fn forget(socket: &str, protocol: Protocol) -> Op {
    let socket: SocketAddr = socket.parse().unwrap();
    let port = socket.port().try_into().unwrap();
    Op::ForgetFlows {
        vip: Vip { address: socket.ip(), port, protocol },
        flows: StaleFlows::Older { translated: false },
    }
}

#[track_caller]
fn done(flows: &mut Flows, ops: &[Op]) {
    let answers = flows.forget_flows(&ops.iter().collect::<Vec<_>>());
    assert_eq!(answers, vec![Ok(()); ops.len()]);
}

#[test]
fn flows_to_a_vip_that_go_past_ipvs_are_forgotten_and_no_others() {
    let Some(mut flows) = tracking() else { return };
    netns::run_tool("conntrack", "-F");
    for flow in [
        ("udp", "10.0.0.1:4000", "3.3.0.6:53", "3.3.0.6:53"),
        // A real server answers: IPVS has it.
        ("udp", "10.0.0.2:4000", "3.3.0.6:53", "10.0.0.7:31000"),
        ("udp", "10.0.0.3:4000", "3.3.0.6:54", "3.3.0.6:54"),
        ("udp", "10.0.0.4:4000", "3.3.0.7:53", "3.3.0.7:53"),
        ("udp", "10.0.0.5:4000", "3.3.0.8:53", "3.3.0.8:53"),
        ("tcp", "10.0.0.6:4000", "3.3.0.6:53", "3.3.0.6:53"),
        ("udp", "[fd00::1]:4000", "[fd03::6]:53", "[fd03::6]:53"),
        ("udp", "[fd00::2]:4000", "[fd03::7]:53", "[fd03::7]:53"),
    ] {
        track(flow).unwrap();
    }
    let of = |all: &[&str]| -> BTreeSet<String> { all.iter().map(|&one| one.to_owned()).collect() };
    done(&mut flows, &[forget("3.3.0.6:53", Protocol::Udp)]);
    let left = of(&["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]);
    assert_eq!(clients("udp", "ipv4"), left);
    assert_eq!(clients("tcp", "ipv4"), of(&["10.0.0.6"]));

    let several = ["3.3.0.6:54", "3.3.0.7:53", "[fd03::6]:53"];
    done(&mut flows, &several.map(|vip| forget(vip, Protocol::Udp)));
    assert_eq!(clients("udp", "ipv4"), of(&["10.0.0.2", "10.0.0.5"]));
    assert_eq!(clients("udp", "ipv6"), of(&["fd00::2"]));

    // Another program's connection to a host with that address, from before it was a VIP.
    track(("tcp", "10.0.0.7:4000", "3.3.0.6:53", "3.3.0.6:53")).unwrap();
    let answered = "-s 10.0.0.7 --sport 4000 -d 3.3.0.6 --dport 53";
    netns::run_tool("conntrack", &format!("-U -p tcp {answered} -u SEEN_REPLY"));
    done(&mut flows, &[forget("3.3.0.6:53", Protocol::Tcp)]);
    assert_eq!(clients("tcp", "ipv4"), of(&["10.0.0.7"]));
    // Where there is none to forget, all is well.
    done(&mut flows, &[forget("3.3.0.6:53", Protocol::Tcp)]);
}

#[test]
fn what_a_silent_server_has_not_answered_is_forgotten_and_nothing_else() {
    let Some(mut flows) = tracking() else { return };
    netns::run_tool("conntrack", "-F");
    let vip = "3.3.0.6:80";
    for flow in [
        ("tcp", "10.0.0.1:4000", vip, "10.0.0.7:31000"),
        // Another real server, another VIP.
        ("tcp", "10.0.0.2:4000", vip, "10.0.0.8:31000"),
        ("tcp", "10.0.0.3:4000", "3.3.0.7:80", "10.0.0.7:31000"),
        ("tcp", "10.0.0.4:4000", vip, "10.0.0.7:31000"),
    ] {
        track(flow).unwrap();
    }
    let answered = "-s 10.0.0.4 --sport 4000 -d 3.3.0.6 --dport 80";
    netns::run_tool("conntrack", &format!("-U -p tcp {answered} -u SEEN_REPLY"));
    let Op::ForgetFlows { vip, .. } = forget(vip, Protocol::Tcp) else { panic!() };
    let flows_of = StaleFlows::Unanswered { by: "10.0.0.7:31000".parse().unwrap() };
    done(&mut flows, &[Op::ForgetFlows { vip, flows: flows_of }]);
    let left = ["10.0.0.2", "10.0.0.3", "10.0.0.4"].map(str::to_owned);
    assert_eq!(clients("tcp", "ipv4"), left.into());
}
