//! `/metrics`, in the text format of `OpenMetrics` that Prometheus reads.
//!
//! What the loop counts and times is in [`Measures`](crate::agent::measures::Measures); the rest is
//! read when it is asked for. docs/metrics.md lists all of it; a test compares.

use std::fmt::Error;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use marathon::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use serde::Deserialize;
use vip::Vip;
use vip::controller::Mode;

use super::answer::problem;
use super::reader::Traffic;
use super::state::{AdminState, Ask};
use crate::agent::status::View;
use crate::agent::status::counts::VipCounts;
use crate::agent::status::health::Readiness;
use crate::report::vips::Traffic as Counts;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a scrape asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    vips: Vips,
}

/// The series of each VIP, which in a large cluster every node has a great many of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Vips {
    #[default]
    Each,
    None,
}

pub(super) async fn metrics(State(shared): Ask, Query(wanted): Query<Wanted>) -> Response {
    let now = Now::look(&shared, wanted.vips).await;
    let text = || {
        let mut text = String::new();
        let mut registry = Registry::with_prefix("vipd");
        shared.handle.measures.register(&mut registry);
        registry.register_collector(Box::new(now));
        encode_registry(&mut text, &registry)?;
        encode_eof(&mut text)?;
        Ok::<_, Error>(text)
    };
    match text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(_) => {
            let why = "the metrics can't be written: this is a bug of vipd";
            problem(StatusCode::INTERNAL_SERVER_ERROR, why)
        }
    }
}

/// The agent at the time of a scrape.
#[derive(Debug)]
struct Now {
    view: std::sync::Arc<View>,
    time: Timestamp,
    healthy: bool,
    ready: bool,
    unapplied: f64,
    vips: Vips,
    /// None: the loop stands still.
    census: Option<std::sync::Arc<VipCounts>>,
    /// None: the kernel can't be read, or isn't asked because it or the loop is stuck.
    traffic: Option<std::sync::Arc<Traffic>>,
}

impl Now {
    async fn look(shared: &AdminState, vips: Vips) -> Self {
        let (view, time) = (shared.view(), Timestamp::now());
        let beat = shared.handle.beat();
        let since = view.status.unapplied_since;
        Self {
            healthy: shared.alive().is_ok(),
            ready: Readiness::of(&view, time).is_ok(),
            unapplied: since.map_or(0.0, |at| beat.now.saturating_sub(at).as_secs_f64()),
            census: shared.census().await.ok(),
            traffic: shared.traffic().await.ok(),
            vips,
            view,
            time,
        }
    }
}

impl Collector for Now {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut out = Out(encoder);
        self.agent(&mut out)?;
        self.kernel(&mut out)?;
        self.sources(&mut out)?;
        self.labels(&mut out)?;
        match self.vips {
            Vips::Each => self.vips(&mut out),
            Vips::None => Ok(()),
        }
    }
}

type Label<'a> = (&'static str, &'a str);

impl Now {
    fn agent(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        out.gauges("build_info", "The version of vipd; always 1", None, [(version, 1.0)])?;
        let started = self.view.started.as_duration().as_secs_f64();
        let help = "When the agent was started, in Unix time";
        out.gauge("start_time", help, Some(&Unit::Seconds), started)?;
        let help = "1 if /healthz says alive: else the agent should be started anew";
        out.gauge("healthy", help, None, one_if(self.healthy))?;
        let help = "1 if /readyz says ready: what Marathon said is in the kernel";
        out.gauge("ready", help, None, one_if(self.ready))?;
        let modes =
            [("acting", Mode::Acting), ("observing", Mode::ObserveOnly), ("held", Mode::Held)];
        let mode = self.view.status.mode;
        let modes = modes.map(|(name, each)| ([("mode", name)], one_if(mode == each)));
        out.gauges("mode", "1 for whether the agent acts, only observes or is held", None, modes)
    }

    fn kernel(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let status = &self.view.status;
        let help = "For how long a change hasn't been in the kernel; 0: all are";
        out.gauge("unapplied", help, Some(&Unit::Seconds), self.unapplied)?;
        let help = "Operations that are due and held back by the mode";
        out.gauge("pending_operations", help, None, count(status.pending))?;
        let help = "Virtual addresses of which an operation failed and is tried again";
        out.gauge("failing_addresses", help, None, count(status.failing.len()))?;
        let help = "VIPs that somebody else's services stand in the way of";
        out.gauge("conflicts", help, None, count(status.conflicts.len()))?;
        let help = "Real servers on their way out";
        out.gauge("draining_servers", help, None, count(status.draining))?;
        let help = "Sysctls that aren't as forwarding needs them";
        out.gauge("wrong_sysctls", help, None, count(self.view.sysctls.len()))?;
        let failed = status.counters.failed_readings;
        out.counter("sync_failures", "Readings of the kernel that failed", failed)?;
        let help = "1 if the kernel's counters of VIPs could be read for this scrape";
        out.gauge("traffic_readable", help, None, one_if(self.traffic.is_some()))
    }

    fn sources(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let sources =
            || self.view.sources.iter().map(|(id, source)| ([("source", id.as_str())], source));
        let ups = sources().map(|(label, source)| (label, one_if(source.error.is_none())));
        out.gauges("source_up", "1 if the last read of this Marathon succeeded", None, ups)?;
        let streams = sources().map(|(label, source)| (label, one_if(source.streaming)));
        let help = "1 if events of this Marathon are coming; else it is polled";
        out.gauges("source_streaming", help, None, streams)?;
        let ages = sources()
            .filter_map(|(label, source)| Some((label, source.age(self.time)?.as_secs_f64())));
        let help = "How long ago all of this Marathon was read; absent: never";
        out.gauges("source_age", help, Some(&Unit::Seconds), ages)?;
        let stale = sources().map(|(label, source)| (label, one_if(source.is_stale(self.time))));
        let help = "1 if what is known of this Marathon is so old that it may misroute";
        out.gauges("source_stale", help, None, stale)?;
        let workloads = sources().map(|(label, source)| (label, count(source.workloads)));
        out.gauges("source_workloads", "Apps and pods of this Marathon", None, workloads)?;
        let help = "Names of Mesos agents without an address";
        out.gauge("unresolved_agents", help, None, count(self.view.unresolved.len()))?;
        let help = "Things not known of running tasks, because of which no VIP is removed";
        out.gauge("gaps", help, None, count(self.view.gaps.len()))
    }

    fn labels(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let Some(census) = &self.census else { return Ok(()) };
        out.gauge("vips", "VIPs that apps claim", None, count(census.vips.len()))?;
        let refused =
            census.refused.iter().map(|(reason, all)| ([("reason", reason.name())], count(*all)));
        out.gauges(
            "refused_labels",
            "Labels that aren't obeyed, by the kind of reason",
            None,
            refused,
        )
    }

    fn vips(&self, out: &mut Out<'_>) -> Result<(), Error> {
        if let Some(census) = &self.census {
            let names: Vec<_> = census.vips.iter().map(|(vip, all)| (Name::of(vip), all)).collect();
            let servers = names.iter().flat_map(|(name, all)| {
                let states = [
                    ("serving", all.serving),
                    ("draining", all.draining),
                    ("left-out", all.left_out),
                ];
                states.map(|(state, all)| (name.with(("state", state)), count(all)))
            });
            out.gauges("vip_servers", "Tasks of a VIP, by whether they serve it", None, servers)?;
        }
        let Some(traffic) = &self.traffic else { return Ok(()) };
        let counts: Vec<_> =
            traffic.iter().map(|(vip, stats)| (Name::of(vip), Counts::from(stats))).collect();
        let connections = counts.iter().map(|(name, counts)| (name.labels(), counts.connections));
        out.counters(
            "vip_connections",
            "Connections to a VIP, since its service was made",
            connections,
        )?;
        let both = |of: fn(&Counts) -> (u64, u64)| {
            counts.iter().flat_map(move |(name, counts)| {
                let (input, output) = of(counts);
                [("in", input), ("out", output)]
                    .map(|(direction, all)| (name.with(("direction", direction)), all))
            })
        };
        let packets = both(|counts| (counts.packets_in, counts.packets_out));
        out.counters("vip_packets", "Packets from (in) and to (out) clients of a VIP", packets)?;
        let bytes = both(|counts| (counts.bytes_in, counts.bytes_out));
        out.counters("vip_bytes", "Bytes from (in) and to (out) clients of a VIP", bytes)
    }
}

/// A VIP as it stands in labels.
struct Name {
    vip: String,
    protocol: String,
}

impl Name {
    fn of(vip: &Vip) -> Self {
        Self { vip: vip.socket().to_string(), protocol: vip.protocol.to_string() }
    }

    fn labels(&self) -> [Label<'_>; 2] {
        [("vip", &self.vip), ("protocol", &self.protocol)]
    }

    fn with<'a>(&'a self, more: Label<'a>) -> [Label<'a>; 3] {
        [("vip", &self.vip), ("protocol", &self.protocol), more]
    }
}

/// Writes a metric at a time.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: f64,
    ) -> Result<(), Error> {
        let kind = MetricType::Gauge;
        let encoder = self.0.encode_descriptor(name, help, unit, kind)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn gauges<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: impl IntoIterator<Item = ([Label<'a>; N], f64)>,
    ) -> Result<(), Error> {
        let kind = MetricType::Gauge;
        let mut encoder = self.0.encode_descriptor(name, help, unit, kind)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn counters<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([Label<'a>; N], u64)>,
    ) -> Result<(), Error> {
        let kind = MetricType::Counter;
        let mut encoder = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            ConstCounter::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn one_if(so: bool) -> f64 {
    f64::from(u8::from(so))
}

#[expect(clippy::cast_precision_loss, reason = "nobody has more than 2^52 of anything here")]
fn count(all: usize) -> f64 {
    all as f64
}
