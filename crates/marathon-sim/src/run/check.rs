//! Health checks over the network.

use std::io;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::netns::in_namespace;
use crate::config::Agent;
use crate::definition::{Check, Probe};
use crate::shared::Shared;
use crate::store::{Job, Outcome, TaskRef};

/// Lower limit of intervals: 0 must not keep the machine busy.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// One check of one task.
struct Watch {
    task: TaskRef,
    index: usize,
    check: Check,
    target: Option<SocketAddr>,
    agent: Agent,
    environment: Vec<(String, String)>,
}

/// Starts the checks of a running task.
pub(super) fn spawn_all(shared: &Arc<Shared>, job: &Job, checks: &mut JoinSet<()>) {
    for (index, check) in job.container().checks.iter().enumerate() {
        if check.probe == Probe::Https {
            tracing::warn!(task = job.task_id, "HTTPS health checks are not made: health unknown");
            continue;
        }
        let watch = Watch {
            task: job.task.clone(),
            index,
            check: check.clone(),
            target: job.check_target(check),
            agent: job.agent.clone(),
            environment: job.environment(),
        };
        checks.spawn(watch.run_checks(Arc::clone(shared)));
    }
}

impl Watch {
    async fn run_checks(self, shared: Arc<Shared>) {
        let interval = shared.lock_store().scale_time(self.check.interval).max(SHORTEST_INTERVAL);
        tokio::time::sleep(interval.min(shared.config.first_check)).await;
        loop {
            let outcome = tokio::time::timeout(self.check.timeout, self.check_once()).await;
            let outcome = match outcome {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(error)) => Outcome::Failure(error.to_string()),
                Err(_) => {
                    Outcome::Failure(format!("no answer within {} s", self.check.timeout.as_secs()))
                }
            };
            shared.update_store(|store| store.record_check(&self.task, self.index, outcome));
            tokio::time::sleep(interval).await;
        }
    }

    async fn check_once(&self) -> io::Result<Outcome> {
        match &self.check.probe {
            Probe::Tcp(_) => {
                TcpStream::connect(self.target_address()?).await.map(|_| Outcome::Success)
            }
            Probe::Http { path, .. } => {
                Ok(self.judge_status(request_status(self.target_address()?, path).await?))
            }
            Probe::Command(command) => {
                let mut shell = in_namespace(&self.agent, "sh");
                shell.args(["-c", command]).envs(self.environment.clone()).kill_on_drop(true);
                shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                let status = shell.status().await?;
                Ok(match status.success() {
                    true => Outcome::Success,
                    false => Outcome::Failure(format!("Command ended with {status}")),
                })
            }
            Probe::Https => std::future::pending().await,
        }
    }

    fn target_address(&self) -> io::Result<SocketAddr> {
        self.target.ok_or_else(|| io::Error::other("the port to check is nowhere"))
    }

    /// Evaluates a status code: 200 to 399 is healthy, as in `HealthCheckWorker.scala`.
    fn judge_status(&self, status: u16) -> Outcome {
        match status {
            200..400 => Outcome::Success,
            100..200 if self.check.ignore_1xx => Outcome::Ignored,
            _ => Outcome::Failure(status.to_string()),
        }
    }
}

/// Requests `path` and returns the status code.
async fn request_status(target: SocketAddr, path: &str) -> io::Result<u16> {
    // White space in the path must not split the request line.
    let path: String = path.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    let mut stream = TcpStream::connect(target).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut line = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut line).await?;
    let code = str::from_utf8(&line).ok().and_then(|line| line.strip_prefix("HTTP/1."));
    let code = code.and_then(|rest| rest.get(2..)).and_then(|code| code.parse().ok());
    code.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP/1"))
}
