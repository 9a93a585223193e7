use anyhow::{Context, Result};

use super::{Step, URL, apply_everywhere, send, vipd};
use crate::demo::marathon::settled;
use crate::demo::show::{At, run};
use crate::demo::topology::CONTAINER;
use crate::demo::wait;

pub(super) const UP: Step = Step {
    title: "Scale mysql to three",
    about: "\
The two new tasks become real servers of both VIPs. The container's connections spread over all
three, the one on its own node among them.",
    run: scale_up,
};

fn scale_up() -> Result<()> {
    send("PUT", "/v2/apps//mysql", "'{\"instances\": 3}'")?;
    let mysql = settled("/mysql", 3)?;
    vipd("node1", "diff")?.exits(1)?.says("4 real servers to add")?;
    apply_everywhere()?;
    let mut spread = run(
        At::Host(CONTAINER),
        "for i in 1 2 3 4 5 6 7 8 9; do curl -sS --max-time 5 http://4.4.0.7:3306/; done",
    )?
    .exits(0)?;
    for task in &mysql {
        spread = spread.says(&task.id)?;
    }
    Ok(())
}

pub(super) const KILL: Step = Step {
    title: "Kill one task",
    about: "Marathon starts another in its place; the diff shows the one leave and the other come.",
    run: kill,
};

fn kill() -> Result<()> {
    let before = settled("/mysql", 3)?;
    let victim = before.first().context("/mysql has no task")?;
    let line = format!(
        "curl -sS -X DELETE -o /dev/null -w '%{{http_code}}' {URL}/v2/apps//mysql/tasks/{}",
        victim.id
    );
    run(At::Lan, &line)?.exits(0)?.says("200")?;
    let after = wait::until("the task is replaced", || {
        let now = settled("/mysql", 3)?;
        Ok((!now.iter().any(|task| task.id == victim.id)).then_some(now))
    })?;
    let new = after
        .iter()
        .find(|task| !before.iter().any(|old| old.id == task.id))
        .context("no task is new")?;
    vipd("node1", "diff")?
        .exits(1)?
        .says(&format!("- {}", victim.socket()))?
        .says(&format!("+ {}", new.socket()))?;
    apply_everywhere()?;
    run(At::Host("node1"), "ipvsadm -Ln")?
        .exits(0)?
        .lacks(&victim.socket())?
        .says(&new.socket())?;
    Ok(())
}

pub(super) const STATUS: Step = Step {
    title: "What is there, who serves it, what is wrong",
    about: "Exit status 0: nothing is wrong, and the kernel is as Marathon wants it.",
    run: || {
        vipd("node1", "status")?.exits(0)?.says("VIPs: 2; real servers: 6; interface: up")?;
        Ok(())
    },
};
