//! What a [`AgentCore`](super::AgentCore) is told, and what it asks for.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use marathon::WorkloadKey;
use marathon::events::Event;
use marathon::watch::{Action, StreamId};
use marathon::{Snapshot, Workload};
use vip::controller::Entry;
use vip::plan::OpResult;
use vip::{Observed, Outcome, Plan, Ways};

use crate::agent::status::Hold;

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
    /// The event stream of a Marathon is open.
    Opened {
        /// Which Marathon.
        source: usize,
        /// Which stream.
        stream: StreamId,
        /// `X-Marathon-Leader`.
        leader: Option<String>,
    },
    /// A Marathon says which other servers it depends on: ZooKeeper's, and Mesos masters.
    Servers(BTreeSet<String>),
    /// Bytes came that make no event.
    Bytes {
        /// From which Marathon.
        source: usize,
        /// From which stream.
        stream: StreamId,
    },
    /// An event came.
    Event {
        /// From which Marathon.
        source: usize,
        /// From which stream.
        stream: StreamId,
        /// What it says.
        event: Event,
    },
    /// The stream could not be opened, or ended.
    Ended {
        /// Of which Marathon.
        source: usize,
        /// Which stream.
        stream: StreamId,
        /// Why.
        why: String,
    },
    /// Everything was read, or not.
    ReadEverything {
        /// Of which Marathon.
        source: usize,
        /// What came of it.
        answer: Result<Snapshot, String>,
        /// `X-Marathon-Leader`.
        leader: Option<String>,
    },
    /// One workload was read, or not. `None`: there is none.
    Read {
        /// Of which Marathon.
        source: usize,
        /// Which workload.
        key: WorkloadKey,
        /// What came of it.
        answer: Result<Option<Workload>, String>,
        /// `X-Marathon-Leader`.
        leader: Option<String>,
    },
    /// A look-up is done.
    Resolved {
        /// The name.
        name: String,
        /// Its addresses.
        answer: Result<Arc<[IpAddr]>, String>,
    },
    /// The kernel was read, or not.
    Observed(Result<KernelReading, String>),
    /// The ways to real servers were found, or not.
    Ways(Result<Ways, String>),
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
    /// Something with a Marathon.
    Marathon {
        /// Which.
        source: usize,
        /// What.
        action: Action,
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
    Log(Vec<(Entry, OpResult)>),
    /// Keep [`AgentCore::kept`](super::AgentCore::kept) of this source on disk.
    Keep(usize),
}
