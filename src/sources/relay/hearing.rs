//! When to look for another relay, because the one in use hears no Marathon or can't read it.

use std::time::Duration;

use super::timing::{ASK_AGAIN, DEAF};

/// How long the relay in use has heard no Marathon, or has been of less use than another one because it
/// can't read it.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    deaf: Option<Deaf>,
    /// Since when it hears no Marathon.
    unheard_since: Option<Duration>,
}

#[derive(Debug)]
struct Deaf {
    since: Duration,
    ask_at: Duration,
    /// How many places after the relay in use the last one stands that was asked.
    asked: usize,
}

impl Hearing {
    /// Notes whether the relay hears Marathon, and whether no other one would be better. `offset` differs from
    /// agent to agent, so that they don't all ask at once.
    pub(super) fn note(
        &mut self,
        is_heard: bool,
        is_useful: bool,
        offset: Duration,
        now: Duration,
    ) {
        self.unheard_since = (!is_heard).then(|| self.unheard_since.unwrap_or(now));
        if is_heard && is_useful {
            self.deaf = None;
        } else if self.deaf.is_none() {
            self.deaf = Some(Deaf { since: now, ask_at: now + DEAF + offset, asked: 0 });
        }
    }

    /// Tells whether it has been of no use for so long that it is no short gap, as when Marathon's leader
    /// changes.
    pub(super) fn is_lost(&self, now: Duration) -> bool {
        self.deaf.as_ref().is_some_and(|deaf| deaf.since + DEAF <= now)
    }

    /// Tells the same of one that hears no Marathon: one that can't read it passes on events.
    pub(super) fn is_unheard(&self, now: Duration) -> bool {
        self.unheard_since.is_some_and(|since| since + DEAF <= now)
    }

    /// Returns when another relay is to be asked whether it is ready.
    pub(super) fn ask_at(&self) -> Option<Duration> {
        self.deaf.as_ref().map(|deaf| deaf.ask_at)
    }

    /// Returns which of the other relays is to be asked now: by turns, counted in places after the one
    /// in use.
    pub(super) fn next_to_ask(&mut self, relays: usize, now: Duration) -> Option<usize> {
        let deaf = self.deaf.as_mut().filter(|deaf| deaf.ask_at <= now)?;
        deaf.ask_at = now + ASK_AGAIN;
        let others = relays.checked_sub(1).filter(|others| *others > 0)?;
        deaf.asked = deaf.asked % others + 1;
        Some(deaf.asked)
    }
}
