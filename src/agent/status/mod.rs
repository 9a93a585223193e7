//! What others may see of a running agent, and ask of it.

pub mod counts;
pub mod health;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use vip::controller::{LocalFacts, Status};
use vip::plan::Conflict;
use vip::{Desired, Observed, Scope, SourceId, Vip};

use crate::clock::Timestamp;
use crate::sources::SourceView;
use crate::sources::hosts::LookupError;
use counts::VipCounts;

/// The agent at one moment. The loop replaces it whenever something in it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// How the controller fares. Its times are since [`View::started`].
    pub status: Status,
    /// The sources.
    pub sources: BTreeMap<SourceId, SourceView>,
    /// What every source said at least once has been put into the kernel.
    pub ready: bool,
    /// Host names that can't be looked up, with the reason.
    pub unresolved: BTreeMap<String, LookupError>,
    /// What isn't known of running tasks: as long as there is any, no VIP is removed.
    pub gaps: Vec<String>,
    /// The sysctls that aren't as they should be, a sentence each.
    pub sysctls: Vec<String>,
    /// What the node's own firewall does to VIPs that it should not, a sentence each.
    pub firewall: Vec<String>,
    /// What of nftables is in force: `whole` or `reduced`, and why. None: the kernel wasn't read.
    pub data_path: Option<String>,
    /// Why and since when nothing is changed.
    pub hold: Option<Hold>,
    /// When the agent was started.
    pub started: Timestamp,
}

/// Nothing is changed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Hold {
    /// Why, as its holder said; may be empty.
    pub reason: String,
    /// Since when.
    pub since: String,
}

/// What can be asked of the loop.
#[derive(Debug)]
pub enum Request {
    /// Change nothing from now on.
    Hold(Hold, oneshot::Sender<()>),
    /// Go on.
    Release(oneshot::Sender<()>),
    /// Facts that only this agent knows.
    LocalFacts(oneshot::Sender<LocalFacts>),
    /// How many there are of each.
    VipCounts(oneshot::Sender<VipCounts>),
    /// Everything it has decided and knows.
    Table(oneshot::Sender<Box<Table>>),
}

/// What the agent has decided, and the kernel as it knows it.
#[derive(Debug, Clone)]
pub struct Table {
    /// What is wanted, draining servers among it, and what became of every label.
    pub desired: Desired,
    /// The kernel. None from a failure until the next reading.
    pub observed: Option<Arc<Observed>>,
    /// VIPs that somebody else's services stand in the way of.
    pub conflicts: Vec<Conflict>,
    /// Versions of tasks, by task id.
    pub versions: BTreeMap<Arc<str>, String>,
    /// Real servers on their way out, with the time they still have at most.
    pub drains: BTreeMap<(Vip, SocketAddr), Duration>,
    /// How much may be removed.
    pub scope: Scope,
    /// Addresses that stay for a while though nobody wants them.
    pub lingering: BTreeSet<IpAddr>,
}
