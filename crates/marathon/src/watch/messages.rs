//! Inputs and outputs of a [`State`](super::State).

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::doubt::{Loss, Place};
use crate::events::Event;
use crate::{Snapshot, Workload, WorkloadKey};

/// Identifies one connection to the event stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) u64);

/// Settings of a [`State`](super::State).
#[derive(Debug, Clone)]
pub struct Config {
    /// Number of URLs of this Marathon.
    pub urls: NonZeroUsize,
    /// Number of nodes that watch this Marathon. All together they stay under about 100 reads a
    /// second. None: one on each host that runs an instance.
    pub agents: Option<u32>,
    /// Seed of the random delays, different for each node.
    pub seed: u64,
    /// Longest time that a large, unannounced loss is doubted.
    pub doubt: Duration,
}

/// [`Config::doubt`], unless there is a reason for another time.
pub const DEFAULT_DOUBT: Duration = Duration::from_secs(15 * 60);

/// An input.
#[derive(Debug)]
pub enum Input {
    /// The server answered 200 to the request for its event stream.
    Opened {
        /// The stream.
        stream: StreamId,
        /// `X-Marathon-Leader` of the answer.
        leader: Option<String>,
    },
    /// Bytes arrived, maybe just a heartbeat.
    Bytes {
        /// The stream.
        stream: StreamId,
    },
    /// An event arrived.
    Event {
        /// The stream that it came from.
        stream: StreamId,
        /// The event.
        event: Event,
    },
    /// The stream could not be opened, broke or ended.
    Ended {
        /// The stream.
        stream: StreamId,
    },
    /// [`Action::ReadEverything`] is done.
    ReadEverything {
        /// The snapshot, from [`Document::parse_apps`](crate::Document::parse_apps) and
        /// [`Document::parse_pods`](crate::Document::parse_pods). None: the read failed.
        answer: Option<Snapshot>,
        /// `X-Marathon-Leader` of the answer.
        leader: Option<String>,
    },
    /// [`Action::Read`] is done.
    Read {
        /// The workload of the action.
        key: WorkloadKey,
        /// The outcome of the read.
        answer: ReadOutcome,
        /// `X-Marathon-Leader` of the answer.
        leader: Option<String>,
    },
    /// A workload as somebody else believes it to be who has read it, such as a relay. It was not
    /// asked for.
    Told {
        /// The stream that it came from.
        stream: StreamId,
        /// The workload.
        key: WorkloadKey,
        /// The workload; None if there is no such app or pod.
        workload: Option<Arc<Workload>>,
    },
    /// Somebody else, such as a relay, has read everything, and answers with that from now on: everything
    /// is read at once, since it costs Marathon nothing.
    ToldAll {
        /// The stream that it came from.
        stream: StreamId,
    },
    /// The owner of the state misses something that no read has listed, for example most of the
    /// VIPs in use. A doubt is open from now on, and ends as any other.
    Doubt(Loss),
    /// The owner misses nothing any more.
    Trust,
    /// Somebody accepts what the last read lacks: it goes at once.
    Accept,
    /// These places belong to tasks of another Marathon: tasks that stay there in doubt are gone.
    Taken(BTreeSet<Place>),
    /// The time [`Update::wake_at`] has come.
    Tick,
}

/// The outcome of a read of one workload.
#[derive(Debug)]
pub enum ReadOutcome {
    /// The workload.
    Found(Arc<Workload>),
    /// Marathon has no such app or pod (404).
    Missing,
    /// The read failed.
    Failed,
}

/// An action to carry out. A read includes the version records of its instances that
/// [`Records`](crate::Records) lacks. A record that can't be read leaves
/// [`InstanceSpec::Unknown`](crate::InstanceSpec::Unknown); it doesn't make the read fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open the event stream: [`Input::Opened`] or [`Input::Ended`] follows.
    Open {
        /// The id for inputs about this stream.
        stream: StreamId,
        /// The index of the URL.
        url: usize,
    },
    /// Close the event stream. Later inputs about it are ignored.
    Close,
    /// Read all apps and pods: [`Input::ReadEverything`] follows even if it fails.
    ReadEverything,
    /// Read one app or pod: [`Input::Read`] follows even if it fails.
    Read(WorkloadKey),
}

/// The workloads that an input changes.
pub(super) type Changed = BTreeSet<WorkloadKey>;

/// The result of an input.
#[derive(Debug)]
pub struct Update {
    /// The actions to start, in this order and without waiting for each other.
    pub actions: Vec<Action>,
    /// Workloads that changed, appeared or went.
    pub changed: BTreeSet<WorkloadKey>,
    /// Workloads of which a read lacks something that stays, or no longer does.
    pub relisted: BTreeSet<WorkloadKey>,
    /// The places of tasks that were listed for the first time.
    pub claimed: BTreeSet<Place>,
    /// A read of everything ended, and its answer is believed.
    pub whole: bool,
    /// The time of the next [`Input::Tick`], if no other input comes before.
    pub wake_at: Duration,
}
