//! The last step: stop the agents and remove everything of vipd's.

use super::step::Step;
use crate::demo::show::{At, run_and_show};
use crate::demo::topology::NODES;

pub(super) const CLEANUP: Step = Step {
    title: "Stop the agents, and remove everything",
    about: "\
Stopping an agent leaves the kernel as it is, so that an upgrade disturbs no connection. vipd cleanup
removes exactly what belongs to vipd: its virtual services and its interface.",
    run: |demo| {
        demo.agents.stop_all()?;
        run_and_show(At::Host("node1"), "ipvsadm -Ln")?.exits(0)?.says("TCP  3.3.0.6:3306 wlc")?;
        for (node, _) in NODES {
            run_and_show(At::Host(node), "vipd cleanup")?.exits(0)?.says("done")?;
        }
        for (node, _) in NODES {
            run_and_show(At::Host(node), "ipvsadm -Ln")?.exits(0)?.lacks("TCP")?;
            run_and_show(At::Host(node), "ip link show vipd0")?.exits(1)?.says("does not exist")?;
        }
        Ok(())
    },
};
