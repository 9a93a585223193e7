//! The configuration of a controller, and its fixed times.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::{SourceId, TableSettings};

/// The configuration of a controller. Durations are compared with the `now` of the inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This node's name: it shuffles the order of new real servers.
    pub node: String,
    /// The operator's settings of the table beside the labels.
    pub table: TableSettings,
    /// The sources. Nothing is removed before each of them was read whole.
    pub sources: BTreeSet<SourceId>,
    /// Decide and report, but change nothing.
    pub observe_only: bool,
    /// The treatment of real servers and addresses that are no longer desired.
    pub parting: Parting,
    /// The time between complete comparisons with the kernel.
    pub sync_period: Duration,
    /// The time that an address stays after its last service.
    pub linger: Duration,
    /// The delay after a first failure; doubled by each further one, up to `sync_period`.
    pub retry: Duration,
    /// The most addresses that one plan changes. A plan for a whole table would take as much memory
    /// again as the table does, and delay all news that arrive meanwhile.
    pub portion: NonZeroUsize,
}

/// The treatment of real servers and addresses that are no longer desired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parting {
    /// Real servers drain, addresses linger: an agent is there to remove them later.
    #[default]
    Gradual,
    /// They are removed at once: no agent is there to remove them later.
    AtOnce,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: String::new(),
            table: TableSettings::default(),
            sources: BTreeSet::new(),
            observe_only: false,
            parting: Parting::default(),
            sync_period: Duration::from_secs(30),
            linger: Duration::from_secs(60),
            retry: Duration::from_millis(250),
            portion: const { NonZeroUsize::new(256).unwrap() },
        }
    }
}

/// Minimum pause between two readings that announcements cause: somebody may change things all the
/// time.
pub(super) const REST: Duration = Duration::from_millis(200);

/// Minimum pause, as a multiple of the last reading's duration: filling a large table is announced,
/// too.
pub(super) const BREAK: u32 = 5;

/// Delay from an announcement to the reading: one cause has several announcements.
pub(super) const SETTLE: Duration = Duration::from_millis(100);

/// Every so many readings all addresses are planned for, not only those that differ: this corrects
/// wrong assumptions.
pub(super) const EVERYTHING: u64 = 20;
