//! Updates the metrics that the event loop counts and times.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use vip::controller::Mode;
use vip::plan::OpResult;
use vip::{Op, Outcome, SourceId};

use super::declared::LoopMetrics;
use super::drift::Drift;
use super::lag::Lag;
use crate::agent::core::{AgentCore, Effect, Input};
use crate::clock::Moment;
use crate::sources::step::MessageSummary;

/// The news in an input, until the core has decided about it.
#[derive(Debug)]
pub(in crate::agent) enum News {
    /// An event about these workloads of a Marathon.
    Heard(SourceId, Vec<String>),
    /// A read of one workload of a Marathon, or of all.
    Read(SourceId, Option<Arc<str>>),
    /// The outcome of a plan.
    Applied,
    Other,
}

/// Watches the inputs and effects of the event loop.
#[derive(Debug)]
pub(in crate::agent) struct Recorder {
    metrics: LoopMetrics,
    lag: Lag,
    drift: Drift,
    /// The time of the last request to the kernel.
    asked: Duration,
}

impl Recorder {
    /// Registers the metrics for these sources.
    pub(in crate::agent) fn new(sources: &[SourceId], registry: &mut Registry) -> Self {
        let metrics = LoopMetrics::new(registry, sources);
        let (lag, drift) = <(Lag, Drift)>::default();
        Self { metrics, lag, drift, asked: Duration::ZERO }
    }

    /// Records an input before the core gets it. Pass the result to [`Recorder::record_effects`].
    pub(in crate::agent) fn record_input(
        &mut self,
        input: &Input,
        core: &AgentCore,
        now: Moment,
    ) -> News {
        match input {
            Input::Source { source, message } => match message.summarize() {
                MessageSummary::Event { workloads } => {
                    let labels = [("source", source.to_string())];
                    self.metrics.source_events.get_or_create(&labels).inc();
                    self.lag.record_event(source, &workloads, now.since_start);
                    News::Heard(source.clone(), workloads)
                }
                MessageSummary::Read { workload, succeeded } => {
                    self.count_read(source, succeeded);
                    News::Read(source.clone(), workload)
                }
                MessageSummary::Other => News::Other,
            },
            Input::Observed(reading) => {
                let took = now.since_start.saturating_sub(self.asked);
                self.metrics.sync_duration.observe(took.as_secs_f64());
                if let Ok(reading) = reading {
                    self.metrics.last_sync.set(now.wall.as_duration().as_secs_f64());
                    if let Some(left) = core.controller().observed() {
                        self.drift.compare_reading(left, &reading.observed);
                    }
                }
                News::Other
            }
            Input::Applied(outcome) => {
                let took = now.since_start.saturating_sub(self.asked);
                self.metrics.apply_duration.observe(took.as_secs_f64());
                self.count_outcome(outcome);
                News::Applied
            }
            _ => News::Other,
        }
    }

    /// Records the core's decision.
    pub(in crate::agent) fn record_effects(
        &mut self,
        news: News,
        effects: &[Effect],
        core: &AgentCore,
        now: Moment,
    ) {
        let now = now.since_start;
        let asks = |effect: &Effect| {
            matches!(effect, Effect::Observe { .. } | Effect::FindWays(_) | Effect::Apply(_))
        };
        if effects.iter().any(asks) {
            self.asked = now;
        }
        let status = core.controller().status();
        if status.mode != Mode::Acting {
            self.lag.forget_all();
            return;
        }
        let unapplied = status.unapplied_since;
        let is_applied = matches!(news, News::Applied);
        match news {
            // Most events only lead to a read; what one says by itself acts at once.
            News::Heard(source, names) if unapplied.is_some() => {
                for name in names {
                    self.lag.record_change(&source, Some(&name), unapplied, now);
                }
            }
            News::Read(source, name) => {
                self.lag.record_change(&source, name.as_deref(), unapplied, now);
            }
            News::Heard(..) | News::Applied | News::Other => {}
        }
        for took in self.lag.take_applied(unapplied, now) {
            if is_applied {
                self.metrics.event_to_kernel.observe(took.as_secs_f64());
            }
        }
    }

    fn count_read(&self, source: &SourceId, succeeded: bool) {
        let result = if succeeded { "ok" } else { "failed" };
        let labels = [("source", source.to_string()), ("result", result.into())];
        self.metrics.source_reads.get_or_create(&labels).inc();
    }

    fn count_outcome(&mut self, outcome: &Outcome) {
        for (op, result) in outcome.results() {
            let word = match result {
                OpResult::Done => "done",
                OpResult::AlreadySo => "already-so",
                OpResult::Failed(_) => "failed",
                OpResult::Skipped => "skipped",
            };
            let labels = [("op", op.name().into()), ("result", word.into())];
            self.metrics.operations.get_or_create(&labels).inc();
            if *result != OpResult::Done {
                continue;
            }
            if let Some(kind) = self.drift.take_repaired(op) {
                self.metrics.drift_repaired.get_or_create(&[("kind", kind.into())]).inc();
            }
            if let Op::SetServer { before, settings, .. } = op
                && before.weight > 0
                && settings.weight == 0
            {
                self.metrics.drains.inc();
            }
        }
    }
}
