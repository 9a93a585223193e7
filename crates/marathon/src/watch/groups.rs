//! Changes of groups. Marathon announces a change of the group for each change of an app in it
//! (`GroupManagerImpl.updateRoot`). If another event names the app, reading the app is enough. A
//! change of a group that no other event explains may be a change of anything in it.

use std::time::Duration;

/// Both events of one change arrive within this time.
const WINDOW: Duration = Duration::from_millis(200);
/// Limit of changes that wait for the other event.
const MOST: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Changed groups without the event of an app, and the time of their events.
    unexplained: Vec<(String, Duration)>,
    /// Groups of changed apps and pods without the event of the group, and the time of their
    /// events.
    explained: Vec<(String, Duration)>,
}

impl Groups {
    /// Notes a change of a group. False: too many wait already for an explanation.
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

    /// Notes a change of an app or pod, which explains one change of its group.
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

    /// Drops the changes that nothing has explained in time, and returns the time of the first one.
    pub(super) fn take_overdue(&mut self, now: Duration) -> Option<Duration> {
        let first = self.unexplained.iter().map(|(_, at)| *at).min();
        self.unexplained.retain(|(_, at)| *at + WINDOW > now);
        first.filter(|at| *at + WINDOW <= now)
    }

    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.unexplained.iter().map(|(_, at)| *at + WINDOW).min()
    }
}
