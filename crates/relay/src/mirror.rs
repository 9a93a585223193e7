//! The receiver's half of the stream.

use std::sync::Arc;

use marathon::events::sse::Frame;
use marathon::events::{self, Event};
use marathon::{Coverage, Snapshot, Workload, WorkloadKey};

use crate::error::StreamError;
use crate::record::{Epoch, Hello, Position, Record, SCHEMA};
use crate::status::MarathonStatus;
use crate::workloads::Workloads;

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
        self.workloads.get(key)
    }

    /// Returns all apps and pods.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.workloads.values()
    }

    /// Returns everything as an answer of Marathon's.
    #[must_use]
    pub fn to_snapshot(&self, status: &MarathonStatus) -> Snapshot {
        Snapshot {
            workloads: self.workloads.values().map(Arc::clone).collect(),
            coverage: Coverage { apps: true, pods: true },
            findings: Vec::new(),
            bytes: 0,
            framework: status.framework.clone(),
            framework_name: status.framework_name.clone(),
        }
    }

    /// Tells whether a record takes away something that is known: an app or pod, tasks, or VIPs.
    #[must_use]
    pub fn is_loss(&self, parsed: &Parsed) -> bool {
        let known = match &self.phase {
            Phase::Snapshot { workloads, .. } => workloads,
            Phase::Opening | Phase::Following => &self.workloads,
        };
        match &parsed.record {
            Record::Removed(key) => known.get(key).is_some(),
            Record::Workload(next) => known.get(&next.key()).is_some_and(|before| {
                let has_lost_vips = before.has_vip_labels() && !next.has_vip_labels();
                has_lost_vips || next.instances.len() < before.instances.len()
            }),
            _ => false,
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
            (Phase::Snapshot { workloads, .. }, Record::Workload(mut workload)) => {
                self.workloads.share_with(&mut workload);
                workloads.insert(workload, bytes)?;
                Change::Nothing
            }
            (Phase::Snapshot { epoch, workloads, .. }, Record::Complete(status)) => {
                self.position = Some(Position { epoch: epoch.clone(), number });
                self.workloads = std::mem::take(workloads);
                self.phase = Phase::Following;
                Change::Whole(status)
            }
            (Phase::Following, Record::Workload(mut workload)) => {
                let key = workload.key();
                self.workloads.share_with(&mut workload);
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
            // They explain what the snapshot lacks.
            (Phase::Snapshot { .. }, Record::Event(event)) if is_announcement(&event) => {
                Change::Event(event)
            }
            // The snapshot is sent at once, so it has the effect of another event that comes within it.
            (
                Phase::Snapshot { .. },
                Record::Event(_) | Record::WholeBegins | Record::WholeEnds,
            ) => Change::Nothing,
            (Phase::Following, Record::WholeBegins) => Change::WholeBegins,
            (Phase::Following, Record::WholeEnds) => Change::WholeEnds,
            (Phase::Following, Record::Event(event)) => Change::Event(event),
            (_, Record::Accepted) => Change::Accepted,
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
        self.phase = Phase::Snapshot { epoch, workloads: self.workloads.begin_anew() };
        Ok(Change::Nothing)
    }
}

/// Tells whether an event announces a change, which a read shows later.
fn is_announcement(event: &Event) -> bool {
    use events::Change::{Posted, Removed, Touched};
    matches!(event.change, Posted(_) | Removed(_) | Touched(_))
}
