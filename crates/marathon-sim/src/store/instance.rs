//! Instances and their tasks: how they begin, what is reported of them, how they end.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::announce::condition;
use super::plan::{self, Member, Phase};
use super::{Failure, Health, Store};
use crate::config::Agent;
use crate::definition::Spec;
use crate::id::Naming;
use crate::time::Timestamp;

/// One running copy of an app or a pod.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) id: String,
    /// The version it was started with, which may be an old one.
    pub(crate) spec: Arc<Spec>,
    /// Index of its agent.
    pub(crate) agent: usize,
    pub(crate) address: Option<Ipv4Addr>,
    /// One for an app, one per container for a pod.
    pub(crate) tasks: Vec<Task>,
    pub(crate) staged_at: Timestamp,
    ending: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) state: TaskState,
    /// When it came to its state.
    pub(crate) since: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(super) running_since: Option<Instant>,
    /// Of the ports that have one, in order.
    pub(crate) host_ports: Vec<u16>,
    /// Per health check; none until the first try.
    pub(crate) health: Vec<Option<Health>>,
    kill: Kill,
}

/// Asks a process to end; empty once it has been asked.
#[derive(Debug)]
struct Kill(Option<oneshot::Sender<()>>);

impl Clone for Kill {
    /// A copy of the store is there to be read: it ends nothing.
    fn clone(&self) -> Self {
        Self(None)
    }
}

/// Mesos' task states, as far as they occur here.
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

/// Names a task of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskRef {
    pub(crate) instance: String,
    /// Index of its container.
    pub(crate) index: usize,
}

/// A task to be run.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) task: TaskRef,
    pub(crate) task_id: String,
    pub(crate) spec: Arc<Spec>,
    pub(crate) agent: Agent,
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) host_ports: Vec<u16>,
    /// Resolves when the task is to end.
    pub(crate) kill: oneshot::Receiver<()>,
}

impl Instance {
    /// True once it is being killed.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending
    }

    /// Running, and every check has passed lately.
    pub(crate) fn is_healthy(&self) -> bool {
        self.tasks.iter().all(|task| {
            let passes = |health: &Option<Health>| health.as_ref().is_some_and(|h| h.alive);
            task.state == TaskState::Running && task.health.iter().all(passes)
        })
    }
}

impl Store {
    /// Whether it passes its readiness checks. Those of an older version have passed them.
    pub(crate) fn is_ready(&self, instance: &Instance) -> bool {
        !self.unready.contains(&instance.spec.id) || !self.is_current(instance)
    }

    /// Of the configuration that is wanted now.
    pub(crate) fn is_current(&self, instance: &Instance) -> bool {
        let entry = self.entries.get(&instance.spec.id);
        entry.is_some_and(|entry| instance.spec.version >= entry.last_config_change)
    }

    /// Moves one step towards what is wanted: what is to end is told so, what is to begin is
    /// returned, with the time to ask again if some is only waiting out its back-off.
    pub(crate) fn reconcile(&mut self, now: Instant) -> (Vec<Job>, Option<Instant>) {
        let (mut jobs, mut wake) = (Vec::new(), None::<Instant>);
        let unwanted = self.instances.iter().filter(|i| !self.entries.contains_key(&i.spec.id));
        let unwanted: Vec<String> = unwanted.map(|instance| instance.id.clone()).collect();
        unwanted.iter().for_each(|id| self.kill(id));
        let ids: Vec<String> = self.entries.keys().cloned().collect();
        for id in &ids {
            let entry = &self.entries[id];
            let (spec, not_before) = (Arc::clone(&entry.spec), entry.not_before);
            let (steps, members) = self.steps(id);
            for index in steps.kill {
                self.kill(&members[index]);
            }
            match not_before {
                Some(at) if at > now && steps.launch > 0 => {
                    wake = Some(wake.map_or(at, |wake| wake.min(at)));
                }
                _ => jobs.extend((0..steps.launch).map_while(|_| self.launch(&spec)).flatten()),
            }
        }
        self.end_deployments();
        (jobs, wake)
    }

    /// The next steps for an app or pod, with the ids of the members their indexes mean.
    fn steps(&self, id: &str) -> (plan::Steps, Vec<String>) {
        let entry = &self.entries[id];
        let member = |instance: &Instance| Member {
            current: self.is_current(instance),
            phase: match instance {
                Instance { ending: true, .. } => Phase::Ending,
                _ if instance.is_healthy() && self.is_ready(instance) => Phase::Healthy,
                _ => Phase::Starting,
            },
        };
        let members: Vec<Member> = self.instances_of(id).map(member).collect();
        let ids = self.instances_of(id).map(|instance| instance.id.clone()).collect();
        (plan::steps(entry.spec.instances, entry.spec.upgrade, &members), ids)
    }

    fn end_deployments(&mut self) {
        let is_done = |id: &str| match self.entries.contains_key(id) {
            true => self.steps(id).0.settled,
            false => self.instances_of(id).next().is_none(),
        };
        let is_over = |deployment: &super::Deployment| {
            deployment.actions.iter().all(|action| is_done(&action.id))
        };
        let over: Vec<super::Deployment> =
            self.deployments.iter().filter(|d| is_over(d)).cloned().collect();
        for deployment in &over {
            self.deployments.retain(|known| known.id != deployment.id);
            self.announce_step("deployment_step_success", deployment);
            self.announce_end("deployment_success", deployment);
        }
    }

    fn launch(&mut self, spec: &Arc<Spec>) -> Option<Vec<Job>> {
        let place = self.place(spec)?;
        let naming = Naming::new(&spec.id, self.generation, spec.pod);
        let (now, id) = (Timestamp::now(), naming.instance());
        let (mut tasks, mut jobs) = (Vec::new(), Vec::new());
        for (index, (container, host_ports)) in spec.containers.iter().zip(place.ports).enumerate()
        {
            let (kill, killed) = oneshot::channel();
            let task_id = naming.task(container.name.as_deref());
            jobs.push(Job {
                task: TaskRef { instance: id.clone(), index },
                task_id: task_id.clone(),
                spec: Arc::clone(spec),
                agent: self.agents[place.agent].clone(),
                address: place.address,
                host_ports: host_ports.clone(),
                kill: killed,
            });
            tasks.push(Task {
                id: task_id,
                state: TaskState::Staging,
                since: now,
                started_at: None,
                running_since: None,
                host_ports,
                health: vec![None; container.checks.len()],
                kill: Kill(Some(kill)),
            });
        }
        self.instances.push(Instance {
            id,
            spec: Arc::clone(spec),
            agent: place.agent,
            address: place.address,
            tasks,
            staged_at: now,
            ending: false,
        });
        let at = self.instances.len() - 1;
        (0..jobs.len()).for_each(|index| {
            self.announce_task(at, index, "", (index > 0).then_some("Staging"));
        });
        Some(jobs)
    }

    /// Asks every task of an instance to end.
    pub(crate) fn kill(&mut self, id: &str) {
        let Some(instance) = self.instances.iter_mut().find(|instance| instance.id == id) else {
            return;
        };
        instance.ending = true;
        let count = instance.tasks.len();
        for index in 0..count {
            let task = TaskRef { instance: id.to_owned(), index };
            if let Some(kill) = self.task_mut(&task).and_then(|task| task.kill.0.take()) {
                // An error means that it ended by itself; that is reported on its own way.
                let _ = kill.send(());
                self.task_is(&task, TaskState::Killing, "");
            }
        }
    }

    /// Records what has become of a task. Every change of a task's state goes through here.
    pub(crate) fn task_is(&mut self, task: &TaskRef, state: TaskState, message: &str) {
        let now = Timestamp::now();
        let Some(at) = self.instances.iter().position(|i| i.id == task.instance) else { return };
        let before = condition(&self.instances[at]);
        let Some(known) = self.instances[at].tasks.get_mut(task.index) else { return };
        let is_over = known.state.is_terminal();
        if is_over || known.state == TaskState::Killing && !state.is_terminal() {
            return;
        }
        known.state = state;
        known.since = now;
        if state == TaskState::Running {
            known.started_at = Some(now);
            known.running_since = Some(Instant::now());
        }
        tracing::info!(task = known.id, state = state.name(), ports = ?known.host_ports, message);
        self.announce_task(at, task.index, message, Some(before));
        if state.is_terminal() {
            self.ended(at, task, state, message);
        }
    }

    /// The other containers of a pod end with the first; when all have, the instance is gone.
    fn ended(&mut self, at: usize, task: &TaskRef, state: TaskState, message: &str) {
        if !self.instances[at].ending {
            self.failed(at, task.index, state, message);
            self.kill(&task.instance);
        }
        let instance = &self.instances[at];
        if instance.tasks.iter().all(|task| task.state.is_terminal()) {
            self.instances.remove(at);
        }
    }

    /// Remembers an end nobody asked for and puts off the next start.
    fn failed(&mut self, at: usize, index: usize, state: TaskState, message: &str) {
        let instance = &self.instances[at];
        let failure = Failure {
            task: instance.tasks[index].id.clone(),
            host: self.agents[instance.agent].hostname.clone(),
            agent: instance.agent,
            message: message.to_owned(),
            state,
            at: Timestamp::now(),
            version: instance.spec.version,
        };
        let backoff = instance.spec.backoff;
        let id = instance.spec.id.clone();
        let scale = |store: &Self, failures| store.scaled(backoff.delay(failures));
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.failures = entry.failures.saturating_add(1);
        entry.last_failure = Some(failure);
        let failures = entry.failures;
        let not_before = Instant::now() + scale(self, failures);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.not_before = Some(not_before);
        }
    }

    fn task_mut(&mut self, task: &TaskRef) -> Option<&mut Task> {
        let instance = self.instances.iter_mut().find(|i| i.id == task.instance)?;
        instance.tasks.get_mut(task.index)
    }
}
