//! What happens to clients again and again: counted each time, and logged once a minute.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The shortest time between two lines of one kind.
const PAUSE: Duration = Duration::from_secs(60);

/// Incidents of one kind.
#[derive(Debug, Default)]
pub(super) struct Incidents {
    count: AtomicU64,
    told: Mutex<Told>,
}

/// The state of the log.
#[derive(Debug, Default)]
struct Told {
    count: u64,
    at: Option<Instant>,
}

impl Incidents {
    /// Returns the number of all.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts an incident that has a line of its own.
    pub(super) fn count_unlogged(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes an incident. `what` names the kind.
    pub(super) fn note(&self, what: &str, from: IpAddr, why: &str) {
        if let Some(line) = self.count_one(what, from, why, Instant::now()) {
            tracing::warn!("{line}");
        }
    }

    /// Counts an incident, and returns a line for the log if it is time for one.
    fn count_one(&self, what: &str, from: IpAddr, why: &str, now: Instant) -> Option<String> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
            return None;
        }
        let more = count.saturating_sub(told.count);
        *told = Told { count, at: Some(now) };
        Some(match more {
            0 | 1 => format!("{what} {from}: {why}"),
            _ => format!("{what} {from}, the last of {more} since the last such line: {why}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_incident_is_logged_and_then_one_a_minute_with_the_number() {
        let (incidents, start) = (Incidents::default(), Instant::now());
        let from = |last| IpAddr::from([10, 0, 0, last]);
        let note = |last, second| {
            let now = start + Duration::from_secs(second);
            incidents.count_one("refused a request of", from(last), "no token", now)
        };
        assert_eq!(note(1, 0).unwrap(), "refused a request of 10.0.0.1: no token");
        assert_eq!((note(2, 1), note(3, 59)), (None, None));
        let line = note(4, 60).unwrap();
        let expected =
            "refused a request of 10.0.0.4, the last of 3 since the last such line: no token";
        assert_eq!((&*line, incidents.count()), (expected, 4));
    }
}
