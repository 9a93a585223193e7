//! How long it takes from an event's arrival until what it says is in the kernel. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use vip::SourceId;

/// More changes at a time aren't followed.
const MOST: usize = 4096;

/// Follows changes from the event that tells of them into the kernel.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// When an event named a workload of a source first, since it was last read. The empty name
    /// stands for everything.
    heard: BTreeMap<(SourceId, String), Duration>,
    /// What is known and not in the kernel: since when it is, and when it was heard of.
    under_way: Vec<(Duration, Duration)>,
}

impl Lag {
    /// An event about these workloads came.
    pub(super) fn note_event(&mut self, source: &SourceId, names: &[String], now: Duration) {
        for name in names {
            if self.heard.len() < MOST {
                self.heard.entry((source.clone(), name.clone())).or_insert(now);
            }
        }
    }

    /// Something is known of a workload, or, without a name, of everything. `unapplied`: since when
    /// something isn't in the kernel.
    pub(super) fn note_known(
        &mut self,
        source: &SourceId,
        name: Option<&str>,
        unapplied: Option<Duration>,
        now: Duration,
    ) {
        let heard = match name {
            Some(name) => {
                let own = self.heard.remove(&(source.clone(), name.to_owned()));
                own.or_else(|| self.heard.get(&(source.clone(), String::new())).copied())
            }
            None => {
                let all = self.heard.iter().filter(|((of, _), _)| of == source);
                let first = all.map(|(_, at)| *at).min();
                self.heard.retain(|(of, _), _| of != source);
                first
            }
        };
        if let (Some(heard), true) = (heard, unapplied.is_some())
            && self.under_way.len() < MOST
        {
            self.under_way.push((now, heard));
        }
    }

    /// What is in the kernel now: how long each change took.
    pub(super) fn take_settled(
        &mut self,
        unapplied: Option<Duration>,
        now: Duration,
    ) -> Vec<Duration> {
        let is_done = |known: Duration| unapplied.is_none_or(|since| since > known);
        let all = std::mem::take(&mut self.under_way);
        let (done, rest) = all.into_iter().partition::<Vec<_>, _>(|(known, _)| is_done(*known));
        self.under_way = rest;
        done.into_iter().map(|(_, heard)| now.saturating_sub(heard)).collect()
    }

    /// Nothing is changed for now, so nothing can be measured.
    pub(super) fn forget(&mut self) {
        self.heard.clear();
        self.under_way.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn note_event(id: &str) -> [String; 1] {
        [id.to_owned()]
    }

    #[test]
    fn a_change_takes_from_its_first_event_until_it_is_in_the_kernel() {
        let mut lag = Lag::default();
        lag.note_event(&"m".into(), &note_event("/web"), at(100));
        lag.note_event(&"m".into(), &note_event("/web"), at(150));
        lag.note_event(&"n".into(), &note_event("/web"), at(10));
        lag.note_known(&"m".into(), Some("/web"), Some(at(200)), at(200));
        assert!(lag.take_settled(Some(at(200)), at(210)).is_empty(), "it is being done");
        assert_eq!(lag.take_settled(Some(at(205)), at(220)), [at(120)], "something newer isn't");
        assert!(lag.take_settled(None, at(230)).is_empty(), "each counts once");
    }

    #[test]
    fn an_event_that_changes_nothing_is_not_measured() {
        let mut lag = Lag::default();
        lag.note_event(&"m".into(), &note_event("/other"), at(100));
        lag.note_known(&"m".into(), Some("/other"), None, at(200));
        assert!(lag.take_settled(None, at(210)).is_empty());
    }

    #[test]
    fn a_read_of_everything_is_news_of_all_that_was_heard_of() {
        let mut lag = Lag::default();
        lag.note_event(&"m".into(), &note_event("/a"), at(100));
        lag.note_event(&"m".into(), &note_event("/b"), at(50));
        lag.note_known(&"m".into(), None, Some(at(300)), at(300));
        assert_eq!(lag.take_settled(None, at(310)), [at(260)]);
        assert!(lag.heard.is_empty());
    }
}
