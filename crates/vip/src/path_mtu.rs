//! The path MTU of the node's own connections to a VIP: that of the narrowest way to its real servers.
//!
//! A client on the node has the local route of the VIP, whose MTU is that of `lo`. It learns of a
//! narrower way only by a packet that was too big, and the kernel forgets that after ten minutes. So the
//! route names the MTU. Of a link that is narrow further away only the kernel's own learning tells. That
//! may be a detour of an hour, or forged: it counts for [`LIFETIME`], and while the way stays.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::nft::pairs_of;
use crate::{Bound, Way, Ways};

/// MTUs of paths that the kernel has learnt, by virtual address and real server.
#[derive(Debug, Default)]
pub(crate) struct LearntMtus {
    by_pair: BTreeMap<(IpAddr, IpAddr), Learnt>,
    /// The MTU that the way to each real server had, and until when it stands for a way that is missing.
    last_ways: BTreeMap<(IpAddr, IpAddr), (u32, Duration)>,
}

/// An MTU that the kernel has learnt.
#[derive(Debug, Clone, Copy)]
struct Learnt {
    mtu: u32,
    /// The way to the real server at that time.
    way: Way,
    until: Duration,
}

/// The real servers of a virtual address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Servers<'a> {
    /// Those in the kernel, to which clients have sent.
    pub(crate) held: &'a BTreeSet<IpAddr>,
    /// Those that stay or come.
    pub(crate) wanted: &'a BTreeSet<IpAddr>,
}

impl LearntMtus {
    /// Returns the MTU for the route of a virtual address, of which `bound` is the present binding;
    /// `None` if packets may be as large as on `lo`.
    pub(crate) fn choose_mtu(
        &mut self,
        address: IpAddr,
        bound: Option<&Bound>,
        servers: Servers<'_>,
        ways: &Ways,
        now: Duration,
    ) -> Option<u32> {
        let way_to = |server: &IpAddr| ways.towards.get(server).copied().unwrap_or_default();
        let known = self.by_pair.range(pairs_of(address)).map(|(pair, learnt)| (*pair, *learnt));
        let outdated = known.filter(|((_, server), learnt)| {
            let is_gone = !servers.wanted.contains(server);
            is_gone || learnt.until <= now || way_to(server).has_replaced(&learnt.way)
        });
        for (pair, _) in outdated.collect::<Vec<_>>() {
            self.by_pair.remove(&pair);
        }
        for pair in pairs_in(&self.last_ways, address) {
            let is_over = self.last_ways.get(&pair).is_none_or(|(_, until)| *until <= now);
            if is_over || !servers.wanted.contains(&pair.1) {
                self.last_ways.remove(&pair);
            }
        }
        // Clients have sent to those in the kernel only.
        let by_clients = bound.and_then(|bound| bound.learnt);
        for server in servers.wanted {
            let way = way_to(server);
            let Some(mtu) = way.mtu else { continue };
            self.last_ways.insert((address, *server), (mtu, now.saturating_add(LIFETIME)));
            if servers.held.contains(server) {
                self.note((address, *server), by_clients, way, now);
            }
            self.note((address, *server), way.learnt, way, now);
        }
        let in_route = bound.and_then(|bound| bound.route.mtu);
        if servers.wanted.is_empty() {
            // Whoever comes next may be the same again.
            return in_route;
        }
        let learnt = self.by_pair.range(pairs_of(address)).map(|(_, learnt)| learnt.mtu);
        // A way that is missing may be back in a moment.
        let last_ways = self.last_ways.range(pairs_of(address));
        let of_ways = last_ways.map(|(_, (mtu, _))| *mtu).min();
        let mtu = of_ways.or(in_route).into_iter().chain(learnt).min()?;
        (mtu < LARGEST).then(|| mtu.max(least_mtu(address)))
    }

    fn note(&mut self, pair: (IpAddr, IpAddr), mtu: Option<u32>, way: Way, now: Duration) {
        let Some(mtu) = mtu.filter(|mtu| *mtu >= LEAST_LEARNT) else { return };
        let learnt = Learnt { mtu, way, until: now.saturating_add(LIFETIME) };
        let known = self.by_pair.entry(pair).or_insert(learnt);
        if mtu < known.mtu {
            *known = learnt;
        }
    }
}

/// Lists the keys of an address.
fn pairs_in<T>(map: &BTreeMap<(IpAddr, IpAddr), T>, address: IpAddr) -> Vec<(IpAddr, IpAddr)> {
    map.range(pairs_of(address)).map(|(pair, _)| *pair).collect()
}

/// The time for which a learnt MTU counts. If the kernel still says so then, it counts once more.
const LIFETIME: Duration = Duration::from_secs(3600);

/// The least MTU that is taken over: anybody can forge a message of a narrow link, and no path in use is
/// narrower than IPv6 allows (RFC 8200).
const LEAST_LEARNT: u32 = 1280;

/// The largest MTU that a route can name (`ip_metrics_convert` in `net/ipv4/metrics.c`): one more is as
/// good as none.
const LARGEST: u32 = 65_520;

/// Returns the least MTU of a path: for IPv4 `ip_rt_min_pmtu` of the kernel, for IPv6 that of RFC 8200.
fn least_mtu(address: IpAddr) -> u32 {
    if address.is_ipv4() { 552 } else { 1280 }
}
