//! Time as the agent sees it: the time since its start, and the wall clock.

use std::time::Duration;

pub use marathon::Timestamp;

/// One instant, by the monotonic clock and by the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The monotonic time since the agent's start.
    pub since_start: Duration,
    /// The wall-clock time, to compare with the times that a source reports.
    pub wall: Timestamp,
}
