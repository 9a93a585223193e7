//! Real servers that answer this node only under the address that its clients have.

use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use crate::cluster::{Cluster, eventually};
use crate::silent_hosts::{Agent, WEB};

/// The address of the node, which is on no link.
const CLIENTS: &str = "10.88.0.9";

/// The other node knows a way back to that address, and none to the address of the node's link.
fn hide_link(cluster: &Cluster) {
    cluster.on(0, "ip link add own type dummy");
    cluster.on(0, &format!("ip addr add {CLIENTS}/32 dev own"));
    cluster.on(0, "ip link set own up");
    cluster.on(1, &format!("ip route add {CLIENTS} dev eth0"));
    cluster.on(1, "ip route add blackhole 10.77.0.11");
}

/// The witness, Marathon, answers the address of the link alone.
#[test]
fn a_host_that_answers_no_other_address_of_this_node_stays_in_use() {
    let agent = Agent::start_after(hide_link, &["--node-address", CLIENTS]);
    sleep(Duration::from_secs(12));
    assert_eq!(agent.suspicions(), 0, "{}", std::fs::read_to_string(&agent.log).unwrap());
    let metrics = agent.cluster.on(0, "curl -s http://127.0.0.1:9614/metrics");
    let counted = metrics.lines().filter(|line| line.starts_with("vipd_probed_hosts{"));
    let counted: Vec<_> =
        counted.filter(|line| !line.ends_with(" 0") && !line.ends_with(" 0.0")).collect();
    assert!(counted.len() == 1 && counted[0].contains("watched"), "{counted:?}");
    assert!(agent.cluster.servers(0, WEB).iter().all(|(_, weight)| *weight == 1));
    let node = agent.cluster.nodes[0].clone();
    let connects = move || {
        testkit::netns::join_netns(&node);
        let at: SocketAddr = WEB.parse().unwrap();
        (0..8).all(|_| TcpStream::connect_timeout(&at, Duration::from_secs(4)).is_ok())
    };
    assert!(std::thread::spawn(connects).join().unwrap());
    // It is still noticed when it loses its power.
    Agent::set_link(1, "down");
    eventually("it is suspected", || agent.suspicions() == 1);
}
