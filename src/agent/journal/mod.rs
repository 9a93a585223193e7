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

/// A change of the kernel, or a notice for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The number of the entry, from 1 at the agent's start. [`Journal::append_entry`] sets it.
    pub number: u64,
    /// The time.
    pub at: Timestamp,
    /// The kind: the name of an operation as in `vipd diff --output json`, or one of `label`,
    /// `source-read`, `source-lost`, `source-back`, `source-stale`, `source-doubted`,
    /// `source-believed`, `stream-lost`, `stream-back`, `ready`, `held`, `released`, `observing`, `trouble`, `trouble-over`.
    pub what: String,
    /// The whole entry as a line: `3.3.0.6:3306/tcp -10.0.0.7:31001 /mysql task killed`.
    pub line: String,
    /// The name of the virtual address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The VIP, as `3.3.0.6:3306/tcp`, or the address, as `3.3.0.6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<String>,
    /// The real server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<SocketAddr>,
    /// The Marathon of the app behind the real server, where several are configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
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
            name: None,
            vip: None,
            server: None,
            source: None,
            app: None,
            task: None,
            why: None,
            after_ms: None,
        }
    }

    /// Cuts off what is longer than a reason may be.
    fn cut_texts(&mut self) {
        let texts = [Some(&mut self.line), self.why.as_mut()];
        for text in texts.into_iter().flatten() {
            *text = caps::cut_text(text, caps::REASON).into_owned();
        }
        for name in [&mut self.app, &mut self.task].into_iter().flatten() {
            if name.len() > caps::REASON {
                *name = caps::cut_text(name, caps::REASON).into();
            }
        }
    }

    /// Returns the length of its texts.
    fn byte_len(&self) -> usize {
        let names = self.app.iter().chain(&self.task).map(|name| name.len());
        self.line.len() + self.why.as_ref().map_or(0, String::len) + names.sum::<usize>()
    }
}

/// The last entries, for any number of readers. A clone shares them.
#[derive(Debug, Clone)]
pub struct Journal {
    entries: Arc<Mutex<Entries>>,
    last: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Entries {
    list: VecDeque<Arc<JournalEntry>>,
    /// The length of all texts.
    bytes: usize,
}

impl Entries {
    /// Appends an entry, and drops the oldest ones beyond the caps.
    fn push_entry(&mut self, entry: JournalEntry) {
        self.bytes += entry.byte_len();
        self.list.push_back(Arc::new(entry));
        while self.list.len() > caps::JOURNAL_ENTRIES || self.bytes > caps::JOURNAL {
            let Some(oldest) = self.list.pop_front() else { return };
            self.bytes -= oldest.byte_len();
        }
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self { entries: Arc::default(), last: Arc::new(watch::Sender::new(0)) }
    }
}

impl Journal {
    /// Appends an entry, with the next number.
    pub fn append_entry(&self, mut entry: JournalEntry) {
        entry.cut_texts();
        let mut entries = self.lock_entries();
        let number = *self.last.borrow() + 1;
        entry.number = number;
        entries.push_entry(entry);
        // Under the lock, so that no number is given twice.
        self.last.send_replace(number);
    }

    /// Returns the kept entries with a higher number, in order.
    #[must_use]
    pub fn entries_after(&self, number: u64) -> Vec<Arc<JournalEntry>> {
        let entries = &self.lock_entries().list;
        let first = entries.partition_point(|entry| entry.number <= number);
        entries.range(first..).cloned().collect()
    }

    /// Watches the number of the last entry.
    #[must_use]
    pub fn last_number(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    fn lock_entries(&self) -> MutexGuard<'_, Entries> {
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
        for _ in 0..caps::JOURNAL_ENTRIES + 7 {
            journal.append_entry(change("add-server"));
        }
        assert!(followed.has_changed().unwrap());
        assert_eq!(*followed.borrow_and_update(), 1007);
        let kept = journal.entries_after(0);
        assert_eq!((kept.len(), kept[0].number), (caps::JOURNAL_ENTRIES, 8));
        assert_eq!(journal.entries_after(1005).len(), 2);
        assert!(journal.entries_after(1007).is_empty());
    }

    #[test]
    fn a_journal_is_bounded_in_bytes() {
        let journal = Journal::default();
        let long = "ä".repeat(100_000);
        for _ in 0..caps::JOURNAL_ENTRIES {
            journal.append_entry(JournalEntry {
                why: Some(long.clone()),
                app: Some(long.as_str().into()),
                task: Some(long.as_str().into()),
                ..JournalEntry::new("label", long.clone(), at())
            });
        }
        let kept = journal.entries_after(0);
        let bytes: usize = kept.iter().map(|entry| entry.byte_len()).sum();
        assert!(bytes <= caps::JOURNAL && kept.len() >= 100, "{bytes} in {}", kept.len());
        assert_eq!(kept.last().unwrap().number, 1000);
        assert!(kept[0].line.ends_with('…') && kept[0].line.len() <= caps::REASON);
    }
}
