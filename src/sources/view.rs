//! The state of one source, for readiness, metrics and people.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use vip::plan::Losses;

use crate::clock::Timestamp;

/// The age at which knowledge of a source that can't be read becomes dangerous: Mesos gives the
/// ports of dead tasks to others.
pub const STALE: Duration = Duration::from_secs(15 * 60);

/// The state of one source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceView {
    /// Events are coming. Otherwise it is polled.
    pub streaming: bool,
    /// The relay through which they come. None: from Marathon itself, or none come.
    pub relay: Option<Arc<str>>,
    /// When all of it was last read, by this run or by the one that left the state file.
    pub read_at: Option<Timestamp>,
    /// Everything known of it is from the state file: it hasn't answered yet.
    pub from_disk: bool,
    /// The error of the last read, if it failed.
    pub error: Option<String>,
    /// A sentence on the parts of the last whole answer that could not be read, if there are any.
    pub unread_parts: Option<String>,
    /// The error that ended the event stream, or kept it from being opened.
    pub unheard: Option<String>,
    /// The framework id at its last complete answer.
    pub framework: Option<Arc<str>>,
    /// The number of its apps and pods.
    pub workloads: usize,
    /// The doubt about its last complete answer.
    pub doubt: Option<SourceDoubt>,
}

/// A doubt about a complete answer that lacks most of what was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceDoubt {
    /// The time of the first such answer.
    pub since: Timestamp,
    /// What the last answer lacks.
    pub losses: Losses,
}

/// Writes `2 of 3 VIPs and 5 of 9 real servers`.
impl fmt::Display for SourceDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Losses { services, of_services, servers, of_servers } = self.losses;
        write!(f, "{services} of {of_services} VIPs and {servers} of {of_servers} real servers")
    }
}

impl SourceView {
    /// The age of what is known. `None`: nothing is known.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        let read_at = self.read_at?;
        Some(Duration::try_from(now.duration_since(read_at)).unwrap_or_default())
    }

    /// Returns whether what is known is older than [`STALE`] and nothing corrects it. While events
    /// and reads come, age is no concern: a large cluster reads everything less often than that.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        let is_unread = self.from_disk && self.doubt.is_none();
        let uncorrected = !self.streaming || is_unread || self.error.is_some();
        uncorrected && self.age(now).is_some_and(|age| age > STALE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_make_up_for_old_knowledge_only_while_the_source_can_be_read() {
        let now: Timestamp = "2026-11-23T04:00:00Z".parse().unwrap();
        let source = SourceView { read_at: Some(now), streaming: true, ..SourceView::default() };
        let later = now + STALE + Duration::from_secs(1);
        assert!(!source.is_stale(later));
        assert!(SourceView { streaming: false, ..source.clone() }.is_stale(later));
        assert!(SourceView { from_disk: true, ..source.clone() }.is_stale(later));
        let unread = SourceView { error: Some("status 500".into()), ..source };
        assert!(unread.is_stale(later) && !unread.is_stale(now));
    }
}
