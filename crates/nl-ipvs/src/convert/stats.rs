//! Conversion of counters and rates.

use crate::Stats;
use crate::wire::{Counter, StatsAttribute};

/// Parses the wider of the two sets of counters that the kernel sent. A missing counter is 0.
pub(super) fn parse_stats(
    wide: Option<&Vec<StatsAttribute>>,
    narrow: Option<&Vec<StatsAttribute>>,
) -> Stats {
    let mut stats = Stats::default();
    for attribute in wide.or(narrow).into_iter().flatten() {
        let (counter, value) = match attribute {
            StatsAttribute::U32(counter, value) => (counter, u64::from(*value)),
            StatsAttribute::U64(counter, value) => (counter, *value),
            StatsAttribute::Other(_) => continue,
        };
        *counter_field(&mut stats, *counter) = value;
    }
    stats
}

/// Makes the set of 64-bit counters.
pub(super) fn stats_attributes(mut stats: Stats) -> Vec<StatsAttribute> {
    Counter::ALL
        .into_iter()
        .map(|counter| StatsAttribute::U64(counter, *counter_field(&mut stats, counter)))
        .collect()
}

pub(crate) fn counter_field(stats: &mut Stats, counter: Counter) -> &mut u64 {
    match counter {
        Counter::Connections => &mut stats.connections,
        Counter::InPackets => &mut stats.in_packets,
        Counter::OutPackets => &mut stats.out_packets,
        Counter::InBytes => &mut stats.in_bytes,
        Counter::OutBytes => &mut stats.out_bytes,
        Counter::ConnectionRate => &mut stats.connections_per_second,
        Counter::InPacketRate => &mut stats.in_packets_per_second,
        Counter::OutPacketRate => &mut stats.out_packets_per_second,
        Counter::InByteRate => &mut stats.in_bytes_per_second,
        Counter::OutByteRate => &mut stats.out_bytes_per_second,
    }
}
