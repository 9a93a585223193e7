//! The rate of probes beside the rounds.

use std::time::Duration;

use super::timing::RATE;

/// A bucket of tokens, one for each probe; it fills up within a second.
#[derive(Debug)]
pub(super) struct Budget {
    tokens: f64,
    filled: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self { tokens: f64::from(RATE), filled: Duration::ZERO }
    }
}

impl Budget {
    /// Takes a token, if there is one.
    pub(super) fn take_token(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.filled);
        self.filled = self.filled.max(now);
        let rate = f64::from(RATE);
        self.tokens = (self.tokens + passed.as_secs_f64() * rate).min(rate);
        let has_token = self.tokens >= 1.0;
        if has_token {
            self.tokens -= 1.0;
        }
        has_token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_bounded() {
        let mut budget = Budget::default();
        let taken = |budget: &mut Budget, now| (0..5000).filter(|_| budget.take_token(now)).count();
        assert_eq!(taken(&mut budget, Duration::ZERO), 800);
        assert_eq!(taken(&mut budget, Duration::from_millis(500)), 400);
        assert_eq!(taken(&mut budget, Duration::from_secs(60)), 800);
    }
}
