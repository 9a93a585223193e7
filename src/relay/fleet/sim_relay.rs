//! A relay of the model: the core of a real one, and its network.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use ::relay::{Epoch, Parsed, Position, Scope, Segment};
use axum::body::Bytes;
use marathon::events::sse::Decoder;
use marathon::watch::StreamId;

use super::super::core::RelayCore;
use super::world::LATENCY;

/// Length of a snapshot of 10,000 tasks on the wire, with gzip, as it was measured.
const SNAPSHOT: u64 = 400_000;
/// What a relay's network carries in a second: 1 Gbit.
const WIRE: u64 = 125_000_000;
/// Records that are kept parsed.
const CACHED: usize = 5000;

/// What becomes of who speaks to a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Serves,
    /// Its process is gone: connections are reset, and new ones refused.
    Killed,
    /// Its machine is gone: nothing comes back.
    Silent,
}

pub(super) struct SimRelay {
    pub(super) core: RelayCore,
    /// Its clock begins then.
    pub(super) started: Duration,
    /// It can't reach Marathon.
    pub(super) is_cut: bool,
    /// The time that Marathon takes for its reads.
    pub(super) reads_take: Duration,
    pub(super) condition: Condition,
    /// Its stream from Marathon.
    pub(super) stream: Option<StreamId>,
    wire_free_at: Duration,
    parsed: HashMap<Bytes, Rc<Parsed>>,
}

/// The start of an agent's stream.
pub(super) struct Opening {
    pub(super) hello: Rc<Parsed>,
    pub(super) rest: Vec<Rc<Parsed>>,
    /// When the rest has come.
    pub(super) arrives_at: Duration,
}

impl SimRelay {
    pub(super) fn new(number: usize, relays: usize, now: Duration) -> Self {
        let epoch = Epoch::new(&format!("relay{number}"), now.as_secs());
        let relays = u32::try_from(relays).unwrap();
        Self {
            core: RelayCore::new(epoch, NonZeroUsize::MIN, relays, number as u64),
            started: now,
            is_cut: false,
            reads_take: LATENCY,
            condition: Condition::Serves,
            stream: None,
            wire_free_at: Duration::ZERO,
            parsed: HashMap::new(),
        }
    }

    /// Returns the first records for an agent. Snapshots share the wire, one after another.
    pub(super) fn open(&mut self, position: Option<&Position>, now: Duration) -> Option<Opening> {
        let start = self.core.start_stream(position, Scope::Vips, now - self.started)?;
        let mut records = start.all().flat_map(|segment| self.parse_all(segment));
        let hello = records.next().unwrap();
        let rest = records.collect();
        if !start.is_resumed {
            let takes = Duration::from_secs(1).mul_f64(SNAPSHOT as f64 / WIRE as f64);
            self.wire_free_at = self.wire_free_at.max(now) + takes;
        }
        let arrives_at = if start.is_resumed { now } else { self.wire_free_at };
        Some(Opening { hello, rest, arrives_at })
    }

    /// Parses the records of a segment: announcements come as one.
    fn parse_all(&mut self, segment: &Segment) -> Vec<Rc<Parsed>> {
        let text = std::str::from_utf8(segment.text()).unwrap();
        match text.matches("\nevent: ").count() {
            0 => vec![self.parse(segment)],
            _ => {
                let frames = Decoder::default().push_bytes(segment.text());
                let parse = |frame| Rc::new(Parsed::parse(&frame).unwrap().unwrap());
                frames.into_iter().map(parse).collect()
            }
        }
    }

    /// Parses a record, once for all agents that get the same bytes.
    pub(super) fn parse(&mut self, segment: &Segment) -> Rc<Parsed> {
        if let Some(parsed) = self.parsed.get(segment.text()) {
            return Rc::clone(parsed);
        }
        let frames = Decoder::default().push_bytes(segment.text());
        let parsed = Rc::new(Parsed::parse(&frames[0]).unwrap().unwrap());
        if self.parsed.len() >= CACHED {
            self.parsed.clear();
        }
        if frames[0].event.as_deref() == Some("workload") {
            self.parsed.insert(segment.text().clone(), Rc::clone(&parsed));
        }
        parsed
    }
}
