//! The demo's steps. Each says what it does, shows what the tools print and is held to it.

mod agent;
mod cleanup;
mod hold;
mod network;
mod reaction;
mod traffic;
mod tutorial;

use anyhow::Result;

use super::demo_context::DemoContext;
use super::marathon::{self, Marathon, URL};
use super::show::{self, At, Shown};
use super::topology;

/// One step: a title, a few sentences, and what is done and must come of it.
struct Step {
    title: &'static str,
    about: &'static str,
    run: fn(&mut DemoContext) -> Result<()>,
}

const STEPS: &[Step] = &[
    network::NODES_UP,
    tutorial::CHECK,
    tutorial::POST,
    tutorial::DIFF,
    agent::RUN,
    traffic::CONNECT,
    hold::CHECK,
    hold::KEPT,
    hold::HOLD,
    hold::RELEASE,
    reaction::SHOP,
    reaction::KILL,
    reaction::CRASH,
    reaction::ROLL,
    agent::STATUS,
    agent::KILLED,
    cleanup::CLEANUP,
];

/// Runs every step; the first that is not as it must be ends the demo with an error.
pub(crate) fn run() -> Result<bool> {
    topology::build()?;
    anstream::println!("{INTRODUCTION}");
    let _marathon = Marathon::start()?;
    let mut demo = DemoContext::default();
    for (index, step) in STEPS.iter().enumerate() {
        show::heading(index + 1, STEPS.len(), step.title, step.about);
        if let Err(error) = (step.run)(&mut demo) {
            anstream::eprintln!("\nWhat marathon-sim logged:\n{}", marathon::log());
            for (node, _) in topology::NODES {
                let agent = std::fs::read_to_string(topology::node_log(node)).unwrap_or_default();
                anstream::eprintln!("\nWhat the agent of {node} logged:\n{agent}");
            }
            return Err(error.context(format!("step {} is not as it must be", index + 1)));
        }
    }
    Ok(true)
}

const INTRODUCTION: &str = "
The prompt says where a command runs: node1$ to node3$ are cluster nodes, box$ is a container
bridged to node2 as Docker does it, each a network namespace; a bare $ is your desk beside them.
Marathon is simulated, its tasks are real processes on the nodes. What is printed is what the
tools print; lines that are indented are what the demo itself counted or measured.";

/// Runs vipd on a node with our Marathon as its source.
fn vipd(node: &'static str, command: &str) -> Result<Shown> {
    show::run(At::Host(node), &format!("vipd {command} --marathon {URL}"))
}

/// Posts or puts a definition as it stands in its file.
fn send(method: &str, path: &str, body: &str) -> Result<Shown> {
    let line = format!(
        "curl -sS -X {method} -H 'Content-Type: application/json' -d {body} \\\n    \
         -o /dev/null -w '%{{http_code}}\\n' {URL}{path}"
    );
    show::run(At::Lan, &line)?.exits(0)?.says(if method == "POST" { "201" } else { "200" })
}

/// Connects to a VIP, which must be answered by a task of the app.
fn connect(at: At, vip: &str, app: &str) -> Result<Shown> {
    show::run(at, &format!("curl -sS --max-time 5 http://{vip}/"))?
        .exits(0)?
        .says(&format!("\"app\":\"{app}\""))
}
