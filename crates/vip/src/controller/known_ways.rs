//! Routes to real servers, as far as the kernel was asked for them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::retry::Retry;
use crate::Ways;

/// The kernel's answers, and whether they may be outdated.
#[derive(Debug, Default)]
pub(super) struct KnownWays {
    /// `None` before the first answer.
    pub(super) known: Option<Ways>,
    /// The kernel has announced a change since.
    pub(super) announced: bool,
    /// Ask again before the next plan.
    pub(super) stale: bool,
    /// The kernel didn't answer.
    pub(super) failing: Option<Retry>,
}

/// A question that has to be answered before there can be a plan.
#[derive(Debug)]
pub(super) struct Question {
    /// The real servers to find the way to.
    pub(super) ways: BTreeSet<IpAddr>,
}
