//! The latest connections to real servers, so that none has too many.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::ConnectResult;
use super::budget::Budget;
use super::timing::CONNECT_PAUSE;

/// The answer to the question for a connection to a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    /// A connection may be opened.
    Granted,
    /// The server was asked a moment ago, with this result.
    Denied(ConnectResult),
}

/// The last connection to each real server: when it began, and its result.
#[derive(Debug, Default)]
pub(super) struct Connections {
    last: BTreeMap<SocketAddr, (Duration, ConnectResult)>,
}

impl Connections {
    /// Permits a connection if the real server was left alone for long enough, and there is budget;
    /// then it counts as begun.
    pub(super) fn ask(
        &mut self,
        server: SocketAddr,
        budget: &mut Budget,
        now: Duration,
    ) -> Permission {
        let last = self.last.get(&server).filter(|(at, _)| now.saturating_sub(*at) < CONNECT_PAUSE);
        match last {
            Some((_, result)) => Permission::Denied(*result),
            None if !budget.take_token(now) => Permission::Denied(ConnectResult::Untried),
            None => {
                self.last.insert(server, (now, ConnectResult::Untried));
                Permission::Granted
            }
        }
    }

    /// Notes the result. One that was not tried may be tried again.
    pub(super) fn note_result(&mut self, server: SocketAddr, result: ConnectResult) {
        match (result, self.last.get_mut(&server)) {
            (ConnectResult::Untried, _) => {
                self.last.remove(&server);
            }
            (_, Some((_, last))) => *last = result,
            (_, None) => {}
        }
    }

    /// Forgets which got no answer: that was this node's own trouble, perhaps. When they began still
    /// counts.
    pub(super) fn forget_silence(&mut self) {
        for (_, result) in self.last.values_mut() {
            if *result == ConnectResult::Silent {
                *result = ConnectResult::Untried;
            }
        }
    }

    /// Forgets those that no longer matter.
    pub(super) fn forget_old(&mut self, now: Duration) {
        self.last.retain(|_, (at, _)| now.saturating_sub(*at) < CONNECT_PAUSE);
    }
}
