//! Changes of groups. Marathon tells one for each change that it accepts, if only of one app: of
//! the app's group (`GroupManagerImpl.updateRoot`). Another event names the app, and that is read
//! alone; what no other event explains may be a change of anything beneath the group.

use std::time::Duration;

/// Both events of one change come within this time.
const WINDOW: Duration = Duration::from_millis(200);
/// So many are told apart.
const MOST: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Groups that changed, and when that was told.
    unexplained: Vec<(String, Duration)>,
    /// Groups of apps and pods that changed, when no change of the group was told yet.
    explained: Vec<(String, Duration)>,
}

impl Groups {
    /// A change of this group was told. False if too many wait already for what explains them.
    pub(super) fn note_change(&mut self, group: &str, now: Duration) -> bool {
        self.explained.retain(|(_, at)| *at + WINDOW > now);
        let explained = self.explained.iter().position(|(other, _)| other == group);
        if let Some(index) = explained {
            self.explained.remove(index);
            return true;
        }
        let roomy = self.unexplained.len() < MOST;
        if roomy {
            self.unexplained.push((group.to_owned(), now));
        }
        roomy
    }

    /// A change of this app or pod was told: it explains one change of its group.
    pub(super) fn explain_change(&mut self, id: &str, now: Duration) {
        let group = id.rsplit_once('/').map_or("/", |(group, _)| group);
        let group = if group.is_empty() { "/" } else { group };
        let waiting = self.unexplained.iter().position(|(other, _)| other == group);
        if let Some(index) = waiting {
            self.unexplained.remove(index);
        } else if self.explained.len() < MOST {
            self.explained.push((group.to_owned(), now));
        }
    }

    /// When a change of a group was told that nothing has explained in time.
    pub(super) fn take_overdue(&mut self, now: Duration) -> Option<Duration> {
        let first = self.unexplained.iter().map(|(_, at)| *at).min();
        self.unexplained.retain(|(_, at)| *at + WINDOW > now);
        first.filter(|at| *at + WINDOW <= now)
    }

    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.unexplained.iter().map(|(_, at)| *at + WINDOW).min()
    }
}
