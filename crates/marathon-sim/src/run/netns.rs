//! Network namespaces of agents: commands that run in them, and the addresses of tasks there.

use std::ffi::OsStr;
use std::io;

use tokio::process::Command;

use crate::config::Agent;
use crate::store::Job;

/// Makes a command that runs in the agent's network namespace.
pub(super) fn in_namespace(agent: &Agent, program: impl AsRef<OsStr>) -> Command {
    let Some(netns) = &agent.netns else { return Command::new(program) };
    let mut command = Command::new("ip");
    command.args(["netns", "exec", netns]).arg(program);
    command
}

/// The address of a task on a container network, on `lo` of its agent's namespace.
pub(super) struct OwnAddress;

impl OwnAddress {
    pub(super) async fn add(job: &Job) -> io::Result<()> {
        Self::run_ip(job, "replace").await
    }

    pub(super) async fn remove(job: &Job) {
        if let Err(error) = Self::run_ip(job, "del").await {
            tracing::warn!(task = job.task_id, %error, "its address stays");
        }
    }

    async fn run_ip(job: &Job, verb: &str) -> io::Result<()> {
        let (Some(netns), Some(subnet), Some(address)) =
            (&job.agent.netns, job.agent.subnet, job.address)
        else {
            return Ok(());
        };
        if !subnet.contains(&address) {
            return Ok(());
        }
        let prefix = format!("{address}/32");
        let mut ip = Command::new("ip");
        ip.args(["-n", netns, "address", verb, &prefix, "dev", "lo"]);
        let output = ip.kill_on_drop(true).output().await?;
        match output.status.success() {
            true => Ok(()),
            false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
        }
    }
}
