//! What a relay counts.

use std::fmt::Error;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use relay::Scope;

use super::hub::Hub;
use super::incidents::Incidents;
use crate::agent::metrics::encoder::Encoder;
use crate::agent::metrics::process::{encode_build, encode_process};

/// Counters and gauges of the connections.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// The most connections.
    pub(super) room: usize,
    /// Connections that are open.
    pub(super) connections: AtomicU64,
    /// Snapshots that are on their way.
    pub(super) sending: AtomicU64,
    /// Snapshots that were on their way, or are.
    pub(super) snapshots: AtomicU64,
    /// Agents with a stream.
    pub(super) clients: AtomicU64,
    /// Bytes that agents have taken.
    pub(super) bytes: AtomicU64,
    /// Streams that were opened.
    pub(super) streams: AtomicU64,
    /// Streams that went on where an earlier one had ended.
    pub(super) resumed: AtomicU64,
    /// Streams that were ended because their agents were too slow.
    pub(super) dropped: Incidents,
    /// Requests that were refused: too many connections, or no right.
    pub(super) refused: Incidents,
    /// TLS handshakes that failed.
    pub(super) handshakes: Incidents,
}

impl Counts {
    /// Notes a request that was refused.
    pub(super) fn note_refused(&self, from: IpAddr, why: &str) {
        self.refused.note("refused a request of", from, why);
    }
}

/// The values of one scrape.
#[derive(Debug)]
pub(super) struct Scrape {
    values: Vec<(&'static str, &'static str, Value)>,
}

#[derive(Debug)]
enum Value {
    Gauge(f64),
    Counter(u64),
}

impl Scrape {
    pub(super) fn new(hub: &Hub, counts: &Counts) -> Self {
        let untaken = hub.most_untaken();
        let core = hub.core();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let count = |counter| Value::Counter(read(counter));
        let now = hub.now();
        let status = core.status(now);
        let silent = status.silent_ms.map_or(f64::NAN, |silent| silent as f64 / 1000.0);
        let flag = |is: bool| Value::Gauge(if is { 1.0 } else { 0.0 });
        Self {
            values: vec![
                (
                    "vipd_relay_ready",
                    "1 while agents do no better with another relay, as /readyz has it",
                    flag(core.unready_reason(now).is_none()),
                ),
                (
                    "vipd_relay_complete",
                    "1 once Marathon was read as a whole",
                    flag(core.is_complete()),
                ),
                (
                    "vipd_relay_marathon_read_error",
                    "1 while reads of Marathon fail",
                    flag(status.read_error.is_some()),
                ),
                (
                    "vipd_relay_marathon_stream_error",
                    "1 while Marathon's events don't come",
                    flag(status.stream_error.is_some()),
                ),
                (
                    "vipd_relay_left_out_workloads",
                    "Apps and pods whose records would be too long for agents",
                    Value::Gauge(core.left_out().len() as f64),
                ),
                (
                    "vipd_relay_marathon_silent_seconds",
                    "Time since Marathon was last heard",
                    Value::Gauge(silent),
                ),
                (
                    "vipd_relay_workloads",
                    "Apps and pods with VIP labels",
                    Value::Gauge(core.count(Scope::Vips) as f64),
                ),
                (
                    "vipd_relay_clients",
                    "Agents with a stream",
                    Value::Gauge(read(&counts.clients) as f64),
                ),
                (
                    "vipd_relay_connections",
                    "Open connections, those of agents and others",
                    Value::Gauge(read(&counts.connections) as f64),
                ),
                (
                    "vipd_relay_max_connections",
                    "The most connections, by max-clients and the limit of open files",
                    Value::Gauge(counts.room as f64),
                ),
                (
                    "vipd_relay_slowest_agent_lag_bytes",
                    "Bytes that wait for the agent that lags most, before compression",
                    Value::Gauge(untaken.bytes as f64),
                ),
                (
                    "vipd_relay_slowest_agent_lag_seconds",
                    "Time for which the first of them has waited",
                    Value::Gauge(untaken.age.as_secs_f64()),
                ),
                (
                    "vipd_relay_snapshots_sending",
                    "Snapshots on their way to agents",
                    Value::Gauge(read(&counts.sending) as f64),
                ),
                (
                    "vipd_relay_snapshots_total",
                    "Snapshots whose turn has come",
                    count(&counts.snapshots),
                ),
                (
                    "vipd_relay_records_total",
                    "Records published",
                    Value::Counter(core.position().number),
                ),
                (
                    "vipd_relay_sent_bytes_total",
                    "Bytes that agents have taken",
                    count(&counts.bytes),
                ),
                ("vipd_relay_streams_total", "Streams opened", count(&counts.streams)),
                (
                    "vipd_relay_resumed_streams_total",
                    "Streams that went on where an earlier one had ended",
                    count(&counts.resumed),
                ),
                (
                    "vipd_relay_dropped_streams_total",
                    "Streams ended because their agents were too slow",
                    Value::Counter(counts.dropped.count()),
                ),
                (
                    "vipd_relay_refused_requests_total",
                    "Requests refused for lack of room or right",
                    Value::Counter(counts.refused.count()),
                ),
                (
                    "vipd_relay_failed_handshakes_total",
                    "TLS handshakes that failed",
                    Value::Counter(counts.handshakes.count()),
                ),
            ],
        }
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut encoder = Encoder(encoder);
        encode_build(&mut encoder)?;
        encode_process(&mut encoder)?;
        for (name, help, value) in &self.values {
            match value {
                Value::Gauge(value) => encoder.gauge(name, help, *value)?,
                Value::Counter(value) => encoder.counter(name, help, *value)?,
            }
        }
        Ok(())
    }
}
