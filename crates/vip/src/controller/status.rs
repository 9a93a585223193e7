//! The controller's status.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::retry::Retry;
use crate::SourceId;

/// The status of a controller, for readiness, metrics and people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Whether the controller changes the kernel.
    pub mode: Mode,
    /// Sources that were never read completely: nothing is removed until they are.
    pub awaited: Vec<SourceId>,
    /// Sources that are unreachable, with the reason. Their last claims stay in force.
    pub lost: BTreeMap<SourceId, String>,
    /// The reason why the kernel can't be read.
    pub unread: Option<Retry>,
    /// Failures by virtual address.
    pub failing: BTreeMap<IpAddr, Retry>,
    /// VIPs that are left alone because of foreign services, each with the reason.
    pub conflicts: Vec<String>,
    /// The number of draining servers.
    pub draining: usize,
    /// The number of operations that are due, but held back by the mode.
    pub pending: usize,
    /// The time of the last reading of the kernel that succeeded.
    pub read_at: Option<Duration>,
    /// The time since when a request to the kernel is unanswered.
    pub asked_since: Option<Duration>,
    /// The time since when a change is not in the kernel, since the start of the clock.
    pub unapplied_since: Option<Duration>,
    /// The same without changes that the kernel has refused: those are in `failing`.
    pub overdue_since: Option<Duration>,
    /// Counters of work done so far.
    pub counters: Counters,
}

/// Whether the controller changes the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The kernel is changed.
    #[default]
    Acting,
    /// The kernel is never changed: the agent was started so.
    ObserveOnly,
    /// The kernel is not changed until released.
    Held,
}

/// Counters of work done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Readings of the kernel.
    pub readings: u64,
    /// Readings that failed.
    pub failed_readings: u64,
    /// Virtual addresses for which a plan was made, once for each plan.
    pub planned: u64,
    /// Plans that were sent.
    pub plans: u64,
    /// Operations done.
    pub done: u64,
    /// Operations that were already in effect.
    pub already_so: u64,
    /// Operations refused or unanswered.
    pub failed: u64,
    /// Operations not attempted because of a failure.
    pub skipped: u64,
}
