//! The state of a running agent, as others may see it, and the requests they may send to its loop.

pub mod counts;
pub mod health;
mod probing;
mod twins;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use vip::controller::{LocalFacts, Status};
use vip::naming::VipName;
use vip::plan::Conflict;
use vip::{Desired, Nft, Observed, Scope, SourceId, Vip, VipState};

use crate::clock::Timestamp;
use crate::sources::SourceView;
use crate::sources::hosts::LookupError;
use counts::VipCounts;
pub use probing::{Probing, SilentHost};

/// A sysctl that has a wrong value, and can't be corrected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongSysctl {
    /// A sentence on the value, what it harms, and what to do.
    pub what: String,
    /// Fail-over doesn't work with it: the node isn't ready.
    pub is_vital: bool,
}

/// The agent's state at one moment. The loop replaces it whenever something in it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The controller's state. Its times are since [`View::started`].
    pub status: Status,
    /// The sources.
    pub sources: BTreeMap<SourceId, SourceView>,
    /// The claims of every source have been in the kernel at least once.
    pub ready: bool,
    /// Host names that can't be looked up, with the reason.
    pub unresolved: BTreeMap<String, LookupError>,
    /// Sentences on what isn't known about running tasks. While there is any, no VIP is removed.
    pub gaps: Vec<String>,
    /// The sysctls that have a wrong value.
    pub sysctls: Vec<WrongSysctl>,
    /// Sentences on what of the node couldn't be read.
    pub unread_facts: BTreeSet<String>,
    /// A sentence on each rule of the node's own firewall that blocks VIPs.
    pub firewall: Vec<String>,
    /// The mode of the nftables rules. `None` until the kernel is read.
    pub data_path: Option<DataPath>,
    /// Why the node's resolver can't be told to ask the name server.
    pub resolver: Option<String>,
    /// The probing of hosts.
    pub probing: Probing,
    /// The operator's hold, if there is one.
    pub hold: Option<Hold>,
    /// The last reload, if it was refused. One that isn't replaces the program, and so this view.
    pub refused_reload: Option<RefusedReload>,
    /// The time of the agent's start.
    pub started: Timestamp,
}

impl View {
    /// Describes the trouble with the node's resolver, if there is any.
    #[must_use]
    pub fn describe_resolver(&self) -> Option<String> {
        let why = self.resolver.as_ref()?;
        Some(format!("names don't resolve through systemd-resolved: {why}"))
    }
}

/// The mode of the nftables rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataPath {
    /// The kernel lacks what the whole mode needs.
    pub is_reduced: bool,
    /// `whole`, or `reduced` with the reason.
    pub text: String,
}

impl From<&Nft> for DataPath {
    fn from(nft: &Nft) -> Self {
        Self { is_reduced: !nft.describe_lacks().is_empty(), text: nft.to_string() }
    }
}

/// A reload that was refused, since the configuration is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedReload {
    /// The time of the refusal.
    pub since: Timestamp,
    /// The problems of the configuration.
    pub why: String,
}

impl fmt::Display for RefusedReload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since, why } = self;
        write!(
            f,
            "the reload at {since:.0} was refused, and the configuration from before stays in force: \
             {why}; `vipd config check` shows all problems"
        )
    }
}

/// A hold by the operator: the kernel is not changed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Hold {
    /// The operator's reason; may be empty.
    pub reason: String,
    /// The time at which it began.
    pub since: String,
}

impl Hold {
    /// Takes another hold of a node that is held: the time stays, and without another reason that one
    /// stays too.
    #[must_use]
    pub fn renew(&self, reason: String) -> Self {
        let reason = if reason.is_empty() { self.reason.clone() } else { reason };
        Self { reason, since: self.since.clone() }
    }
}

/// The answer to hold: the hold in force, and the one that it replaces.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Held {
    /// The hold in force.
    #[serde(flatten)]
    pub hold: Hold,
    /// The hold from before, if the node was held.
    #[serde(default)]
    pub before: Option<Hold>,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, since } = self;
        write!(f, "held since {since}")?;
        if reason.is_empty() { Ok(()) } else { write!(f, ": {reason}") }
    }
}

/// A request to the event loop.
#[derive(Debug)]
pub enum Request {
    /// Hold the node: change nothing from now on.
    Hold(Hold, oneshot::Sender<()>),
    /// Release the node.
    Release(oneshot::Sender<()>),
    /// Note that a reload was refused.
    ReloadRefused(RefusedReload),
    /// Accept what the doubted answers of a source lack, or of all, and send the names of those
    /// that were doubted.
    Accept(Option<SourceId>, oneshot::Sender<Vec<SourceId>>),
    /// Forget the address of a name, choose again, and send the addresses that it has then; `None` if
    /// it had none before.
    Reassign(VipName, oneshot::Sender<Option<BTreeSet<IpAddr>>>),
    /// Send the facts that only this agent knows.
    LocalFacts(oneshot::Sender<LocalFacts>),
    /// Send the counts of real servers and refused labels.
    VipCounts(oneshot::Sender<VipCounts>),
    /// Send everything that is decided and known.
    Table(oneshot::Sender<Box<Table>>),
}

/// The agent's decisions, and the kernel as it knows it.
#[derive(Debug, Clone)]
pub struct Table {
    /// The table that is wanted, draining servers included, and the reports on all labels.
    pub desired: Desired,
    /// The kernel. `None` from a failure until the next reading.
    pub observed: Option<Arc<Observed>>,
    /// VIPs that can't be served, because another program has a service there.
    pub conflicts: Vec<Conflict>,
    /// The state of each VIP once its latest decision is in the kernel, and since when.
    pub states: BTreeMap<Vip, (VipState, Timestamp)>,
    /// The version that each task runs, by task id.
    pub versions: BTreeMap<Arc<str>, String>,
    /// Draining real servers, with the longest time that each has left.
    pub drains: BTreeMap<(Vip, SocketAddr), Duration>,
    /// The scope of what may be removed.
    pub scope: Scope,
    /// Addresses that stay bound for a while after their last service.
    pub lingering: BTreeSet<IpAddr>,
}
