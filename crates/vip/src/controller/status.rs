//! The controller's status.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::retry::Retry;
use crate::SourceId;

/// How the controller fares: for readiness, metrics and people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Whether it changes the kernel.
    pub mode: Mode,
    /// Sources that were never read whole: nothing is removed until they are.
    pub awaited: Vec<SourceId>,
    /// Sources that are out of reach, with the reason. What they said last goes on.
    pub lost: BTreeMap<SourceId, String>,
    /// Why the kernel can't be read.
    pub unread: Option<Retry>,
    /// What fails, by virtual address.
    pub failing: BTreeMap<IpAddr, Retry>,
    /// VIPs left alone because of somebody else's services, each with the reason.
    pub conflicts: Vec<String>,
    /// Real servers on their way out.
    pub draining: usize,
    /// Operations that are due and held back by the mode.
    pub pending: usize,
    /// When the kernel was last read.
    pub read_at: Option<Duration>,
    /// Since when the kernel is being asked something, and hasn't answered.
    pub asked_since: Option<Duration>,
    /// Since when a change isn't in the kernel, since the start that all times count from.
    pub unapplied_since: Option<Duration>,
    /// The same of changes that the kernel hasn't refused: those that it did are in `failing`.
    pub overdue_since: Option<Duration>,
    /// What was done so far.
    pub counters: Counters,
}

/// Whether the controller changes the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It does.
    #[default]
    Acting,
    /// It never does: it was started so.
    ObserveOnly,
    /// Not until it is released.
    Held,
}

/// What was done so far.
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
    /// Operations that found the kernel so already.
    pub already_so: u64,
    /// Operations refused or unanswered.
    pub failed: u64,
    /// Operations not tried because of a failure.
    pub skipped: u64,
}
