//! Long trouble that isn't a silent host: `cargo xtask soak`. No connection may fail for it.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use testkit::netns;

use crate::cluster::{Clients, tell};
use crate::silent_hosts::{Agent, WEB};

/// Connections a second from the node with the agent.
const PER_SECOND: u32 = 20;

/// Has clients connect while something happens, and prints what came of it.
fn endure(what: &str, happens: impl FnOnce(&Agent)) {
    let agent = Agent::start(&[]);
    agent.until_probed();
    let clients = Clients::start_on(&agent.cluster.nodes[..1], WEB, PER_SECOND);
    happens(&agent);
    let (done, failures) = clients.stop();
    let log = fs::read_to_string(&agent.log).unwrap();
    let suspicions = log.matches("WARN  host ").count();
    tell(&format!(
        "{what}: {done} connections, {} failed, {suspicions} false verdicts",
        failures.len()
    ));
    for line in log.lines().filter(|line| line.contains("WARN  host ")) {
        tell(line);
    }
    assert_eq!(failures, [""; 0], "{what}");
}

/// Lets minutes go by, and says so.
fn pass_minutes(minutes: u32) {
    for minute in 1..=minutes {
        sleep(Duration::from_secs(60));
        tell(&format!("{minute} of {minutes} minutes"));
    }
}

/// Has the other node's packets lost or delayed, both ways.
fn set_netem(agent: &Agent, text: &str) {
    netns::run_tool("tc", &format!("qdisc add dev to1 root netem {text}"));
    agent.cluster.on(1, &format!("tc qdisc add dev eth0 root netem {text}"));
}

#[test]
#[ignore = "takes 10 minutes"]
fn five_percent_of_loss_for_ten_minutes() {
    endure("5 % loss each way", |agent| {
        set_netem(agent, "loss 5%");
        pass_minutes(10);
    });
}

#[test]
#[ignore = "takes 3 minutes"]
fn a_delay_of_400_ms() {
    endure("delay of 400 ms", |agent| {
        set_netem(agent, "delay 200ms");
        pass_minutes(3);
    });
}

#[test]
#[ignore = "takes 2 minutes"]
fn the_nodes_own_link_goes_down_and_up() {
    endure("own link down and up, 10 times", |_| {
        for _ in 0..10 {
            Agent::set_link(0, "down");
            sleep(Duration::from_secs(2));
            Agent::set_link(0, "up");
            sleep(Duration::from_secs(10));
        }
    });
}

#[test]
#[ignore = "takes 2 minutes"]
fn the_agent_stands_still_for_five_seconds() {
    endure("agent stopped for 5 s, 8 times", |agent| {
        let process = agent.child.id();
        for _ in 0..8 {
            netns::run_tool("kill", &format!("-STOP {process}"));
            sleep(Duration::from_secs(5));
            netns::run_tool("kill", &format!("-CONT {process}"));
            sleep(Duration::from_secs(10));
        }
    });
}

#[test]
#[ignore = "takes 3 minutes"]
fn echoes_are_filtered() {
    endure("ICMP filtered", |agent| {
        agent.cluster.on(1, "sysctl -qw net.ipv4.icmp_echo_ignore_all=1");
        pass_minutes(3);
    });
}
