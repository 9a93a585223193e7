//! Steps with a second VIP: its labels, and an agent that is held.

use anyhow::Result;

use super::step::{Step, connect_to_vip, run_vipd, send_definition};
use crate::demo::demo_context::DemoContext;
use crate::demo::marathon::{Task, URL, await_settled};
use crate::demo::show::{At, run_and_show, shell_command};
use crate::demo::topology::{CONTAINER, node_log};
use crate::demo::wait;

pub(super) const CHECK: Step = Step {
    title: "A second VIP, as the tutorial writes it: VIP_0 twice",
    about: "vipd reads both, and says what Marathon will do with them.",
    run: |_| {
        run_and_show(At::Lan, "vipd check docs/examples/mysql-two-vips.json")?
            .exits(1)?
            .says("3.3.0.6:3306/tcp")?
            .says("4.4.0.7:3306/tcp")?
            .says("Marathon keeps only the last")?;
        Ok(())
    },
};

pub(super) const KEPT: Step = Step {
    title: "vipd was right: Marathon keeps only the last one",
    about: "\
Posted nevertheless, only one label is left. Every node follows within moments and logs the reason.
wordpress has lost its database: its connections are refused at once.",
    run: post_duplicate_labels,
};

fn post_duplicate_labels(_: &mut DemoContext) -> Result<()> {
    send_definition("PUT", "/v2/apps//mysql", "@docs/examples/mysql-two-vips.json")?;
    await_settled("/mysql", 1)?;
    let labels = format!("curl -sS {URL}/v2/apps//mysql | grep -o '\"labels\":{{\"VIP[^}}]*}}'");
    run_and_show(At::Lan, &labels)?.exits(0)?.says(r#""labels":{"VIP_0":"4.4.0.7:3306"}"#)?;
    await_table("node1", |table| {
        table.contains("-A -t 4.4.0.7:3306") && !table.contains("3.3.0.6")
    })?;
    run_and_show(
        At::Host("node1"),
        &format!("grep -e ' -3.3.0.6:' -e ' +4.4.0.7:' {}", node_log("node1")),
    )?
    .exits(0)?
    .says("-3.3.0.6:3306/tcp no app claims it")?
    .says("+4.4.0.7:3306/tcp /mysql wlc")?;
    run_and_show(At::Host("node1"), "curl -sS --max-time 5 http://3.3.0.6:3306/")?.exits(7)?;
    Ok(())
}

pub(super) const HOLD: Step = Step {
    title: "Post the right labels, VIP_0 and VIP_1, and hold one agent",
    about: "\
A held agent goes on watching Marathon but changes nothing, so that you can look first. node2 has
both VIPs; node1 keeps its table and reports the pending changes.",
    run: hold_agent,
};

fn hold_agent(_: &mut DemoContext) -> Result<()> {
    run_and_show(At::Host("node1"), "vipd hold 'ask anna'")?.exits(0)?;
    send_definition("PUT", "/v2/apps//mysql", "@docs/examples/mysql-two-vips-posted.json")?;
    let mysql = await_settled("/mysql", 1)?;
    await_table("node2", |table| has_both_vips(table, &mysql[0]))?;
    run_and_show(At::Host("node2"), "ipvsadm -Ln")?
        .exits(0)?
        .says("TCP  3.3.0.6:3306 wlc")?
        .says("TCP  4.4.0.7:3306 wlc")?
        .says(&mysql[0].socket())?;
    run_and_show(At::Host("node1"), "ipvsadm -Ln")?.exits(0)?.lacks("3.3.0.6")?;
    run_vipd("node1", "diff")?.exits(1)?.says("+ 3.3.0.6:3306/tcp")?;
    run_and_show(At::Host("node1"), "vipd status | grep held")?
        .exits(0)?
        .says("agent: held")?
        .says("(ask anna)")?;
    Ok(())
}

pub(super) const RELEASE: Step = Step {
    title: "Release the agent",
    about: "It catches up, and both VIPs answer, on the node and in the container.",
    run: release_agent,
};

fn release_agent(_: &mut DemoContext) -> Result<()> {
    let mysql = await_settled("/mysql", 1)?;
    run_and_show(At::Host("node1"), "vipd release")?.exits(0)?;
    await_table("node1", |table| has_both_vips(table, &mysql[0]))?;
    for at in [At::Host("node1"), At::Host(CONTAINER)] {
        connect_to_vip(at, "3.3.0.6:3306", "/mysql")?;
        connect_to_vip(at, "4.4.0.7:3306", "/mysql")?;
    }
    Ok(())
}

/// Returns true if the task is a real server of both VIPs in a table that `ipvsadm -Sn` printed.
fn has_both_vips(table: &str, mysql: &Task) -> bool {
    let has = |vip| table.contains(&format!("-a -t {vip}:3306 -r {}", mysql.socket()));
    has("3.3.0.6") && has("4.4.0.7")
}

/// Waits until `is_so` holds for the output of `ipvsadm -Sn` on a node.
fn await_table(node: &'static str, is_so: impl Fn(&str) -> bool) -> Result<()> {
    wait::wait_until(&format!("the table of {node} has changed"), || {
        let table = shell_command(At::Host(node), "ipvsadm -Sn").output()?.stdout;
        Ok(is_so(&String::from_utf8_lossy(&table)).then_some(()))
    })
}
