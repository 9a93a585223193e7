//! The stream of a relay, and what a relay says of Marathon.

use std::time::Duration;

use relay::{MarathonStatus, UNHEARD_MS};

use super::timing::{SNAPSHOT, WHOLE_SNAPSHOT};

/// The trouble of a relay that hears Marathon, and has not read it since its events come again.
const BEHIND: &str = "it has missed something of Marathon, and can't read it";

/// The stream of a relay.
#[derive(Debug)]
pub(super) enum Link {
    /// There is none until then.
    Closed { until: Duration },
    /// It is being opened.
    Opening { since: Duration },
    /// A snapshot is coming, or has come since then and is not believed yet.
    Catching {
        heard: Duration,
        whole: Option<Duration>,
        status: MarathonStatus,
        /// When it told this of Marathon. None: it has told nothing yet.
        told_at: Option<Duration>,
        arrival: Arrival,
        /// Somebody accepted a loss at the relay.
        accepted: bool,
    },
    /// It is followed.
    Followed {
        heard: Duration,
        status: MarathonStatus,
        /// Whether something has changed in the read of everything whose changes are coming.
        whole: Option<bool>,
    },
}

/// The arrival of a snapshot.
#[derive(Debug)]
pub(super) struct Arrival {
    begun: Duration,
    /// When something of it came last.
    moved: Duration,
}

impl Arrival {
    pub(super) fn begin(now: Duration) -> Self {
        Self { begun: now, moved: now }
    }

    pub(super) fn note_record(&mut self, now: Duration) {
        self.moved = now;
    }

    /// Returns when its relay is of no use. One that repeats itself for ever moves, and has no end.
    pub(super) fn ends_by(&self) -> Duration {
        (self.moved + SNAPSHOT).min(self.begun + WHOLE_SNAPSHOT)
    }
}

/// Tells whether a relay hears Marathon.
pub(super) fn is_heard(status: &MarathonStatus) -> bool {
    status.stream_error.is_none() && status.silent_ms.is_some_and(|silent| silent < UNHEARD_MS)
}

/// Tells whether a relay knows Marathon as it is, or was a moment ago: without events, what it polls is
/// late, and no older than what it told before.
pub(super) fn tells_of_marathon(status: &MarathonStatus) -> bool {
    is_heard(status) || status.is_polled()
}

/// Returns why the agent can't read Marathon through the relay, or does better with another one.
pub(super) fn unread_reason(status: &MarathonStatus) -> String {
    match &status.read_error {
        Some(why) if is_heard(status) => {
            format!("it can't read Marathon: {}", caps::cut_text(why, caps::REASON))
        }
        _ if is_heard(status) && status.behind => BEHIND.to_owned(),
        _ => unheard_reason(status),
    }
}

/// Returns why a relay is left that doesn't catch up.
pub(super) fn lag_reason(status: &MarathonStatus) -> &'static str {
    match status.behind && is_heard(status) {
        true => BEHIND,
        false => "it knows less than the last one, and hears no Marathon",
    }
}

pub(super) fn unheard_reason(status: &MarathonStatus) -> String {
    match (&status.stream_error, status.silent_ms) {
        (Some(why), _) => {
            format!("it hears no events of Marathon: {}", caps::cut_text(why, caps::REASON))
        }
        (None, Some(silent)) => format!("it has heard nothing of Marathon for {} s", silent / 1000),
        (None, None) => "it has never heard of Marathon".to_owned(),
    }
}
