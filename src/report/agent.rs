//! The state of the agent, for `/v1/status` and `vipd status`. Pure.

use std::collections::BTreeMap;

use marathon::Timestamp;
use serde::{Deserialize, Serialize};
use vip::controller::Mode;
use vip::plan::Losses;
use vip::{Line, Sign};

use crate::agent::status::health::{Liveness, Readiness};
use crate::agent::status::{Hold, View};
use crate::sources::SourceDoubt;

/// The state of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentReport {
    /// `acting`, `observing` or `held`.
    pub mode: String,
    /// The hold, if the agent is held.
    pub hold: Option<Hold>,
    /// The time of its start.
    pub started: Timestamp,
    /// Everything that Marathon said was in the kernel at least once.
    pub ready: bool,
    /// Sentences that say why it is not alive: `/healthz`.
    pub unhealthy: Vec<String>,
    /// Sentences that say why it is not ready: `/readyz`.
    pub not_ready: Vec<String>,
    /// Other sentences for the operator.
    pub notes: Vec<String>,
    /// The Marathons by name.
    pub sources: BTreeMap<String, SourceReport>,
    /// The mode of the nftables rules: `whole`, or `reduced` with the reason. None: not known yet.
    #[serde(default)]
    pub data_path: Option<String>,
    /// The number of draining real servers.
    pub draining: usize,
    /// The number of operations that are due and held back.
    pub pending: usize,
    /// The seconds that a change has not been in the kernel.
    pub unapplied_seconds: Option<u64>,
    /// Errors by virtual address.
    pub failing: BTreeMap<String, String>,
}

/// The state of one Marathon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    /// Events arrive. Otherwise it is polled.
    pub streaming: bool,
    /// The relay through which they arrive.
    #[serde(default)]
    pub relay: Option<String>,
    /// The seconds since all of it was read. None: never.
    pub age_seconds: Option<u64>,
    /// No answer yet: the state is from the disk.
    pub from_disk: bool,
    /// The state is too old to be relied on.
    pub stale: bool,
    /// The error of the last read.
    pub error: Option<String>,
    /// The number of apps and pods.
    pub workloads: usize,
    /// The doubt about the last complete answer, which lacks most of what was there.
    #[serde(default)]
    pub doubt: Option<DoubtReport>,
}

impl SourceReport {
    /// Says whether events arrive, and by which way.
    #[must_use]
    pub fn describe_events(&self) -> String {
        match (self.streaming, &self.relay) {
            (false, _) => "no events, polled".to_owned(),
            (true, None) => "events are coming".to_owned(),
            (true, Some(relay)) => format!("events are coming through relay {relay}"),
        }
    }
}

/// A doubt about a complete answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoubtReport {
    /// The time of the first such answer.
    pub since: Timestamp,
    /// VIPs that the last one lacks.
    pub lost_vips: usize,
    /// VIPs that were known.
    pub of_vips: usize,
    /// Real servers that the last one lacks.
    pub lost_servers: usize,
    /// Real servers that were known.
    pub of_servers: usize,
}

impl From<&SourceDoubt> for DoubtReport {
    fn from(doubt: &SourceDoubt) -> Self {
        let Losses { services, of_services, servers, of_servers } = doubt.losses;
        Self {
            since: doubt.since,
            lost_vips: services,
            of_vips: of_services,
            lost_servers: servers,
            of_servers,
        }
    }
}

impl AgentReport {
    pub(crate) fn new(
        view: &View,
        alive: Liveness,
        since_start: std::time::Duration,
        now: Timestamp,
    ) -> Self {
        let readiness = Readiness::from_view(view, now);
        let status = &view.status;
        let sources = view.sources.iter().map(|(id, source)| {
            let report = SourceReport {
                streaming: source.streaming,
                relay: source.relay.as_deref().map(str::to_owned),
                age_seconds: source.age(now).map(|age| age.as_secs()),
                from_disk: source.from_disk,
                stale: source.is_stale(now),
                error: source.error.clone(),
                workloads: source.workloads,
                doubt: source.doubt.as_ref().map(DoubtReport::from),
            };
            (id.to_string(), report)
        });
        let failing =
            status.failing.iter().map(|(address, retry)| (address.to_string(), retry.why.clone()));
        Self {
            mode: match status.mode {
                Mode::Acting => "acting",
                Mode::ObserveOnly => "observing",
                Mode::Held => "held",
            }
            .to_owned(),
            hold: view.hold.clone(),
            started: view.started,
            ready: view.ready,
            unhealthy: alive.reasons,
            not_ready: readiness.reasons,
            notes: readiness.notes,
            sources: sources.collect(),
            data_path: readiness.data_path,
            draining: status.draining,
            pending: status.pending,
            unapplied_seconds: status
                .unapplied_since
                .map(|since| since_start.saturating_sub(since).as_secs()),
            failing: failing.collect(),
        }
    }

    /// Returns whether anything needs attention.
    #[must_use]
    pub fn has_trouble(&self) -> bool {
        !self.unhealthy.is_empty() || !self.not_ready.is_empty() || !self.notes.is_empty()
    }

    /// Writes it for people.
    #[must_use]
    pub fn to_lines(&self) -> Vec<Line> {
        let line = |sign, text| Line { depth: 0, sign, text };
        let (mode, draining, started) = (&self.mode, self.draining, self.started);
        let first = format!("agent: {mode}, {draining} draining, since {started:.0}");
        let sources = self.sources.iter().map(|(name, source)| {
            let how = source.describe_events();
            let age = source.age_seconds.map_or_else(
                || "never read".to_owned(),
                |age| format!("{} apps and pods, read whole {age} s ago", source.workloads),
            );
            let doubt = if source.doubt.is_some() { "; its answers are doubted" } else { "" };
            line(Sign::Plain, format!("marathon {name}: {how}; {age}{doubt}"))
        });
        let wrong = self.unhealthy.iter().chain(&self.not_ready).chain(&self.notes);
        let wrong = wrong.map(|text| line(Sign::Warn, text.clone()));
        std::iter::once(line(Sign::Plain, first)).chain(sources).chain(wrong).collect()
    }
}
