//! The step that connects to the first VIP from everywhere.

use anyhow::{Context, Result};

use super::step::{Step, connect_to_vip};
use crate::demo::demo_context::DemoContext;
use crate::demo::marathon::await_settled;
use crate::demo::show::{At, run_and_show};
use crate::demo::topology::{CONTAINER, CONTAINER_HOST, NODES};

pub(super) const CONNECT: Step = Step {
    title: "Connect to 3.3.0.6:3306",
    about: "\
From the node of the wordpress task, from the other nodes, and from the container: the same
address, and mysql answers everywhere. The container's connection leaves its node with that node's
address (the second dst= below), so that the reply comes back: Docker's own masquerading does that,
once vipd has set net.ipv4.vs.conntrack.",
    run: connect_from_everywhere,
};

fn connect_from_everywhere(_: &mut DemoContext) -> Result<()> {
    let wordpress = await_settled("/wordpress", 1)?;
    let own = wordpress.first().context("/wordpress has no task")?.host_node()?;
    let others = NODES.map(|(node, _)| At::Host(node)).into_iter().filter(|node| *node != own);
    for node in [own].into_iter().chain(others).chain([At::Host(CONTAINER)]) {
        connect_to_vip(node, "3.3.0.6:3306", "/mysql")?;
    }
    let tracked =
        run_and_show(At::Host(CONTAINER_HOST), "conntrack -L --orig-src 172.17.0.2 -p tcp")?;
    tracked.exits(0)?.says("dst=3.3.0.6")?.says("dst=10.77.0.12")?;
    Ok(())
}
