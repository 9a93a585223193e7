//! How much was published, and how much of it agents have had the time to take.

use std::collections::VecDeque;
use std::time::Duration;

/// The time for which nothing that was published counts as lag.
const TIME: Duration = Duration::from_secs(10);
/// What is published within this time counts as published at its end.
const APART: Duration = Duration::from_secs(1);

/// Records that an agent has not begun to take.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Untaken {
    pub(super) bytes: u64,
    /// The time since the first of it was published.
    pub(super) age: Duration,
}

/// The lengths of all records that were published.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    end: u64,
    /// The length of those that were published so long ago that agents have had the time to take them.
    due: u64,
    /// The times of the later ones, with the length of all records up to then.
    marks: VecDeque<(Duration, u64)>,
    /// The time of each batch that agents may still have to take, with the length of all records before it.
    batches: VecDeque<(Duration, u64)>,
}

impl Backlog {
    /// Notes that records of this length are published.
    pub(super) fn note(&mut self, length: u64, now: Duration) {
        if self.batches.len() >= caps::RELAY_BATCHES {
            self.batches.pop_front();
        }
        self.batches.push_back((now, self.end));
        self.end += length;
        while let Some((at, end)) = self.marks.front()
            && *at + TIME <= now
        {
            self.due = *end;
            self.marks.pop_front();
        }
        // The second last one stays where it is: the last one may grow until it is as far from that.
        let before = self.marks.len().checked_sub(2).and_then(|index| self.marks.get(index));
        if before.is_some_and(|(at, _)| now < *at + APART) {
            self.marks.pop_back();
        }
        self.marks.push_back((now, self.end));
    }

    /// Returns the length of all records.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Returns what an agent has not begun to take that the last so many batches still wait for.
    pub(super) fn untaken(&self, batches: usize, now: Duration) -> Untaken {
        let first = self.batches.len().saturating_sub(batches);
        let Some((published, before)) = self.batches.get(first) else { return Untaken::default() };
        Untaken { bytes: self.end - before, age: now.saturating_sub(*published) }
    }

    /// Returns the length of those that agents have had the time to take.
    pub(super) fn due(&self) -> u64 {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_just_published_is_not_due() {
        let mut backlog = Backlog::default();
        let at = Duration::from_millis;
        for (now, length, due) in
            [(0, 5, 0), (500, 1, 0), (9999, 1, 0), (10_000, 2, 5), (10_600, 1, 6), (30_000, 1, 10)]
        {
            backlog.note(length, at(now));
            assert_eq!(backlog.due(), due, "after {now} ms");
        }
        assert_eq!(backlog.end(), 11);
    }

    #[test]
    fn what_waits_begins_with_the_oldest_batch_that_is_not_taken() {
        let mut backlog = Backlog::default();
        let at = Duration::from_secs;
        assert_eq!(backlog.untaken(0, at(1)), Untaken::default());
        for (now, length) in [(1, 5), (2, 7), (3, 9)] {
            backlog.note(length, at(now));
        }
        let untaken = |batches| {
            let Untaken { bytes, age } = backlog.untaken(batches, at(10));
            (bytes, age.as_secs())
        };
        assert_eq!([0, 1, 2, 3].map(untaken), [(0, 0), (9, 7), (16, 8), (21, 9)]);
        assert_eq!(untaken(4), (21, 9), "there are no more");
        for _ in 0..2 * caps::RELAY_BATCHES {
            backlog.note(1, at(11));
        }
        assert_eq!(backlog.batches.len(), caps::RELAY_BATCHES);
    }

    #[test]
    fn however_much_is_published_few_marks_are_kept() {
        let mut backlog = Backlog::default();
        for now in 0..100_000 {
            backlog.note(1, Duration::from_millis(now));
            assert!(backlog.marks.len() <= 24, "{}", backlog.marks.len());
            let lag = backlog.end() - backlog.due();
            assert!(now < 12_000 || (10_000..=11_001).contains(&lag), "{lag} after {now} ms");
        }
    }
}
