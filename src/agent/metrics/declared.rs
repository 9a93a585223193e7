//! Every metric, with its name, help and value. A row of docs/metrics.md says what to do about
//! each; a test compares the page with what is served.
//!
//! What the event loop counts and times is in [`LoopMetrics`]; everything else is read when
//! somebody scrapes, from a [`Scrape`].

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use vip::controller::Mode;
use vip::{SourceId, Stats, Vip, VipCount};

use super::encoder::{Encoder, Label, register_metric};
use super::{drift, process, text_format};
use crate::agent::status::View;
use crate::agent::status::counts::VipCounts;
use crate::clock::Timestamp;

type Labels<const N: usize> = [(&'static str, String); N];

/// The metrics that the event loop updates.
#[derive(Debug)]
pub(super) struct LoopMetrics {
    pub(super) event_to_kernel: Histogram,
    pub(super) sync_duration: Histogram,
    pub(super) apply_duration: Histogram,
    pub(super) last_sync: Gauge<f64, AtomicU64>,
    pub(super) operations: Family<Labels<2>, Counter>,
    pub(super) drift_repaired: Family<Labels<1>, Counter>,
    pub(super) drains: Counter,
    pub(super) source_events: Family<Labels<1>, Counter>,
    pub(super) source_reads: Family<Labels<2>, Counter>,
}

impl LoopMetrics {
    /// Registers them. Every series that is known by now is there from the start, at 0: one that
    /// appears with its first increment has no rate.
    pub(super) fn new(registry: &mut Registry, sources: &[SourceId]) -> Self {
        let metrics = Self {
            event_to_kernel: register_metric(
                registry,
                "vipd_event_to_kernel_seconds",
                "From an event's arrival until what it says is in the kernel",
                duration_histogram(),
            ),
            sync_duration: register_metric(
                registry,
                "vipd_sync_duration_seconds",
                "Reads of the whole kernel state, for a full comparison",
                duration_histogram(),
            ),
            apply_duration: register_metric(
                registry,
                "vipd_apply_duration_seconds",
                "Plans, from the first operation sent to the kernel's last answer",
                duration_histogram(),
            ),
            last_sync: register_metric(
                registry,
                "vipd_sync_last_success_timestamp_seconds",
                "Unix time of the last read of the whole kernel state",
                Gauge::default(),
            ),
            operations: register_metric(
                registry,
                "vipd_operations_total",
                "Changes to the kernel, by kind and result",
                Family::default(),
            ),
            drift_repaired: register_metric(
                registry,
                "vipd_drift_repaired_total",
                "Repairs of what something else changed in the kernel, by kind",
                Family::default(),
            ),
            drains: register_metric(
                registry,
                "vipd_drains_total",
                "Real servers that were taken out of use and kept until their connections end",
                Counter::default(),
            ),
            source_events: register_metric(
                registry,
                "vipd_source_events_total",
                "Events of a Marathon",
                Family::default(),
            ),
            source_reads: register_metric(
                registry,
                "vipd_source_reads_total",
                "Reads of a Marathon, by result",
                Family::default(),
            ),
        };
        for kind in drift::KINDS {
            drop(metrics.drift_repaired.get_or_create(&[("kind", kind.into())]));
        }
        for source in sources {
            drop(metrics.source_events.get_or_create(&[("source", source.to_string())]));
            for result in ["ok", "failed"] {
                let labels = [("source", source.to_string()), ("result", result.into())];
                drop(metrics.source_reads.get_or_create(&labels));
            }
        }
        metrics
    }
}

/// A histogram from 1 ms to 33 s: a full table takes its time.
fn duration_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

/// A format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// The text format 0.0.4.
    Text,
}

/// Writes the metrics that are kept, and those that are read now.
///
/// # Errors
/// When a metric can't be written, which is a bug.
pub(crate) fn encode_metrics(
    now: impl Collector,
    kept: &Registry,
    format: Format,
) -> Result<String, Error> {
    let mut read_now = Registry::default();
    read_now.register_collector(Box::new(now));
    let mut text = String::new();
    encode_registry(&mut text, kept)?;
    encode_registry(&mut text, &read_now)?;
    encode_eof(&mut text)?;
    Ok(match format {
        Format::OpenMetrics => text,
        Format::Text => text_format::from_openmetrics(&text),
    })
}

/// The state of the agent at the time of a scrape.
#[derive(Debug)]
pub struct Scrape {
    /// The agent's view.
    pub view: Arc<View>,
    /// The time of the scrape.
    pub time: Timestamp,
    /// `/healthz` says alive.
    pub healthy: bool,
    /// `/readyz` says ready.
    pub ready: bool,
    /// The time that a change has not been in the kernel.
    pub unapplied: Duration,
    /// The series of each VIP are wanted.
    pub with_vips: bool,
    /// None: the event loop does not answer.
    pub counts: Option<Arc<VipCounts>>,
    /// The kernel's counters. None: the kernel can't be read, or it is not asked since it or the
    /// event loop is stuck.
    pub traffic: Option<Arc<BTreeMap<Vip, Stats>>>,
}

impl Scrape {
    /// Writes all metrics.
    ///
    /// # Errors
    /// When a metric can't be written, which is a bug.
    pub fn encode_all(self, loop_metrics: &Registry, format: Format) -> Result<String, Error> {
        encode_metrics(self, loop_metrics, format)
    }

    fn encode_agent(&self, out: &mut Encoder<'_>) -> Result<(), Error> {
        process::encode_build(out)?;
        out.gauge(
            "vipd_start_time_seconds",
            "Unix time of the agent's start",
            self.view.started.as_duration().as_secs_f64(),
        )?;
        out.gauge(
            "vipd_healthy",
            "1 if /healthz says alive; otherwise restart the agent",
            one_if(self.healthy),
        )?;
        out.gauge(
            "vipd_ready",
            "1 if /readyz says ready: what Marathon said is in the kernel",
            one_if(self.ready),
        )?;
        out.gauge(
            "vipd_config_last_reload_successful",
            "0 if the last reload was refused, since the configuration is invalid",
            one_if(self.view.refused_reload.is_none()),
        )?;
        let modes =
            [("acting", Mode::Acting), ("observing", Mode::ObserveOnly), ("held", Mode::Held)];
        let mode = self.view.status.mode;
        out.gauges(
            "vipd_mode",
            "1 for the mode in force: the agent acts, only observes, or is held",
            modes.map(|(name, each)| ([("mode", name)], one_if(mode == each))),
        )
    }

    fn encode_kernel(&self, out: &mut Encoder<'_>) -> Result<(), Error> {
        let status = &self.view.status;
        out.gauge(
            "vipd_unapplied_seconds",
            "How long a change has not been in the kernel; 0: all are",
            self.unapplied.as_secs_f64(),
        )?;
        out.gauge(
            "vipd_pending_operations",
            "Operations that are due and held back by the mode",
            count(status.pending),
        )?;
        out.gauge(
            "vipd_failing_addresses",
            "Virtual addresses with an operation that failed and is retried",
            count(status.failing.len()),
        )?;
        out.gauge(
            "vipd_conflicts",
            "VIPs that a virtual service of another owner stands in the way of",
            count(status.conflicts.len()),
        )?;
        // Before the first reading of the kernel its mode is unknown.
        let modes = self.view.data_path.iter();
        out.gauges(
            "vipd_reduced_mode",
            "1 if the kernel lacks nftables rules that vipd needs for all of its work",
            modes.map(|data_path| ([], one_if(data_path.is_reduced))),
        )?;
        out.gauge("vipd_draining_servers", "Draining real servers", count(status.draining))?;
        out.gauge(
            "vipd_wrong_sysctls",
            "Sysctls with a value that forwarding does not work with",
            count(self.view.sysctls.len()),
        )?;
        out.counter(
            "vipd_sync_failures_total",
            "Reads of the kernel that failed",
            status.counters.failed_readings,
        )?;
        out.gauge(
            "vipd_traffic_readable",
            "1 if the kernel's counters of VIPs could be read for this scrape",
            one_if(self.traffic.is_some()),
        )
    }

    fn encode_sources(&self, out: &mut Encoder<'_>) -> Result<(), Error> {
        let sources =
            || self.view.sources.iter().map(|(id, source)| ([("source", id.as_str())], source));
        out.gauges(
            "vipd_source_up",
            "1 if the last read of this Marathon succeeded",
            sources().map(|(label, source)| (label, one_if(source.error.is_none()))),
        )?;
        out.gauges(
            "vipd_source_streaming",
            "1 if events of this Marathon arrive; otherwise it is polled",
            sources().map(|(label, source)| (label, one_if(source.streaming))),
        )?;
        let relays = self.view.sources.iter().filter_map(|(id, source)| {
            let relay = source.relay.as_deref()?;
            Some(([("source", id.as_str()), ("relay", relay)], 1.0))
        });
        out.gauges(
            "vipd_source_relay",
            "1 for the relay through which events of this Marathon arrive; absent: through none",
            relays,
        )?;
        out.gauges(
            "vipd_source_age_seconds",
            "Time since all of this Marathon was read; absent: never",
            sources()
                .filter_map(|(label, source)| Some((label, source.age(self.time)?.as_secs_f64()))),
        )?;
        out.gauges(
            "vipd_source_stale",
            "1 if what is known of this Marathon is so old that it may misroute",
            sources().map(|(label, source)| (label, one_if(source.is_stale(self.time)))),
        )?;
        out.gauges(
            "vipd_source_doubted",
            "1 if this Marathon lists so little that its answers are doubted",
            sources().map(|(label, source)| (label, one_if(source.doubt.is_some()))),
        )?;
        out.gauges(
            "vipd_source_workloads",
            "Apps and pods of this Marathon",
            sources().map(|(label, source)| (label, count(source.workloads))),
        )?;
        out.gauge(
            "vipd_unresolved_agents",
            "Names of Mesos agents without an address",
            count(self.view.unresolved.len()),
        )?;
        out.gauge(
            "vipd_gaps",
            "Unknown facts about running tasks; while there are any, no VIP is removed",
            count(self.view.gaps.len()),
        )
    }

    fn encode_probing(&self, out: &mut Encoder<'_>) -> Result<(), Error> {
        let probe = &self.view.probing.status;
        let states = [
            ("watched", probe.watched),
            ("mute", probe.mute),
            ("suspected", probe.suspected),
            ("dead", probe.dead),
        ];
        out.gauges(
            "vipd_probed_hosts",
            "Hosts of real servers that are probed, by what is known of them",
            states.map(|(state, all)| ([("state", state)], count(all))),
        )?;
        out.gauge(
            "vipd_probing_blind",
            "1 if hosts are not probed, or no other host answers",
            one_if(probe.obstacle.is_some() || probe.blind_since.is_some()),
        )?;
        out.counter("vipd_probes_total", "Echoes and connections sent", probe.probes_sent)?;
        out.counter(
            "vipd_lost_syns_total",
            "Clients' SYNs that were sent again, since a real server gave no answer",
            probe.lost_syns,
        )?;
        out.counter(
            "vipd_refused_connections_total",
            "Clients' connections to VIPs that a real server refused",
            probe.refusals,
        )?;
        out.gauge(
            "vipd_refusing_servers",
            "Real servers that refuse clients while their Marathon isn't heard",
            count(self.view.probing.refusing.len()),
        )?;
        out.counter(
            "vipd_host_suspicions_total",
            "Times that a silent host was suspected",
            probe.suspicions,
        )?;
        out.counter(
            "vipd_host_suspicions_taken_back_total",
            "Suspicions taken back within 10 s, since the host answered",
            probe.taken_back,
        )
    }

    fn encode_counts(&self, out: &mut Encoder<'_>) -> Result<(), Error> {
        let Some(counts) = &self.counts else { return Ok(()) };
        out.gauges(
            "vipd_vips",
            "VIPs that apps claim, by their state on this node",
            counts
                .count_states()
                .iter()
                .map(|(state, all)| ([("state", state.word())], count(*all))),
        )?;
        out.gauges(
            "vipd_refused_labels",
            "Labels that are not obeyed, by the kind of reason",
            counts.refused.iter().map(|(kind, all)| ([("reason", kind.name())], count(*all))),
        )?;
        out.gauges(
            "vipd_names",
            "Names of VIPs with an address, by how they came to it",
            counts.names.iter().map(|(state, all)| ([("state", *state)], count(*all))),
        )?;
        if !self.with_vips {
            return Ok(());
        }
        let vips: Vec<_> =
            counts.vips.iter().map(|(vip, count)| (VipLabels::new(vip), count)).collect();
        out.gauges(
            "vipd_vip_suspended",
            "1 if a VIP has no tasks since its apps are scaled to 0 instances",
            vips.iter().map(|(vip, count)| (vip.labels(), one_if(count.is_suspended))),
        )?;
        out.gauges(
            "vipd_vip_servers",
            "Tasks of a VIP, by whether they serve it",
            vips.iter().flat_map(|(vip, VipCount { tasks, .. })| {
                [
                    ("serving", tasks.serving - tasks.fail_open),
                    ("fail-open", tasks.fail_open),
                    ("draining", tasks.weightless),
                    ("left-out", tasks.left_out),
                ]
                .map(|(state, all)| (vip.with_label(("state", state)), count(all)))
            }),
        )
    }

    fn encode_traffic(&self, out: &mut Encoder<'_>) -> Result<(), Error> {
        let Some(traffic) = self.traffic.as_ref().filter(|_| self.with_vips) else {
            return Ok(());
        };
        let vips: Vec<_> =
            traffic.iter().map(|(vip, stats)| (VipLabels::new(vip), stats)).collect();
        out.counters(
            "vipd_vip_connections_total",
            "Connections to a VIP, since its service was created",
            vips.iter().map(|(vip, stats)| (vip.labels(), stats.connections)),
        )?;
        let by_direction = |direction: fn(&Stats) -> [(&'static str, u64); 2]| {
            vips.iter().flat_map(move |(vip, stats)| {
                direction(stats)
                    .map(|(direction, all)| (vip.with_label(("direction", direction)), all))
            })
        };
        out.counters(
            "vipd_vip_packets_total",
            "Packets from (in) and to (out) clients of a VIP",
            by_direction(|stats| [("in", stats.in_packets), ("out", stats.out_packets)]),
        )?;
        out.counters(
            "vipd_vip_bytes_total",
            "Bytes from (in) and to (out) clients of a VIP",
            by_direction(|stats| [("in", stats.in_bytes), ("out", stats.out_bytes)]),
        )
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut out = Encoder(encoder);
        self.encode_agent(&mut out)?;
        process::encode_process(&mut out)?;
        self.encode_kernel(&mut out)?;
        self.encode_sources(&mut out)?;
        self.encode_probing(&mut out)?;
        self.encode_counts(&mut out)?;
        self.encode_traffic(&mut out)
    }
}

/// The labels of a VIP.
struct VipLabels {
    vip: String,
    protocol: String,
}

impl VipLabels {
    fn new(vip: &Vip) -> Self {
        Self { vip: vip.socket_addr().to_string(), protocol: vip.protocol.to_string() }
    }

    fn labels(&self) -> [Label<'_>; 2] {
        [("vip", &self.vip), ("protocol", &self.protocol)]
    }

    fn with_label<'a>(&'a self, label: Label<'a>) -> [Label<'a>; 3] {
        [("vip", &self.vip), ("protocol", &self.protocol), label]
    }
}

fn one_if(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}

#[expect(clippy::cast_precision_loss, reason = "nobody has more than 2^52 of anything here")]
fn count(all: usize) -> f64 {
    all as f64
}
