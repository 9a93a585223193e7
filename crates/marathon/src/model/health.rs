//! Health checks and their results.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::lenient::record;

/// A health check of an app or a pod container.
#[derive(Debug, Default)]
pub(crate) struct HealthCheck {
    pub(crate) grace_period: Option<Duration>,
    pub(crate) interval: Option<Duration>,
}

record!(HealthCheck { "gracePeriodSeconds" => grace_period, "intervalSeconds" => interval });

/// The result of one health check for one task of an app. Null in very old generations.
#[derive(Debug, Default)]
pub(crate) struct HealthCheckResult {
    pub(crate) alive: Option<bool>,
    pub(crate) last_success: Option<Timestamp>,
    pub(crate) last_failure: Option<Timestamp>,
}

record!(HealthCheckResult {
    "alive" => alive,
    "lastSuccess" => last_success,
    "lastFailure" => last_failure,
});

#[derive(Debug, Default)]
pub(crate) struct ReadinessCheckResult {
    pub(crate) task_id: Option<Arc<str>>,
    pub(crate) ready: Option<bool>,
}

record!(ReadinessCheckResult { "taskId" => task_id, "ready" => ready });
