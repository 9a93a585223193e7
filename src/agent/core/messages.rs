//! The inputs and effects of [`AgentCore`](super::AgentCore).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use node::KernelError;
use vip::controller::LogEntry;
use vip::plan::OpResult;
use vip::{Observed, Outcome, Plan, Ways};

use crate::agent::status::Hold;
use crate::sources::hosts::Addresses;
use crate::sources::{SourceId, SourceMessage, SourceRequest};

/// What the kernel thread found.
#[derive(Debug)]
pub struct KernelReading {
    /// The kernel.
    pub observed: Observed,
    /// The sysctls that aren't as they should be.
    pub sysctls: Vec<String>,
}

/// What happened.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a reading is rare, and moved but a few times")]
pub enum Input {
    /// The connection of a source has something to say.
    Source {
        /// The source.
        source: SourceId,
        /// The message.
        message: SourceMessage,
    },
    /// A look-up is done.
    Resolved {
        /// The name.
        name: String,
        /// Its addresses.
        answer: Addresses,
    },
    /// The kernel was read, or not.
    Observed(Result<KernelReading, KernelError>),
    /// The ways to real servers were found, or not.
    Ways(Result<Ways, KernelError>),
    /// A plan was run.
    Applied(Outcome),
    /// The kernel announces a change.
    KernelChanged,
    /// Change nothing.
    Hold(Hold),
    /// Go on.
    Release,
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Send a request to the connection of a source. Its answers come as [`Input::Source`].
    Source {
        /// The source.
        source: SourceId,
        /// The request.
        request: SourceRequest,
    },
    /// Look a name up, then say [`Input::Resolved`].
    Resolve(String),
    /// Read the kernel, then say [`Input::Observed`].
    Observe {
        /// The kernel as far as it is known.
        known: Option<Arc<Observed>>,
        /// Set sysctls right, and don't only look at them.
        mend: bool,
    },
    /// Ask the kernel for the ways to these real servers, then say [`Input::Ways`].
    FindWays(BTreeSet<IpAddr>),
    /// Run a plan, then say [`Input::Applied`].
    Apply(Plan),
    /// Log what became of each operation of the last plan.
    Log(Vec<(LogEntry, OpResult)>),
    /// Save [`AgentCore::kept`](super::AgentCore::kept) of this source to its state file.
    Save(SourceId),
}
