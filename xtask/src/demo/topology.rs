//! The demo's network: three nodes on one Ethernet, and a container behind a bridge on one of them.
//!
//! ```text
//! lan 10.77.0.1, fd77::1 --+-- node1 10.77.0.11, fd77::11
//!                          +-- node2 10.77.0.12, fd77::12 -- docker0 172.17.0.1 -- box 172.17.0.2
//!                          +-- node3 10.77.0.13, fd77::13
//! ```
//!
//! Nothing is torn down: the network vanishes with the sandbox that it is built in.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Network namespaces of the nodes, with their IPv4 addresses.
pub(super) const NODES: [(&str, &str); 3] =
    [("node1", "10.77.0.11"), ("node2", "10.77.0.12"), ("node3", "10.77.0.13")];

/// Network namespace of the node that hosts the container.
pub(super) const CONTAINER_HOST: &str = "node2";

/// Network namespace of the container.
pub(super) const CONTAINER: &str = "box";

/// Returns the directory of a node's own files: the nodes share the machine's file system.
pub(super) fn node_dir(node: &str) -> String {
    format!("/run/{node}")
}

/// Returns the log file of a node's agent.
pub(super) fn node_log(node: &str) -> String {
    format!("{}/vipd.log", node_dir(node))
}

/// Builds the network.
pub(super) fn build_network() -> Result<()> {
    run_ip("link add lan type bridge")?;
    run_ip("addr add 10.77.0.1/24 dev lan")?;
    run_ip("addr add fd77::1/64 dev lan nodad")?;
    run_ip("link set lan up")?;
    for (node, address) in NODES {
        add_node(node, address)?;
    }
    add_container()
}

fn add_node(node: &str, address: &str) -> Result<()> {
    let last = address.rsplit('.').next().unwrap_or_default();
    run_ip(&format!("netns add {node}"))?;
    run_ip(&format!("link add to-{node} type veth peer name eth0 netns {node}"))?;
    run_ip(&format!("link set to-{node} master lan up"))?;
    run_ip(&format!("-n {node} link set lo up"))?;
    run_ip(&format!("-n {node} addr add {address}/24 dev eth0"))?;
    run_ip(&format!("-n {node} addr add fd77::{last}/64 dev eth0 nodad"))?;
    run_ip(&format!("-n {node} link set eth0 up"))?;
    run_ip(&format!("-n {node} route add default via 10.77.0.1"))?;
    run_ip(&format!("-n {node} -6 route add default via fd77::1"))?;
    run_command("ip", &["netns", "exec", node, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"])
}

/// Adds the container as Docker does: a bridge, a route, and masquerading of what leaves the node.
fn add_container() -> Result<()> {
    let host = CONTAINER_HOST;
    run_ip(&format!("netns add {CONTAINER}"))?;
    run_ip(&format!("-n {host} link add docker0 type bridge"))?;
    run_ip(&format!("-n {host} addr add 172.17.0.1/16 dev docker0"))?;
    run_ip(&format!("-n {host} link set docker0 up"))?;
    run_ip(&format!(
        "-n {host} link add to-{CONTAINER} type veth peer name eth0 netns {CONTAINER}"
    ))?;
    run_ip(&format!("-n {host} link set to-{CONTAINER} master docker0 up"))?;
    run_ip(&format!("-n {CONTAINER} link set lo up"))?;
    run_ip(&format!("-n {CONTAINER} addr add 172.17.0.2/16 dev eth0"))?;
    run_ip(&format!("-n {CONTAINER} link set eth0 up"))?;
    run_ip(&format!("-n {CONTAINER} route add default via 172.17.0.1"))?;
    // The legacy tool: user-mode Linux's kernel has no nftables NAT.
    let rule = "-t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE";
    let line = format!("netns exec {host} iptables-legacy {rule}");
    run_ip(&line)
}

/// Runs `ip` with arguments split at spaces.
fn run_ip(line: &str) -> Result<()> {
    run_command("ip", &line.split(' ').collect::<Vec<_>>())
}

fn run_command(program: &str, args: &[&str]) -> Result<()> {
    let line = format!("{program} {}", args.join(" "));
    let output = Command::new(program)
        .args(args)
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    ensure!(
        output.status.success(),
        "`{line}` failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
