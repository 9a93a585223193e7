//! Real servers that refuse clients: which of their resets are logged, and what follows while Marathon is
//! not heard.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::thread::{self, sleep};
use std::time::Duration;

use testkit::netns;

use crate::cluster::{eventually, tell};
use crate::silent_hosts::{Agent, Clients, WEB};

/// Has a client in this namespace connect some times. Returns how often it was refused.
fn connect(netns: &str, at: &str, times: usize) -> usize {
    let (netns, at): (_, SocketAddr) = (netns.to_owned(), at.parse().unwrap());
    let connects = move || {
        netns::join_netns(&netns);
        let connect = |_: &usize| {
            sleep(Duration::from_millis(50));
            match TcpStream::connect_timeout(&at, Duration::from_secs(4)) {
                Ok(_) => false,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => true,
                Err(error) => panic!("{at}: {error}"),
            }
        };
        (0..times).filter(connect).count()
    };
    thread::spawn(connects).join().unwrap()
}

fn refusals(agent: &Agent) -> u64 {
    agent.metric("vipd_refused_connections_total")
}

/// Lets the agent report what it has heard.
fn settle() {
    sleep(Duration::from_secs(3));
}

/// A port of the second node that has a real server.
fn find_port(agent: &Agent) -> (String, u16) {
    let servers = agent.cluster.servers(0, WEB);
    let (server, _) = servers.into_iter().find(|(at, _)| at.starts_with("10.77.0.12:")).unwrap();
    let port = server.rsplit(':').next().unwrap().parse().unwrap();
    (server, port)
}

/// Takes the port from its task: the node refuses connections to it as if nobody listened.
fn close_port(agent: &Agent, port: u16) {
    let rules = format!(
        "table inet closed {{ chain input {{ type filter hook input priority 0; \
         tcp dport {port} tcp flags & (syn | ack) == syn reject with tcp reset; }}; }}"
    );
    run_nft(&agent.cluster.nodes[1], &rules);
}

fn run_nft(netns: &str, text: &str) {
    netns::run_tool_with_input("ip", &format!("netns exec {netns} nft -f -"), text);
}

fn in_use(agent: &Agent) -> BTreeSet<String> {
    let servers = agent.cluster.servers(0, WEB).into_iter();
    servers.filter(|(_, weight)| *weight > 0).map(|(server, _)| server).collect()
}

#[test]
fn a_port_that_refuses_clients_is_out_of_use_while_marathon_is_not_heard() {
    let mut agent = Agent::start(&[]);
    if !agent.rules().contains("log prefix") {
        return tell("not on this kernel: refusals that nftables logs");
    }
    let clients = Clients::build(&agent.cluster);
    // Ordinary traffic, and a closed port of the other node that is no VIP's.
    for netns in &clients.netns {
        assert_eq!(connect(netns, WEB, 40), 0);
    }
    assert_eq!(connect(&clients.netns[0], "10.77.0.12:9", 10), 10);
    settle();
    assert_eq!((refusals(&agent), agent.metric("vipd_lost_syns_total")), (0, 0));
    // Each client's refusals are heard of, and none counts while Marathon is heard.
    let (server, port) = find_port(&agent);
    close_port(&agent, port);
    let mut refused = 0;
    for netns in &clients.netns {
        let before = refused;
        refused += connect(netns, WEB, 40);
        assert!(refused > before, "{netns} was never refused");
        settle();
        tell(&format!("{netns}: refused {}, heard {}", refused - before, refusals(&agent)));
        assert_eq!(refusals(&agent), refused as u64, "{netns}");
    }
    assert_eq!(in_use(&agent).len(), 4);
    // The node boots without Marathon.
    let marathon = "table ip cut { chain output { type filter hook output priority 0; \
                    ip daddr 10.77.0.1 tcp dport 8080 drop; }; }";
    agent.restart_after(|cluster| run_nft(&cluster.nodes[0], marathon));
    eventually("the port is out of use", || {
        connect(&clients.netns[0], WEB, 10);
        !in_use(&agent).contains(&server)
    });
    assert_eq!(in_use(&agent).len(), 3);
    assert_eq!(connect(&clients.netns[1], WEB, 40), 0);
    assert_eq!(agent.count(&format!("real server {server} refused clients")), 1);
    agent.cluster.on(0, "nft delete table ip cut");
    eventually("Marathon is heard", || in_use(&agent).len() == 4);
    assert_eq!(agent.count(&format!("{server}, which refused clients, is tried again")), 1);
}
