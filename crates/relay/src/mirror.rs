//! The receiver's half of the stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use marathon::events::Event;
use marathon::events::sse::Frame;
use marathon::{Coverage, Snapshot, Workload, WorkloadKey};

use crate::record::{Epoch, Hello, MarathonStatus, Position, Record, SCHEMA};

/// The effect of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing has changed.
    Nothing,
    /// The stream goes on after the position that was told.
    Resumed,
    /// A snapshot has replaced everything, as of this word on Marathon.
    Whole(MarathonStatus),
    /// An app or pod has changed, appeared or gone.
    Workload(WorkloadKey),
    /// Marathon sent an event.
    Event(Event),
    /// The relay told of Marathon.
    Heartbeat(MarathonStatus),
    /// The changes that follow come from one read of everything, until [`Change::WholeEnds`].
    WholeBegins,
    /// They have come.
    WholeEnds,
    /// Somebody accepted a loss at the relay.
    Accepted,
}

/// A reason why a stream can't be used. It is to be closed, and another one opened.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// A record can't be parsed.
    #[error("a record `{name}` can't be read")]
    Unreadable {
        /// The name of the record.
        name: String,
        /// The reason.
        #[source]
        error: serde_json::Error,
    },
    /// The relay has a later schema.
    #[error(
        "the relay speaks version {0} of the stream, and this vipd version {SCHEMA}: upgrade it"
    )]
    Schema(u32),
    /// A record came that can't come there.
    #[error("a record `{0}` came out of turn")]
    OutOfTurn(&'static str),
    /// A record has more than a cap allows.
    #[error("{id}: {why}")]
    Capped {
        /// The app or pod.
        id: String,
        /// What there is too much of.
        why: &'static str,
    },
}

/// A server-sent event that was parsed.
#[derive(Debug, Clone)]
pub struct Parsed {
    number: u64,
    record: Record,
    /// The length of its data.
    bytes: usize,
}

impl Parsed {
    /// Parses a server-sent event. None: a record of a later release, which is skipped.
    ///
    /// # Errors
    /// When the data is not that of such a record.
    pub fn parse(frame: &Frame) -> Result<Option<Self>, StreamError> {
        let name = frame.event.as_deref().unwrap_or_default();
        let parsed = Record::parse(name, &frame.data).map_err(|error| {
            let name = caps::cut_text(name, 32).into_owned();
            StreamError::Unreadable { name, error }
        })?;
        let bytes = frame.data.len();
        Ok(parsed.map(|(number, record)| Self { number, record, bytes }))
    }
}

/// Where a stream stands.
#[derive(Debug, Clone)]
enum Phase {
    /// No `hello` has come.
    Opening,
    /// A snapshot is coming.
    Snapshot { epoch: Epoch, workloads: Workloads },
    /// Changes are coming.
    Following,
}

/// Apps and pods, no more of them than could be read from a Marathon.
#[derive(Debug, Clone, Default)]
struct Workloads {
    /// Each with the length of its record.
    all: BTreeMap<WorkloadKey, (Arc<Workload>, usize)>,
    /// The length of all records.
    bytes: usize,
}

impl Workloads {
    /// Adds an app or pod, or replaces it, if there is room for a record of this length.
    fn insert(&mut self, workload: Arc<Workload>, bytes: usize) -> Result<(), StreamError> {
        check_caps(&workload)?;
        let key = workload.key();
        let before = self.all.get(&key).map(|(_, bytes)| *bytes);
        let total = self.bytes - before.unwrap_or_default() + bytes;
        if total > caps::ANSWER || before.is_none() && self.all.len() >= caps::WORKLOADS {
            let why = "with it the relay has told of more than a cap allows";
            return Err(StreamError::Capped { id: workload.id.to_string(), why });
        }
        self.bytes = total;
        self.all.insert(key, (workload, bytes));
        Ok(())
    }

    /// Removes an app or pod. Returns whether it was known.
    fn remove(&mut self, key: &WorkloadKey) -> bool {
        let removed = self.all.remove(key);
        self.bytes -= removed.as_ref().map_or(0, |(_, bytes)| *bytes);
        removed.is_some()
    }

    fn values(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.all.values().map(|(workload, _)| workload)
    }
}

/// What a receiver knows of a relay's apps and pods.
#[derive(Debug)]
pub struct Mirror {
    phase: Phase,
    position: Option<Position>,
    workloads: Workloads,
}

impl Default for Mirror {
    fn default() -> Self {
        Self { phase: Phase::Opening, position: None, workloads: Workloads::default() }
    }
}

impl Mirror {
    /// Prepares for a new stream, of the same relay or another. What is known stays until a snapshot
    /// replaces it.
    pub fn begin_stream(&mut self) {
        self.phase = Phase::Opening;
    }

    /// Returns the place of the last record, for a new stream of the same relay.
    #[must_use]
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// Tells whether everything is known that the relay knows.
    #[must_use]
    pub fn is_following(&self) -> bool {
        matches!(self.phase, Phase::Following)
    }

    /// Returns one app or pod.
    #[must_use]
    pub fn get(&self, key: &WorkloadKey) -> Option<&Arc<Workload>> {
        self.workloads.all.get(key).map(|(workload, _)| workload)
    }

    /// Returns all apps and pods.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.workloads.values()
    }

    /// Returns everything as an answer of Marathon's.
    #[must_use]
    pub fn to_snapshot(&self, status: &MarathonStatus) -> Snapshot {
        Snapshot {
            workloads: self.workloads.values().map(|workload| Workload::clone(workload)).collect(),
            coverage: Coverage { apps: true, pods: true },
            findings: Vec::new(),
            bytes: 0,
            framework: status.framework.clone(),
            framework_name: status.framework_name.clone(),
        }
    }

    /// Applies a server-sent event.
    ///
    /// # Errors
    /// When the stream can't be used. Nothing has changed then.
    pub fn apply(&mut self, frame: &Frame) -> Result<Change, StreamError> {
        match Parsed::parse(frame)? {
            Some(parsed) => self.apply_parsed(parsed),
            None => Ok(Change::Nothing),
        }
    }

    /// Applies a record that was parsed.
    ///
    /// # Errors
    /// When the stream can't be used. Nothing has changed then.
    pub fn apply_parsed(&mut self, parsed: Parsed) -> Result<Change, StreamError> {
        let Parsed { number, record, bytes } = parsed;
        self.apply_record(number, record, bytes)
    }

    fn apply_record(
        &mut self,
        number: u64,
        record: Record,
        bytes: usize,
    ) -> Result<Change, StreamError> {
        let name = record.name();
        let change = match (&mut self.phase, record) {
            (Phase::Opening, Record::Hello(hello)) => return self.take_hello(hello),
            (Phase::Opening, _) | (_, Record::Hello(_)) => {
                return Err(StreamError::OutOfTurn(name));
            }
            (Phase::Snapshot { workloads, .. }, Record::Workload(workload)) => {
                workloads.insert(workload, bytes)?;
                Change::Nothing
            }
            (Phase::Snapshot { epoch, workloads, .. }, Record::Complete(status)) => {
                self.position = Some(Position { epoch: epoch.clone(), number });
                self.workloads = std::mem::take(workloads);
                self.phase = Phase::Following;
                Change::Whole(status)
            }
            (Phase::Following, Record::Workload(workload)) => {
                let key = workload.key();
                self.workloads.insert(workload, bytes)?;
                Change::Workload(key)
            }
            (Phase::Following, Record::Removed(key)) => {
                let known = self.workloads.remove(&key);
                if known { Change::Workload(key) } else { Change::Nothing }
            }
            (Phase::Snapshot { workloads, .. }, Record::Removed(key)) => {
                workloads.remove(&key);
                Change::Nothing
            }
            (Phase::Following, Record::Complete(_)) => return Err(StreamError::OutOfTurn(name)),
            // The snapshot is sent at once, so it has the effect of an event that comes within it.
            (
                Phase::Snapshot { .. },
                Record::Event(_) | Record::Accepted | Record::WholeBegins | Record::WholeEnds,
            ) => Change::Nothing,
            (Phase::Following, Record::WholeBegins) => Change::WholeBegins,
            (Phase::Following, Record::WholeEnds) => Change::WholeEnds,
            (Phase::Following, Record::Event(event)) => Change::Event(event),
            (Phase::Following, Record::Accepted) => Change::Accepted,
            (_, Record::Heartbeat(status)) => Change::Heartbeat(status),
        };
        if self.is_following()
            && let Some(position) = &mut self.position
        {
            position.number = position.number.max(number);
        }
        Ok(change)
    }

    fn take_hello(&mut self, hello: Hello) -> Result<Change, StreamError> {
        let Hello { schema, epoch, resumed } = hello;
        if schema > SCHEMA {
            return Err(StreamError::Schema(schema));
        }
        if resumed {
            let is_same = self.position.as_ref().is_some_and(|position| position.epoch == epoch);
            if !is_same {
                return Err(StreamError::OutOfTurn("hello"));
            }
            self.phase = Phase::Following;
            return Ok(Change::Resumed);
        }
        self.phase = Phase::Snapshot { epoch, workloads: Workloads::default() };
        Ok(Change::Nothing)
    }
}

/// Checks that a relay sends no more than could be read from a Marathon.
fn check_caps(workload: &Workload) -> Result<(), StreamError> {
    workload.check_caps().map_err(|why| {
        let id = caps::cut_text(&workload.id, caps::TEXT).into_owned();
        StreamError::Capped { id, why }
    })
}
