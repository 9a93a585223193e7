//! The echoes to one host or witness.

use std::time::Duration;

/// The number of recent echoes whose replies still count. A reply to an older one has been on its
/// way for so long that it says nothing about now.
const RECENT: u16 = 16;

/// Sequence numbers, and the last sign of life.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    sequence: u16,
    /// The number sent, up to [`RECENT`].
    sent: u16,
    /// The time of the last sign of life.
    last_sign: Option<Duration>,
}

impl Echoes {
    /// Returns the sequence number of the next echo.
    pub(super) fn next_sequence(&mut self) -> u16 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sent = (self.sent + 1).min(RECENT);
        self.sequence
    }

    /// Tells whether a reply with this number belongs to a recent echo.
    pub(super) fn is_recent(&self, sequence: u16) -> bool {
        self.sequence.wrapping_sub(sequence) < self.sent
    }

    /// Notes a sign of life.
    pub(super) fn note_sign(&mut self, at: Duration) {
        self.last_sign = self.last_sign.max(Some(at));
    }

    /// Tells whether there was ever a sign of life.
    pub(super) fn was_heard(&self) -> bool {
        self.last_sign.is_some()
    }

    /// Tells whether there was a sign of life since then.
    pub(super) fn has_sign_since(&self, then: Duration) -> bool {
        self.last_sign.is_some_and(|at| at >= then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_replies_to_recent_echoes_count() {
        let mut echoes = Echoes::default();
        assert!(!echoes.is_recent(0), "none was sent");
        assert_eq!(echoes.next_sequence(), 1);
        assert!(echoes.is_recent(1) && !echoes.is_recent(0) && !echoes.is_recent(2));
        echoes.sequence = u16::MAX;
        for expected in 0..10 {
            assert_eq!(echoes.next_sequence(), expected);
        }
        assert!(echoes.is_recent(9) && echoes.is_recent(u16::MAX));
        assert!(!echoes.is_recent(10));
        (0..100).for_each(|_| _ = echoes.next_sequence());
        assert!(!echoes.is_recent(9));
    }
}
