//! Whether what is known of a source may be wrong by now, since nobody corrects it.

use std::time::Duration;

use crate::sources::SourceView;

/// The time without an answer or event after which a source counts as not heard.
const UNHEARD: Duration = Duration::from_secs(120);

/// Whether a source is heard.
#[derive(Debug, Default)]
pub(super) struct Staleness {
    /// Since when neither events nor answers come.
    silent_since: Option<Duration>,
    is_stale: bool,
}

impl Staleness {
    /// Looks at the source again. It gets stale when it isn't heard for a while, and begins so when
    /// everything is from the state file.
    pub(super) fn update(&mut self, view: &SourceView, now: Duration) {
        let is_silent = view.error.is_some() && !view.streaming;
        self.silent_since = is_silent.then(|| self.silent_since.unwrap_or(now));
        let has_waited = |since| now.saturating_sub(since) >= UNHEARD;
        // An answer that is doubted changes nothing: what it lacks is still sent connections.
        self.is_stale |= view.from_disk || self.silent_since.is_some_and(has_waited);
    }

    /// Notes that the source was read as a whole: nothing less tells which tasks have ended meanwhile.
    pub(super) fn note_whole_read(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_stale(&self) -> bool {
        self.is_stale
    }
}

#[cfg(test)]
mod tests {
    use vip::plan::Losses;

    use super::*;
    use crate::sources::SourceDoubt;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn view(streaming: bool, error: bool) -> SourceView {
        let error = error.then(|| "connection refused".to_owned());
        SourceView { streaming, error, ..SourceView::default() }
    }

    #[test]
    fn a_source_is_stale_when_it_was_not_heard_for_a_while_until_it_is_read_as_a_whole() {
        let mut staleness = Staleness::default();
        for (seconds, streaming, error, is_stale) in [
            (0, true, false, false),
            (500, true, true, false),
            (600, false, true, false),
            (719, false, true, false),
            (719, false, false, false),
            (720, false, true, false),
            (840, false, true, true),
            // Events come again, but not those that were missed.
            (850, true, false, true),
        ] {
            staleness.update(&view(streaming, error), at(seconds));
            assert_eq!(staleness.is_stale(), is_stale, "{seconds} s");
        }
        staleness.note_whole_read();
        staleness.update(&view(true, false), at(851));
        assert!(!staleness.is_stale());
    }

    #[test]
    fn what_is_from_the_state_file_is_stale_until_an_answer_is_believed() {
        let mut staleness = Staleness::default();
        let mut view = SourceView { from_disk: true, ..SourceView::default() };
        staleness.update(&view, at(0));
        assert!(staleness.is_stale());
        let losses = Losses { services: 1, of_services: 1, servers: 1, of_servers: 1 };
        let since = "2026-11-23T04:00:00Z".parse().unwrap();
        view.doubt = Some(SourceDoubt { since, losses });
        staleness.update(&view, at(1));
        assert!(staleness.is_stale(), "what the answer lacks is still known from the file alone");
        staleness.note_whole_read();
        staleness.update(&view, at(2));
        assert!(staleness.is_stale(), "nothing of it is believed");
        staleness.note_whole_read();
        staleness.update(&SourceView::default(), at(3));
        assert!(!staleness.is_stale());
    }
}
