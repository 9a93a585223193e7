//! Steps with the agent: start it, ask it, kill it.

use anyhow::Result;

use super::step::{Step, run_vipd};
use crate::demo::demo_context::DemoContext;
use crate::demo::marathon::await_settled;
use crate::demo::show::{At, run_and_show};
use crate::demo::topology::{NODES, node_log};

pub(super) const RUN: Step = Step {
    title: "Start the agent on every node",
    about: "\
From here on every node's kernel follows Marathon by itself. ipvsadm, which vipd does not use, shows
the same table on each node, and vipd diff finds nothing to change.",
    run: |demo| {
        let mysql = await_settled("/mysql", 1)?;
        demo.agents.start()?;
        run_and_show(At::Host("node1"), "curl -sS http://127.0.0.1:9614/readyz")?
            .exits(0)?
            .says("ready")?;
        run_and_show(At::Host("node1"), &format!("cat {}", node_log("node1")))?
            .says("+3.3.0.6:3306/tcp /mysql wlc")?
            .says(&format!("3.3.0.6:3306/tcp +{} /mysql healthy", mysql[0].socket()))?;
        for (node, _) in NODES {
            let table = run_and_show(At::Host(node), "ipvsadm -Ln")?.exits(0)?;
            table.says("TCP  3.3.0.6:3306 wlc")?.says(&mysql[0].socket())?;
        }
        run_vipd("node1", "diff")?.exits(0)?.says("nothing to do")?;
        Ok(())
    },
};

pub(super) const KILLED: Step = Step {
    title: "Kill the agent, and traffic goes on",
    about: "\
Traffic never passes through vipd. Without an agent the table stays as it is; the next agent takes
over what it finds.",
    run: kill_agent,
};

fn kill_agent(demo: &mut DemoContext) -> Result<()> {
    let (node, at) = (NODES[0].0, At::Host(NODES[0].0));
    demo.take_counts()?;
    run_and_show(at, &format!("kill -9 {}", demo.agents.first_process()?))?.exits(0)?;
    demo.agents.await_end_of_first()?;
    let before = run_and_show(at, "ipvsadm -Sn | sort")?.exits(0)?.says("3.3.0.7:80")?;
    demo.check_none_failed()?;
    demo.agents.restart_first()?;
    run_vipd(node, "diff")?.exits(0)?.says("nothing to do")?;
    run_and_show(at, "ipvsadm -Sn | sort")?.exits(0)?.equals(&before)?;
    demo.check_none_failed()
}

pub(super) const STATUS: Step = Step {
    title: "Ask the agent: the VIPs, their real servers, and what is wrong",
    about: "\
vipd status asks the running agent; exit status 0 means that nothing is wrong. vipd explain says for
each task why it is a real server, or why not.",
    run: |_| {
        run_and_show(At::Host("node1"), "vipd status")?
            .exits(0)?
            .says("agent: acting")?
            .says("events are coming")?
            .says("VIPs: 3 (3 serving); real servers: 6 (6 serving); interface: up")?;
        run_and_show(At::Host("node1"), "vipd explain /shop")?
            .exits(0)?
            .says("with weight 1: healthy")?;
        Ok(())
    },
};
