//! How long tasks have been running, to know when their health checks should have reported.

use std::time::Duration;

use marathon::{Instance, Timestamp};

/// Tells how long an instance of unknown health has been running; `None` if that is unknown.
pub type RunTime<'a> = &'a dyn Fn(&Instance) -> Option<Duration>;

/// Makes the run times as of a moment by Marathon's clock.
pub fn run_time_at(now: Timestamp) -> impl Fn(&Instance) -> Option<Duration> {
    move |instance| Duration::try_from(now.duration_since(instance.started?.to_timestamp())).ok()
}
