//! Bad news of events, and until when it stands against reads.

use std::time::Duration;

use jiff::Timestamp;

use super::expectation::{LAG, state_rank};
use crate::{Health, Instance, TaskState};

/// Reads that contradict the end of a task for this long win: the event was wrong, or the task was
/// started again under its id. Marathon's API lags behind its events, but seldom for longer.
const DISPUTE: Duration = Duration::from_secs(8);

/// Bad news of an event.
#[derive(Debug, Clone)]
pub(super) struct Report {
    /// The time of the event, by Marathon's clock.
    pub(super) at: Option<Timestamp>,
    pub(super) heard_at: Duration,
    pub(super) news: BadNews,
}

/// Bad news that waits for a read.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) report: Report,
    /// The time when it is applied without a read. None: a read has contradicted it.
    pub(super) until: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadNews {
    /// Killing or terminal.
    State(TaskState),
    Health,
}

impl Report {
    /// Returns the time from which on a read decides whether it is true.
    pub(super) fn decided_at(&self) -> Duration {
        self.heard_at
            + match self.news {
                BadNews::State(_) => DISPUTE,
                BadNews::Health => LAG,
            }
    }

    /// Tells whether an event of this time came before it. An event without a time didn't.
    pub(super) fn is_after(&self, event: Option<Timestamp>) -> bool {
        matches!((self.at, event), (Some(at), Some(event)) if event < at)
    }

    /// Takes in another event that says the same.
    pub(super) fn confirm(&mut self, other: &Self) {
        if self.news == other.news {
            self.at = self.at.max(other.at);
            self.heard_at = other.heard_at;
        }
    }
}

impl BadNews {
    /// Tells whether an instance is as bad as that already.
    pub(super) fn is_shown_by(&self, instance: &Instance) -> bool {
        match self {
            Self::State(state) => state_rank(state) <= state_rank(&instance.state),
            Self::Health => matches!(instance.health, Health::Down | Health::NoChecks),
        }
    }

    /// Tells whether a read that shows this instance agrees. A task that has ended may wait to be
    /// started again under its id.
    pub(super) fn is_compatible_with(&self, instance: &Instance) -> bool {
        let waits = matches!(instance.state, TaskState::Staging | TaskState::Starting);
        self.is_shown_by(instance) || waits && matches!(self, Self::State(_))
    }

    pub(super) fn apply_to(&self, instance: &mut Instance) {
        match self {
            _ if self.is_shown_by(instance) => {}
            Self::State(state) => instance.state = state.clone(),
            Self::Health => {
                instance.health = Health::Down;
                for health in &mut instance.port_health {
                    if *health != Health::NoChecks {
                        *health = Health::Down;
                    }
                }
            }
        }
    }

    /// Tells whether it stays when both are said of one instance.
    pub(super) fn outweighs(&self, other: &Self) -> bool {
        let rank = |news: &Self| match news {
            Self::State(state) => state_rank(state),
            Self::Health => 0,
        };
        rank(self) > rank(other)
    }
}
