use super::Step;
use crate::demo::show::{At, run};
use crate::demo::topology::NODES;

pub(super) const CLEANUP: Step = Step {
    title: "Remove all of it",
    about: "Exactly what is vipd's goes: the virtual services and the interface.",
    run: || {
        for (node, _) in NODES {
            run(At::Host(node), "vipd cleanup")?.exits(0)?.says("done")?;
        }
        for (node, _) in NODES {
            run(At::Host(node), "ipvsadm -Ln")?.exits(0)?.lacks("TCP")?;
            run(At::Host(node), "ip link show vipd0")?.exits(1)?.says("does not exist")?;
        }
        Ok(())
    },
};
