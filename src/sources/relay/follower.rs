//! Decisions of an agent that follows relays: which one, when another, what to believe of a new one,
//! and when to read Marathon itself. Pure: `connection.rs` does the I/O.
//!
//! A relay stands between the source and its Marathon. The source asks for the event stream and for
//! reads as ever, and gets its answers from what the relay has told; so the rules of belief are the
//! same with a relay and without one.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use marathon::events::sse::Frame;
use marathon::events::{Change as Announced, Event};
use marathon::watch::{Action, StreamId};
use marathon::{Timestamp, WorkloadKey};
use relay::{Change, MarathonStatus, Mirror, Position};

use super::super::marathon::messages::{Message, ReadError};

/// The longest silence of a relay. It sends a heartbeat every 2 s.
const SILENCE: Duration = Duration::from_secs(6);
/// The pause after all relays have failed.
const ROUND: Duration = Duration::from_secs(2);
/// The longest time for a new relay to catch up with what the last one told.
const CATCH_UP: Duration = Duration::from_secs(10);
/// The longest silence of Marathon at a relay. It sends a heartbeat every 10 s.
const UNHEARD_MS: u64 = 25_000;
/// The shortest time between two changes of relays that hear no Marathon.
const ELSEWHERE: Duration = Duration::from_secs(30);
/// Time without a relay after which reads fail.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time without a relay after which the agent reads Marathon itself, and the most that is added at
/// random.
const DIRECT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(120));
/// The most servers that Marathon depends on.
const MAX_SERVERS: usize = 64;
/// The number of agents that read Marathon themselves at the same time, of all that have no relay.
const DIRECT_AGENTS: u64 = 100;
/// The number of agents while nothing tells it.
const UNKNOWN_AGENTS: u64 = 5000;
/// The shortest time until an agent asks whether its own relay is back, and the most that is added at
/// random.
const HOME: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(600));
/// The time after which a stream that ends is opened once more at the same relay.
const PROVEN: Duration = Duration::from_secs(60);
/// The longest time for which a new relay may lag, however often it hears Marathon.
const LAGGING: Duration = Duration::from_secs(30);

/// The clocks of a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// The time since any fixed moment.
    pub(super) at: Duration,
    /// Minutes since 1970, which all agents count alike.
    pub(super) minute: u64,
}

/// An order to the connection.
#[derive(Debug)]
pub(super) enum Order {
    /// Open the stream of this relay, after this position.
    Connect { relay: usize, position: Option<Position> },
    /// Close it. Nothing of it is taken in any more.
    Disconnect,
    /// Tell the source. Messages of the stream keep their order.
    Tell(Message),
    /// Ask Marathon itself.
    Ask(Action),
    /// Ask whether this relay is ready.
    Probe { relay: usize },
}

/// The stream of a relay.
#[derive(Debug)]
enum Link {
    /// There is none until then.
    Closed { until: Duration },
    /// It is being opened.
    Opening { since: Duration },
    /// A snapshot is coming, or has come since then and is not believed yet.
    Catching {
        heard: Duration,
        whole: Option<Duration>,
        status: MarathonStatus,
        /// When it told this of Marathon.
        told_at: Duration,
    },
    /// It is followed.
    Followed {
        heard: Duration,
        status: MarathonStatus,
        /// Whether something has changed in the read of everything whose changes are coming.
        whole: Option<bool>,
    },
}

/// The stream that the source wants.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    stream: StreamId,
    is_open: bool,
}

/// An agent that follows one of several relays.
#[derive(Debug)]
pub(super) struct Follower {
    /// The relays, the agent's own first.
    order: Vec<usize>,
    names: Vec<String>,
    /// The place in the order of the relay in use.
    place: usize,
    link: Link,
    mirror: Mirror,
    /// The latest event that a relay has told of, by Marathon's clock.
    latest_event: Option<Timestamp>,
    wanted: Option<Wanted>,
    wants_everything: bool,
    wanted_keys: BTreeSet<WorkloadKey>,
    /// Since when there is no relay.
    alone_since: Option<Duration>,
    /// Relays that have failed since one was followed.
    failed: usize,
    why: String,
    /// When it last went elsewhere because a relay heard no Marathon.
    went: Option<Duration>,
    followed_since: Duration,
    /// When to ask whether its own relay is back.
    ask_home_at: Duration,
    seed: u64,
    agents: Option<u32>,
}

impl Follower {
    /// Creates a follower. `names` are the relays as people know them, `node` differs from agent to
    /// agent; `agents` is the number of all, if it is known.
    pub(super) fn new(names: Vec<String>, node: &str, agents: Option<u32>, now: Now) -> Self {
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by_key(|relay| std::cmp::Reverse(hash_of((node, &names[*relay]))));
        Self {
            order,
            names,
            place: 0,
            link: Link::Closed { until: now.at },
            mirror: Mirror::default(),
            latest_event: None,
            wanted: None,
            wants_everything: false,
            wanted_keys: BTreeSet::new(),
            alone_since: Some(now.at),
            failed: 0,
            why: "no relay was asked yet".to_owned(),
            went: None,
            followed_since: now.at,
            ask_home_at: now.at,
            seed: hash_of(node),
            agents,
        }
    }

    /// Takes in a request of the source.
    pub(super) fn on_request(&mut self, request: Action, now: Now, orders: &mut Vec<Order>) {
        match request {
            Action::Open { stream, .. } => {
                self.wanted = Some(Wanted { stream, is_open: false });
                self.open_wanted(orders);
            }
            Action::Close => self.wanted = None,
            Action::ReadEverything => self.wants_everything = true,
            Action::Read(key) => drop(self.wanted_keys.insert(key)),
        }
        self.answer_wanted(now, orders);
    }

    /// Takes in a server-sent event of the relay.
    pub(super) fn on_frame(&mut self, frame: &Frame, now: Now, orders: &mut Vec<Order>) {
        match &mut self.link {
            Link::Opening { .. } => {
                let status = MarathonStatus::default();
                let (heard, told_at) = (now.at, now.at);
                self.link = Link::Catching { heard, whole: None, status, told_at };
            }
            Link::Catching { heard, .. } | Link::Followed { heard, .. } => *heard = now.at,
            Link::Closed { .. } => return,
        }
        match self.mirror.apply(frame) {
            Err(error) => self.leave(&marathon::client::with_sources(&error), now, orders),
            Ok(change) => self.on_change(change, now, orders),
        }
    }

    /// Takes in that bytes came which complete no event.
    pub(super) fn on_bytes(&mut self, now: Now) {
        if let Link::Catching { heard, .. } | Link::Followed { heard, .. } = &mut self.link {
            *heard = now.at;
        }
    }

    /// Takes in that the stream has ended, or couldn't be opened. One that has worked for a while is
    /// opened once more at the same relay, which sends what was missed.
    pub(super) fn on_end(&mut self, why: &str, now: Now, orders: &mut Vec<Order>) {
        match self.link {
            Link::Closed { .. } => {}
            Link::Followed { .. } if self.followed_since + PROVEN <= now.at => {
                self.close(&format!("relay {}: {why}", self.name()), now, orders);
                self.connect(now, orders);
            }
            _ => self.leave(why, now, orders),
        }
    }

    /// Takes in whether its own relay is ready.
    pub(super) fn on_probe(&mut self, is_ready: bool, now: Now, orders: &mut Vec<Order>) {
        if is_ready && self.place != 0 && matches!(self.link, Link::Followed { .. }) {
            self.close("its own relay takes over", now, orders);
            self.place = 0;
            self.connect(now, orders);
        }
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Now, orders: &mut Vec<Order>) {
        match &self.link {
            Link::Closed { until } if *until <= now.at => self.connect(now, orders),
            Link::Opening { since: heard }
            | Link::Catching { heard, .. }
            | Link::Followed { heard, .. }
                if *heard + SILENCE <= now.at =>
            {
                self.leave("it has said nothing for 6 s", now, orders);
            }
            Link::Catching { .. } => self.judge(now, orders),
            Link::Followed { .. } if self.place != 0 && self.ask_home_at <= now.at => {
                self.ask_home_at = now.at + HOME.0 + self.random_part(HOME.1);
                orders.extend(self.order.first().map(|relay| Order::Probe { relay: *relay }));
            }
            Link::Closed { .. } | Link::Opening { .. } | Link::Followed { .. } => {}
        }
        self.answer_wanted(now, orders);
    }

    /// Returns when [`Follower::tick`] is due.
    pub(super) fn wake_at(&self, now: Now) -> Duration {
        let due = match &self.link {
            Link::Closed { until } => *until,
            Link::Opening { since: heard } => *heard + SILENCE,
            Link::Catching { heard, whole, .. } => {
                let silent = *heard + SILENCE;
                let steps = whole.iter().flat_map(|whole| [*whole + CATCH_UP, *whole + LAGGING]);
                // One that is past decides nothing any more.
                steps.filter(|step| *step > now.at).fold(silent, Duration::min)
            }
            Link::Followed { heard, .. } => {
                let silent = *heard + SILENCE;
                if self.place == 0 { silent } else { silent.min(self.ask_home_at) }
            }
        };
        // Reads wait for a relay, and then for this agent's turn.
        let waits = self.wants_everything || !self.wanted_keys.is_empty();
        if waits { due.min(now.at + Duration::from_secs(1)) } else { due }
    }

    fn name(&self) -> &str {
        let relay = self.order.get(self.place).copied().unwrap_or_default();
        self.names.get(relay).map_or("", String::as_str)
    }

    fn connect(&mut self, now: Now, orders: &mut Vec<Order>) {
        let Some(relay) = self.order.get(self.place).copied() else { return };
        self.mirror.begin_stream();
        self.link = Link::Opening { since: now.at };
        let position = self.mirror.position().cloned();
        orders.push(Order::Connect { relay, position });
    }

    /// Goes to the next relay, since this one is of no use.
    fn leave(&mut self, why: &str, now: Now, orders: &mut Vec<Order>) {
        let why = format!("relay {}: {why}", self.name());
        self.close(&why, now, orders);
        self.why = why;
        self.failed += 1;
        self.place = (self.place + 1) % self.order.len().max(1);
        let is_round = self.failed.is_multiple_of(self.order.len().max(1));
        let pause = if is_round { ROUND + self.random_part(ROUND) } else { Duration::ZERO };
        self.link = Link::Closed { until: now.at + pause };
    }

    fn close(&mut self, why: &str, now: Now, orders: &mut Vec<Order>) {
        orders.push(Order::Disconnect);
        self.end_wanted(why, orders);
        if matches!(self.link, Link::Followed { .. }) {
            self.alone_since = Some(now.at);
        }
    }

    fn on_change(&mut self, change: Change, now: Now, orders: &mut Vec<Order>) {
        match (&mut self.link, change) {
            (Link::Catching { whole, status, told_at, .. }, Change::Whole(told)) => {
                (*whole, *status, *told_at) = (Some(now.at), told, now.at);
                self.judge(now, orders);
            }
            (Link::Catching { whole, .. }, Change::Resumed) => *whole = Some(now.at),
            (Link::Catching { status, told_at, .. }, Change::Heartbeat(told)) => {
                (*status, *told_at) = (told, now.at);
                self.judge(now, orders);
            }
            (Link::Followed { status, .. }, Change::Heartbeat(told)) => {
                let has_new_leader = status.leader != told.leader;
                *status = told;
                self.note_status(has_new_leader, now, orders);
            }
            (Link::Followed { whole: Some(has_changed), .. }, Change::Workload(_)) => {
                *has_changed = true;
            }
            (Link::Followed { .. }, Change::Workload(key)) => {
                let workload = self.mirror.get(&key).map(|workload| Box::new((**workload).clone()));
                if let Some(Wanted { stream, is_open: true }) = self.wanted {
                    orders.push(Order::Tell(Message::Told { stream, key, workload }));
                }
            }
            (Link::Followed { whole, .. }, Change::WholeBegins) => *whole = Some(false),
            (Link::Followed { whole, .. }, Change::WholeEnds) => {
                // The source reads everything, from the mirror, and judges it as a whole.
                if whole.take() == Some(true)
                    && let Some(Wanted { stream, is_open: true }) = self.wanted
                {
                    let event = Event { at: None, change: Announced::Unreadable };
                    orders.push(Order::Tell(Message::Event { stream, event }));
                }
            }
            (Link::Followed { .. }, Change::Event(event)) => {
                self.latest_event = self.latest_event.max(event.at);
                if let Some(Wanted { stream, is_open: true }) = self.wanted {
                    orders.push(Order::Tell(Message::Event { stream, event }));
                }
            }
            (Link::Followed { .. }, Change::Accepted) => {
                orders.push(Order::Tell(Message::Accepted));
            }
            _ => {}
        }
    }

    /// Decides whether a new relay knows as much as the last one. What it lacks would bring servers
    /// back that are dead.
    fn judge(&mut self, now: Now, orders: &mut Vec<Order>) {
        let Link::Catching { heard, whole: Some(whole), status, told_at } = &self.link else {
            return;
        };
        let lags = status.latest_event < self.latest_event;
        let waited = now.at.saturating_sub(*whole);
        // One that has heard Marathon since has by now what another had 10 s ago. If its latest event
        // is older nevertheless, Marathon's clock is another one.
        let since_told = now.at.saturating_sub(*told_at);
        let is_later = |silent| Duration::from_millis(silent) + since_told < waited;
        let has_heard = is_heard(status) && status.silent_ms.is_some_and(is_later);
        if lags && waited >= CATCH_UP && (!is_heard(status) || !has_heard && waited >= LAGGING) {
            return self.leave(
                "it knows less than the last one, and hears no Marathon",
                now,
                orders,
            );
        }
        if lags && !(waited >= CATCH_UP && has_heard) {
            return;
        }
        self.latest_event = status.latest_event;
        let servers = status.servers.iter().take(MAX_SERVERS);
        let servers = servers.filter(|name| name.len() <= caps::TEXT).cloned().collect();
        orders.push(Order::Tell(Message::Servers(servers)));
        self.link = Link::Followed { heard: *heard, status: status.clone(), whole: None };
        self.followed_since = now.at;
        self.ask_home_at = now.at + HOME.0 + self.random_part(HOME.1);
        (self.alone_since, self.failed) = (None, 0);
        self.open_wanted(orders);
        self.answer_wanted(now, orders);
    }

    /// Notes what the relay says of Marathon.
    fn note_status(&mut self, has_new_leader: bool, now: Now, orders: &mut Vec<Order>) {
        let Link::Followed { status, .. } = &self.link else { return };
        self.latest_event = self.latest_event.max(status.latest_event);
        if !is_heard(status) {
            let why = unheard_reason(status);
            let may_go = self.went.is_none_or(|went| went + ELSEWHERE <= now.at);
            if self.order.len() > 1 && may_go {
                self.went = Some(now.at);
                return self.leave(&why, now, orders);
            }
            return self.end_wanted(&format!("relay {}: {why}", self.name()), orders);
        }
        if has_new_leader {
            self.end_wanted("Marathon has another leader", orders);
        }
        match self.wanted {
            Some(Wanted { stream, is_open: true }) => {
                orders.push(Order::Tell(Message::Bytes { stream }));
            }
            _ => self.open_wanted(orders),
        }
    }

    /// Opens the stream that the source wants, if Marathon is heard through the relay.
    fn open_wanted(&mut self, orders: &mut Vec<Order>) {
        let Link::Followed { status, .. } = &self.link else { return };
        if let Some(Wanted { stream, is_open }) = &mut self.wanted
            && !*is_open
            && is_heard(status)
        {
            *is_open = true;
            let leader = status.leader.as_deref().map(str::to_owned);
            orders.push(Order::Tell(Message::Opened { stream: *stream, leader }));
        }
    }

    fn end_wanted(&mut self, why: &str, orders: &mut Vec<Order>) {
        if let Some(Wanted { stream, is_open: true }) = self.wanted {
            self.wanted = None;
            orders.push(Order::Tell(Message::Ended { stream, why: why.to_owned() }));
        }
    }

    /// Answers the reads that the source wants, as far as possible now.
    fn answer_wanted(&mut self, now: Now, orders: &mut Vec<Order>) {
        if !self.wants_everything && self.wanted_keys.is_empty() {
            return;
        }
        match &self.link {
            Link::Followed { status, .. } if is_heard(status) && status.read_error.is_none() => {
                let status = status.clone();
                self.answer_from_mirror(&status, orders);
            }
            Link::Followed { status, .. } => {
                let why = status.read_error.as_ref().filter(|_| is_heard(status));
                let why = why.map_or_else(|| unheard_reason(status), |why| unreadable_reason(why));
                let why = format!("relay {}: {why}", self.name());
                self.fail_wanted(&why, orders);
            }
            _ if self.is_turn(now) => self.ask_marathon(orders),
            _ if self.alone_since.is_some_and(|since| since + PATIENCE <= now.at) => {
                let why = self.why.clone();
                self.fail_wanted(&why, orders);
            }
            _ => {}
        }
    }

    fn answer_from_mirror(&mut self, status: &MarathonStatus, orders: &mut Vec<Order>) {
        let leader = || status.leader.as_deref().map(str::to_owned);
        if std::mem::take(&mut self.wants_everything) {
            let answer = Ok(self.mirror.to_snapshot(status));
            orders.push(Order::Tell(Message::ReadEverything { answer, leader: leader() }));
        }
        for key in std::mem::take(&mut self.wanted_keys) {
            let answer = Ok(self.mirror.get(&key).map(|workload| (**workload).clone()));
            orders.push(Order::Tell(Message::Read { key, answer, leader: leader() }));
        }
    }

    fn fail_wanted(&mut self, why: &str, orders: &mut Vec<Order>) {
        let error = || ReadError::Relay(why.to_owned());
        if std::mem::take(&mut self.wants_everything) {
            let answer = Err(error());
            orders.push(Order::Tell(Message::ReadEverything { answer, leader: None }));
        }
        for key in std::mem::take(&mut self.wanted_keys) {
            orders.push(Order::Tell(Message::Read { key, answer: Err(error()), leader: None }));
        }
    }

    fn ask_marathon(&mut self, orders: &mut Vec<Order>) {
        if std::mem::take(&mut self.wants_everything) {
            orders.push(Order::Ask(Action::ReadEverything));
        }
        let keys = std::mem::take(&mut self.wanted_keys);
        orders.extend(keys.into_iter().map(|key| Order::Ask(Action::Read(key))));
    }

    /// Tells whether this agent may read Marathon itself: there is no relay, and of all agents as
    /// many have their turn in each minute as Marathon bears.
    fn is_turn(&self, now: Now) -> bool {
        let alone = DIRECT.0 + self.random_part(DIRECT.1);
        let is_alone = self.alone_since.is_some_and(|since| since + alone <= now.at);
        let agents = self.agents.map_or_else(|| self.known_hosts(), u64::from);
        let agents = if agents == 0 { UNKNOWN_AGENTS } else { agents };
        let turns = agents.div_ceil(DIRECT_AGENTS);
        is_alone && (self.seed % turns + now.minute).is_multiple_of(turns)
    }

    fn known_hosts(&self) -> u64 {
        let instances = self.mirror.workloads().flat_map(|workload| &workload.instances);
        let hosts: BTreeSet<_> =
            instances.filter_map(|instance| instance.host.as_deref()).collect();
        hosts.len() as u64
    }

    /// Returns a part of a time, the same each time but another one for each agent.
    fn random_part(&self, of: Duration) -> Duration {
        let share = hash_of((self.seed, of)) % 1000;
        of.mul_f64(share as f64 / 1000.0)
    }
}

/// Tells whether a relay hears Marathon.
fn is_heard(status: &MarathonStatus) -> bool {
    status.stream_error.is_none() && status.silent_ms.is_some_and(|silent| silent < UNHEARD_MS)
}

fn unreadable_reason(why: &str) -> String {
    format!("it can't read Marathon: {}", caps::cut_text(why, caps::REASON))
}

fn unheard_reason(status: &MarathonStatus) -> String {
    match (&status.stream_error, status.silent_ms) {
        (Some(why), _) => {
            format!("it hears no events of Marathon: {}", caps::cut_text(why, caps::REASON))
        }
        (None, Some(silent)) => format!("it has heard nothing of Marathon for {} s", silent / 1000),
        (None, None) => "it has never heard of Marathon".to_owned(),
    }
}

fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
