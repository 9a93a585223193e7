//! The agents of the nodes: their processes and logs.

use std::fs::{self, File};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};

use super::marathon::URL;
use super::show::{At, print_prompt, run_and_show, shell_command};
use super::topology::{NODES, node_dir, node_log};
use super::wait;

/// The running agents, in the order of the nodes.
#[derive(Debug, Default)]
pub(super) struct Agents(Vec<Child>);

impl Agents {
    /// Starts an agent on every node and waits until each is ready.
    pub(super) fn start(&mut self) -> Result<()> {
        for (node, _) in NODES {
            self.0.push(start(node, "")?);
        }
        NODES.iter().try_for_each(|(node, _)| await_ready(node))
    }

    /// Returns the process id of a node's agent.
    pub(super) fn process_of(&self, node: &str) -> Result<u32> {
        let agents = NODES.iter().zip(&self.0);
        let found = agents.into_iter().find(|((name, _), _)| *name == node);
        Ok(found.with_context(|| format!("no agent runs on {node}"))?.1.id())
    }

    /// Returns the process id of the first node's agent.
    pub(super) fn first_process(&self) -> Result<u32> {
        Ok(self.0.first().context("no agent runs")?.id())
    }

    /// Waits for the end of the first node's agent, which was killed.
    pub(super) fn await_end_of_first(&mut self) -> Result<()> {
        self.0.first_mut().context("no agent runs")?.wait()?;
        Ok(())
    }

    /// Starts the first node's agent again.
    pub(super) fn restart_first(&mut self) -> Result<()> {
        self.start_first("")
    }

    /// Stops the first node's agent, and starts it again with these options, which follow a space.
    pub(super) fn replace_first(&mut self, options: &str) -> Result<()> {
        let (node, _) = NODES[0];
        stop(node, self.0.first_mut().context("no agent runs")?)?;
        self.start_first(options)
    }

    fn start_first(&mut self, options: &str) -> Result<()> {
        let (node, _) = NODES[0];
        *self.0.first_mut().context("no agent ran")? = start(node, options)?;
        await_ready(node)
    }

    /// Asks every agent to stop, and waits for it.
    pub(super) fn stop_all(&mut self) -> Result<()> {
        for ((node, _), child) in NODES.iter().zip(&mut self.0) {
            stop(node, child)?;
        }
        self.0.clear();
        Ok(())
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Fails if it has ended already, which is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn stop(node: &'static str, agent: &mut Child) -> Result<()> {
    run_and_show(At::Host(node), &format!("kill {}", agent.id()))?.exits(0)?;
    let status = agent.wait()?;
    ensure!(status.success(), "the agent of {node} ended with {status}");
    Ok(())
}

fn start(node: &'static str, options: &str) -> Result<Child> {
    let (at, path) = (At::Host(node), node_log(node));
    fs::create_dir_all(node_dir(node))
        .with_context(|| format!("cannot make {}", node_dir(node)))?;
    let line = format!("vipd run --marathon {URL}{options}");
    print_prompt(at, &format!("{line} 2>>{path} &"));
    let log = File::options().create(true).append(true).open(&path);
    shell_command(at, &format!("exec {line}"))
        .stdin(Stdio::null())
        .stderr(log.with_context(|| format!("cannot make {path}"))?)
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))
}

fn await_ready(node: &'static str) -> Result<()> {
    let probe = "curl -sS --fail --max-time 5 http://127.0.0.1:9614/readyz";
    wait::wait_until(&format!("the agent of {node} is ready"), || {
        let output = shell_command(At::Host(node), probe).output()?;
        Ok(output.status.success().then_some(()))
    })
}
