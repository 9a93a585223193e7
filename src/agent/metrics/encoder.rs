//! Writes metrics by their full names: `vipd_drains_total`, `vipd_unapplied_seconds`.

use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Metric, Registry, Unit};

/// A label of a series.
pub(crate) type Label<'a> = (&'static str, &'a str);

/// Registers a metric under its full name, and returns it to be updated.
pub(crate) fn register_metric<M: Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    metric: M,
) -> M {
    match split_name(name) {
        (stem, Some(unit)) => registry.register_with_unit(stem, help, unit, metric.clone()),
        (stem, None) => registry.register(stem, help, metric.clone()),
    }
    metric
}

/// Splits off the suffixes that the encoder appends itself: `_total`, and the unit.
fn split_name(name: &str) -> (&str, Option<Unit>) {
    let name = name.strip_suffix("_total").unwrap_or(name);
    match name.strip_suffix("_seconds") {
        Some(stem) => (stem, Some(Unit::Seconds)),
        None => (name, None),
    }
}

/// Writes metrics whose values are known when they are scraped.
pub(crate) struct Encoder<'a>(pub(crate) DescriptorEncoder<'a>);

impl Encoder<'_> {
    /// Writes a gauge with one series.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        let (name, unit) = split_name(name);
        let kind = MetricType::Gauge;
        let encoder = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        ConstGauge::new(value).encode(encoder)
    }

    /// Writes a gauge with a series for each set of labels.
    pub(crate) fn gauges<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([Label<'a>; N], f64)>,
    ) -> Result<(), Error> {
        let (name, unit) = split_name(name);
        let kind = MetricType::Gauge;
        let mut encoder = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, value) in series {
            ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// Writes a counter with one series.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        let (name, unit) = split_name(name);
        let kind = MetricType::Counter;
        let encoder = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        ConstCounter::new(value).encode(encoder)
    }

    /// Writes a counter of fractions with one series.
    pub(super) fn float_counter(
        &mut self,
        name: &str,
        help: &str,
        value: f64,
    ) -> Result<(), Error> {
        let (name, unit) = split_name(name);
        let kind = MetricType::Counter;
        let encoder = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        ConstCounter::new(value).encode(encoder)
    }

    /// Writes a counter with a series for each set of labels.
    pub(crate) fn counters<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([Label<'a>; N], u64)>,
    ) -> Result<(), Error> {
        let (name, unit) = split_name(name);
        let kind = MetricType::Counter;
        let mut encoder = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, value) in series {
            ConstCounter::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
