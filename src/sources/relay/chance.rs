//! What differs from agent to agent, but is the same for one each time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

pub(super) fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Returns a part of a time, the same each time but another one for each seed.
pub(super) fn part_of(of: Duration, seed: u64) -> Duration {
    let share = hash_of((seed, of)) % 1000;
    of.mul_f64(share as f64 / 1000.0)
}
