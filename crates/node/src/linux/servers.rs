//! The real servers of the table, dumped where the text doesn't say that they are as they were.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;

use nl_ipvs::{Destination, Dump, Ipvs, ServiceKey, Stats};
use vip::{ObservedServer, Servers};

use super::text::{self, Text};

/// The text of the network namespace of this thread.
const TEXT: &str = "/proc/thread-self/net/ip_vs";

/// Every so many readings everything is dumped: thresholds and encapsulations that somebody sets are
/// not in the text.
const DUMP_ALL: u32 = 10;

/// What was dumped of one service.
#[derive(Debug)]
struct Dumped {
    servers: Servers,
    /// The service's counters then. One that has had no packet since hasn't counted any for its real
    /// servers either.
    stats: Stats,
}

/// What is remembered from one reading to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    dumped: BTreeMap<ServiceKey, Dumped>,
    readings: u32,
    /// How many services were dumped in the last reading.
    pub(super) dumps: usize,
}

/// One reading.
pub(super) struct Reading<'a> {
    memory: &'a mut Memory,
    before: BTreeMap<ServiceKey, Dumped>,
    text: Text,
    counters: bool,
}

impl Memory {
    /// Forgets a service: it is going to be changed.
    pub(super) fn forget(&mut self, key: &ServiceKey) {
        self.dumped.remove(key);
    }

    /// Begins a reading of the table, with the text. Without one everything is dumped.
    pub(super) fn begin(&mut self, counters: bool) -> Reading<'_> {
        let before = std::mem::take(&mut self.dumped);
        let all = before.is_empty() || self.readings.is_multiple_of(DUMP_ALL);
        self.readings = self.readings.wrapping_add(1);
        self.dumps = 0;
        let text = match all {
            true => None,
            false => File::open(TEXT).and_then(|file| text::read(BufReader::new(file))).ok(),
        };
        Reading { memory: self, before, text: text.unwrap_or_default(), counters }
    }
}

impl Reading<'_> {
    /// The real servers of a service with these counters.
    pub(super) fn of(
        &mut self,
        ipvs: &mut Ipvs,
        key: &ServiceKey,
        stats: Stats,
    ) -> Result<Servers, nl_ipvs::Error> {
        let lines = self.text.get(key).and_then(Option::as_ref);
        let before = self.before.remove(key);
        let as_before = |before: &Dumped| {
            let told = lines.is_some_and(|lines| text::tells(lines, &before.servers));
            told && counted(before.stats) == counted(stats)
        };
        let servers = match before {
            Some(before) if as_before(&before) => before.servers,
            before => {
                self.memory.dumps += 1;
                let dumped = dump(ipvs, key, self.counters)?;
                // What is as it was stays in the memory that a table made of it holds too.
                let same = before.map(|before| before.servers).filter(|before| *before == dumped);
                same.unwrap_or(dumped)
            }
        };
        self.memory.dumped.insert(*key, Dumped { servers: servers.clone(), stats });
        Ok(servers)
    }
}

/// Without the rates, which go down by themselves.
fn counted(stats: Stats) -> [u64; 5] {
    let Stats { connections, in_packets, out_packets, in_bytes, out_bytes, .. } = stats;
    [connections, in_packets, out_packets, in_bytes, out_bytes]
}

/// All of them, or none: from a part nothing may be concluded.
fn dump(ipvs: &mut Ipvs, key: &ServiceKey, counters: bool) -> Result<Servers, nl_ipvs::Error> {
    let Dump { entries, unreadable } = ipvs.destinations(key)?;
    match unreadable.into_iter().next() {
        Some(error) => Err(error.into()),
        None => {
            Ok(entries.into_iter().map(|each| (each.address, server(each, counters))).collect())
        }
    }
}

fn server(listed: Destination, counters: bool) -> ObservedServer {
    let server = ObservedServer::from(listed);
    ObservedServer { stats: server.stats.filter(|_| counters), ..server }
}

#[cfg(test)]
mod tests {
    use nl_ipvs::DestinationSettings;

    use super::*;

    #[test]
    fn counters_are_kept_for_who_wants_them() {
        let listed = |connections| Destination {
            address: ([10, 0, 0, 1], 80).into(),
            settings: DestinationSettings::masquerade(1),
            active_connections: 1,
            inactive_connections: 2,
            persistent_connections: 0,
            stats: Stats { connections, ..Stats::default() },
        };
        let counted = |connections, counters| {
            let server = server(listed(connections), counters);
            assert_eq!((server.active, server.inactive), (1, 2));
            server.stats.map(|stats| stats.connections)
        };
        assert_eq!(counted(7, true), Some(7));
        assert_eq!(counted(7, false), None);
        assert_eq!(counted(0, true), None);
    }
}
