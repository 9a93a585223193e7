//! The demo's steps. Each says what it does, shows what the tools print and is held to it.

use anyhow::Result;

use super::show::{At, Show};
use super::topology::{self, CONTAINER, NODES};

/// Runs every step; the first that is not as it must be ends the demo with an error.
pub(crate) fn run() -> Result<bool> {
    let mut show = Show::default();
    network(&mut show)?;
    println!("\nEvery step was as it must be.");
    Ok(true)
}

fn network(show: &mut Show) -> Result<()> {
    show.step("three nodes, a container on one of them, and nothing in the kernel's table");
    topology::build()?;
    for (node, address) in NODES {
        show.run(At::Host(node), "ip -brief address")?.exits(0)?.says(address)?;
        show.run(At::Host(node), "ipvsadm -Ln")?
            .exits(0)?
            .says("IP Virtual Server")?
            .lacks("TCP")?;
    }
    show.run(At::Lan, "ping -c 1 -W 2 10.77.0.13")?.exits(0)?.says("1 received")?;
    show.run(At::Host(CONTAINER), "ping -c 1 -W 2 10.77.0.11")?.exits(0)?.says("1 received")?;
    Ok(())
}
