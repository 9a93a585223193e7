//! The lag: the time from an event's arrival until the kernel holds what it says. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use vip::SourceId;

/// The most changes that are followed at a time.
const MOST: usize = 4096;

/// Follows changes from their event into the kernel.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// The first event about each workload since its last read. The empty name stands for all.
    heard: BTreeMap<(SourceId, String), Duration>,
    /// Changes that are known and not yet in the kernel: the time they became known, and that of
    /// their event.
    under_way: Vec<(Duration, Duration)>,
}

impl Lag {
    /// Records an event about these workloads.
    pub(super) fn record_event(&mut self, source: &SourceId, names: &[String], now: Duration) {
        for name in names {
            if self.heard.len() < MOST {
                self.heard.entry((source.clone(), name.clone())).or_insert(now);
            }
        }
    }

    /// Records that a workload was read, or, without a name, all of them. `unapplied` is the time
    /// since which a change has not been in the kernel.
    pub(super) fn record_change(
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

    /// Takes the changes that are in the kernel now. Returns the lag of each.
    pub(super) fn take_applied(
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

    /// Forgets all changes, since the agent makes none for now.
    pub(super) fn forget_all(&mut self) {
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

    fn event(id: &str) -> [String; 1] {
        [id.to_owned()]
    }

    #[test]
    fn a_change_takes_from_its_first_event_until_it_is_in_the_kernel() {
        let mut lag = Lag::default();
        lag.record_event(&"m".into(), &event("/web"), at(100));
        lag.record_event(&"m".into(), &event("/web"), at(150));
        lag.record_event(&"n".into(), &event("/web"), at(10));
        lag.record_change(&"m".into(), Some("/web"), Some(at(200)), at(200));
        assert!(lag.take_applied(Some(at(200)), at(210)).is_empty(), "it is being done");
        assert_eq!(lag.take_applied(Some(at(205)), at(220)), [at(120)], "something newer isn't");
        assert!(lag.take_applied(None, at(230)).is_empty(), "each counts once");
    }

    #[test]
    fn an_event_that_changes_nothing_is_not_measured() {
        let mut lag = Lag::default();
        lag.record_event(&"m".into(), &event("/other"), at(100));
        lag.record_change(&"m".into(), Some("/other"), None, at(200));
        assert!(lag.take_applied(None, at(210)).is_empty());
    }

    #[test]
    fn a_read_of_everything_is_news_of_all_that_was_heard_of() {
        let mut lag = Lag::default();
        lag.record_event(&"m".into(), &event("/a"), at(100));
        lag.record_event(&"m".into(), &event("/b"), at(50));
        lag.record_change(&"m".into(), None, Some(at(300)), at(300));
        assert_eq!(lag.take_applied(None, at(310)), [at(260)]);
        assert!(lag.heard.is_empty());
    }
}
