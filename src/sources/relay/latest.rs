//! The latest event that relays have told an agent of.

use std::sync::Arc;

use marathon::Timestamp;
use relay::MarathonStatus;

/// The latest event that an agent was told of, by the clock of the leader that sent it.
#[derive(Debug, Default)]
pub(super) struct LatestEvent {
    leader: Option<Arc<str>>,
    at: Option<Timestamp>,
    /// The agent knows something, of a relay that was followed or of an earlier run.
    has_something: bool,
}

impl LatestEvent {
    /// Takes over what a relay says that is followed from now on.
    pub(super) fn begin(&mut self, status: &MarathonStatus) {
        self.leader.clone_from(&status.leader);
        (self.at, self.has_something) = (status.latest_event, true);
    }

    /// Notes that an earlier run knew something.
    pub(super) fn restore(&mut self) {
        self.has_something = true;
    }

    /// Notes what the relay that is followed says. It may know less than the last one did, if no relay was
    /// better.
    pub(super) fn note_status(&mut self, status: &MarathonStatus) {
        match self.leader == status.leader {
            true => self.note_event(status.latest_event),
            false => self.begin(status),
        }
    }

    /// Notes an event that the relay has passed on.
    pub(super) fn note_event(&mut self, at: Option<Timestamp>) {
        self.at = self.at.max(at);
    }

    /// Tells whether another relay may know less: also one whose stream from Marathon has ended, as it
    /// misses what happens now. The clocks of two leaders can't be compared. An agent that knows nothing
    /// loses nothing.
    pub(super) fn is_ahead_of(&self, status: &MarathonStatus) -> bool {
        let has_other_leader = matches!(
            (&self.leader, &status.leader), (Some(own), Some(its)) if own != its
        );
        let may_miss = status.behind || status.stream_error.is_some();
        self.has_something && (may_miss || has_other_leader || status.latest_event < self.at)
    }
}
