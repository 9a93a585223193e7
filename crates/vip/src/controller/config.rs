use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use ipnet::IpNet;
use nl_ipvs::Timeouts;

use crate::nft::Modes;
use crate::{Policy, SourceId};

/// What the operator decides. Durations are compared with the `now` of the inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This node's name: it shuffles the order of new real servers.
    pub node: String,
    /// Which addresses may be VIPs.
    pub policy: Policy,
    /// After how long connections are to be forgotten; 0 leaves it as it is.
    pub timeouts: Timeouts,
    /// What the rules of nftables should do.
    pub modes: Modes,
    /// The VIPs that the node's own firewall is to let in, by rules of vipd's.
    pub let_in: Vec<IpNet>,
    /// The sources. Nothing is removed before each of them was read whole.
    pub sources: BTreeSet<SourceId>,
    /// Decide and report, and change nothing.
    pub observe_only: bool,
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

impl Default for Config {
    fn default() -> Self {
        Self {
            node: String::new(),
            policy: Policy::default(),
            timeouts: Timeouts::default(),
            modes: Modes::default(),
            let_in: Vec::new(),
            sources: BTreeSet::new(),
            observe_only: false,
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
