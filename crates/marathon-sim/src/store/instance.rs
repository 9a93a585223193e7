//! Instances and their tasks.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::health::Health;
use crate::config::Agent;
use crate::definition::Spec;
use crate::id::Naming;
use crate::time::Timestamp;

/// One running copy of an app or a pod.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) naming: Naming,
    /// The version it was started by, which may be an old one.
    pub(crate) spec: Arc<Spec>,
    /// Index of the agent.
    pub(crate) agent: usize,
    pub(crate) address: Option<Ipv4Addr>,
    /// One task for an app, one per container for a pod.
    pub(crate) tasks: Vec<Task>,
    pub(crate) staged_at: Timestamp,
    pub(crate) ending: bool,
}

/// The place of a resident task that has ended and will be started again.
#[derive(Debug, Clone)]
pub(crate) struct Reservation {
    /// The id of its app.
    pub(crate) app: String,
    pub(crate) naming: Naming,
    /// Index of the agent, which has the volume.
    pub(crate) agent: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) state: TaskState,
    /// The time when it entered its state.
    pub(crate) since: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) running_since: Option<Instant>,
    /// Host ports of the ports that have one, in order.
    pub(crate) host_ports: Vec<u16>,
    /// One result per health check; None until the first outcome.
    pub(crate) health: Vec<Option<Health>>,
    pub(crate) kill: Kill,
}

/// Tells a process to end; empty afterwards.
#[derive(Debug)]
pub(crate) struct Kill(pub(crate) Option<oneshot::Sender<()>>);

impl Clone for Kill {
    /// A copy of the store is for reading and can't end a process.
    fn clone(&self) -> Self {
        Self(None)
    }
}

/// The task states of Mesos that occur here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TaskState {
    Staging,
    Starting,
    Running,
    Killing,
    Finished,
    Failed,
    Killed,
}

impl TaskState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Staging => "TASK_STAGING",
            Self::Starting => "TASK_STARTING",
            Self::Running => "TASK_RUNNING",
            Self::Killing => "TASK_KILLING",
            Self::Finished => "TASK_FINISHED",
            Self::Failed => "TASK_FAILED",
            Self::Killed => "TASK_KILLED",
        }
    }

    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Killed)
    }
}

/// The key of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskRef {
    pub(crate) instance: String,
    /// Index of the container.
    pub(crate) index: usize,
}

/// A task to run.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) task: TaskRef,
    pub(crate) task_id: String,
    pub(crate) spec: Arc<Spec>,
    pub(crate) agent: Agent,
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) host_ports: Vec<u16>,
    /// Resolves when the task has to end.
    pub(crate) kill: oneshot::Receiver<()>,
}

impl Instance {
    /// Tells whether it is being killed.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending
    }

    /// Tells whether all tasks are running and all checks pass.
    pub(crate) fn is_healthy(&self) -> bool {
        self.tasks.iter().all(|task| {
            let passes = |health: &Option<Health>| health.as_ref().is_some_and(|h| h.alive);
            task.state == TaskState::Running && task.health.iter().all(passes)
        })
    }

    /// Returns the condition: the most important state of its tasks
    /// (`core/instance/Instance.scala`).
    pub(crate) fn condition(&self) -> &'static str {
        let rank = |state: &TaskState| match state {
            TaskState::Failed => 0,
            TaskState::Killing => 1,
            TaskState::Staging => 2,
            TaskState::Starting => 3,
            TaskState::Running => 4,
            TaskState::Killed => 5,
            TaskState::Finished => 6,
        };
        let states = self.tasks.iter().map(|task| task.state);
        match states.min_by_key(rank).unwrap_or(TaskState::Staging) {
            TaskState::Failed => "Failed",
            TaskState::Killing => "Killing",
            TaskState::Staging => "Staging",
            TaskState::Starting => "Starting",
            TaskState::Running => "Running",
            TaskState::Killed => "Killed",
            TaskState::Finished => "Finished",
        }
    }
}
