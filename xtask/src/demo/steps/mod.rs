//! The demo's steps. Each explains itself, shows the output of tools and checks it.

mod agent;
mod cleanup;
mod hold;
mod names;
mod network;
mod power;
mod reaction;
mod step;
mod traffic;
mod tutorial;

use anyhow::Result;

use super::demo_context::DemoContext;
use super::marathon::{self, Marathon};
use super::show;
use super::topology;
use step::Step;

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
    power::CUT,
    power::WITHOUT_PROBES,
    names::FIND,
    cleanup::CLEANUP,
];

/// Runs every step. The first that fails ends the demo with an error.
pub(crate) fn run_steps() -> Result<bool> {
    topology::build_network()?;
    anstream::println!("{INTRODUCTION}");
    let _marathon = Marathon::start()?;
    let mut demo = DemoContext::default();
    for (index, step) in STEPS.iter().enumerate() {
        show::print_heading(index + 1, STEPS.len(), step.title, step.about);
        if let Err(error) = (step.run)(&mut demo) {
            anstream::eprintln!("\nWhat marathon-sim logged:\n{}", marathon::simulator_log());
            for (node, _) in topology::NODES {
                let agent = std::fs::read_to_string(topology::node_log(node)).unwrap_or_default();
                anstream::eprintln!("\nWhat the agent of {node} logged:\n{agent}");
            }
            return Err(error.context(format!("step {} failed", index + 1)));
        }
    }
    Ok(true)
}

/// The text before the first step.
const INTRODUCTION: &str = "
The prompt says where a command runs: node1$ to node3$ are cluster nodes, box$ is a container
bridged to node2 as Docker does it, each a network namespace; a bare $ is your own machine beside them.
Marathon is simulated, its tasks are real processes on the nodes. The output is that of the tools;
indented lines are counts and measurements of the demo itself.";
