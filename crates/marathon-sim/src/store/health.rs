//! What is known of one health check of one instance (`core/health/Health.scala`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Instance, Store, TaskRef, TaskState};
use crate::config::Generation;
use crate::definition::Check;
use crate::event::Event;
use crate::time::Timestamp;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) alive: bool,
    pub(crate) consecutive_failures: u32,
    pub(crate) first_success: Option<Timestamp>,
    pub(crate) last_success: Option<Timestamp>,
    pub(crate) last_failure: Option<Timestamp>,
    pub(crate) last_failure_cause: Option<String>,
}

/// What came of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure(String),
    /// A 1xx answer that is to be ignored.
    Ignored,
}

impl Health {
    /// Takes in the outcome of a try made `age` after the task began to run; true if the task is
    /// to be killed. As in `HealthCheckActor.scala` it is the failures before this one that count
    /// against the limit, and failures in the grace period before any success leave no trace.
    pub(super) fn update(
        &mut self,
        check: &Check,
        grace: Duration,
        outcome: Outcome,
        age: Duration,
        now: Timestamp,
    ) -> bool {
        match outcome {
            Outcome::Ignored => false,
            Outcome::Success => {
                self.alive = true;
                self.consecutive_failures = 0;
                self.first_success.get_or_insert(now);
                self.last_success = Some(now);
                false
            }
            Outcome::Failure(_) if self.first_success.is_none() && age < grace => false,
            Outcome::Failure(cause) => {
                let limit = check.max_failures;
                let kill = limit > 0 && self.consecutive_failures >= limit;
                self.alive = false;
                self.consecutive_failures = self.consecutive_failures.saturating_add(1);
                self.last_failure = Some(now);
                self.last_failure_cause = Some(cause);
                kill
            }
        }
    }
}

impl Store {
    /// Records the outcome of a health check.
    pub(crate) fn checked(&mut self, task: &TaskRef, index: usize, outcome: Outcome) {
        let Some(at) = self.instances.iter().position(|i| i.id == task.instance) else { return };
        let before = verdict(&self.instances[at]);
        let spec = Arc::clone(&self.instances[at].spec);
        let check = &spec.containers[task.index].checks[index];
        let grace = self.scaled(check.grace);
        let known = &mut self.instances[at].tasks[task.index];
        if known.state != TaskState::Running {
            return;
        }
        let age = known.running_since.map(|since| since.elapsed()).unwrap_or_default();
        let health = known.health[index].get_or_insert_default();
        let was = health.clone();
        let kill = health.update(check, grace, outcome, age, Timestamp::now());
        let is = health.clone();
        if !spec.pod {
            self.announce_check(at, index, &was, &is, kill);
        }
        self.announce_verdict(at, before);
        if kill {
            tracing::info!(instance = task.instance, "killed: its health check failed too often");
            self.kill(&task.instance);
        } else if self.instances[at].is_healthy()
            && let Some(entry) = self.entries.get_mut(&spec.id)
        {
            entry.failures = 0;
        }
    }

    /// A new leader begins with no results of the checks Marathon makes itself; those Mesos makes
    /// are in the stored task states.
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

    /// The events of one try, in the order of `HealthCheckActor.scala`.
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
                ("slaveId", json!(crate::view::agent_id(instance.agent))),
            ];
            events.push(self.health_event(kind, instance, fields));
        }
        if is.alive != was.alive {
            let fields = [("version", version), ("alive", json!(is.alive))];
            events.push(self.health_event("health_status_changed_event", instance, fields));
        }
        events.into_iter().for_each(|event| self.announce(event));
    }

    fn announce_verdict(&mut self, at: usize, before: Option<bool>) {
        let instance = &self.instances[at];
        let verdict = verdict(instance);
        if self.generation.has_pods() && verdict != before {
            self.announce(Event::new(
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

/// Whether all checks of an instance pass; none while one has never passed, since it is a flip of
/// `alive` that makes it known (`AppHealthCheckActor.scala`).
fn verdict(instance: &Instance) -> Option<bool> {
    let mut checks = instance.tasks.iter().flat_map(|task| &task.health);
    let known = |health: &Option<Health>| {
        health.as_ref().filter(|health| health.first_success.is_some()).map(|health| health.alive)
    };
    checks.try_fold(true, |all, health| Some(known(health)? && all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Probe;

    const GRACE: Duration = Duration::from_secs(10);

    fn feed(outcomes: &[(u64, Outcome)]) -> (Health, Vec<bool>) {
        let check = Check {
            probe: Probe::Https,
            grace: GRACE,
            interval: GRACE,
            timeout: GRACE,
            max_failures: 2,
            ignore_1xx: true,
            by_mesos: false,
        };
        let mut health = Health::default();
        let mut update = |(age, outcome): &(u64, Outcome)| {
            let age = Duration::from_secs(*age);
            health.update(&check, GRACE, outcome.clone(), age, Timestamp::now())
        };
        let kills = outcomes.iter().map(&mut update).collect();
        (health, kills)
    }

    fn failure() -> Outcome {
        Outcome::Failure("refused".to_owned())
    }

    #[test]
    fn failures_in_the_grace_period_leave_an_entry_that_says_nothing() {
        let (health, kills) = feed(&[(1, failure()), (5, failure()), (9, Outcome::Ignored)]);
        assert_eq!(health, Health::default());
        assert_eq!(kills, [false; 3]);
    }

    #[test]
    fn one_failure_after_a_success_flips_alive_even_in_the_grace_period() {
        let (health, _) = feed(&[(1, Outcome::Success), (2, failure())]);
        assert!(!health.alive && health.first_success.is_some());
        assert_eq!(health.consecutive_failures, 1);
        assert_eq!(health.last_failure_cause.as_deref(), Some("refused"));
    }

    #[test]
    fn the_failure_after_the_allowed_ones_kills() {
        let (health, kills) = feed(&[(20, failure()), (30, failure()), (40, failure())]);
        assert_eq!(kills, [false, false, true]);
        assert_eq!(health.consecutive_failures, 3);
    }
}
