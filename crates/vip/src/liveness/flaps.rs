//! How often a host was suspected of late.

use std::time::Duration;

use super::timing::{HOLD, MAX_HOLD, PEACE};

/// The number of suspicions without ten minutes of peace between them.
#[derive(Debug, Default)]
pub(super) struct Flaps {
    count: u32,
    /// The end of the last one.
    ended: Duration,
}

impl Flaps {
    /// Notes that the host is suspected.
    pub(super) fn note_suspicion(&mut self, now: Duration) {
        if now.saturating_sub(self.ended) >= PEACE {
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
    }

    /// Notes that the host is in use again.
    pub(super) fn note_return(&mut self, now: Duration) {
        self.ended = now;
    }

    /// Returns how long the host must answer before it is in use again.
    pub(super) fn hold(&self) -> Duration {
        let doublings = self.count.saturating_sub(1).min(16);
        HOLD.saturating_mul(1 << doublings).min(MAX_HOLD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flap_doubles_the_hold_and_peace_forgets_them() {
        let mut flaps = Flaps::default();
        let mut now = PEACE;
        let holds = [1, 2, 4, 8, 16, 32, 60, 60].map(|_| {
            flaps.note_suspicion(now);
            now += Duration::from_secs(70);
            flaps.note_return(now);
            flaps.hold().as_secs()
        });
        assert_eq!(holds, [1, 2, 4, 8, 16, 32, 60, 60]);
        flaps.note_suspicion(now + PEACE);
        assert_eq!(flaps.hold(), HOLD);
    }
}
