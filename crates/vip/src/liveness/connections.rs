//! The latest connections to real servers, so that none has too many.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::ConnectResult;
use super::budget::Budget;
use super::timing::{CONNECT_BURST, CONNECT_GAP, CONNECT_PAUSE};

/// The answer to the question for a connection to a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    /// A connection may be opened.
    Granted,
    /// The server has had all connections that it may have, the last one with this result.
    Denied(ConnectResult),
}

/// The latest connections to each real server.
#[derive(Debug, Default)]
pub(super) struct Connections {
    last: BTreeMap<SocketAddr, Last>,
}

/// The last connection to a real server.
#[derive(Debug)]
struct Last {
    began: Duration,
    result: ConnectResult,
    /// The connections that it could have had since, in a bucket that gets one each [`CONNECT_PAUSE`].
    left: f64,
}

impl Last {
    fn left_at(&self, now: Duration) -> f64 {
        let passed = now.saturating_sub(self.began).as_secs_f64();
        (self.left + passed / CONNECT_PAUSE.as_secs_f64()).min(CONNECT_BURST)
    }

    fn is_due(&self, now: Duration) -> bool {
        now.saturating_sub(self.began) >= CONNECT_GAP && self.left_at(now) >= 1.0
    }
}

impl Connections {
    /// Permits a connection that a verdict depends on, if the real server has not had too many, and
    /// there is budget; then it counts as begun. A few may follow each other quickly: what it answered
    /// before a host fell silent says nothing about the host now.
    pub(super) fn ask(
        &mut self,
        server: SocketAddr,
        budget: &mut Budget,
        now: Duration,
    ) -> Permission {
        let last = self.last.get(&server);
        match last.filter(|last| !last.is_due(now)) {
            Some(last) => Permission::Denied(last.result),
            None if !budget.take_token(now) => Permission::Denied(ConnectResult::Untried),
            None => {
                let left = last.map_or(CONNECT_BURST, |last| last.left_at(now)) - 1.0;
                let result = ConnectResult::Untried;
                self.last.insert(server, Last { began: now, result, left });
                Permission::Granted
            }
        }
    }

    /// Permits a connection that nothing waits for, at most one each [`CONNECT_PAUSE`].
    pub(super) fn ask_idly(
        &mut self,
        server: SocketAddr,
        budget: &mut Budget,
        now: Duration,
    ) -> Permission {
        let last = self.last.get(&server);
        match last.filter(|last| now.saturating_sub(last.began) < CONNECT_PAUSE) {
            Some(last) => Permission::Denied(last.result),
            None => self.ask(server, budget, now),
        }
    }

    /// Notes the result. One that was not tried may be tried again.
    pub(super) fn note_result(&mut self, server: SocketAddr, result: ConnectResult) {
        match (result, self.last.get_mut(&server)) {
            (ConnectResult::Untried, _) => {
                self.last.remove(&server);
            }
            (_, Some(last)) => {
                last.result = result;
                if result == ConnectResult::Silent {
                    // It had no connection.
                    last.left = (last.left + 1.0).min(CONNECT_BURST);
                }
            }
            (_, None) => {}
        }
    }

    /// Forgets which got no answer: that was this node's own trouble, perhaps. When they began still
    /// counts.
    pub(super) fn forget_silence(&mut self) {
        for last in self.last.values_mut() {
            if last.result == ConnectResult::Silent {
                last.result = ConnectResult::Untried;
            }
        }
    }

    /// Forgets those that no longer matter.
    pub(super) fn forget_old(&mut self, now: Duration) {
        let matters = |last: &Last| {
            last.left_at(now) < CONNECT_BURST || now.saturating_sub(last.began) < CONNECT_PAUSE
        };
        self.last.retain(|_, last| matters(last));
    }
}
