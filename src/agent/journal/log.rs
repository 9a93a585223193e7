//! The agent's log: a line for each change and each notice. The journal gets them too.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use vip::controller::{Controller, LogEntry, Mode};
use vip::plan::OpResult;
use vip::{LabelReport, SourceId};

use super::notices::{self, Notice};
use super::{Journal, JournalEntry};
use crate::agent::status::View;
use crate::clock::Timestamp;

/// The `tracing` target of lines about changes. Their message repeats most of their fields.
pub const CHANGE: &str = "vipd::change";

/// Writes the log and the journal, and remembers what it must not repeat.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) journal: Journal,
    stale: BTreeSet<SourceId>,
    withheld: BTreeSet<String>,
}

impl Log {
    /// Logs the result of each operation of a plan. `now` is since the agent's start.
    pub(crate) fn log_outcome(&self, done: Vec<(LogEntry, OpResult)>, now: Duration) {
        for (entry, result) in done {
            match result {
                OpResult::Done => {
                    let after = entry.since.map(|since| now.saturating_sub(since));
                    let after_ms = after.and_then(|after| u64::try_from(after.as_millis()).ok());
                    self.log_change(&entry, after_ms);
                }
                OpResult::AlreadySo => write_line(&entry, None, ": nothing to do"),
                // A change of the view logs failures, once until they change.
                OpResult::Failed(error) => tracing::debug!("{entry}: {error}"),
                OpResult::Skipped => tracing::debug!("{entry}: skipped after an earlier failure"),
            }
        }
    }

    /// Logs the operations that the mode holds back, each once.
    pub(crate) fn log_withheld(&mut self, controller: &Controller) {
        let entries = controller.withheld_entries();
        let entries: Vec<_> = entries.map(|entry| (entry.to_string(), entry)).collect();
        for (text, entry) in &entries {
            if !self.withheld.contains(text) {
                write_line(entry, None, ": held back");
            }
        }
        self.withheld = entries.into_iter().map(|(text, _)| text).collect();
    }

    /// Logs news about labels.
    pub(crate) fn log_labels(&self, reports: &[LabelReport]) {
        reports.iter().for_each(|report| self.log_notice(&notices::label_notice(report)));
    }

    /// Logs what differs between two views.
    pub(crate) fn log_view_changes(&self, before: &View, after: &View) {
        notices::view_notices(before, after).iter().for_each(|notice| self.log_notice(notice));
    }

    /// Logs once that the data of a source has become too old.
    pub(crate) fn log_stale_sources(&mut self, view: &View, now: Timestamp) {
        let stale = view.sources.iter().filter(|(_, source)| source.is_stale(now));
        let stale: BTreeSet<_> = stale.map(|(name, _)| name.clone()).collect();
        for name in stale.difference(&self.stale) {
            let text = format!(
                "the data of {name} is too old to rely on, since Mesos gives the ports of dead \
                 tasks to others: bring it back, or `vipd hold` while you look"
            );
            self.log_notice(&Notice { what: "source-stale", is_warning: true, text });
        }
        self.stale = stale;
    }

    /// Returns whether operations are held back, or were until now.
    pub(crate) fn is_withholding(&self, mode: Mode) -> bool {
        mode != Mode::Acting || !self.withheld.is_empty()
    }

    fn log_change(&self, entry: &LogEntry, after_ms: Option<u64>) {
        write_line(entry, after_ms, "");
        let vip = entry.vip.map(|vip| vip.to_string());
        self.journal.append_entry(JournalEntry {
            name: entry.name.as_ref().map(ToString::to_string),
            vip: vip.or_else(|| entry.address.map(|address| address.to_string())),
            server: entry.server,
            source: entry.source.as_ref().map(ToString::to_string),
            app: (!entry.app.is_empty()).then(|| Arc::clone(&entry.app)),
            task: entry.task.clone(),
            why: (!entry.why.is_empty()).then(|| entry.why.clone()),
            after_ms,
            ..JournalEntry::new(entry.op.name(), entry.to_string(), Timestamp::now())
        });
    }

    fn log_notice(&self, Notice { what, is_warning, text }: &Notice) {
        let text = caps::cut_text(text, caps::REASON);
        match is_warning {
            true => tracing::warn!(what, "{text}"),
            false => tracing::info!(what, "{text}"),
        }
        self.journal.append_entry(JournalEntry::new(what, text.into_owned(), Timestamp::now()));
    }
}

fn write_line(entry: &LogEntry, after_ms: Option<u64>, end: &str) {
    let LogEntry { op, name, vip, address, server, source, app, task, why, .. } = entry;
    let cut = |text| caps::cut_text(text, caps::REASON);
    let (line, app, why) = (entry.to_string(), cut(app), cut(why));
    tracing::info!(
        target: CHANGE,
        what = op.name(),
        name = name.as_ref().map(display),
        vip = vip.map(display),
        address = address.map(display),
        server = server.map(display),
        source = source.as_ref().map(display),
        app = &*app,
        why = &*why,
        task = task.as_deref(),
        after_ms,
        "{}{end}",
        cut(&line)
    );
}
