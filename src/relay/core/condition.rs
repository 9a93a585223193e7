//! What a relay's log follows, as it was when the log was last told.

use std::sync::Arc;

use super::RelayCore;
use crate::relay::notices::Condition;

impl RelayCore {
    /// Returns what the log follows, as it was and as it is now, if they differ. Each message, heartbeat and
    /// tick asks: while nothing has changed, nothing is copied.
    pub(in super::super) fn take_condition_change(&mut self) -> Option<(Condition, Condition)> {
        if self.is_as_told() {
            return None;
        }
        let is = Condition {
            is_streaming: self.watch.is_streaming(),
            stream_error: self.status.stream_error.clone(),
            read_error: self.status.read_error.clone(),
            leader: self.status.leader.clone(),
            is_complete: self.is_complete(),
            is_caught_up: !self.progress.is_behind(),
            left_out: Arc::clone(self.feed.left_out()),
        };
        let was = std::mem::replace(&mut self.told, is.clone());
        Some((was, is))
    }

    fn is_as_told(&self) -> bool {
        // All fields, so that none is forgotten.
        let Condition {
            is_streaming,
            stream_error,
            read_error,
            leader,
            is_complete,
            is_caught_up,
            left_out,
        } = &self.told;
        *is_streaming == self.watch.is_streaming()
            && *stream_error == self.status.stream_error
            && *read_error == self.status.read_error
            && *leader == self.status.leader
            && *is_complete == self.is_complete()
            && *is_caught_up != self.progress.is_behind()
            && (Arc::ptr_eq(left_out, self.feed.left_out()) || left_out == self.feed.left_out())
    }
}
