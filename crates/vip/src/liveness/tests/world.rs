//! A simulated cluster that answers probes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fastrand::Rng;

use crate::liveness::{
    ConnectResult, HostVerdict, INTERVAL, Liveness, Order, Silence, WatchList, Watched,
};

pub(super) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Returns the address of the host with this number.
pub(super) fn host(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    [10, 0, high, low].into()
}

/// A host as it really is.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) has_power: bool,
    pub(super) answers_echoes: bool,
    pub(super) round_trip: Duration,
    /// The ports whose real servers have too much to do.
    pub(super) busy: BTreeSet<u16>,
    /// The fraction of echoes that something drops on their way to this host alone.
    pub(super) policed: f64,
    /// This node may send it no echo.
    pub(super) is_barred: bool,
    /// A firewall drops this node's own connections to it.
    pub(super) drops_connects: bool,
    /// It is a container of this node, which needs no link.
    pub(super) is_local: bool,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            has_power: true,
            answers_echoes: true,
            round_trip: ms(1),
            busy: BTreeSet::new(),
            policed: 0.0,
            is_barred: false,
            drops_connects: false,
            is_local: false,
        }
    }
}

/// News on its way to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum News {
    Reply(IpAddr, u16),
    Connected(SocketAddr, bool),
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) liveness: Liveness,
    pub(super) now: Duration,
    pub(super) peers: BTreeMap<IpAddr, Peer>,
    /// The fraction of packets that are lost, each way.
    pub(super) loss: f64,
    /// This node's link.
    pub(super) has_link: bool,
    /// The most that the program comes late, as on a busy machine.
    pub(super) lateness: Duration,
    random: Rng,
    news: BTreeSet<(Duration, News)>,
    pub(super) list: WatchList,
    /// The verdicts, with the time of each.
    pub(super) verdicts: Vec<(Duration, HostVerdict)>,
    /// The number of batches that they came in.
    pub(super) batches: usize,
    pub(super) orders: Vec<(Duration, Order)>,
    /// The times of the connections that each real server answered.
    pub(super) answered: BTreeMap<SocketAddr, Vec<Duration>>,
    /// The last reply of each host.
    pub(super) last_reply: BTreeMap<IpAddr, Duration>,
}

impl World {
    /// Makes a cluster of so many watched hosts, with a real server on each, and witnesses.
    pub(super) fn new(hosts: u16, witnesses: u16, seed: u64) -> Self {
        Self::probed_every(INTERVAL, hosts, witnesses, seed)
    }

    /// The same with rounds of echoes so far apart.
    pub(super) fn probed_every(interval: Duration, hosts: u16, witnesses: u16, seed: u64) -> Self {
        let watched = (0..hosts).map(|number| Watched {
            host: host(number),
            in_use: true,
            is_elsewhere: true,
            connect_to: vec![(host(number), 80).into()],
            has_clients: false,
        });
        let witnesses: Vec<_> = (0..witnesses).map(|number| host(60_000 + number)).collect();
        let list = WatchList { hosts: watched.collect(), witnesses, ..WatchList::default() };
        let all = list.hosts.iter().map(|watched| watched.host);
        let peers = all.chain(list.witnesses.iter().copied()).map(|at| (at, Peer::default()));
        let mut world = Self {
            liveness: Liveness::new(interval, seed),
            now: Duration::ZERO,
            peers: peers.collect(),
            loss: 0.0,
            has_link: true,
            lateness: Duration::ZERO,
            random: Rng::with_seed(seed ^ 0x5eed),
            news: BTreeSet::new(),
            list: list.clone(),
            verdicts: Vec::new(),
            batches: 0,
            orders: Vec::new(),
            answered: BTreeMap::new(),
            last_reply: BTreeMap::new(),
        };
        world.liveness.set_list(&list, world.now);
        world
    }

    pub(super) fn peer(&mut self, number: u16) -> &mut Peer {
        self.peers.get_mut(&host(number)).unwrap()
    }

    /// Lets the machine hear of a client of this host that sent its SYN again.
    pub(super) fn lose_syn(&mut self, number: u16) {
        self.liveness.on_lost_syn((host(number), 80).into(), self.now);
    }

    /// Has clients report each of these hosts so many times, with this time after each.
    pub(super) fn lose_syns(
        &mut self,
        hosts: impl Iterator<Item = u16>,
        times: u32,
        every: Duration,
    ) {
        let hosts: Vec<_> = hosts.collect();
        for _ in 0..times {
            hosts.iter().for_each(|number| self.lose_syn(*number));
            self.run_for(every);
        }
    }

    pub(super) fn set_list(&mut self) {
        self.liveness.set_list(&self.list, self.now);
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = self.news.first().map_or(Duration::MAX, |(at, _)| *at);
            let wake = self.liveness.wake_at();
            if next.min(wake) > end {
                break;
            }
            let late = self.lateness.mul_f64(self.random.f64());
            self.now = self.now.max(next.min(wake) + late);
            self.step();
        }
        self.now = end;
    }

    /// Lets the program stand still; what arrives meanwhile waits in the kernel.
    pub(super) fn stop_for(&mut self, time: Duration) {
        self.now += time;
        self.step();
    }

    /// Lets the whole machine stand still: what would arrive meanwhile is lost.
    pub(super) fn pause_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.news.retain(|(at, news)| *at > end || matches!(news, News::Connected(_, false)));
        self.stop_for(time);
    }

    fn step(&mut self) {
        while let Some((at, news)) = self.news.first().copied().filter(|(at, _)| *at <= self.now) {
            self.news.remove(&(at, news));
            match news {
                News::Reply(from, sequence) => {
                    self.last_reply.insert(from, at);
                    self.liveness.on_echo(from, sequence, at);
                }
                News::Connected(server, has_answered) => {
                    if has_answered {
                        self.answered.entry(server).or_default().push(self.now);
                    }
                    let result = match has_answered {
                        true => ConnectResult::Answered,
                        false => ConnectResult::Silent,
                    };
                    self.liveness.on_connect(server, result, self.now);
                }
            }
        }
        if self.liveness.wake_at() <= self.now {
            let orders = self.liveness.advance(self.now);
            orders.into_iter().for_each(|order| self.carry_out(order));
        }
        let verdicts = self.liveness.take_verdicts();
        self.batches += usize::from(!verdicts.is_empty());
        for verdict in verdicts {
            if verdict.silence.is_some() {
                self.check_proof(&verdict);
            }
            self.verdicts.push((self.now, verdict));
        }
    }

    /// Checks that the host didn't answer of late, and that another one did.
    fn check_proof(&self, verdict: &HostVerdict) {
        let has_answered = |host: &IpAddr, within| {
            self.last_reply.get(host).is_some_and(|last| *last + within >= self.now)
        };
        assert!(!has_answered(&verdict.host, ms(500)), "{verdict:?} at {:?}", self.now);
        let has_proof = self.last_reply.keys().any(|host| has_answered(host, ms(1000)));
        assert!(has_proof && verdict.evidence.others_answering > 0, "{verdict:?}");
    }

    fn carry_out(&mut self, order: Order) {
        self.orders.push((self.now, order));
        if let Order::Echo { host, .. } = order
            && self.peers[&host].is_barred
        {
            return self.liveness.on_unsent(host);
        }
        let to = match order {
            Order::Echo { host, .. } => host,
            Order::Connect { server, .. } => server.ip(),
        };
        let is_lost = self.random.f64() < self.loss || self.random.f64() < self.loss;
        let peer = &self.peers[&to];
        let has_way = self.has_link || peer.is_local;
        let arrives = has_way && peer.has_power && !is_lost;
        let at = self.now + peer.round_trip;
        let policed = peer.policed;
        match order {
            Order::Echo { .. } if policed > 0.0 && self.random.f64() < policed => {}
            Order::Echo { sequence, .. } if arrives && peer.answers_echoes => {
                self.news.insert((at, News::Reply(to, sequence)));
            }
            Order::Echo { .. } => {}
            Order::Connect { server, patience } => {
                let can = has_way
                    && peer.has_power
                    && !peer.drops_connects
                    && !peer.busy.contains(&server.port());
                let (round_trip, loss) = (peer.round_trip, self.loss);
                // The kernel sends the SYN again.
                let mut arrives = |sent: &Duration| {
                    let is_lost = *sent > Duration::ZERO
                        && (self.random.f64() < loss || self.random.f64() < loss);
                    can && *sent + round_trip < patience && !is_lost
                };
                let first = (!is_lost && arrives(&Duration::ZERO)).then_some(Duration::ZERO);
                let sent = first.or_else(|| [ms(1000), ms(3000)].into_iter().find(&mut arrives));
                let after = sent.map_or(patience, |sent| sent + round_trip);
                self.news.insert((self.now + after, News::Connected(server, sent.is_some())));
            }
        }
    }

    /// Returns the verdicts since then as text, such as `0.85 10.0.0.1 Suspected`.
    pub(super) fn verdicts_since(
        &self,
        then: Duration,
    ) -> Vec<(Duration, IpAddr, Option<Silence>)> {
        let since = self.verdicts.iter().filter(|(at, _)| *at >= then);
        since.map(|(at, verdict)| (*at - then, verdict.host, verdict.silence)).collect()
    }

    /// Cuts the power of these hosts, and returns the time from then to the first verdict on each.
    pub(super) fn cut_power(&mut self, hosts: impl Iterator<Item = u16> + Clone) -> Vec<Duration> {
        let then = self.now;
        hosts.clone().for_each(|number| self.peer(number).has_power = false);
        self.run_for(ms(3000));
        let verdicts = self.verdicts_since(then);
        let first = |number| verdicts.iter().find(|(_, at, _)| *at == host(number));
        hosts.filter_map(|number| Some(first(number)?.0)).collect()
    }
}
