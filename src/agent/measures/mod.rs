//! What the loop counts and times, for `/metrics`.

mod drift;
mod lag;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use vip::controller::Mode;
use vip::plan::OpResult;
use vip::{Op, Outcome, SourceId};

use super::core::{AgentCore, Effect, Input};
use crate::clock::Moment;
use drift::{Drift, KINDS};
use lag::Lag;

type Labels<const N: usize> = [(&'static str, String); N];

/// The counters and timers. Cheap to clone: all are one.
#[derive(Debug, Clone)]
pub struct Measures {
    event_to_kernel: Histogram,
    read: Histogram,
    apply: Histogram,
    last_sync: Gauge<f64, AtomicU64>,
    operations: Family<Labels<2>, Counter>,
    drift: Family<Labels<1>, Counter>,
    events: Family<Labels<1>, Counter>,
    reads: Family<Labels<2>, Counter>,
    drains: Counter,
}

impl Default for Measures {
    /// All that can be counted is there from the start, at 0: what appears with its first increment
    /// has no rate.
    fn default() -> Self {
        // From 1 ms to 33 s: a full table takes its time.
        let buckets = || exponential_buckets(0.001, 2.0, 16);
        let measures = Self {
            event_to_kernel: Histogram::new(buckets()),
            read: Histogram::new(buckets()),
            apply: Histogram::new(buckets()),
            last_sync: Gauge::default(),
            operations: Family::default(),
            drift: Family::default(),
            events: Family::default(),
            reads: Family::default(),
            drains: Counter::default(),
        };
        for kind in KINDS {
            drop(measures.drift.get_or_create(&[("kind", kind.into())]));
        }
        measures
    }
}

impl Measures {
    /// Registers them.
    pub fn register(&self, registry: &mut Registry) {
        let seconds = Unit::Seconds;
        registry.register_with_unit(
            "event_to_kernel",
            "From an event's arrival until what it says is in the kernel",
            seconds.clone(),
            self.event_to_kernel.clone(),
        );
        registry.register_with_unit(
            "sync_duration",
            "Readings of the whole kernel state, for a full comparison",
            seconds.clone(),
            self.read.clone(),
        );
        registry.register_with_unit(
            "apply_duration",
            "Plans, from their sending until the kernel's last answer",
            seconds.clone(),
            self.apply.clone(),
        );
        registry.register_with_unit(
            "sync_last_success_timestamp",
            "When the kernel was last read whole, in Unix time",
            seconds,
            self.last_sync.clone(),
        );
        registry.register(
            "operations",
            "Changes to the kernel, by kind and by what became of them",
            self.operations.clone(),
        );
        registry.register(
            "drift_repaired",
            "Repairs of what somebody else had changed in the kernel, by kind",
            self.drift.clone(),
        );
        registry.register(
            "drains",
            "Real servers that were taken out of use, and kept until their connections end",
            self.drains.clone(),
        );
        registry.register("source_events", "Events of a Marathon", self.events.clone());
        registry.register(
            "source_reads",
            "Reads of a Marathon, by what became of them",
            self.reads.clone(),
        );
    }
}

/// What an input brought, until the core has decided about it.
#[derive(Debug)]
pub(super) enum News {
    /// An event names these workloads of a Marathon.
    Heard(usize, Vec<String>),
    /// One of its workloads was read, or all.
    Read(usize, Option<Arc<str>>),
    /// A plan was run.
    Applied,
    Other,
}

/// Looks over the loop's shoulder.
#[derive(Debug)]
pub(super) struct Recorder {
    measures: Measures,
    sources: Vec<SourceId>,
    lag: Lag,
    drift: Drift,
    /// When the kernel was last asked for something.
    asked: Duration,
}

impl Recorder {
    /// For these Marathons, in order.
    pub(super) fn new(sources: Vec<SourceId>) -> Self {
        let measures = Measures::default();
        for source in &sources {
            drop(measures.events.get_or_create(&[("source", source.to_string())]));
            for result in ["ok", "failed"] {
                let labels = [("source", source.to_string()), ("result", result.into())];
                drop(measures.reads.get_or_create(&labels));
            }
        }
        let (lag, drift) = <(Lag, Drift)>::default();
        Self { measures, sources, lag, drift, asked: Duration::ZERO }
    }

    pub(super) fn measures(&self) -> Measures {
        self.measures.clone()
    }

    /// Before the core hears of it. What is returned is for [`Recorder::after`].
    pub(super) fn before(&mut self, input: &Input, core: &AgentCore, now: Moment) -> News {
        match input {
            Input::Event { source, event, .. } => {
                if let Some(name) = self.sources.get(*source) {
                    self.measures.events.get_or_create(&[("source", name.to_string())]).inc();
                }
                let names = self.lag.event(*source, event, now.since_start);
                News::Heard(*source, names)
            }
            Input::Read { source, key, answer, .. } => {
                self.read_of(*source, answer.is_ok());
                News::Read(*source, Some(key.id.clone()))
            }
            Input::ReadEverything { source, answer, .. } => {
                self.read_of(*source, answer.is_ok());
                News::Read(*source, None)
            }
            Input::Observed(reading) => {
                let took = now.since_start.saturating_sub(self.asked);
                self.measures.read.observe(took.as_secs_f64());
                if let Ok(reading) = reading {
                    self.measures.last_sync.set(now.wall.as_duration().as_secs_f64());
                    if let Some(left) = core.controller().observed() {
                        self.drift.compare(left, &reading.observed);
                    }
                }
                News::Other
            }
            Input::Applied(outcome) => {
                let took = now.since_start.saturating_sub(self.asked);
                self.measures.apply.observe(took.as_secs_f64());
                self.count(outcome);
                News::Applied
            }
            _ => News::Other,
        }
    }

    /// After the core has decided.
    pub(super) fn after(&mut self, news: News, effects: &[Effect], core: &AgentCore, now: Moment) {
        let now = now.since_start;
        let asks = |effect: &Effect| {
            matches!(effect, Effect::Observe { .. } | Effect::FindWays(_) | Effect::Apply(_))
        };
        if effects.iter().any(asks) {
            self.asked = now;
        }
        let status = core.controller().status();
        if status.mode != Mode::Acting {
            self.lag.forget();
            return;
        }
        let unapplied = status.unapplied_since;
        let is_applied = matches!(news, News::Applied);
        match news {
            // Most events only lead to a read; what one says by itself acts at once.
            News::Heard(source, names) if unapplied.is_some() => {
                for name in names {
                    self.lag.known(source, Some(&name), unapplied, now);
                }
            }
            News::Read(source, name) => self.lag.known(source, name.as_deref(), unapplied, now),
            News::Heard(..) | News::Applied | News::Other => {}
        }
        for took in self.lag.settled(unapplied, now) {
            if is_applied {
                self.measures.event_to_kernel.observe(took.as_secs_f64());
            }
        }
    }

    fn read_of(&self, source: usize, ok: bool) {
        if let Some(name) = self.sources.get(source) {
            let result = if ok { "ok" } else { "failed" };
            let labels = [("source", name.to_string()), ("result", result.into())];
            self.measures.reads.get_or_create(&labels).inc();
        }
    }

    fn count(&mut self, outcome: &Outcome) {
        for (op, result) in outcome.results() {
            let word = match result {
                OpResult::Done => "done",
                OpResult::AlreadySo => "already-so",
                OpResult::Failed(_) => "failed",
                OpResult::Skipped => "skipped",
            };
            let labels = [("op", op.name().into()), ("result", word.into())];
            self.measures.operations.get_or_create(&labels).inc();
            if *result != OpResult::Done {
                continue;
            }
            if let Some(kind) = self.drift.repaired(op) {
                self.measures.drift.get_or_create(&[("kind", kind.into())]).inc();
            }
            if let Op::SetServer { before, settings, .. } = op
                && before.weight > 0
                && settings.weight == 0
            {
                self.measures.drains.inc();
            }
        }
    }
}
