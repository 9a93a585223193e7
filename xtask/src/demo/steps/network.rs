//! The first step: the network and the empty IPVS tables.

use anyhow::Result;

use super::step::Step;
use crate::demo::demo_context::DemoContext;
use crate::demo::show::{At, run_and_show};
use crate::demo::topology::{CONTAINER, NODES};

pub(super) const NODES_UP: Step = Step {
    title: "Three nodes and a container, and no virtual service anywhere",
    about: "They reach each other, and the kernel's IPVS table is empty.",
    run: nodes_up,
};

fn nodes_up(_: &mut DemoContext) -> Result<()> {
    for (node, address) in NODES {
        run_and_show(At::Host(node), "ip -4 -brief address")?.exits(0)?.says(address)?;
    }
    run_and_show(At::Host(CONTAINER), "ping -c 1 -W 2 10.77.0.11")?.exits(0)?.says("1 received")?;
    run_and_show(At::Host("node1"), "ipvsadm -Ln")?
        .exits(0)?
        .says("IP Virtual Server")?
        .lacks("TCP")?;
    Ok(())
}
