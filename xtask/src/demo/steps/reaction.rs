use std::time::{Duration, SystemTime};

use anstream::println;
use anyhow::{Context, Result, ensure};

use super::{Step, URL, send};
use crate::demo::clients::Count;
use crate::demo::demo_context::DemoContext;
use crate::demo::marathon::{Task, known, settled};
use crate::demo::show::{At, run, shell};
use crate::demo::topology::CONTAINER;
use crate::demo::topology::node_log;
use crate::demo::wait;

/// Tasks of /shop.
const INSTANCES: usize = 4;

/// Between two looks at the tables while the time counts, and while it doesn't.
const CLOSE: Duration = Duration::from_millis(2);
const NOW_AND_THEN: Duration = Duration::from_millis(100);

pub(super) const SHOP: Step = Step {
    title: "Four instances, and clients that never stop",
    about: "\
A client each on node1, node3 and in the container connects twenty times a second from here on, and
counts what fails. When an instance is told to stop, it goes on serving for 3 s, as it should.",
    run: shop,
};

fn shop(demo: &mut DemoContext) -> Result<()> {
    send("POST", "/v2/apps", "@xtask/src/demo/shop.json")?;
    let tasks = settled("/shop", INSTANCES)?;
    demo.await_kernels(NOW_AND_THEN, |now| now.len() == INSTANCES)?;
    let mut spread = run(
        At::Host(CONTAINER),
        "for i in 1 2 3 4; do curl -sS --max-time 5 http://3.3.0.7:80/; done",
    )?
    .exits(0)?;
    for task in &tasks {
        spread = spread.says(&task.id)?;
    }
    demo.start_clients()
}

/// The tasks, of which the first is about to go.
fn tasks() -> Result<(Vec<Task>, Task)> {
    let tasks = settled("/shop", INSTANCES)?;
    let victim = tasks.first().cloned().context("/shop has no task")?;
    Ok((tasks, victim))
}

/// Waits until Marathon has put another one in its place, and every kernel has that one.
fn replaced(demo: &mut DemoContext, victim: &Task) -> Result<()> {
    wait::until("another task is in its place", || {
        let tasks = settled("/shop", INSTANCES)?;
        Ok((!tasks.iter().any(|task| task.id == victim.id)).then_some(()))
    })?;
    demo.await_kernels(NOW_AND_THEN, |now| {
        now.len() == INSTANCES && now.values().all(|weight| *weight > 0)
    })?;
    Ok(())
}

/// Shows what the log has on a task's place: the last line has the reason that it went.
fn logged(victim: &Task, why: &str) -> Result<()> {
    let place = victim.socket();
    run(At::Host("node1"), &format!("grep {place} {}", node_log("node1")))?.exits(0)?.says(why)?;
    Ok(())
}

pub(super) const KILL: Step = Step {
    title: "Kill a task through Marathon",
    about: "\
Weight 0 first, so that nobody new comes; removal when the task has ended. When it is so is seen in
each kernel's own table, looked at every 2 ms.",
    run: kill,
};

fn kill(demo: &mut DemoContext) -> Result<()> {
    let (_, victim) = tasks()?;
    let place = victim.socket();
    demo.count()?;
    let line = format!(
        "curl -sS -X DELETE -o /dev/null -w '%{{http_code}}\\n' {URL}/v2/apps/shop/tasks/{}",
        victim.id
    );
    let asked = SystemTime::now();
    run(At::Lan, &line)?.exits(0)?.says("200")?;
    let idle =
        demo.await_kernels(CLOSE, |now| now.get(&place).is_none_or(|weight| *weight == 0))?;
    let gone = demo.await_kernels(CLOSE, |now| !now.contains_key(&place))?;
    idle.print("weight 0, from the request", asked);
    idle.print("from when Marathon says TASK_KILLING", known(&victim, "TASK_KILLING")?);
    gone.print("removed, from when Marathon says TASK_KILLED", known(&victim, "TASK_KILLED")?);
    replaced(demo, &victim)?;
    logged(&victim, "/shop task killed")?;
    demo.none_failed()
}

pub(super) const CRASH: Step = Step {
    title: "Kill a task hard",
    about: "\
No warning, no farewell: the process is gone. Connections that were under way fail, and those that
come before Marathon and the kernel know; of those that begin after that, none.",
    run: crash,
};

fn crash(demo: &mut DemoContext) -> Result<()> {
    let (_, victim) = tasks()?;
    let (place, node) = (victim.socket(), victim.node()?);
    let port = place.rsplit(':').next().unwrap_or_default().to_owned();
    let listening = shell(node, &format!("ss -Hltnp sport = :{port}")).output()?;
    let listening = String::from_utf8_lossy(&listening.stdout).into_owned();
    let pid = listening.split("pid=").nth(1).and_then(|rest| rest.split(',').next());
    let pid = pid.with_context(|| format!("nobody listens on port {port}: {listening}"))?;
    demo.count()?;
    let killed = SystemTime::now();
    run(node, &format!("kill -9 {pid}"))?.exits(0)?;
    let gone = demo.await_kernels(CLOSE, |now| !now.contains_key(&place))?;
    gone.print("removed, from the kill", killed);
    gone.print("from when Marathon says TASK_FAILED", known(&victim, "TASK_FAILED")?);
    replaced(demo, &victim)?;
    logged(&victim, "/shop task failed")?;
    for (at, Count { done, failed }) in demo.count()? {
        let since = gone.at(at)?;
        let late: Vec<_> = failed.iter().filter(|(begun, _)| *begun > since).collect();
        println!(
            "    {at}: {done} connections, {} failed before its kernel knew, {} after",
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
    run: roll,
};

fn roll(demo: &mut DemoContext) -> Result<()> {
    let (before, _) = tasks()?;
    demo.count()?;
    let env = r#"'{"env": {"RELEASE": "2", "SIM_STOP_DELAY_MS": "3000"}}'"#;
    send("PUT", "/v2/apps/shop", env)?;
    let after = settled("/shop", INSTANCES)?;
    ensure!(!after.iter().any(|task| before.contains(task)), "an old task is still there");
    let places: Vec<_> = after.iter().map(Task::socket).collect();
    demo.await_kernels(NOW_AND_THEN, |now| {
        now.len() == places.len() && places.iter().all(|place| now.get(place) == Some(&1))
    })?;
    run(At::Host("node1"), "ipvsadm -Ln -t 3.3.0.7:80")?.exits(0)?.says(&places[0])?;
    demo.none_failed()
}
