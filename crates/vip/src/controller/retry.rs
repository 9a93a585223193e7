use std::time::Duration;

use super::Config;

/// Something that failed and is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// How often in a row it has failed.
    pub failures: u32,
    /// When it is tried again.
    pub at: Duration,
    /// What failed last.
    pub why: String,
}

impl Retry {
    /// One more failure after those before.
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
