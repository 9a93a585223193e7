//! Decisions of an agent that follows relays: which one, when another, what to believe of a new one,
//! and when to read Marathon itself. Pure: `connection.rs` does the I/O.
//!
//! A relay stands between the source and its Marathon. The source asks for the event stream and for
//! reads as ever, and gets its answers from what the relay has told; so the rules of belief are the
//! same with a relay and without one.

use std::time::Duration;

use marathon::events::sse::Frame;
use marathon::watch::Action;
use relay::{Change, MarathonStatus, Mirror, Parsed};

use super::super::marathon::messages::Message;
use super::chance::{hash_of, part_of};
use super::demand::Demand;
use super::hearing::Hearing;
use super::latest::LatestEvent;
use super::link::{
    Arrival, Link, is_heard, lag_reason, tells_of_marathon, unheard_reason, unread_reason,
};
use super::orders::{Now, Order};
use super::resort::LastResort;
use super::timing::{CATCH_UP, DEAF_SPREAD, HOME, LAGGING, PATIENCE, PROVEN, ROUND, SILENCE};
use super::turns::Turns;

/// An agent that follows one of several relays.
#[derive(Debug)]
pub(crate) struct Follower {
    /// The relays, the agent's own first.
    order: Vec<usize>,
    names: Vec<String>,
    /// The place in the order of the relay in use.
    place: usize,
    link: Link,
    mirror: Mirror,
    latest_event: LatestEvent,
    demand: Demand,
    /// Since when there is no relay.
    alone_since: Option<Duration>,
    /// Since when no relay has told of Marathon as it is.
    cut_off_since: Option<Duration>,
    /// Relays that have failed since one was followed for a while.
    failed: usize,
    why: String,
    hearing: Hearing,
    resort: LastResort,
    followed_since: Duration,
    /// When to ask whether its own relay is back.
    ask_home_at: Duration,
    seed: u64,
    turns: Turns,
}

impl Follower {
    /// Creates a follower. `names` are the relays as people know them, `node` differs from agent to
    /// agent; `agents` is the number of all, if it is known.
    pub(crate) fn new(names: Vec<String>, node: &str, agents: Option<u32>, now: Now) -> Self {
        let seed = hash_of(node);
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by_key(|relay| std::cmp::Reverse(hash_of((node, &names[*relay]))));
        Self {
            order,
            names,
            place: 0,
            link: Link::Closed { until: now.at },
            mirror: Mirror::default(),
            latest_event: LatestEvent::default(),
            demand: Demand::default(),
            alone_since: Some(now.at),
            cut_off_since: Some(now.at),
            failed: 0,
            why: "no relay was asked yet".to_owned(),
            hearing: Hearing::default(),
            resort: LastResort::new(now.at),
            followed_since: now.at,
            ask_home_at: now.at,
            seed,
            turns: Turns::new(seed, agents),
        }
    }

    /// Takes in the number of hosts that an earlier run knew. If there were any, the agent has something to
    /// lose.
    pub(crate) fn restore_hosts(&mut self, hosts: u64) {
        self.turns.restore_hosts(hosts);
        if hosts > 0 {
            self.latest_event.restore();
        }
    }

    /// Takes in a request of the source.
    pub(crate) fn on_request(&mut self, request: Action, now: Now, orders: &mut Vec<Order>) {
        self.demand.note(request, now);
        self.open_stream(now, orders);
        self.answer_wanted(now, orders);
    }

    /// Takes in a server-sent event of the relay.
    pub(crate) fn on_frame(&mut self, frame: &Frame, now: Now, orders: &mut Vec<Order>) {
        match Parsed::parse(frame) {
            Err(_) if matches!(self.link, Link::Closed { .. }) => {}
            Err(error) => self.leave(&marathon::client::with_sources(&error), now, orders),
            Ok(Some(parsed)) => self.on_record(parsed, now, orders),
            Ok(None) => self.on_bytes(now),
        }
    }

    /// Takes in a record of the relay.
    pub(crate) fn on_record(&mut self, parsed: Parsed, now: Now, orders: &mut Vec<Order>) {
        match &mut self.link {
            Link::Opening { .. } => {
                let status = MarathonStatus::default();
                let (heard, arrival) = (now.at, Arrival::begin(now.at));
                let (whole, told_at, accepted) = (None, None, false);
                self.link = Link::Catching { heard, whole, status, told_at, arrival, accepted };
            }
            Link::Catching { heard, .. } | Link::Followed { heard, .. } => *heard = now.at,
            Link::Closed { .. } => return,
        }
        if self.mirror.is_loss(&parsed) {
            self.forget_acceptance();
        }
        match self.mirror.apply_parsed(parsed) {
            Err(error) => self.leave(&marathon::client::with_sources(&error), now, orders),
            Ok(change) => self.on_change(change, now, orders),
        }
    }

    /// Notes that something has gone after an acceptance that the source doesn't know of yet.
    fn forget_acceptance(&mut self) {
        if let Link::Catching { accepted, .. } = &mut self.link {
            *accepted = false;
        }
        self.demand.forget_acceptance();
    }

    /// Takes in that bytes came which complete no event.
    pub(crate) fn on_bytes(&mut self, now: Now) {
        if let Link::Catching { heard, .. } | Link::Followed { heard, .. } = &mut self.link {
            *heard = now.at;
        }
    }

    /// Takes in that the stream has ended, or couldn't be opened. One that has worked for a while is
    /// opened once more at the same relay, which sends what was missed.
    pub(crate) fn on_end(&mut self, why: &str, now: Now, orders: &mut Vec<Order>) {
        match self.link {
            Link::Closed { .. } => {}
            Link::Followed { .. } if self.is_proven(now) => {
                self.failed = 0;
                self.close(&format!("relay {}: {why}", self.name()), now, orders);
                self.connect(now, orders);
            }
            _ => self.leave(why, now, orders),
        }
    }

    /// Takes in whether a relay is ready: its own one, or another while this one hears no Marathon.
    pub(crate) fn on_probe(
        &mut self,
        relay: usize,
        is_ready: bool,
        now: Now,
        orders: &mut Vec<Order>,
    ) {
        let place = self.order.iter().position(|each| *each == relay);
        let Some(place) = place.filter(|place| is_ready && *place != self.place) else { return };
        let why = match &self.link {
            Link::Followed { status, .. } if self.hearing.is_lost(now.at) => {
                format!("relay {}: {}", self.name(), unread_reason(status))
            }
            Link::Followed { .. } if place == 0 => {
                format!("its own relay {} takes over", self.name_at(place))
            }
            _ => return,
        };
        self.close(&why, now, orders);
        self.place = place;
        self.connect(now, orders);
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Now, orders: &mut Vec<Order>) {
        match &self.link {
            Link::Closed { until } if *until <= now.at => self.connect(now, orders),
            Link::Opening { since: heard }
            | Link::Catching { heard, .. }
            | Link::Followed { heard, .. }
                if *heard + SILENCE <= now.at =>
            {
                self.leave("it has said nothing for 6 s", now, orders);
            }
            Link::Catching { whole: None, arrival, .. } if arrival.ends_by() <= now.at => {
                self.leave("its snapshot stands still, or has no end", now, orders);
            }
            Link::Catching { .. } => self.judge(now, orders),
            Link::Followed { .. } => self.ask_others(now, orders),
            Link::Closed { .. } | Link::Opening { .. } => {}
        }
        self.answer_wanted(now, orders);
    }

    /// Asks whether another relay is ready, if one would be better.
    fn ask_others(&mut self, now: Now, orders: &mut Vec<Order>) {
        let mut places = Vec::new();
        if self.place != 0 && self.ask_home_at <= now.at {
            self.ask_home_at = now.at + HOME.0 + self.random_part(HOME.1);
            places.push(0);
        }
        let next = self.hearing.next_to_ask(self.order.len(), now.at);
        places.extend(next.map(|after| (self.place + after) % self.order.len()));
        let asked = places.iter().filter_map(|place| self.order.get(*place));
        orders.extend(asked.map(|relay| Order::Probe { relay: *relay }));
    }

    /// Returns when [`Follower::tick`] is due.
    pub(crate) fn wake_at(&self, now: Now) -> Duration {
        let due = match &self.link {
            Link::Closed { until } => *until,
            Link::Opening { since: heard } => *heard + SILENCE,
            Link::Catching { heard, whole: None, arrival, .. } => {
                (*heard + SILENCE).min(arrival.ends_by())
            }
            Link::Catching { heard, whole, .. } => {
                let silent = *heard + SILENCE;
                let steps = whole.iter().flat_map(|whole| [*whole + CATCH_UP, *whole + LAGGING]);
                // One that is past decides nothing any more.
                steps.filter(|step| *step > now.at).fold(silent, Duration::min)
            }
            Link::Followed { heard, .. } => {
                let silent = *heard + SILENCE;
                let home = (self.place != 0).then_some(self.ask_home_at);
                home.into_iter().chain(self.hearing.ask_at()).fold(silent, Duration::min)
            }
        };
        // Reads wait for a relay, and then for this agent's turn.
        if self.demand.has_reads() { due.min(now.at + Duration::from_secs(1)) } else { due }
    }

    /// Tells whether the relay has been followed for so long that its stream works.
    fn is_proven(&self, now: Now) -> bool {
        matches!(self.link, Link::Followed { .. }) && self.followed_since + PROVEN <= now.at
    }

    fn name(&self) -> &str {
        self.name_at(self.place)
    }

    fn name_at(&self, place: usize) -> &str {
        let relay = self.order.get(place).copied().unwrap_or_default();
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
        if self.is_proven(now) {
            self.failed = 0;
        }
        if !matches!(self.link, Link::Followed { .. }) {
            self.resort.note_tried();
        }
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
        self.demand.end(why, orders);
        self.hearing = Hearing::default();
        if matches!(self.link, Link::Followed { .. }) {
            self.alone_since = Some(now.at);
            self.cut_off_since.get_or_insert(now.at);
            self.resort.note_lost(now.at);
        }
    }

    fn on_change(&mut self, change: Change, now: Now, orders: &mut Vec<Order>) {
        match (&mut self.link, change) {
            (Link::Catching { whole, status, told_at, .. }, Change::Whole(told)) => {
                (*whole, *status, *told_at) = (Some(now.at), told, Some(now.at));
                self.demand.note_record(None);
                self.judge(now, orders);
            }
            (Link::Catching { whole, .. }, Change::Resumed) => *whole = Some(now.at),
            (Link::Catching { status, told_at, .. }, Change::Heartbeat(told)) => {
                (*status, *told_at) = (told, Some(now.at));
                self.judge(now, orders);
            }
            (Link::Catching { status, told_at, .. }, Change::Event(event)) => {
                // Whoever tells of an event knows it, and has heard Marathon; but not what came before
                // it, if that was missed.
                if let Some(told_at) = told_at {
                    if !status.behind {
                        status.latest_event = status.latest_event.max(event.at);
                    }
                    (status.silent_ms, *told_at) = (Some(0), now.at);
                }
                self.demand.note_news(&event, &self.mirror, now);
                self.demand.tell_event(event, now, orders);
                self.judge(now, orders);
            }
            (Link::Catching { .. }, Change::Workload(key)) => self.demand.note_record(Some(&key)),
            (Link::Catching { accepted, .. }, Change::Accepted) => *accepted = true,
            (Link::Catching { arrival, .. }, Change::Nothing) => arrival.note_record(now.at),
            (Link::Followed { status, .. }, Change::Heartbeat(told)) => {
                let has_new_leader = status.leader != told.leader;
                *status = told;
                self.note_status(has_new_leader, now, orders);
            }
            (Link::Followed { whole, .. }, Change::Workload(key)) => {
                self.demand.note_record(Some(&key));
                match whole {
                    Some(has_changed) => *has_changed = true,
                    None => self.demand.tell_workload(key, &self.mirror, orders),
                }
                self.answer_wanted(now, orders);
            }
            (Link::Followed { whole, .. }, Change::WholeBegins) => *whole = Some(false),
            (Link::Followed { whole, .. }, Change::WholeEnds) => {
                if whole.take() == Some(true) {
                    self.demand.note_whole();
                }
                self.answer_wanted(now, orders);
            }
            (Link::Followed { .. }, Change::Event(event)) => {
                self.latest_event.note_event(event.at);
                self.demand.note_news(&event, &self.mirror, now);
                self.demand.tell_event(event, now, orders);
            }
            (Link::Followed { .. }, Change::Accepted) => {
                orders.push(Order::Tell(Message::Accepted));
            }
            _ => {}
        }
    }

    /// Decides whether a new relay knows as much as the last one. What it lacks would bring servers
    /// back that are dead. If no relay does, one that hears Marathon is better than none: it has the bad
    /// news of now. So is one that polls it. What it has read before is believed only if the agent knows
    /// nothing newer.
    fn judge(&mut self, now: Now, orders: &mut Vec<Order>) {
        let Link::Catching { heard, whole: Some(whole), status, told_at, accepted, .. } =
            &self.link
        else {
            return;
        };
        let lags = told_at.is_none() || self.latest_event.is_ahead_of(status);
        let waited = now.at.saturating_sub(*whole);
        // One that has heard Marathon since has by now what another had 10 s ago. If its latest event
        // is older nevertheless, Marathon's clock is another one.
        let since_told = now.at.saturating_sub(told_at.unwrap_or(now.at));
        let is_later = |silent| Duration::from_millis(silent) + since_told < waited;
        let has_heard = is_heard(status) && status.silent_ms.is_some_and(is_later);
        let has_caught_up = !lags || waited >= CATCH_UP && has_heard && !status.behind;
        let is_last = self.resort.is_due(self.order.len());
        let is_of_use = status.behind && has_heard || status.is_polled();
        let is_resort = !has_caught_up && is_of_use && waited >= LAGGING && is_last;
        if !has_caught_up && !is_resort {
            if waited >= CATCH_UP && (!tells_of_marathon(status) || waited >= LAGGING) {
                self.leave(lag_reason(status), now, orders);
            }
            return;
        }
        if is_resort {
            // What the last one told stays the measure of others.
            self.latest_event.note_status(status);
            self.resort.note_used(self.place);
        } else {
            self.latest_event.begin(status);
            self.resort.note_followed(self.place, status.behind);
        }
        self.turns.note_hosts(status.hosts);
        orders.push(Order::Tell(Message::Servers(status.servers.clone())));
        self.demand.note_acceptance(*accepted);
        self.demand.note_whole();
        self.link = Link::Followed { heard: *heard, status: status.clone(), whole: None };
        self.note_use(now);
        self.followed_since = now.at;
        self.ask_home_at = now.at + HOME.0 + self.random_part(HOME.1);
        self.alone_since = None;
        self.open_stream(now, orders);
        self.answer_wanted(now, orders);
    }

    /// Notes whether another relay would be better.
    fn note_use(&mut self, now: Now) {
        let Link::Followed { status, .. } = &self.link else { return };
        let is_useful = !self.resort.note_status(status, now.at) && !status.is_unread();
        self.cut_off_since = match tells_of_marathon(status) {
            true => None,
            false => self.cut_off_since.or(Some(now.at)),
        };
        let offset = part_of(DEAF_SPREAD, self.seed);
        self.hearing.note(is_heard(status), is_useful, offset, now.at);
    }

    /// Notes what the relay says of Marathon.
    fn note_status(&mut self, has_new_leader: bool, now: Now, orders: &mut Vec<Order>) {
        self.note_use(now);
        let Link::Followed { status, .. } = &self.link else { return };
        self.latest_event.note_status(status);
        self.turns.note_hosts(status.hosts);
        if has_new_leader {
            self.demand.end("Marathon has another leader", orders);
        }
        if !is_heard(status) {
            if self.hearing.is_unheard(now.at) {
                let why = format!("relay {}: {}", self.name(), unheard_reason(status));
                self.demand.end(&why, orders);
            }
            return;
        }
        self.demand.beat(status, now, orders);
        self.answer_wanted(now, orders);
    }

    /// Opens the stream that the source wants, if a relay is followed that hears Marathon.
    fn open_stream(&mut self, now: Now, orders: &mut Vec<Order>) {
        if let Link::Followed { status, .. } = &self.link {
            self.demand.open(status, now, orders);
        }
    }

    /// Answers the reads that the source wants, as far as possible now, and tells it to read what it
    /// doesn't know of.
    fn answer_wanted(&mut self, now: Now, orders: &mut Vec<Order>) {
        match &self.link {
            // What is being told as a whole is read as a whole.
            Link::Followed { whole: Some(_), .. } => {}
            Link::Followed { status, .. }
                if tells_of_marathon(status)
                    && status.read_error.is_none()
                    && !self.resort.is_doubtful() =>
            {
                self.turns.note_table();
                self.demand.answer(&self.mirror, status, now, orders);
                self.demand.tell_whole(orders);
            }
            _ if !self.demand.has_reads() => {}
            _ if self.may_read_marathon(now) => {
                self.resort.note_direct_read(now.at);
                self.demand.ask_marathon(orders);
            }
            Link::Followed { status, .. } => {
                let why = format!("relay {}: {}", self.name(), unread_reason(status));
                self.demand.fail(&why, orders);
            }
            _ if self.alone_since.is_some_and(|since| since + PATIENCE <= now.at) => {
                self.demand.fail(&self.why, orders);
            }
            _ => {}
        }
    }

    /// Tells whether this agent may read Marathon itself: for a while it has had no relay that hears or
    /// polls Marathon, and it is its turn.
    pub(crate) fn may_read_marathon(&self, now: Now) -> bool {
        self.cut_off_since.is_some_and(|since| since + self.turns.wait() <= now.at)
            && self.turns.is_turn(now.second)
    }

    /// Returns a part of a time, the same each time but another one for each agent.
    fn random_part(&self, of: Duration) -> Duration {
        part_of(of, self.seed)
    }
}
