//! Notifications to systemd: readiness, a status line and the watchdog.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use vip::Printable;

use super::event_loop::Handle;
use super::status::health::{Liveness, Readiness};
use crate::clock::Timestamp;

/// The time between two looks at the agent's state.
const INTERVAL: Duration = Duration::from_secs(1);

/// Notifies systemd until it is stopped: once that the agent is ready, of its health in one line, and
/// of each watchdog period in which it is alive.
#[derive(Debug)]
pub struct Notifier(JoinHandle<()>);

impl Notifier {
    /// Starts a task that notifies systemd. Without systemd it does nothing.
    #[must_use]
    pub fn start(handle: Handle, sync_period: Duration) -> Self {
        Self(tokio::spawn(async move {
            let watchdog = sd_notify::watchdog_enabled();
            let (mut ready, mut last, mut status) = (false, Instant::now(), String::new());
            loop {
                tokio::time::sleep(INTERVAL).await;
                let view = handle.view.borrow().clone();
                if view.ready && !ready {
                    ready = true;
                    notify_systemd(&[NotifyState::Ready]);
                }
                let alive = Liveness::from_view(&view, handle.last_beat(), sync_period);
                let now = summarize_health(&alive, &Readiness::from_view(&view, Timestamp::now()));
                if now != status {
                    notify_systemd(&[NotifyState::Status(&now)]);
                    status = now;
                }
                if let Some(limit) = watchdog
                    && alive.is_ok()
                    && last.elapsed() >= limit / 3
                {
                    notify_systemd(&[NotifyState::Watchdog]);
                    last = Instant::now();
                }
            }
        }))
    }

    /// Notifies systemd that the agent stops, or that it starts again in the same process.
    pub fn stop(self, starts_again: bool) {
        self.0.abort();
        notify_systemd(&[if starts_again {
            NotifyState::Reloading
        } else {
            NotifyState::Stopping
        }]);
    }
}

fn notify_systemd(what: &[NotifyState<'_>]) {
    // Fails without systemd: that is no error.
    let _ = sd_notify::notify(what);
}

/// Summarizes the agent's health in one line: a second one would be a command to systemd.
fn summarize_health(alive: &Liveness, ready: &Readiness) -> String {
    let all = alive.reasons.iter().chain(&ready.reasons).chain(&ready.notes);
    let summary = match all.clone().next() {
        None => "serving".to_owned(),
        Some(first) => match all.count() {
            1 => first.clone(),
            more => format!("{first} (and {} more)", more - 1),
        },
    };
    Printable(&summary).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_is_one_line_whatever_an_app_is_called() {
        let alive = Liveness { reasons: vec![] };
        let notes = vec!["/a\nWATCHDOG=trigger\u{202e}".to_owned(), "b".to_owned()];
        let ready = Readiness { notes, ..Readiness::default() };
        assert_eq!(summarize_health(&alive, &ready), r"/a\nWATCHDOG=trigger\u{202e} (and 1 more)");
        assert_eq!(summarize_health(&alive, &Readiness::default()), "serving");
    }
}
