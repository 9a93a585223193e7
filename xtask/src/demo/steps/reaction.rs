//! Steps that measure how fast the kernels' tables follow, and count failed connections.

use std::time::{Duration, SystemTime};

use anstream::println;
use anyhow::{Context, Result, ensure};

use super::step::{Step, send_definition};
use crate::demo::clients::Count;
use crate::demo::demo_context::DemoContext;
use crate::demo::marathon::{Task, URL, await_settled, state_known_at};
use crate::demo::show::{At, run_and_show, shell_command};
use crate::demo::topology::{CONTAINER, node_log};
use crate::demo::wait;

/// Number of tasks of /shop.
const INSTANCES: usize = 4;

/// Pause between two reads of a table while times are measured.
const CLOSE: Duration = Duration::from_millis(2);

/// Pause between two reads of a table otherwise.
const NOW_AND_THEN: Duration = Duration::from_millis(100);

pub(super) const SHOP: Step = Step {
    title: "Four instances, and clients that never pause",
    about: "\
One client each on node1, on node3 and in the container connects twenty times a second from here on
and counts failures. An instance that is told to stop goes on serving for 3 s, as it should.",
    run: start_shop,
};

fn start_shop(demo: &mut DemoContext) -> Result<()> {
    send_definition("POST", "/v2/apps", "@xtask/src/demo/shop.json")?;
    let tasks = await_settled("/shop", INSTANCES)?;
    demo.await_kernels(NOW_AND_THEN, |now| now.len() == INSTANCES)?;
    let mut spread = run_and_show(
        At::Host(CONTAINER),
        "for i in 1 2 3 4; do curl -sS --max-time 5 http://3.3.0.7:80/; done",
    )?
    .exits(0)?;
    for task in &tasks {
        spread = spread.says(&task.id)?;
    }
    demo.start_clients()
}

/// Returns the tasks, and the first one, which is to be killed.
fn tasks_and_victim() -> Result<(Vec<Task>, Task)> {
    let tasks = await_settled("/shop", INSTANCES)?;
    let victim = tasks.first().cloned().context("/shop has no task")?;
    Ok((tasks, victim))
}

/// Waits until Marathon has replaced the task and every kernel has the new one.
fn await_replacement(demo: &mut DemoContext, victim: &Task) -> Result<()> {
    wait::wait_until("another task is in its place", || {
        let tasks = await_settled("/shop", INSTANCES)?;
        Ok((!tasks.iter().any(|task| task.id == victim.id)).then_some(()))
    })?;
    demo.await_kernels(NOW_AND_THEN, |now| {
        now.len() == INSTANCES && now.values().all(|weight| *weight > 0)
    })?;
    Ok(())
}

/// Shows the log lines about a task's address, and checks that the reason of its removal is there.
fn show_log_of(victim: &Task, why: &str) -> Result<()> {
    let place = victim.socket();
    run_and_show(At::Host("node1"), &format!("grep {place} {}", node_log("node1")))?
        .exits(0)?
        .says(why)?;
    Ok(())
}

pub(super) const KILL: Step = Step {
    title: "Kill a task through Marathon",
    about: "\
First its weight becomes 0, so that it gets no new connections; it is removed when the task has
ended. The times are those of each kernel's own table, read every 2 ms.",
    run: kill_task,
};

fn kill_task(demo: &mut DemoContext) -> Result<()> {
    let (_, victim) = tasks_and_victim()?;
    let place = victim.socket();
    demo.take_counts()?;
    let line = format!(
        "curl -sS -X DELETE -o /dev/null -w '%{{http_code}}\\n' {URL}/v2/apps/shop/tasks/{}",
        victim.id
    );
    let asked = SystemTime::now();
    run_and_show(At::Lan, &line)?.exits(0)?.says("200")?;
    let idle =
        demo.await_kernels(CLOSE, |now| now.get(&place).is_none_or(|weight| *weight == 0))?;
    let gone = demo.await_kernels(CLOSE, |now| !now.contains_key(&place))?;
    idle.print_delays("weight 0, from the request", asked);
    idle.print_delays(
        "from when Marathon says TASK_KILLING",
        state_known_at(&victim, "TASK_KILLING")?,
    );
    gone.print_delays(
        "removed, from when Marathon says TASK_KILLED",
        state_known_at(&victim, "TASK_KILLED")?,
    );
    await_replacement(demo, &victim)?;
    show_log_of(&victim, "/shop task killed")?;
    demo.check_none_failed()
}

pub(super) const CRASH: Step = Step {
    title: "Kill a task's process",
    about: "\
The process dies without a warning. Open connections fail, and new ones until Marathon and the kernel
have learnt of it; none fails after that.",
    run: kill_process,
};

fn kill_process(demo: &mut DemoContext) -> Result<()> {
    let (_, victim) = tasks_and_victim()?;
    let (place, node) = (victim.socket(), victim.host_node()?);
    let port = place.rsplit(':').next().unwrap_or_default().to_owned();
    let listening = shell_command(node, &format!("ss -Hltnp sport = :{port}")).output()?;
    let listening = String::from_utf8_lossy(&listening.stdout).into_owned();
    let pid = listening.split("pid=").nth(1).and_then(|rest| rest.split(',').next());
    let pid = pid.with_context(|| format!("nobody listens on port {port}: {listening}"))?;
    demo.take_counts()?;
    let killed = SystemTime::now();
    run_and_show(node, &format!("kill -9 {pid}"))?.exits(0)?;
    let gone = demo.await_kernels(CLOSE, |now| !now.contains_key(&place))?;
    gone.print_delays("removed, from the kill", killed);
    gone.print_delays(
        "from when Marathon says TASK_FAILED",
        state_known_at(&victim, "TASK_FAILED")?,
    );
    await_replacement(demo, &victim)?;
    show_log_of(&victim, "/shop task failed")?;
    for (at, Count { took, failed }) in demo.take_counts()? {
        let since = gone.seen_at(at)?;
        let late: Vec<_> = failed.iter().filter(|(begun, _)| *begun > since).collect();
        println!(
            "    {at}: {} connections, {} failed before its kernel knew, {} after",
            took.len(),
            failed.len() - late.len(),
            late.len()
        );
        ensure!(late.is_empty(), "connections failed after the kernel knew: {late:?}");
    }
    Ok(())
}

pub(super) const ROLL: Step = Step {
    title: "A rolling change of all four",
    about: "New instances come, old ones drain and go, and nobody notices.",
    run: roll_out,
};

fn roll_out(demo: &mut DemoContext) -> Result<()> {
    let (before, _) = tasks_and_victim()?;
    demo.take_counts()?;
    let env = r#"'{"env": {"RELEASE": "2", "SIM_STOP_DELAY_MS": "3000"}}'"#;
    send_definition("PUT", "/v2/apps/shop", env)?;
    let after = await_settled("/shop", INSTANCES)?;
    ensure!(!after.iter().any(|task| before.contains(task)), "an old task is still there");
    let places: Vec<_> = after.iter().map(Task::socket).collect();
    demo.await_kernels(NOW_AND_THEN, |now| {
        now.len() == places.len() && places.iter().all(|place| now.get(place) == Some(&1))
    })?;
    run_and_show(At::Host("node1"), "ipvsadm -Ln -t 3.3.0.7:80")?.exits(0)?.says(&places[0])?;
    demo.check_none_failed()
}
