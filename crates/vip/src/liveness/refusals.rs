//! Real servers that refuse clients, as a port does that belongs to nobody any more. Pure.
//!
//! While a source is heard, that is its business: it knows which tasks there are. An agent that is cut
//! off from it knows only what was. The evidence is the clients' own: vipd connects to no port for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::ServerVerdict;

/// The refusals without which a real server stays in use, the shortest time from the first to the last, so
/// that a restart of its program isn't one, and the longest in which they count together.
const REFUSALS: u32 = 5;
const SPAN: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(60);

/// The number of clients that must have been refused, if the real server sees which is which: it may have
/// something against one of them.
const CLIENTS: usize = 2;

/// The time for which it is out of use before clients try it again: at first, and the longest that this
/// grows to when they are refused each time.
const HOLD: Duration = Duration::from_secs(5 * 60);
const MAX_HOLD: Duration = Duration::from_secs(60 * 60);

/// The time for which it must serve clients until earlier refusals are forgotten.
const PEACE: Duration = Duration::from_secs(10 * 60);

/// A real server's refusal of a client: a reset was the answer to its SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// The real server.
    pub server: SocketAddr,
    /// The client; `None` if the real server sees an address of this node instead, as of all its clients.
    pub client: Option<IpAddr>,
}

/// The real servers that refused clients of late.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusals {
    servers: BTreeMap<SocketAddr, Record>,
}

/// The refusals of a real server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Record {
    /// The first refusal that counts, and the number since.
    first: Duration,
    count: u32,
    /// The clients that were refused; `None` for all whose addresses it doesn't see.
    clients: BTreeSet<Option<IpAddr>>,
    /// The time until which it is out of use.
    out_until: Option<Duration>,
    /// The number of times that it was taken out of use, one soon after the other, and the last time that
    /// this was taken back.
    times_out: u32,
    back_at: Option<Duration>,
}

impl Refusals {
    /// Takes in a refusal. Returns the verdict if it is the one too many.
    pub fn on_refusal(&mut self, refusal: Refusal, now: Duration) -> Option<ServerVerdict> {
        let record = self.servers.entry(refusal.server).or_default();
        if record.out_until.is_some() {
            return None;
        }
        if record.count == 0 || now.saturating_sub(record.first) > WINDOW {
            (record.first, record.count) = (now, 0);
            record.clients.clear();
        }
        if record.back_at.take().is_some_and(|at| now.saturating_sub(at) > PEACE) {
            record.times_out = 0;
        }
        record.count = record.count.saturating_add(1);
        if record.clients.len() < CLIENTS {
            record.clients.insert(refusal.client);
        }
        if !record.is_enough(now) {
            return None;
        }
        let (refusals, within) = (record.count, now.saturating_sub(record.first));
        record.out_until = Some(now.saturating_add(record.next_hold()));
        record.times_out = record.times_out.saturating_add(1);
        Some(ServerVerdict { server: refusal.server, refusals, within, is_refusing: true })
    }

    /// Takes back the verdicts that have lasted long enough: clients try these real servers again.
    pub fn take_due(&mut self, now: Duration) -> Vec<ServerVerdict> {
        let due = self
            .servers
            .iter_mut()
            .filter(|(_, record)| record.out_until.is_some_and(|until| until <= now));
        let taken_back = due.map(|(server, record)| {
            (record.out_until, record.count, record.back_at) = (None, 0, Some(now));
            ServerVerdict::taken_back(*server)
        });
        taken_back.collect()
    }

    /// Forgets all real servers but these. Returns the verdicts that this takes back.
    pub fn retain(&mut self, may_stay: impl Fn(&SocketAddr) -> bool) -> Vec<ServerVerdict> {
        let mut taken_back = Vec::new();
        self.servers.retain(|server, record| {
            let stays = may_stay(server);
            if !stays && record.out_until.is_some() {
                taken_back.push(ServerVerdict::taken_back(*server));
            }
            stays
        });
        taken_back
    }

    /// The time of the next [`Refusals::take_due`].
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        self.servers.values().filter_map(|record| record.out_until).min()
    }

    /// The real servers that refused clients.
    pub fn servers(&self) -> impl Iterator<Item = SocketAddr> {
        self.servers.keys().copied()
    }

    /// Tells whether nothing is known of any real server.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }
}

impl Record {
    fn is_enough(&self, now: Duration) -> bool {
        self.count >= REFUSALS
            && now.saturating_sub(self.first) >= SPAN
            && (self.clients.contains(&None) || self.clients.len() >= CLIENTS)
    }

    fn next_hold(&self) -> Duration {
        HOLD.saturating_mul(1 << self.times_out.min(16)).min(MAX_HOLD)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn server(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 31000).into()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn refusal(client: Option<u8>) -> Refusal {
        let client = client.map(|last| [10, 9, 0, last].into());
        Refusal { server: server(1), client }
    }

    /// Takes in refusals, each at a second, and returns the second of the verdict.
    fn verdict_at(refusals: &[(u64, Option<u8>)]) -> Option<u64> {
        let mut all = Refusals::default();
        let found = refusals
            .iter()
            .find(|(at, client)| all.on_refusal(refusal(*client), seconds(*at)).is_some());
        found.map(|(at, _)| *at)
    }

    #[test]
    fn several_refusals_over_some_time_are_needed() {
        let every = |pause: u64, count: u64, client| -> Vec<_> {
            (0..count).map(|nth| (nth * pause, client)).collect()
        };
        assert_eq!(verdict_at(&every(3, 9, None)), Some(12));
        assert_eq!(verdict_at(&every(12, 9, None)), Some(48));
        assert_eq!(verdict_at(&every(0, 99, None)), None, "a restart, however many try");
        assert_eq!(verdict_at(&every(1, 10, None)), None, "a restart within 9 s");
        assert_eq!(verdict_at(&every(20, 99, None)), None, "now and then");
        // Those of a restart are forgotten after a minute.
        let restart = [(0, None); 9];
        assert_eq!(verdict_at(&[&restart[..], &[(61, None)]].concat()), None);
        assert_eq!(verdict_at(&[&restart[..], &[(10, None)]].concat()), Some(10));
    }

    #[test]
    fn one_client_whose_address_is_seen_is_not_enough() {
        let of = |clients: &[Option<u8>]| {
            let refusals = (0..30).zip(clients.iter().copied().cycle());
            verdict_at(&refusals.collect::<Vec<_>>())
        };
        assert_eq!(of(&[Some(1)]), None);
        assert_eq!(of(&[Some(1), Some(2)]), Some(10));
        assert_eq!(of(&[Some(1), None]), Some(10), "the node itself is a client");
        assert_eq!(of(&[None]), Some(10));
    }

    #[test]
    fn clients_try_again_after_a_time_that_grows() {
        let mut all = Refusals::default();
        let mut now = Duration::ZERO;
        let holds = [5, 10, 20, 40, 60, 60].map(|_| {
            let mut refused = || {
                now += seconds(3);
                all.on_refusal(refusal(None), now)
            };
            let verdict = std::iter::repeat_with(&mut refused).flatten().next().unwrap();
            assert!(verdict.is_refusing);
            assert_eq!((verdict.refusals, verdict.within), (5, seconds(12)));
            let until = all.wake_at().unwrap();
            assert_eq!(all.take_due(until - seconds(1)), []);
            assert_eq!(all.on_refusal(refusal(None), until - seconds(1)), None);
            assert_eq!(all.take_due(until), [ServerVerdict::taken_back(server(1))]);
            assert_eq!((all.take_due(until), all.wake_at()), (vec![], None));
            let hold = until - now;
            now = until;
            hold.as_secs() / 60
        });
        assert_eq!(holds, [5, 10, 20, 40, 60, 60]);
        // It served for longer than ten minutes.
        now += seconds(601);
        let mut refused = || {
            now += seconds(3);
            all.on_refusal(refusal(None), now)
        };
        assert!(std::iter::repeat_with(&mut refused).flatten().next().is_some());
        assert_eq!(all.wake_at(), Some(now + seconds(300)));
        assert_eq!(all.take_due(now + seconds(300)).len(), 1);
        assert_eq!(all.retain(|_| false), [], "it is in use");
        assert!(all.is_empty());
    }

    proptest! {
        /// Each verdict has its refusals, and each is taken back.
        #[test]
        fn every_verdict_has_refusals_and_is_taken_back(
            steps in vec((0..4_u8, 0..3_u8, 0..30_u64), 0..200),
        ) {
            let mut all = Refusals::default();
            let mut out = BTreeSet::new();
            let mut refusals: BTreeMap<SocketAddr, Vec<Duration>> = BTreeMap::new();
            let mut now = Duration::ZERO;
            for (last, client, pause) in steps {
                now += seconds(pause);
                for verdict in all.take_due(now) {
                    prop_assert!(!verdict.is_refusing);
                    prop_assert!(out.remove(&verdict.server));
                }
                let client = (client > 0).then(|| [10, 9, 0, client].into());
                let refusal = Refusal { server: server(last), client };
                let known = refusals.entry(refusal.server).or_default();
                known.push(now);
                if let Some(verdict) = all.on_refusal(refusal, now) {
                    prop_assert!(verdict.is_refusing && verdict.server == refusal.server);
                    let recent = known.iter().filter(|at| now - **at <= WINDOW);
                    prop_assert!(recent.count() >= REFUSALS as usize);
                    prop_assert!(out.insert(verdict.server));
                }
            }
            let back: BTreeSet<_> = all.retain(|_| false).iter().map(|back| back.server).collect();
            prop_assert_eq!(back, out);
            prop_assert_eq!(all, Refusals::default());
        }
    }
}
