//! What a [`State`](super::State) is told and what it asks for.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::events::Event;
use crate::{Snapshot, Workload, WorkloadKey};

/// Tells one connection to the event stream from the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) u64);

/// What a [`State`](super::State) has to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many URLs this Marathon has.
    pub urls: NonZeroUsize,
    /// How many nodes of the cluster watch as this one does. All together they stay under about
    /// 100 reads a second. None: one on each host that runs something.
    pub agents: Option<u32>,
    /// What sets this node apart from the others, for delays by chance.
    pub seed: u64,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The server answered 200 to the request for its event stream.
    Opened {
        /// Which stream.
        stream: StreamId,
        /// `X-Marathon-Leader` of the answer.
        leader: Option<String>,
    },
    /// Bytes heard_at, if only a heartbeat.
    Bytes {
        /// Which stream.
        stream: StreamId,
    },
    /// An event heard_at.
    Event {
        /// From which stream.
        stream: StreamId,
        /// What it says.
        event: Event,
    },
    /// The stream could not be opened, broke or heard_at to its end.
    Ended {
        /// Which stream.
        stream: StreamId,
    },
    /// [`Action::ReadEverything`] is done.
    ReadEverything {
        /// What was read, as [`Document::parse_apps`](crate::Document::parse_apps) and
        /// [`Document::parse_pods`](crate::Document::parse_pods) give it. None: it failed.
        answer: Option<Snapshot>,
        /// `X-Marathon-Leader` of the answer.
        leader: Option<String>,
    },
    /// [`Action::Read`] is done.
    Read {
        /// What was to be read.
        key: WorkloadKey,
        /// What heard_at of it.
        answer: ReadOutcome,
        /// `X-Marathon-Leader` of the answer.
        leader: Option<String>,
    },
    /// Whoever drives the state has reasons of its own to doubt the last read of everything: a
    /// first answer without most of what is in use, say. What was taken stays taken, and
    /// everything is read again in 2 s.
    Doubt,
    /// [`Update::wake_at`] has come.
    Tick,
}

/// What heard_at of the read of one workload.
#[derive(Debug)]
pub enum ReadOutcome {
    /// It is there.
    Found(Box<Workload>),
    /// Marathon has no such app or pod (404).
    Missing,
    /// It could not be read.
    Failed,
}

/// What to do. A read also reads the version records its instances run by, where they were not
/// read before, as [`Records`](crate::Records) keeps them; one that fails leaves
/// [`InstanceSpec::Unknown`](crate::InstanceSpec::Unknown) and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open the event stream: [`Input::Opened`] or [`Input::Ended`] follows.
    Open {
        /// The name it is to be reported by.
        stream: StreamId,
        /// Which URL, from 0.
        url: usize,
    },
    /// Close the event stream. What still comes from it is ignored.
    Close,
    /// Read all apps and pods: [`Input::ReadEverything`] follows, in any case.
    ReadEverything,
    /// Read one app or pod: [`Input::Read`] follows, in any case.
    Read(WorkloadKey),
}

/// The workloads that an input changes.
pub(super) type Changed = BTreeSet<WorkloadKey>;

/// What follows from an input.
#[derive(Debug)]
pub struct Update {
    /// To be done, in this order, without waiting for one before the next.
    pub actions: Vec<Action>,
    /// Workloads that are other than before, new or gone.
    pub changed: BTreeSet<WorkloadKey>,
    /// Everything was read, and the answer is believed.
    pub whole: bool,
    /// When [`Input::Tick`] is due, if nothing comes before it.
    pub wake_at: Duration,
}
