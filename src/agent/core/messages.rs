//! The inputs and effects of [`AgentCore`](super::AgentCore).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use node::KernelError;
use vip::controller::LogEntry;
use vip::liveness::{ProbeReport, WatchList};
use vip::naming::VipName;
use vip::plan::OpResult;
use vip::{Observed, Outcome, Plan, Ways};

use crate::agent::name_files::NamesUpdate;
use crate::agent::status::{Hold, RefusedReload, WrongSysctl};
use crate::sources::hosts::Addresses;
use crate::sources::{SourceId, SourceMessage, SourceRequest};

/// The kernel's state, as the kernel thread read it.
#[derive(Debug)]
pub struct KernelReading {
    /// The table, the interface and the firewall.
    pub observed: Observed,
    /// The sysctls that have a wrong value.
    pub sysctls: Vec<WrongSysctl>,
}

/// An event that the core decides about.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a reading is rare, and moved but a few times")]
pub enum Input {
    /// The connection of a source delivered a message.
    Source {
        /// The source.
        source: SourceId,
        /// The message.
        message: SourceMessage,
    },
    /// A look-up ended.
    Resolved {
        /// The host name.
        name: String,
        /// The addresses, or the reason why there are none.
        answer: Addresses,
    },
    /// A read of the kernel ended.
    Observed(Result<KernelReading, KernelError>),
    /// A search for the ways to real servers ended.
    Ways(Result<Ways, KernelError>),
    /// A plan ended.
    Applied(Outcome),
    /// The kernel announced a change.
    KernelChanged,
    /// The operator holds the node: change nothing.
    Hold(Hold),
    /// The operator releases the node.
    Release,
    /// The operator accepts what the doubted answers lack: of this source, or of all.
    Accept(Option<SourceId>),
    /// A reload was refused.
    ReloadRefused(RefusedReload),
    /// The operator has a name forget its address, so that the rules choose again.
    Reassign(VipName),
    /// Why the node's resolver can't be told to ask the name server; `None` when it can again.
    Resolver(Option<String>),
    /// The prober has verdicts about hosts, or its state has changed.
    Probed(ProbeReport),
    /// The time of [`AgentCore::wake_at`](super::AgentCore::wake_at) has come.
    Tick,
}

/// An action for the event loop to carry out.
#[derive(Debug)]
pub enum Effect {
    /// Send a request to the connection of a source. Its answers come as [`Input::Source`].
    Source {
        /// The source.
        source: SourceId,
        /// The request.
        request: SourceRequest,
    },
    /// Look up a host name. The answer comes as [`Input::Resolved`].
    Resolve(String),
    /// Read the kernel. The answer comes as [`Input::Observed`].
    Observe {
        /// The last known state, so that only what may differ is read.
        known: Option<Arc<Observed>>,
        /// Correct wrong sysctls instead of only reporting them.
        mend: bool,
    },
    /// Find the ways to these real servers. The answer comes as [`Input::Ways`].
    FindWays(BTreeSet<IpAddr>),
    /// Apply a plan. The outcome comes as [`Input::Applied`].
    Apply(Plan),
    /// Probe these hosts, in place of those of an earlier list.
    Watch(WatchList),
    /// Log the result of each operation of the last plan.
    Log(Vec<(LogEntry, OpResult)>),
    /// Write the state file of this source.
    Save(SourceId),
    /// Write the files of the names.
    UpdateNames(Box<NamesUpdate>),
}
