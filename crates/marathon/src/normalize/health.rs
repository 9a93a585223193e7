//! Evaluation of health checks, and the states of tasks.

use std::time::Duration;

use crate::model::{ContainerStatus, HealthCheck, HealthCheckResult, Task};
use crate::{Health, TaskState};

/// Marathon's defaults, for definitions that were not posted yet (`HealthCheck.scala`).
const DEFAULT_GRACE: Duration = Duration::from_secs(300);
const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

/// Returns the longest time until the health of a new task is known; None without health checks.
pub(crate) fn settling_time<'a>(checks: impl Iterator<Item = &'a HealthCheck>) -> Option<Duration> {
    let longest = |check: &HealthCheck| {
        let grace = check.grace_period.unwrap_or(DEFAULT_GRACE);
        grace.saturating_add(check.interval.unwrap_or(DEFAULT_INTERVAL))
    };
    checks.map(longest).max()
}

/// Evaluates the health of a task. `checks` is the number of health checks in its definition; None
/// if that is unknown.
///
/// There is one result for each check that has reported, in any order. Within the grace period
/// Marathon makes a result that is not alive and has neither succeeded nor failed
/// (`HealthCheckActor.scala`): it doesn't count.
pub(crate) fn task_health(results: &[HealthCheckResult], checks: Option<usize>) -> Health {
    if checks == Some(0) {
        return Health::NoChecks;
    }
    let failed = |result: &HealthCheckResult| {
        result.alive == Some(false)
            && (result.last_failure.is_some() || result.last_success.is_some())
    };
    let all_reported = !results.is_empty() && checks.is_none_or(|checks| results.len() >= checks);
    if results.iter().any(failed) {
        Health::Down
    } else if all_reported && results.iter().all(|result| result.alive == Some(true)) {
        Health::Up
    } else {
        Health::Unknown
    }
}

/// Evaluates the health of a pod container with a health check. Marathon reports `false` even for a
/// check that has not reported, with that as the reason (`PodStatusConversion.scala`).
pub(crate) fn container_health(status: &ContainerStatus, endpoint: Option<bool>) -> Health {
    let said = status.conditions.iter().find(|said| said.name.as_deref() == Some("healthy"));
    let verdict = match said {
        Some(said) if said.reason.as_deref() == Some("health-unreported-by-mesos") => None,
        Some(said) => said.value.as_deref().and_then(|value| value.parse().ok()),
        None => endpoint,
    };
    match verdict {
        Some(true) => Health::Up,
        Some(false) => Health::Down,
        None => Health::Unknown,
    }
}

/// Returns the worst health of several parts.
pub(crate) fn worst_health(parts: &[Health]) -> Health {
    [Health::Down, Health::Unknown, Health::Up]
        .into_iter()
        .find(|health| parts.contains(health))
        .unwrap_or(Health::NoChecks)
}

/// Returns the state of a task. Before 1.1.2 Marathon doesn't report it: then a task that has
/// started is running.
pub(crate) fn task_state(task: &Task) -> TaskState {
    match &task.state {
        Some(state) => state.clone(),
        None if task.started_at.is_some() => TaskState::Running,
        None => TaskState::Staging,
    }
}
