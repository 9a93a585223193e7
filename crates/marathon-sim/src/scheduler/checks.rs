//! Outcomes of health checks: records, events and kills.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::config::Generation;
use crate::event::Event;
use crate::store::{Health, Instance, Outcome, Store, TaskRef, TaskState};
use crate::view;

impl Store {
    /// Records the outcome of a health check.
    pub(crate) fn record_check(&mut self, task: &TaskRef, index: usize, outcome: Outcome) {
        let Some(at) = self.instances.iter().position(|i| i.id == task.instance) else { return };
        let before = health_verdict(&self.instances[at]);
        let spec = Arc::clone(&self.instances[at].spec);
        let check = &spec.containers[task.index].checks[index];
        let grace = self.scale_time(check.grace);
        let now = self.now();
        let known = &mut self.instances[at].tasks[task.index];
        if known.state != TaskState::Running {
            return;
        }
        let age = known.running_since.map(|since| since.elapsed()).unwrap_or_default();
        let health = known.health[index].get_or_insert_default();
        let was = health.clone();
        let kill = health.record_outcome(check, grace, outcome, age, now);
        let is = health.clone();
        if !spec.pod {
            self.announce_check(at, index, &was, &is, kill);
        }
        self.announce_verdict(at, before);
        if kill {
            tracing::info!(instance = task.instance, "killed: its health check failed too often");
            self.kill_instance(&task.instance);
        } else if self.instances[at].is_healthy()
            && let Some(entry) = self.entries.get_mut(&spec.id)
        {
            entry.failures = 0;
        }
    }

    /// Forgets the results of the checks that Marathon makes itself, as a new leader does. Those of
    /// Mesos are in the stored task states.
    pub(crate) fn forget_health(&mut self) {
        for instance in &mut self.instances {
            for (container, task) in instance.spec.containers.iter().zip(&mut instance.tasks) {
                for (check, health) in container.checks.iter().zip(&mut task.health) {
                    if !check.by_mesos {
                        *health = None;
                    }
                }
            }
        }
    }

    /// Announces the outcome of a health check, in the order of `HealthCheckActor.scala`.
    fn announce_check(&mut self, at: usize, index: usize, was: &Health, is: &Health, kill: bool) {
        let instance = &self.instances[at];
        let version = Value::from(instance.spec.version);
        let mut events = Vec::new();
        if is.consecutive_failures > was.consecutive_failures {
            let check = &instance.spec.source["healthChecks"][index];
            let fields = [("healthCheck", check.clone())];
            events.push(self.health_event("failed_health_check_event", instance, fields));
        }
        if kill {
            let kind = match self.generation {
                Generation::V1_1 => "unhealthy_task_kill_event",
                _ => "unhealthy_instance_kill_event",
            };
            let fields = [
                ("taskId", json!(instance.tasks[0].id)),
                ("version", version.clone()),
                ("reason", json!(is.last_failure_cause)),
                ("host", json!(self.agents[instance.agent].hostname)),
                ("slaveId", json!(view::agent_id(instance.agent))),
            ];
            events.push(self.health_event(kind, instance, fields));
        }
        if is.alive != was.alive {
            let fields = [("version", version), ("alive", json!(is.alive))];
            events.push(self.health_event("health_status_changed_event", instance, fields));
        }
        events.into_iter().for_each(|event| self.push_event(event));
    }

    fn announce_verdict(&mut self, at: usize, before: Option<bool>) {
        let instance = &self.instances[at];
        let verdict = health_verdict(instance);
        if self.generation.has_pods() && verdict != before {
            self.push_event(Event::new(
                "instance_health_changed_event",
                [
                    ("instanceId", json!(instance.id)),
                    ("runSpecId", json!(instance.spec.id)),
                    ("healthy", json!(verdict)),
                    ("runSpecVersion", instance.spec.version.into()),
                ],
            ));
        }
    }
}

/// Returns whether all checks of an instance pass. None while a check has never passed, since only
/// a change of `alive` is announced (`AppHealthCheckActor.scala`).
fn health_verdict(instance: &Instance) -> Option<bool> {
    let mut checks = instance.tasks.iter().flat_map(|task| &task.health);
    let known = |health: &Option<Health>| {
        health.as_ref().filter(|health| health.first_success.is_some()).map(|health| health.alive)
    };
    checks.try_fold(true, |all, health| Some(known(health)? && all))
}
