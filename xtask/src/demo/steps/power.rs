//! Steps that cut a node off under traffic, as a power failure does.

use std::thread::sleep;
use std::time::{Duration, SystemTime};

use anstream::println;
use anyhow::{Context, Result, ensure};

use super::step::{Step, send_definition};
use crate::demo::clients::{Client, Count};
use crate::demo::demo_context::{DemoContext, Seen};
use crate::demo::marathon::{URL, await_settled};
use crate::demo::show::{At, run_and_show};
use crate::demo::topology::{CONTAINER, NODES};

/// The VIP of /cart, which has an instance on each node.
const VIP: &str = "3.3.0.8:80";

/// The number of nodes that stay. The last one is cut off.
const STAYING: usize = NODES.len() - 1;

/// The time for which a node is cut off: less than clients wait, and than Marathon's checks do.
const OUTAGE: Duration = Duration::from_secs(4);

/// The time after which a client repeats its first packet.
const REPEATED: Duration = Duration::from_secs(1);

pub(super) const CUT: Step = Step {
    title: "Cut a node's power",
    about: "\
/cart has an instance on each node; with the scheduler rr each gets every third connection. node3's link
goes down for 4 s: to the others that is a power failure. Marathon calls the task healthy, as it would for 75 s;
node1 and node2 find out by themselves. A client on node1 and one in the container connect twenty
times a second. A connection that waits is sent elsewhere when its kernel repeats it, after 1 s.",
    run: cut_power,
};

fn cut_power(demo: &mut DemoContext) -> Result<()> {
    demo.stop_clients();
    send_definition("POST", "/v2/apps", "@xtask/src/demo/cart.json")?;
    let server = server_on_last_node()?;
    await_weight(demo, &server, 1)?;
    let clients = start_clients()?;
    let cut = SystemTime::now();
    set_link("down")?;
    let idle = await_weight(demo, &server, 0)?;
    idle.print_delays("weight 0, from the cut", cut);
    for node in ["node1", "node2"] {
        run_and_show(At::Host(node), "vipd events | grep '/cart.*silent'")?
            .exits(0)?
            .says(&format!("~{server} /cart healthy; out of use"))?;
    }
    let asked = format!("curl -sS {URL}/v2/apps/cart | grep -o '\"tasksHealthy\":.'");
    run_and_show(At::Lan, &asked)?.exits(0)?.says(":3")?;
    await_end_of_outage(cut)?;
    let returned = SystemTime::now();
    set_link("up")?;
    await_weight(demo, &server, 1)?.print_delays("weight 1, from the return", returned);
    for (at, count) in finish(clients)? {
        print_count(at, &count);
        ensure!(count.failed.is_empty(), "connections failed: {:?}", count.failed);
    }
    Ok(())
}

pub(super) const WITHOUT_PROBES: Step = Step {
    title: "The same where node1 doesn't probe",
    about:
        "\
node1 goes on sending every third connection to node3, and those wait until it is back. After a real
power failure they would for 75 s, and few clients wait so long. The container's node still probes.",
    run: cut_power_without_probes,
};

fn cut_power_without_probes(demo: &mut DemoContext) -> Result<()> {
    let config = "/run/node1/no-probes.toml";
    let write = format!("printf '[probe]\\nmode = \"off\"\\n' >{config}");
    run_and_show(At::Host("node1"), &write)?.exits(0)?;
    demo.agents.replace_first(&format!(" --config {config}"))?;
    let server = server_on_last_node()?;
    let clients = start_clients()?;
    let cut = SystemTime::now();
    set_link("down")?;
    await_end_of_outage(cut)?;
    set_link("up")?;
    for (at, count) in finish(clients)? {
        print_count(at, &count);
        let probes = at == CONTAINER;
        ensure!(!probes || count.failed.is_empty(), "connections failed: {:?}", count.failed);
    }
    await_weight(demo, &server, 1)?;
    Ok(())
}

/// Returns the real server on the node that is cut off.
fn server_on_last_node() -> Result<String> {
    let tasks = await_settled("/cart", NODES.len())?;
    let task = tasks.iter().find(|task| task.host == NODES[STAYING].1);
    Ok(task.context("no task of /cart is on the last node")?.socket())
}

/// Waits until the real server has this weight on the nodes that stay.
fn await_weight(demo: &mut DemoContext, server: &str, weight: u32) -> Result<Seen> {
    let close = Duration::from_millis(2);
    demo.await_first_kernels(STAYING, VIP, close, |now| now.get(server) == Some(&weight))
}

/// Starts the clients, and lets them connect for a while.
fn start_clients() -> Result<Vec<Client>> {
    let clients = ["node1", CONTAINER].map(|at| Client::start(at, VIP));
    let clients = clients.into_iter().collect();
    sleep(Duration::from_secs(1));
    clients
}

/// Lets the clients' open connections end, and counts all.
fn finish(clients: Vec<Client>) -> Result<Vec<(&'static str, Count)>> {
    clients.into_iter().map(|client| Ok((client.at, client.finish()?))).collect()
}

fn set_link(state: &str) -> Result<()> {
    let (node, _) = NODES[STAYING];
    run_and_show(At::Lan, &format!("ip link set to-{node} {state}"))?.exits(0)?;
    Ok(())
}

fn await_end_of_outage(cut: SystemTime) -> Result<()> {
    sleep(OUTAGE.saturating_sub(cut.elapsed()?));
    Ok(())
}

fn print_count(at: &str, Count { took, failed }: &Count) {
    let slow = took.iter().filter(|took| **took >= REPEATED).count();
    let slowest = took.iter().max().copied().unwrap_or_default();
    println!(
        "    {at}: {} connections, {} failed, {slow} took a second or more, the slowest {:.2} s",
        took.len(),
        failed.len(),
        slowest.as_secs_f64()
    );
}
