//! Delays before retries.

use std::time::Duration;

use super::jitter::Jitter;

/// Exponential back-off with jitter: the delay doubles with each failure up to a limit, less a
/// random part of up to a half. It is reset only after a success that has lasted for a while;
/// otherwise something that fails right after each success would be retried at full speed.
#[derive(Debug)]
pub(super) struct Backoff {
    pub(super) first: Duration,
    pub(super) most: Duration,
    pub(super) stable: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(first: Duration, most: Duration, stable: Duration) -> Self {
        Self { first, most, stable, failures: 0 }
    }

    /// Returns the delay after a failure that followed a success of length `held`.
    pub(super) fn next_delay(&mut self, held: Duration, jitter: &mut Jitter) -> Duration {
        self.next_delay_within(self.most, held, jitter)
    }

    /// Returns the same, limited to `most`.
    pub(super) fn next_delay_within(
        &mut self,
        most: Duration,
        held: Duration,
        jitter: &mut Jitter,
    ) -> Duration {
        if held >= self.stable {
            self.failures = 0;
        }
        let factor = 1u32 << self.failures.min(20);
        self.failures = self.failures.saturating_add(1);
        let delay = self.first.saturating_mul(factor).min(most);
        delay / 2 + jitter.up_to(delay / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(backoff: &mut Backoff, held: u64) -> Duration {
        backoff.next_delay(Duration::from_secs(held), &mut Jitter::new(7))
    }

    #[test]
    fn delays_double_up_to_the_limit_and_start_over_only_after_a_stable_time() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(1), seconds(30), seconds(60));
        for (held, delay) in [(0, 1), (0, 2), (59, 4), (1, 8), (1, 16), (1, 30), (1, 30), (60, 1)] {
            let found = after(&mut backoff, held);
            assert!(found >= seconds(delay) / 2 && found <= seconds(delay), "{delay}: {found:?}");
        }
    }

    #[test]
    fn any_number_of_failures_is_survived() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::MAX, Duration::MAX);
        for _ in 0..100 {
            after(&mut backoff, 0);
        }
    }
}
