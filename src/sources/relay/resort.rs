//! A relay that is behind, and is followed all the same because no relay is better.

/// The last resort of an agent once no relay has caught up with what the last one told.
#[derive(Debug, Default)]
pub(super) struct LastResort {
    /// Relays that were tried in vain since one was followed that had caught up.
    tried: usize,
    /// The place of the relay that is followed, or was last.
    place: usize,
    /// Whether that one is behind, so that another one is better.
    is_in_use: bool,
    /// All that the agent knows is of that relay, which can't know less by now.
    knows_all: bool,
}

impl LastResort {
    /// Notes that a relay was left before it was followed.
    pub(super) fn note_tried(&mut self) {
        self.tried = self.tried.saturating_add(1);
    }

    /// Notes that Marathon itself is read.
    pub(super) fn note_direct_read(&mut self) {
        self.knows_all = false;
    }

    /// Tells whether all the other relays were tried, so that the one at hand is the last resort.
    pub(super) fn is_due(&self, relays: usize) -> bool {
        self.tried + 1 >= relays
    }

    /// Notes that a relay is followed that has caught up.
    pub(super) fn note_followed(&mut self, place: usize) {
        *self = Self { tried: 0, place, is_in_use: false, knows_all: true };
    }

    /// Notes that a relay is followed as a last resort. The round counts on: after a break, the agent
    /// doesn't begin another one.
    pub(super) fn note_used(&mut self, place: usize) {
        self.knows_all &= place == self.place;
        (self.place, self.is_in_use) = (place, true);
    }

    /// Tells whether another relay is better than the one that is followed, which may be behind. Once it
    /// has caught up, it is as good as any.
    pub(super) fn note_status(&mut self, is_behind: bool) -> bool {
        if self.is_in_use && !is_behind {
            self.note_followed(self.place);
        }
        self.is_in_use
    }

    /// Tells whether what the relay has read may be older than what the agent knows, so that it would
    /// bring servers back that are dead. What it hears and reads from now on is not.
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_in_use && !self.knows_all
    }
}
