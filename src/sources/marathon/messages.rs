//! Messages from a connection to its source: the events and the state of the stream, and answers to
//! reads.

use std::collections::BTreeSet;
use std::sync::Arc;

use marathon::client::ClientError;
use marathon::events::{Change, Event};
use marathon::watch::StreamId;
use marathon::{Snapshot, Workload, WorkloadKey};
use tokio::task::JoinError;

use crate::sources::step::MessageSummary;

/// A message from the connection to a Marathon.
#[derive(Debug)]
pub enum Message {
    /// The event stream is open.
    Opened {
        /// The stream.
        stream: StreamId,
        /// `X-Marathon-Leader` of the answer.
        leader: Option<String>,
        /// The relay through which it comes, if there is one.
        relay: Option<Arc<str>>,
    },
    /// The names of the servers that Marathon depends on: ZooKeeper's, and Mesos masters.
    Servers(BTreeSet<String>),
    /// Bytes came that complete no event.
    Bytes {
        /// The stream.
        stream: StreamId,
    },
    /// An event came.
    Event {
        /// The stream.
        stream: StreamId,
        /// The event.
        event: Event,
    },
    /// The event stream ended, or could not be opened.
    Ended {
        /// The stream.
        stream: StreamId,
        /// The reason.
        why: String,
    },
    /// A relay told of a workload without being asked.
    Told {
        /// The stream.
        stream: StreamId,
        /// The workload.
        key: WorkloadKey,
        /// The workload; `None` if it is gone.
        workload: Option<Arc<Workload>>,
    },
    /// A relay has told of everything anew: what is read now has it.
    ToldAll {
        /// The stream.
        stream: StreamId,
    },
    /// Somebody accepted a loss at the relay.
    Accepted,
    /// A read of everything ended.
    ReadEverything {
        /// All apps and pods.
        answer: Result<Snapshot, ReadError>,
        /// `X-Marathon-Leader` of the answer.
        leader: Option<String>,
    },
    /// A read of one workload ended.
    Read {
        /// The workload that was asked for.
        key: WorkloadKey,
        /// The workload; `None` if Marathon has none of this name.
        answer: Result<Option<Arc<Workload>>, ReadError>,
        /// `X-Marathon-Leader` of the answer.
        leader: Option<String>,
    },
}

/// The reason why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Marathon could not be read.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Marathon is read through relays, and none is of use.
    #[error("{0}")]
    Relay(String),
    /// The task that read it panicked.
    #[error("the read was aborted by a bug in vipd")]
    Panicked(#[from] JoinError),
}

impl Message {
    /// Summarizes the message for the metrics.
    pub(crate) fn summarize(&self) -> MessageSummary {
        match self {
            Self::Event { event, .. } => {
                MessageSummary::Event { workloads: announced_workloads(event) }
            }
            Self::Read { key, answer, .. } => {
                MessageSummary::Read { workload: Some(key.id.clone()), succeeded: answer.is_ok() }
            }
            Self::ReadEverything { answer, .. } => {
                MessageSummary::Read { workload: None, succeeded: answer.is_ok() }
            }
            Self::Opened { .. }
            | Self::Servers(_)
            | Self::Bytes { .. }
            | Self::Told { .. }
            | Self::ToldAll { .. }
            | Self::Accepted
            | Self::Ended { .. } => MessageSummary::Other,
        }
    }
}

/// Lists the ids of the workloads that an event is about; the empty id stands for all of them.
fn announced_workloads(event: &Event) -> Vec<String> {
    match &event.change {
        Change::State { of, .. } | Change::Health { of, .. } => vec![of.workload.clone()],
        Change::Touched(all) => all.iter().map(|touched| touched.id.clone()).collect(),
        Change::Posted(touched) | Change::Removed(touched) => vec![touched.id.clone()],
        Change::Group(_) | Change::Unreadable => vec![String::new()],
        Change::Other => Vec::new(),
    }
}
