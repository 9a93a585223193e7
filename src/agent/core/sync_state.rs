//! The state of a source's synchronization, and whether it is to be saved.

use std::time::Duration;

/// The least time between two saves of a source.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// The state of a source's synchronization. It decides what the absence of an app means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SyncState {
    /// The source was not read as a whole yet: absence means nothing.
    Partial,
    /// The source was read as a whole and waits for the others.
    Whole,
    /// An app that is absent is gone. What is known is worth saving.
    Believed {
        /// Something changed since the last save.
        unsaved: bool,
        saved_at: Option<Duration>,
    },
}

impl SyncState {
    /// Takes in a step of the source: whether all of it is known, and whether it told something.
    pub(super) fn advance(&mut self, is_complete: bool, has_news: bool) {
        match self {
            Self::Partial if is_complete => *self = Self::Whole,
            Self::Believed { unsaved, .. } => *unsaved |= has_news,
            Self::Partial | Self::Whole => {}
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
    fn a_source_is_whole_once_all_of_it_is_known() {
        let mut state = SyncState::Partial;
        state.advance(false, true);
        assert_eq!(state, SyncState::Partial, "its pods are unknown");
        state.advance(true, true);
        assert_eq!(state, SyncState::Whole);
    }

    #[test]
    fn a_source_is_saved_once_it_is_believed_and_then_when_it_changed_but_not_too_often() {
        let mut state = SyncState::Whole;
        assert!(!state.take_save(at(0)));
        state.believe();
        assert!(state.take_save(at(0)));
        assert!(!state.take_save(at(100)), "nothing changed");
        state.advance(true, true);
        assert!(state.take_save(at(100)));
        state.advance(true, true);
        assert!(!state.take_save(at(159)));
        assert!(state.take_save(at(160)));
    }
}
