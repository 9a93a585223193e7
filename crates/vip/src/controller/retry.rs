//! Failures that are retried, with growing delays.

use std::time::Duration;

use super::Config;

/// A failure that is retried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// The number of failures in a row.
    pub failures: u32,
    /// The time of the next attempt.
    pub at: Duration,
    /// The last failure.
    pub why: String,
}

impl Retry {
    /// Counts one more failure, and doubles the delay.
    pub(super) fn after_failure(
        before: Option<&Self>,
        why: String,
        now: Duration,
        config: &Config,
    ) -> Self {
        let failures = before.map_or(0, |before| before.failures).saturating_add(1);
        let delay = config.retry.saturating_mul(1 << (failures - 1).min(16));
        Self { failures, at: now.saturating_add(delay.min(config.sync_period)), why }
    }
}
