//! Progress lines: the step that is running, and how long it took.

use std::time::{Duration, Instant};

/// A running step. It prints its heading when it starts, and its duration when it ends.
pub(crate) struct Step {
    started: Instant,
}

impl Step {
    /// Prints the heading.
    pub(crate) fn start(heading: &str) -> Self {
        println!("\n==> {heading}");
        Self { started: Instant::now() }
    }

    /// Prints how the step ended and returns its duration.
    pub(crate) fn end(self, how: &str) -> Duration {
        let took = self.started.elapsed();
        println!("    {how} after {}", format_duration(took));
        took
    }
}

/// Formats a duration for people: `4.2 s`, `3 min 07 s`.
pub(crate) fn format_duration(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_seconds_then_as_minutes() {
        for (millis, text) in [(0, "0.0 s"), (4_240, "4.2 s"), (187_900, "3 min 07 s")] {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
    }
}
