//! The state machine of the probing: evidence and the time go in, probes and verdicts come out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fastrand::Rng;

use super::budget::Budget;
use super::census::{MuteLeft, is_mass_silence};
use super::confirmation::Reason;
use super::connections::Connections;
use super::echoes::Echoes;
use super::host::{Host, Return};
use super::timing::{
    FRESH_PROOF, JITTER, LATE, LOOKS, MASS, PROOF, RARELY, REVIEW, SECOND_LOOK, SETTLING,
    STANDSTILL, stretched_pace,
};
use super::{
    ConnectResult, Evidence, HostVerdict, Order, ProbeStatus, Silence, WatchList, Watched,
};

/// Watches hosts. Call [`Liveness::advance`] at [`Liveness::wake_at`], after everything that was
/// received is told.
///
/// - Echoes go out in rounds. After two without a reply a host is asked by four more echoes and a
///   connection within 200 ms; then it is suspected, and dead after 10 s. A mute host, which answers no
///   echoes, is asked by connections alone, which have 3.4 s.
/// - Nothing is said against a host unless another one answered meanwhile. A round counts for nothing
///   if this program itself came late.
/// - If more than half of all hosts fall silent at once, they are asked twice.
/// - A client's lost SYN has its host asked at once. A host that never answered an echo is suspected by
///   two of them within 3 s, if its ports answer no connection either.
/// - One that answers neither echoes nor a connection when it is watched for the first time is suspected
///   without them, unless clients have open connections there, or real servers see clients' own addresses:
///   something on the way may admit clients and not this node.
#[derive(Debug)]
pub struct Liveness {
    interval: Duration,
    hosts: BTreeMap<IpAddr, Host>,
    witnesses: BTreeMap<IpAddr, Echoes>,
    /// The latest connections to each real server.
    connections: Connections,
    has_uplink: bool,
    /// Real servers see clients' own addresses, so that something may admit those and not this node's.
    may_be_barred: bool,
    /// The next round; `None` while there is no host to probe.
    round_at: Option<Duration>,
    /// The review after the last round.
    review_at: Option<Duration>,
    witnesses_at: Duration,
    /// The present pause between rounds.
    pace: Duration,
    blind_since: Option<Duration>,
    /// Until then nothing is said against hosts, since none answered until a moment ago.
    settled_at: Duration,
    budget: Budget,
    random: Rng,
    /// News about hosts since they were last taken.
    verdicts: BTreeMap<IpAddr, HostVerdict>,
    /// The hosts that have answered for the first time since these were last taken.
    heard: BTreeSet<IpAddr>,
    /// The hosts of these verdicts that are in use again without an answer.
    unheard: BTreeSet<IpAddr>,
    /// A host is asked for a report of clients, and the witnesses have not been yet.
    is_called: bool,
    probes_sent: u64,
    lost_syns: u64,
    suspicions: u64,
    taken_back: u64,
}

impl Liveness {
    /// Makes a machine that watches nothing yet, with a round every `interval`. `seed` decides about
    /// the jitter.
    #[must_use]
    pub fn new(interval: Duration, seed: u64) -> Self {
        Self {
            interval,
            hosts: BTreeMap::new(),
            witnesses: BTreeMap::new(),
            connections: Connections::default(),
            has_uplink: true,
            may_be_barred: false,
            round_at: None,
            review_at: None,
            witnesses_at: Duration::ZERO,
            pace: interval,
            blind_since: None,
            settled_at: Duration::ZERO,
            budget: Budget::default(),
            random: Rng::with_seed(seed),
            verdicts: BTreeMap::new(),
            heard: BTreeSet::new(),
            unheard: BTreeSet::new(),
            is_called: false,
            probes_sent: 0,
            lost_syns: 0,
            suspicions: 0,
            taken_back: 0,
        }
    }

    /// Replaces the list of hosts. The verdict about a host that is no longer in it is taken back.
    pub fn set_list(&mut self, list: &WatchList, now: Duration) {
        self.may_be_barred = list.clients.are_kept;
        let mut before = std::mem::take(&mut self.hosts);
        let matters = |watched: &&Watched| {
            watched.in_use || before.get(&watched.host).is_some_and(Host::is_down)
        };
        let (first, others): (Vec<_>, Vec<_>) = list.hosts.iter().partition(matters);
        for watched in first.into_iter().chain(others).take(caps::PROBED_HOSTS) {
            let mut host = before.remove(&watched.host).unwrap_or_default();
            host.update(watched, now);
            self.hosts.insert(watched.host, host);
        }
        for (address, host) in before {
            if host.is_down() {
                self.end_unheard(address, host.evidence(now, 0));
            }
        }
        let mut before = std::mem::take(&mut self.witnesses);
        let is_asked = |witness: &IpAddr| self.hosts.get(witness).is_some_and(Host::is_active);
        let witnesses = list.witnesses.iter().filter(|witness| !is_asked(witness));
        self.witnesses = witnesses
            .take(caps::WITNESSES)
            .map(|witness| (*witness, before.remove(witness).unwrap_or_default()))
            .collect();
        match self.hosts.values().any(Host::is_active) {
            true if self.round_at.is_none() => {
                self.round_at = Some(now + self.interval.mul_f64(self.random.f64()));
            }
            true => {}
            false => (self.round_at, self.review_at, self.blind_since) = (None, None, None),
        }
    }

    /// Takes in the reply of a host or witness, that the kernel received at this time.
    pub fn on_echo(&mut self, address: IpAddr, sequence: u16, received_at: Duration) {
        if let Some(witness) = self.witnesses.get_mut(&address)
            && witness.is_recent(sequence)
        {
            witness.note_sign(received_at);
            self.see_again(received_at);
        }
        if !self.hosts.get(&address).is_some_and(|host| host.echoes.is_recent(sequence)) {
            return;
        }
        self.see_host_again(address, received_at);
        let Some(host) = self.hosts.get_mut(&address) else { return };
        self.heard.extend((!host.echoes.was_heard()).then_some(address));
        let returned = host.on_echo(received_at);
        self.note_return(address, returned);
    }

    /// Takes in that an echo could not be sent, for a reason on this node.
    pub fn on_unsent(&mut self, address: IpAddr) {
        if let Some(host) = self.hosts.get_mut(&address) {
            host.on_unsent();
        }
    }

    /// Takes in the result of a connection.
    pub fn on_connect(&mut self, server: SocketAddr, result: ConnectResult, now: Duration) {
        self.connections.note_result(server, result);
        if !self.has_uplink || self.blind_since.is_some() {
            self.connections.forget_silence();
        }
        let address = server.ip();
        if result == ConnectResult::Answered {
            self.see_host_again(address, now);
        }
        let Some(host) = self.hosts.get_mut(&address) else { return };
        match result {
            ConnectResult::Answered => {
                self.heard.extend((!host.echoes.was_heard()).then_some(address));
                let returned = host.on_connected(now);
                self.note_return(address, returned);
            }
            ConnectResult::Silent => host.on_connect_silent(),
            ConnectResult::Untried => host.note_result(),
        }
    }

    /// Takes in that a client sent its SYN again, since this real server didn't answer the one before.
    pub fn on_lost_syn(&mut self, server: SocketAddr, now: Duration) {
        self.lost_syns += 1;
        let Some(host) = self.hosts.get_mut(&server.ip()) else { return };
        if host.on_report(now) {
            host.confirm_from(now, Reason::Report);
            self.is_called = true;
        }
        if host.is_active() {
            self.round_at.get_or_insert(now);
        }
    }

    /// Tells whether there are hosts that clients' lost SYNs may be about.
    #[must_use]
    pub fn has_hosts(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// Takes in whether this node's uplink has a carrier. Without one only fresh answers of others prove that
    /// this node is connected.
    pub fn set_uplink(&mut self, has_carrier: bool) {
        self.has_uplink = has_carrier;
    }

    /// Tells whether something speaks against a host that isn't decided.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.hosts.values().any(|host| host.is_in_doubt() || host.is_confirming())
    }

    /// Does what is due, and returns the probes to send, in order.
    pub fn advance(&mut self, now: Duration) -> Vec<Order> {
        let mut orders = Vec::new();
        let late_by = now.saturating_sub(self.wake_at());
        if late_by > STANDSTILL {
            self.forget_silence(now);
            self.review_at = None;
        } else if late_by > LATE {
            self.void_round(now);
        }
        if std::mem::take(&mut self.is_called) {
            self.ask_witnesses(now, &mut orders);
            self.ask_others(now, &mut orders);
        }
        self.take_steps(now, &mut orders);
        self.end_confirmations(now);
        if self.review_at.is_some_and(|at| at <= now) {
            self.review_at = None;
            self.review_hosts(now, &mut orders);
        }
        if self.round_at.is_some_and(|at| at <= now) {
            self.send_round(now, &mut orders);
        }
        self.probes_sent += u64::try_from(orders.len()).unwrap_or(u64::MAX);
        orders
    }

    /// The time at which [`Liveness::advance`] is due.
    #[must_use]
    pub fn wake_at(&self) -> Duration {
        let steps = self.hosts.values().filter_map(Host::next_step);
        steps.chain(self.round_at).chain(self.review_at).min().unwrap_or(Duration::MAX)
    }

    /// Takes the news about hosts.
    pub fn take_verdicts(&mut self) -> Vec<HostVerdict> {
        std::mem::take(&mut self.verdicts).into_values().collect()
    }

    /// Takes the hosts of these verdicts that are in use again without an answer. Take them together.
    pub fn take_unheard(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.unheard)
    }

    /// Takes the hosts that have answered for the first time.
    pub fn take_heard(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.heard)
    }

    /// Returns the counts and states of the probing.
    #[must_use]
    pub fn status(&self) -> ProbeStatus {
        let count = |matches: &dyn Fn(&&Host) -> bool| self.hosts.values().filter(matches).count();
        ProbeStatus {
            obstacle: None,
            watched: count(&|host| host.is_active()),
            mute: count(&|host| host.is_active() && host.is_mute()),
            suspected: count(&|host| host.silence() == Some(Silence::Suspected)),
            dead: count(&|host| host.silence() == Some(Silence::Dead)),
            blind_since: self.blind_since,
            probes_sent: self.probes_sent,
            log_obstacle: None,
            lost_syns: self.lost_syns,
            refusals: 0,
            suspicions: self.suspicions,
            taken_back: self.taken_back,
        }
    }

    /// Tells whether there is a host whose port is to be looked at.
    fn wants_first_look(&self, now: Duration) -> bool {
        self.hosts.values().any(|host| host.wants_first_look(now))
    }

    fn send_round(&mut self, now: Duration, orders: &mut Vec<Order>) {
        let given_up = self.hosts.iter_mut().filter_map(|(address, host)| {
            host.give_up(self.may_be_barred, now).then(|| (*address, host.evidence(now, 0)))
        });
        for (address, evidence) in given_up.collect::<Vec<_>>() {
            self.end_unheard(address, evidence);
        }
        let needs_proof = self.is_in_doubt() || self.wants_first_look(now);
        let mut probed: u32 = 0;
        for (address, host) in &mut self.hosts {
            if host.take_turn(now) {
                orders.push(Order::Echo { host: *address, sequence: host.take_sequence() });
                probed += 1;
            }
            let (budget, connections) = (&mut self.budget, &mut self.connections);
            if !host.is_down() {
                continue;
            }
            let ask = |server| connections.ask_idly(server, budget, now);
            orders.extend(host.take_connect(now, ask));
        }
        if needs_proof || self.witnesses_at <= now {
            self.ask_witnesses(now, orders);
        }
        let jitter = 1.0 + JITTER * (2.0 * self.random.f64() - 1.0);
        self.pace = stretched_pace(self.interval, probed);
        self.round_at = Some(now + self.pace.mul_f64(jitter));
        self.review_at = Some(now + REVIEW.min(self.pace * 4 / 5));
    }

    fn ask_witnesses(&mut self, now: Duration, orders: &mut Vec<Order>) {
        self.witnesses_at = now + RARELY;
        for (address, witness) in &mut self.witnesses {
            if self.budget.take_token(now) {
                let sequence = witness.next_sequence();
                orders.push(Order::Echo { host: *address, sequence });
            }
        }
    }

    /// Looks at the hosts that have not answered the last rounds.
    fn review_hosts(&mut self, now: Duration, orders: &mut Vec<Order>) {
        self.connections.forget_old(now);
        let has_candidates = self.hosts.values().any(Host::is_candidate);
        if !has_candidates && !self.wants_first_look(now) {
            return;
        }
        let Some(others) = self.count_answering(now) else {
            if has_candidates {
                self.go_blind(now);
            }
            return;
        };
        if now < self.settled_at {
            return self.forget_silence(now);
        }
        let mut is_asking = false;
        let mut dead = Vec::new();
        let mut looks = 0;
        for (address, host) in &mut self.hosts {
            if host.wants_first_look(now) && looks < LOOKS {
                host.note_first_look(now);
                looks += 1;
            } else if !host.is_candidate() {
                continue;
            }
            if !host.is_down() {
                host.confirm_from(now, Reason::Silence);
                is_asking = true;
            } else if host.take_death(now) {
                dead.push((*address, host.evidence(now, others)));
            }
        }
        for (address, evidence) in dead {
            self.add_verdict(address, Some(Silence::Dead), evidence);
        }
        if is_asking {
            self.ask_witnesses(now, orders);
            self.ask_others(now, orders);
            self.take_steps(now, orders);
        }
    }

    /// Asks a few of the other hosts, whose answers will prove that this node is connected.
    fn ask_others(&mut self, now: Duration, orders: &mut Vec<Order>) {
        let then = now.saturating_sub(self.recently());
        let others = self
            .hosts
            .iter_mut()
            .filter(|(_, host)| host.echoes.has_sign_since(then) && !host.is_confirming());
        for (address, host) in others.take(MASS) {
            if self.budget.take_token(now) {
                orders.push(Order::Echo { host: *address, sequence: host.take_sequence() });
            }
        }
    }

    /// Sends what is due to hosts that are asked once more.
    fn take_steps(&mut self, now: Duration, orders: &mut Vec<Order>) {
        let (budget, connections) = (&mut self.budget, &mut self.connections);
        let mut needs_proof = false;
        for (address, host) in self.hosts.iter_mut().filter(|(_, host)| host.is_confirming()) {
            if let Some(sequence) = host.take_step(now, || budget.take_token(now)) {
                orders.push(Order::Echo { host: *address, sequence });
            }
            let ask = |server| connections.ask(server, budget, now);
            orders.extend(host.take_connect(now, ask));
            needs_proof |= host.take_proof(now);
        }
        if needs_proof {
            self.ask_witnesses(now, orders);
            self.ask_others(now, orders);
        }
    }

    /// Suspects the hosts that gave no answer to the last questions.
    fn end_confirmations(&mut self, now: Duration) {
        let ended = self
            .hosts
            .iter_mut()
            .filter_map(|(address, host)| host.end_confirmation(now).then_some(*address));
        let silent: Vec<IpAddr> = ended.collect();
        if silent.is_empty() {
            return;
        }
        let Some(others) = self.count_answering(now) else {
            self.go_blind(now);
            return;
        };
        if now < self.settled_at {
            return self.forget_silence(now);
        }
        let is_mass = is_mass_silence(&self.hosts, now);
        let mut mute_left = MuteLeft::count(&self.hosts);
        for address in silent {
            let Some(host) = self.hosts.get_mut(&address) else { continue };
            if host.is_mute() {
                if host.is_excused(self.may_be_barred) {
                    host.excuse(now);
                    continue;
                }
                if !mute_left.take(host.reason()) {
                    host.spare();
                    continue;
                }
            } else if is_mass && host.reason() != Some(Reason::Again) {
                host.confirm_from(now + SECOND_LOOK, Reason::Again);
                continue;
            }
            let evidence = host.evidence(now, others);
            host.suspect(now);
            self.suspicions += 1;
            self.add_verdict(address, Some(Silence::Suspected), evidence);
            self.round_at.get_or_insert(now);
        }
    }

    /// Counts the hosts and witnesses that answer at present; `None` if none has answered just now,
    /// so that nothing proves that this node is connected.
    fn count_answering(&self, now: Duration) -> Option<usize> {
        let hosts = self.hosts.values().filter(|host| host.is_witness());
        let answering = hosts.map(|host| &host.echoes).chain(self.witnesses.values());
        let count = |within: Duration| {
            let then = now.saturating_sub(within);
            answering.clone().filter(|echoes| echoes.has_sign_since(then)).count()
        };
        // A route by another interface may lead to the hosts.
        let has_proof = count(if self.has_uplink { PROOF } else { FRESH_PROOF }) > 0;
        has_proof.then(|| count(self.recently()))
    }

    /// The time within which a host that answers has answered.
    fn recently(&self) -> Duration {
        PROOF.max(self.pace * 3 / 2)
    }

    /// Stops to say anything against hosts, until one answers.
    fn go_blind(&mut self, now: Duration) {
        self.blind_since.get_or_insert(now);
        self.forget_silence(now);
    }

    /// Takes in that a host answers, and gives the others a moment if none did until now: neighbours whose
    /// addresses the kernel couldn't look up meanwhile are not reached all at once.
    fn see_again(&mut self, now: Duration) {
        if self.blind_since.take().is_some() {
            self.settled_at = now + SETTLING;
            self.forget_silence(now);
        }
    }

    /// The same for an answer of a watched host, which counts only if it came from elsewhere: a container of
    /// this node answers without any network. If nobody else is asked, it is the only one who can.
    fn see_host_again(&mut self, address: IpAddr, now: Duration) {
        let Some(host) = self.hosts.get(&address) else { return };
        let is_other = |host: &Host| host.is_elsewhere() && host.is_active();
        let counts =
            host.is_elsewhere() || self.witnesses.is_empty() && !self.hosts.values().any(is_other);
        if counts {
            self.see_again(now);
        }
    }

    fn forget_silence(&mut self, now: Duration) {
        self.connections.forget_silence();
        self.hosts.values_mut().for_each(|host| host.forget_silence(now));
    }

    /// Lets the round that is to be reviewed count for nothing: replies may have been lost while the
    /// machine stood still. What was silent before still counts, or a node that is always busy would
    /// never notice anything.
    fn void_round(&mut self, now: Duration) {
        if self.review_at.is_some_and(|at| at <= now) {
            self.review_at = None;
            self.hosts.values_mut().for_each(Host::void_round);
        }
    }

    fn note_return(&mut self, address: IpAddr, returned: Option<Return>) {
        let Some(Return { silent_for, silence }) = returned else { return };
        self.taken_back += u64::from(silence == Silence::Suspected);
        let others_answering = 0;
        let evidence = Evidence { silent_for, echoes: 0, connects: 0, others_answering };
        self.add_verdict(address, None, evidence);
    }

    /// Takes the verdict about a host back that has not answered.
    fn end_unheard(&mut self, host: IpAddr, evidence: Evidence) {
        self.add_verdict(host, None, evidence);
        self.unheard.insert(host);
    }

    fn add_verdict(&mut self, host: IpAddr, silence: Option<Silence>, evidence: Evidence) {
        self.unheard.remove(&host);
        self.verdicts.insert(host, HostVerdict { host, silence, evidence });
    }
}
