//! Which hosts the prober watches.

use std::time::Duration;

use vip::liveness::{HostsInUse, WatchList};

/// The least time between two lists.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// The list that was made last.
#[derive(Debug, Default)]
pub(super) struct Watching {
    /// The time between two rounds of echoes.
    pub(super) interval: Duration,
    pub(super) hosts: HostsInUse,
    pub(super) list: WatchList,
    /// The time of the next list; `None` while nothing has changed.
    pub(super) due: Option<Duration>,
    /// The time of the last one.
    pub(super) made_at: Option<Duration>,
}

impl Watching {
    /// Has a list made soon.
    pub(super) fn note_change(&mut self, now: Duration) {
        let rested = self.made_at.map_or(now, |at| at.saturating_add(PAUSE));
        self.due.get_or_insert(rested.max(now));
    }
}
