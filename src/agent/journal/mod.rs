//! The journal: the last changes with their reasons, and notices, for `vipd events`, the API and the
//! status page.

pub mod log;
pub mod notices;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock::Timestamp;

/// Maximum number of entries that are kept.
const CAPACITY: usize = 1000;

/// A change of the kernel, or a notice for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The number of the entry, from 1 at the agent's start. [`Journal::append_entry`] sets it.
    pub number: u64,
    /// The time.
    pub at: Timestamp,
    /// The kind: the name of an operation as in `vipd diff --output json`, or one of `label`,
    /// `source-read`, `source-lost`, `source-back`, `source-stale`, `stream-lost`, `stream-back`,
    /// `ready`, `held`, `released`, `observing`, `trouble`, `trouble-over`.
    pub what: String,
    /// The whole entry as a line: `3.3.0.6:3306/tcp -10.0.0.7:31001 /mysql task killed`.
    pub line: String,
    /// The VIP, as `3.3.0.6:3306/tcp`, or the address, as `3.3.0.6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<String>,
    /// The real server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<SocketAddr>,
    /// The app or pod, or several with commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<Arc<str>>,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Arc<str>>,
    /// The reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The time since vipd knew of its cause, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
}

impl JournalEntry {
    /// Makes an entry about which nothing else is known.
    #[must_use]
    pub fn new(what: &str, line: String, at: Timestamp) -> Self {
        Self {
            number: 0,
            at,
            what: what.to_owned(),
            line,
            vip: None,
            server: None,
            app: None,
            task: None,
            why: None,
            after_ms: None,
        }
    }
}

/// The last entries, for any number of readers. A clone shares them.
#[derive(Debug, Clone)]
pub struct Journal {
    entries: Arc<Mutex<VecDeque<Arc<JournalEntry>>>>,
    last: Arc<watch::Sender<u64>>,
}

impl Default for Journal {
    fn default() -> Self {
        Self { entries: Arc::default(), last: Arc::new(watch::Sender::new(0)) }
    }
}

impl Journal {
    /// Appends an entry, with the next number.
    pub fn append_entry(&self, mut entry: JournalEntry) {
        let mut entries = self.lock_entries();
        let number = *self.last.borrow() + 1;
        entry.number = number;
        if entries.len() == CAPACITY {
            entries.pop_front();
        }
        entries.push_back(Arc::new(entry));
        // Under the lock, so that no number is given twice.
        self.last.send_replace(number);
    }

    /// Returns the kept entries with a higher number, in order.
    #[must_use]
    pub fn entries_after(&self, number: u64) -> Vec<Arc<JournalEntry>> {
        let entries = self.lock_entries();
        let first = entries.partition_point(|entry| entry.number <= number);
        entries.range(first..).cloned().collect()
    }

    /// Watches the number of the last entry.
    #[must_use]
    pub fn last_number(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    fn lock_entries(&self) -> MutexGuard<'_, VecDeque<Arc<JournalEntry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        "2026-11-23T04:00:00Z".parse().unwrap()
    }

    fn change(what: &str) -> JournalEntry {
        JournalEntry::new(what, format!("{what} something"), at())
    }

    #[test]
    fn a_change_survives_the_way_to_a_reader() {
        let json = serde_json::to_string(&change("held")).unwrap();
        assert_eq!(
            json,
            r#"{"number":0,"at":"2026-11-23T04:00:00Z","what":"held","line":"held something"}"#
        );
        assert_eq!(serde_json::from_str::<JournalEntry>(&json).unwrap(), change("held"));
    }

    #[test]
    fn a_journal_remembers_the_last_thousand_and_wakes_its_followers() {
        let journal = Journal::default();
        let mut followed = journal.last_number();
        for _ in 0..CAPACITY + 7 {
            journal.append_entry(change("add-server"));
        }
        assert!(followed.has_changed().unwrap());
        assert_eq!(*followed.borrow_and_update(), 1007);
        let kept = journal.entries_after(0);
        assert_eq!((kept.len(), kept[0].number), (CAPACITY, 8));
        assert_eq!(journal.entries_after(1005).len(), 2);
        assert!(journal.entries_after(1007).is_empty());
    }
}
