//! The result of one health check of one instance (`core/health/Health.scala`).

use std::time::Duration;

use crate::definition::Check;
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

/// The outcome of one health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure(String),
    /// A 1xx answer, which is ignored.
    Ignored,
}

impl Health {
    /// Records an outcome. `age` is the time since the task began to run. True: the task is to be
    /// killed. As in `HealthCheckActor.scala` the failures before this one count against the limit,
    /// and failures in the grace period before any success are ignored.
    pub(crate) fn record_outcome(
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
            health.record_outcome(&check, GRACE, outcome.clone(), age, Timestamp::now())
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
