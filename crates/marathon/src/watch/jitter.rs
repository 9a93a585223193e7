//! Random delays, so that a thousand agents don't do the same at the same moment.

use std::time::Duration;

use fastrand::Rng;

/// A source of random delays. They depend on the seed alone, so that a test can be repeated.
#[derive(Debug)]
pub(super) struct Jitter(Rng);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// Returns a random duration up to `limit`.
    pub(super) fn up_to(&mut self, limit: Duration) -> Duration {
        limit.mul_f64(self.0.f64())
    }

    /// Returns a random duration within 30 % of `mean`.
    pub(super) fn around(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(0.7 + 0.6 * self.0.f64())
    }
}
