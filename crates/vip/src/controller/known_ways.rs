//! Routes to real servers, as far as the kernel was asked for them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::retry::Retry;
use crate::Ways;

/// The kernel's answers, and whether they may be outdated.
#[derive(Debug, Default)]
pub(super) struct KnownWays {
    /// `None` before the first answer.
    pub(super) known: Option<Ways>,
    /// The kernel has announced a change since.
    pub(super) announced: bool,
    /// Ask again.
    pub(super) stale: bool,
    /// The time from which that is done.
    pub(super) rested_at: Duration,
    /// The kernel didn't answer.
    pub(super) failing: Option<Retry>,
}

impl KnownWays {
    /// Returns the last failure, while it is too early to ask again.
    pub(super) fn pending_failure(&self, now: Duration) -> Option<&Retry> {
        self.failing.as_ref().filter(|retry| retry.at > now)
    }
}

/// A question that has to be answered before there can be a plan.
#[derive(Debug)]
pub(super) struct Question {
    /// The real servers to find the way to.
    pub(super) ways: BTreeSet<IpAddr>,
    /// The virtual addresses that can't be planned for without an answer.
    pub(super) waiting: BTreeSet<IpAddr>,
}
