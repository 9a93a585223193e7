//! The real servers of the IPVS table. They are dumped over netlink only where
//! `/proc/net/ip_vs` disagrees with what is known; reading that file is far cheaper.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;

use nl_ipvs::{Destination, Ipvs, ServiceKey, Stats};
use vip::{Observed, ObservedServer, ObservedService, Servers};

use super::proc_net_ip_vs::{self, Confirmed};

/// The IPVS table of this thread's network namespace as text.
const TEXT: &str = "/proc/thread-self/net/ip_vs";

/// Readings from one complete dump to the next. The text doesn't show thresholds and
/// encapsulations that somebody else may have set.
const DUMP_ALL: u32 = 10;

/// The number of readings, and the dumps of the last one.
#[derive(Debug, Default)]
pub(super) struct ReadingCounts {
    count: u32,
    /// Services dumped in the last reading.
    pub(super) dumps: usize,
}

/// One reading of the real servers.
pub(super) struct ServerReading<'a> {
    readings: &'a mut ReadingCounts,
    known: Option<&'a BTreeMap<ServiceKey, ObservedService>>,
    confirmed: Confirmed,
    counters: bool,
}

impl ReadingCounts {
    /// Begins a reading by comparing `known` with the text. Without `known`, everything is dumped.
    pub(super) fn begin_reading<'a>(
        &'a mut self,
        known: Option<&'a Observed>,
        counters: bool,
    ) -> ServerReading<'a> {
        let known = known.map(|known| &known.services);
        self.count = self.count.wrapping_add(u32::from(known.is_some()));
        let all = self.count.is_multiple_of(DUMP_ALL);
        self.dumps = 0;
        let confirmed = known.filter(|_| !all).and_then(|known| {
            let text = BufReader::new(File::open(TEXT).ok()?);
            proc_net_ip_vs::confirm_servers(text, known).ok()
        });
        let confirmed = confirmed.unwrap_or_default();
        ServerReading { readings: self, known, confirmed, counters }
    }
}

impl ServerReading<'_> {
    /// Reads the real servers of the service `key`, whose counters are `stats` now.
    pub(super) fn read_servers(
        &mut self,
        ipvs: &mut Ipvs,
        key: &ServiceKey,
        stats: Stats,
    ) -> Result<Servers, nl_ipvs::Error> {
        let known = self.known.and_then(|known| known.get(key));
        // The text has no counters, but a service without new packets has none for its real
        // servers either.
        let counts = |known: &ObservedService| {
            !self.counters || cumulative_counters(known.stats) == cumulative_counters(stats)
        };
        if let Some(servers) = self.confirmed.remove(key).flatten()
            && known.is_some_and(counts)
        {
            return Ok(servers);
        }
        self.readings.dumps += 1;
        let dumped = dump_servers(ipvs, key, self.counters)?;
        // Unchanged servers share the memory of those that are known.
        let known = known.map(|known| &known.servers);
        let is_known = |known: &&Servers| {
            let dumped = dumped.iter().map(|(address, server)| (address, server));
            dumped.eq(known.iter())
        };
        Ok(known.filter(is_known).cloned().unwrap_or_else(|| dumped.into_iter().collect()))
    }
}

/// Returns the counters without the rates, which fall by themselves.
fn cumulative_counters(stats: Stats) -> [u64; 5] {
    let Stats { connections, in_packets, out_packets, in_bytes, out_bytes, .. } = stats;
    [connections, in_packets, out_packets, in_bytes, out_bytes]
}

/// Dumps all real servers of a service in the order of their addresses. An entry that can't be
/// parsed is an error: nothing may be concluded from a part.
fn dump_servers(
    ipvs: &mut Ipvs,
    key: &ServiceKey,
    counters: bool,
) -> Result<Vec<(SocketAddr, ObservedServer)>, nl_ipvs::Error> {
    let take = |listed: Destination| (listed.address, observed_server(listed, counters));
    let mut servers: Vec<_> =
        ipvs.destinations_with(key, take)?.into_iter().flatten().collect::<Result<_, _>>()?;
    servers.sort_by_key(|(address, _)| *address);
    Ok(servers)
}

fn observed_server(listed: Destination, counters: bool) -> ObservedServer {
    let server = ObservedServer::from(listed);
    ObservedServer { stats: server.stats.filter(|_| counters), ..server }
}

#[cfg(test)]
mod tests {
    use nl_ipvs::DestinationSettings;

    use super::*;

    #[test]
    fn counters_are_kept_for_who_wants_them() {
        let listed = |connections| {
            let settings = DestinationSettings::masquerade(1);
            let mut listed = Destination::new(([10, 0, 0, 1], 80).into(), settings);
            (listed.active_connections, listed.inactive_connections) = (1, 2);
            listed.stats.connections = connections;
            listed
        };
        let counted = |connections, counters| {
            let server = observed_server(listed(connections), counters);
            assert_eq!((server.active, server.inactive), (1, 2));
            server.stats.map(|stats| stats.connections)
        };
        assert_eq!(counted(7, true), Some(7));
        assert_eq!(counted(7, false), None);
        assert_eq!(counted(0, true), None);
    }
}
