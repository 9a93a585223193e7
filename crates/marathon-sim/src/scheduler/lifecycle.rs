//! The life cycle of tasks: states, kills and failures.

use tokio::time::Instant;

use crate::store::{Failure, Instance, Reservation, Store, Task, TaskRef, TaskState};

impl Store {
    /// Tells every task of an instance to end.
    pub(crate) fn kill_instance(&mut self, id: &str) {
        let Some(instance) = self.instances.iter_mut().find(|instance| instance.id == id) else {
            return;
        };
        instance.ending = true;
        let count = instance.tasks.len();
        for index in 0..count {
            let task = TaskRef { instance: id.to_owned(), index };
            if let Some(kill) = self.task_mut(&task).and_then(|task| task.kill.0.take()) {
                // An error means that it has ended by itself, which is reported separately.
                let _ = kill.send(());
                self.set_task_state(&task, TaskState::Killing, "");
            }
        }
    }

    /// Sets the state of a task. Every change of a state goes through here.
    pub(crate) fn set_task_state(&mut self, task: &TaskRef, state: TaskState, message: &str) {
        let now = self.now();
        let Some(at) = self.instances.iter().position(|i| i.id == task.instance) else { return };
        let before = self.instances[at].condition();
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
            self.end_task(at, task, state, message);
        }
    }

    /// Ends the other containers of a pod with the first; when all have ended, removes the
    /// instance. A resident one keeps its place.
    fn end_task(&mut self, at: usize, task: &TaskRef, state: TaskState, message: &str) {
        if !self.instances[at].ending {
            self.record_failure(at, task.index, state, message);
            self.kill_instance(&task.instance);
        }
        let instance = &self.instances[at];
        if instance.tasks.iter().all(|task| task.state.is_terminal()) {
            let Instance { spec, naming, agent, .. } = self.instances.remove(at);
            if spec.resident && self.entries.contains_key(&spec.id) {
                let (app, naming) = (spec.id.clone(), naming.next_incarnation());
                self.reservations.push(Reservation { app, naming, agent });
            }
        }
    }

    /// Records an unexpected end, and delays the next start.
    fn record_failure(&mut self, at: usize, index: usize, state: TaskState, message: &str) {
        let instance = &self.instances[at];
        let failure = Failure {
            task: instance.tasks[index].id.clone(),
            host: self.agents[instance.agent].hostname.clone(),
            agent: instance.agent,
            message: message.to_owned(),
            state,
            at: self.now(),
            version: instance.spec.version,
        };
        let backoff = instance.spec.backoff;
        let id = instance.spec.id.clone();
        let scale = |store: &Self, failures| store.scale_time(backoff.delay_after(failures));
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.failures = entry.failures.saturating_add(1);
        entry.last_failure = Some(failure);
        let failures = entry.failures;
        let not_before = Instant::now() + scale(self, failures);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.not_before = Some(not_before);
        }
    }

    /// Ends the back-off of an app or pod, and forgets its failures.
    pub(crate) fn reset_backoff(&mut self, id: &str) {
        if let Some(entry) = self.entries.get_mut(id) {
            (entry.failures, entry.not_before) = (0, None);
        }
    }

    fn task_mut(&mut self, task: &TaskRef) -> Option<&mut Task> {
        let instance = self.instances.iter_mut().find(|i| i.id == task.instance)?;
        instance.tasks.get_mut(task.index)
    }
}
