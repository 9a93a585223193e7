//! The process of a task, from its start to its end.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::netns::{OwnAddress, in_namespace};
use super::{check, imagined};
use crate::definition;
use crate::shared::Shared;
use crate::stand_in::{READY, Transport};
use crate::store::{Job, TaskState};

/// Runs a task and reports each of its states.
pub(super) async fn run_process(shared: Arc<Shared>, mut job: Job, stop: watch::Receiver<bool>) {
    let Some(program) = shared.config.program.clone() else {
        return imagined::run_imagined(&shared, job, stop).await;
    };
    let address = OwnAddress::add(&job).await;
    let (state, message) = match address.and_then(|()| spawn_process(&program, &job)) {
        Ok(child) => {
            let group = Group(child.id());
            let ending = supervise_process(&shared, &mut job, child, &group, stop).await;
            group.kill_all().await;
            ending
        }
        Err(error) => (TaskState::Failed, format!("cannot be started: {error}")),
    };
    OwnAddress::remove(&job).await;
    shared.update_store(|store| store.set_task_state(&job.task, state, &message));
}

/// Starts the task's process as the leader of a process group of its own.
fn spawn_process(program: &Path, job: &Job) -> io::Result<Child> {
    let mut command = in_namespace(&job.agent, program.as_os_str());
    command.arg("task").args(["--app", &job.spec.id, "--task", &job.task_id]);
    command.args(["--host", &job.agent.hostname]);
    for endpoint in job.endpoints().iter().flatten() {
        let transports = [(Transport::Tcp, endpoint.tcp), (Transport::Udp, endpoint.udp)];
        for (transport, _) in transports.iter().filter(|(_, wanted)| *wanted) {
            for address in &endpoint.listen {
                command.arg("--listen").arg(format!("{transport}/{address}"));
            }
        }
    }
    if let definition::Command::Run(argv) = &job.container().command {
        command.arg("--").args(argv);
    }
    command
        .envs(job.environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

async fn supervise_process(
    shared: &Arc<Shared>,
    job: &mut Job,
    mut child: Child,
    group: &Group,
    mut stop: watch::Receiver<bool>,
) -> (TaskState, String) {
    // The end of its standard input tells the task that the simulator is gone; `wait` would close
    // it.
    let _stdin = child.stdin.take();
    let report = |state| shared.update_store(|store| store.set_task_state(&job.task, state, ""));
    report(TaskState::Starting);
    let checks = &mut JoinSet::new();
    let grace = shared.lock_store().scale_time(job.spec.kill_grace);
    let mut killed_at = None;
    let ready = wait_until_ready(child.stdout.take());
    tokio::pin!(ready);
    let mut running = false;
    loop {
        let too_late = async {
            match killed_at {
                Some(at) => tokio::time::sleep_until(at + grace).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            status = child.wait() => return final_state(status, killed_at.is_some()),
            () = &mut ready, if !running => {
                running = true;
                report(TaskState::Running);
                check::spawn_all(shared, job, checks);
            }
            _ = &mut job.kill, if killed_at.is_none() => {
                checks.abort_all();
                killed_at = Some(Instant::now());
                group.send_signal(Signal::SIGTERM);
            }
            () = too_late => {
                group.send_signal(Signal::SIGKILL);
                killed_at = Some(Instant::now() + Duration::from_secs(3600));
            }
            () = wait_for_stop(&mut stop) => {
                group.send_signal(Signal::SIGKILL);
                return final_state(child.wait().await, true);
            }
        }
    }
}

/// Waits until the cluster ends.
async fn wait_for_stop(stop: &mut watch::Receiver<bool>) {
    // An error means that it was dropped, which is an end, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Waits until the process has reported that it serves; for ever if it doesn't.
async fn wait_until_ready(stdout: Option<ChildStdout>) {
    let mut said = [0; READY.len()];
    if let Some(mut stdout) = stdout
        && stdout.read_exact(&mut said).await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

fn final_state(status: io::Result<ExitStatus>, killed: bool) -> (TaskState, String) {
    match status {
        _ if killed => (TaskState::Killed, "Command terminated with signal Terminated".to_owned()),
        Ok(status) if status.success() => (TaskState::Finished, String::new()),
        Ok(status) => (TaskState::Failed, format!("Command ended with {status}")),
        Err(error) => (TaskState::Failed, format!("cannot be waited for: {error}")),
    }
}

/// The process group of a task. Dropping it kills the remaining processes.
struct Group(Option<u32>);

impl Group {
    fn process_group(&self) -> Option<i32> {
        self.0.and_then(|id| i32::try_from(id).ok())
    }

    fn send_signal(&self, signal: Signal) {
        if let Some(id) = self.process_group() {
            // An error means that it has ended already.
            let _ = killpg(Pid::from_raw(id), signal);
        }
    }

    /// Kills the processes that the task's own process left behind, and waits until they have
    /// ended. They aren't children of the simulator, so `wait` doesn't work for them, and they live
    /// on for a moment after the signal.
    async fn kill_all(&self) {
        let Some(id) = self.process_group() else { return };
        while killpg(Pid::from_raw(id), Signal::SIGKILL).is_ok() && is_group_alive(id) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Tells whether a process of a group is alive. A zombie still takes signals; reaping it is up to
/// its new parent, and some containers have none that does.
fn is_group_alive(group: i32) -> bool {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok()).any(|stat| {
        // proc(5): `pid (name) state ppid pgrp …`, where the name may have any characters.
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let (state, pgrp) = (fields.next(), fields.nth(1));
        pgrp == Some(group.to_string().as_str()) && !matches!(state, Some("Z" | "X"))
    })
}

impl Drop for Group {
    fn drop(&mut self) {
        self.send_signal(Signal::SIGKILL);
    }
}
