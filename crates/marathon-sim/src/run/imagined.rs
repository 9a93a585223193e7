//! Imagined tasks, for tests: they have no process, live on tokio's clock and follow their fate.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::imagined::Fate;
use crate::shared::Shared;
use crate::store::{Job, Outcome, TaskState};

/// Start time of a task, about that of a process.
const STARTING: Duration = Duration::from_millis(50);

/// Runs an imagined task and reports each of its states.
pub(super) async fn run_imagined(shared: &Arc<Shared>, job: Job, stop: watch::Receiver<bool>) {
    let fate = shared.imagined.insert(&job.task_id);
    let id = job.task_id.clone();
    let task = job.task.clone();
    let (state, message) = live_life(shared, job, fate, stop).await;
    shared.imagined.remove(&id);
    shared.update_store(|store| store.set_task_state(&task, state, message));
}

async fn live_life(
    shared: &Arc<Shared>,
    mut job: Job,
    mut fate: watch::Receiver<Fate>,
    mut stop: watch::Receiver<bool>,
) -> (TaskState, &'static str) {
    let report = |state| shared.update_store(|store| store.set_task_state(&job.task, state, ""));
    report(TaskState::Starting);
    let checks = &job.spec.containers[job.task.index].checks;
    let intervals: Vec<Duration> =
        checks.iter().map(|check| shared.lock_store().scale_time(check.interval)).collect();
    let born = Instant::now() + STARTING;
    let first = |interval: &Duration| born + (*interval).min(shared.config.first_check);
    let mut due: Vec<Instant> = intervals.iter().map(first).collect();
    let mut running = false;
    let mut ends_at = None;
    loop {
        let next = match (running, ends_at) {
            (_, Some(at)) => at,
            (false, _) => born,
            (true, _) => due.iter().min().copied().unwrap_or(born + Duration::from_secs(1 << 30)),
        };
        tokio::select! {
            biased;
            // An error means that the cluster was dropped, which is an end, too.
            _ = stop.wait_for(|stop| *stop) => return (TaskState::Killed, ""),
            _ = &mut job.kill, if ends_at.is_none() => {
                ends_at = Some(Instant::now() + stop_delay(&job));
            }
            Ok(()) = fate.changed() => {
                if *fate.borrow_and_update() == Fate::Over {
                    return (TaskState::Failed, "Command ended with exit status: 1");
                }
            }
            () = sleep_until(next) => {
                if ends_at.is_some() {
                    return (TaskState::Killed, "Command terminated with signal Terminated");
                }
                if !running {
                    running = true;
                    report(TaskState::Running);
                    continue;
                }
                let now = Instant::now();
                for (index, due) in due.iter_mut().enumerate().filter(|(_, due)| **due <= now) {
                    *due = now + intervals[index].max(Duration::from_millis(10));
                    let outcome = match *fate.borrow() {
                        Fate::Well => Outcome::Success,
                        Fate::Ill | Fate::Over => Outcome::Failure("it is ill".to_owned()),
                    };
                    shared.update_store(|store| store.record_check(&job.task, index, outcome));
                }
            }
        }
    }
}

/// Returns how long the task continues after SIGTERM, like the built-in server.
fn stop_delay(job: &Job) -> Duration {
    let environment = job.environment();
    let delay = environment.iter().rev().find(|(key, _)| key == "SIM_STOP_DELAY_MS");
    Duration::from_millis(delay.and_then(|(_, text)| text.parse().ok()).unwrap_or(0))
}
