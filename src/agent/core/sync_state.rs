//! The state of a source's synchronization, and whether it is to be saved.

use std::time::Duration;

/// The least time between two saves of a source.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// The state of a source's synchronization. It decides what the absence of an app means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SyncState {
    /// The source was not read as a whole yet: absence means nothing.
    Partial,
    /// The source was read as a whole and waits for the others. `confirmed`: its first answer was
    /// doubted, and this is the second one.
    Whole { confirmed: bool },
    /// The first answer claimed so little that the source is being read again.
    Doubted,
    /// An app that is absent is gone. What is known is worth saving.
    Believed {
        /// Something changed since the last save.
        unsaved: bool,
        saved_at: Option<Duration>,
    },
}

impl SyncState {
    /// Takes in a step of the source: whether all of it is known, was just read, and changed.
    pub(super) fn advance(&mut self, is_complete: bool, read_whole: bool, changed: bool) {
        match self {
            Self::Partial if is_complete => *self = Self::Whole { confirmed: false },
            Self::Doubted if read_whole => *self = Self::Whole { confirmed: true },
            Self::Believed { unsaved, .. } => *unsaved |= read_whole || changed,
            Self::Partial | Self::Whole { .. } | Self::Doubted => {}
        }
    }

    /// Believes the source, with all of it still to be saved.
    pub(super) fn believe(&mut self) {
        *self = Self::Believed { unsaved: true, saved_at: None };
    }

    pub(super) fn is_believed(self) -> bool {
        matches!(self, Self::Believed { .. })
    }

    /// Returns whether the source is to be saved now, and takes it for saved then.
    pub(super) fn take_save(&mut self, now: Duration) -> bool {
        let Self::Believed { unsaved, saved_at } = self else { return false };
        let is_due = *unsaved && saved_at.is_none_or(|at| at + SAVE_INTERVAL <= now);
        if is_due {
            *self = Self::Believed { unsaved: false, saved_at: Some(now) };
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_answer_that_was_doubted_is_whole_again_only_by_a_whole_read() {
        let mut state = SyncState::Partial;
        state.advance(false, true, true);
        assert_eq!(state, SyncState::Partial, "its pods are unknown");
        state.advance(true, true, true);
        assert_eq!(state, SyncState::Whole { confirmed: false });
        state = SyncState::Doubted;
        state.advance(true, false, true);
        assert_eq!(state, SyncState::Doubted);
        state.advance(true, true, false);
        assert_eq!(state, SyncState::Whole { confirmed: true });
    }

    #[test]
    fn a_source_is_saved_once_it_is_believed_and_then_when_it_changed_but_not_too_often() {
        let mut state = SyncState::Whole { confirmed: false };
        assert!(!state.take_save(at(0)));
        state.believe();
        assert!(state.take_save(at(0)));
        assert!(!state.take_save(at(100)), "nothing changed");
        state.advance(true, false, true);
        assert!(state.take_save(at(100)));
        state.advance(true, true, false);
        assert!(!state.take_save(at(159)));
        assert!(state.take_save(at(160)));
    }
}
