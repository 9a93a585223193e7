//! The simulated Marathon: its process and the tasks that it reports.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::show::{At, print_prompt, shell_command};
use super::{topology, wait};

/// URL of its API, as every node reaches it.
pub(super) const URL: &str = "http://10.77.0.1:8080";

const LOG: &str = "/run/marathon-sim.log";

/// The running simulator. Its tasks end with it.
#[derive(Debug)]
pub(super) struct Marathon(Child);

impl Marathon {
    /// Starts the simulator with the nodes as agents, and waits until it listens.
    pub(super) fn start() -> Result<Self> {
        let agents = topology::NODES.map(|(node, address)| format!("--agent {address}@{node}"));
        let listen = URL.trim_start_matches("http://");
        let line = format!("marathon-sim --listen {listen} \\\n    {}", agents.join(" "));
        print_prompt(At::Lan, &format!("{line} &"));
        let mut child = shell_command(At::Lan, &format!("exec {line}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(LOG).with_context(|| format!("cannot make {LOG}"))?)
            .spawn()
            .context("cannot start marathon-sim")?;
        let stdout = child.stdout.take();
        let marathon = Self(child);
        let mut said = String::new();
        BufReader::new(stdout.context("marathon-sim has no output")?).read_line(&mut said)?;
        anstream::print!("{said}");
        ensure!(said.contains(URL), "marathon-sim did not start: {}", simulator_log());
        Ok(marathon)
    }
}

impl Drop for Marathon {
    fn drop(&mut self) {
        // Fails if it has ended already, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the simulator's log.
pub(super) fn simulator_log() -> String {
    std::fs::read_to_string(LOG).unwrap_or_default()
}

/// Returns the time at which Marathon learnt that a task is in this state, from the simulator's
/// log.
pub(super) fn state_known_at(task: &Task, state: &str) -> Result<SystemTime> {
    let (id, state) = (format!("{:?}", task.id), format!("state={state:?}"));
    let log = simulator_log();
    let line = log.lines().find(|line| line.contains(&id) && line.contains(&state));
    let time = line.and_then(|line| line.split(' ').next());
    let time = time.with_context(|| format!("no {state} of {} is in the log", task.id))?;
    let time: jiff::Timestamp = time.parse()?;
    Ok(time.into())
}

/// The part of a task that is used here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) host: String,
    ports: Vec<u16>,
    state: String,
    #[serde(default)]
    health_check_results: Vec<Health>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Health {
    alive: bool,
}

impl Task {
    fn is_healthy(&self) -> bool {
        let alive = self.health_check_results.iter().all(|result| result.alive);
        self.state == "TASK_RUNNING" && alive && !self.health_check_results.is_empty()
    }

    /// Returns its address and port, such as `10.77.0.11:31001`.
    pub(super) fn socket(&self) -> String {
        let port = self.ports.first().copied().unwrap_or_default();
        format!("{}:{port}", self.host)
    }

    /// Returns the node that it runs on.
    pub(super) fn host_node(&self) -> Result<At> {
        let node = topology::NODES.iter().find(|(_, address)| *address == self.host);
        Ok(At::Host(node.with_context(|| format!("no node has the address {}", self.host))?.0))
    }
}

#[derive(Deserialize)]
struct Answer {
    app: App,
}

#[derive(Deserialize)]
struct App {
    tasks: Vec<Task>,
    deployments: Vec<serde::de::IgnoredAny>,
}

/// Waits until the app has this many tasks, all healthy, and no deployment under way.
pub(super) fn await_settled(app: &str, instances: usize) -> Result<Vec<Task>> {
    wait::wait_until(&format!("Marathon has {instances} healthy of {app}"), || {
        let App { tasks, deployments } = read_app(app)?;
        let settled = deployments.is_empty() && tasks.len() == instances;
        Ok((settled && tasks.iter().all(Task::is_healthy)).then_some(tasks))
    })
}

fn read_app(app: &str) -> Result<App> {
    let line = format!("curl -sS --fail --max-time 10 {URL}/v2/apps/{app}");
    let output =
        shell_command(At::Lan, &line).output().with_context(|| format!("cannot run `{line}`"))?;
    ensure!(
        output.status.success(),
        "`{line}` failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("cannot read what `{line}` printed"))?;
    Ok(answer.app)
}
