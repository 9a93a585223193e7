use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::{SourceId, TableSettings};

/// What the operator decides. Durations are compared with the `now` of the inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This node's name: it shuffles the order of new real servers.
    pub node: String,
    /// The operator's settings of the table beside the labels.
    pub table: TableSettings,
    /// The sources. Nothing is removed before each of them was read whole.
    pub sources: BTreeSet<SourceId>,
    /// Decide and report, and change nothing.
    pub observe_only: bool,
    /// Whether real servers and addresses that nobody wants any more stay for their clients.
    pub parting: Parting,
    /// How often the kernel is compared as a whole.
    pub sync_period: Duration,
    /// How long an address stays after its last service.
    pub linger: Duration,
    /// How long to wait after a first failure; doubled by each further one, up to `sync_period`.
    pub retry: Duration,
    /// The most addresses that one plan changes. A plan for a whole table would take as much memory
    /// again as the table does, and what is news meanwhile would wait for all of it.
    pub portion: NonZeroUsize,
}

/// What becomes of real servers and addresses that nobody wants any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parting {
    /// Real servers drain, addresses linger: an agent is there to remove them later.
    #[default]
    Gradual,
    /// They go at once: nobody comes back for them.
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

/// Between two readings that announcements ask for, at least: somebody may change things all the time.
pub(super) const REST: Duration = Duration::from_millis(200);

/// Nor less than so many times as long as the last one took: filling a large table is announced, too.
pub(super) const BREAK: u32 = 5;

/// What the kernel announces is looked at after this long: one cause has several announcements.
pub(super) const SETTLE: Duration = Duration::from_millis(100);

/// Every so many readings all addresses are planned for, not only those of which a reading says
/// something new: what is remembered wrongly is put right, too.
pub(super) const EVERYTHING: u64 = 20;
