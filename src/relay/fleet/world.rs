//! Agents, relays and one Marathon, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use marathon::events::Event;
use marathon::watch::{Action, Input, StreamId};
use marathon::{Timestamp, WorkloadKey};

use super::agent::{Agent, Want};
use super::cluster::{Cluster, Tell};
use super::marathon::{Load, SimMarathon};
use super::network::Came;
use super::sim_relay::{Condition, SimRelay};
use crate::relay::core::RelayStep;
use crate::sources::marathon::messages::{Message, ReadError};
use crate::sources::relay::follower::Follower;
use crate::sources::relay::orders::{Now, Order};

/// The time that Marathon takes for an answer.
pub(super) const LATENCY: Duration = Duration::from_millis(50);
/// The time in which who can't reach Marathon gives up.
const UNREACHABLE: Duration = Duration::from_secs(10);
const MARATHON_BEAT: Duration = Duration::from_secs(10);
/// Between two heartbeats of a relay, and two comments while a snapshot waits.
pub(super) const BEAT: Duration = Duration::from_secs(2);
/// Within this time all agents start, after the relays.
const START: Duration = Duration::from_secs(60);

pub(super) enum What {
    RelayWake(usize),
    RelayAnswer(usize, Action),
    MarathonBeat(usize, StreamId),
    Beat(usize),
    /// Something comes of the stream with this number.
    Agent(usize, u64, Came),
    AgentAnswer(usize, Action),
    StateWake(usize),
    FollowerWake(usize),
    Tell(Tell),
    Leader(Option<u32>),
}

/// A task that agents learn to have ended.
struct Marker {
    key: WorkloadKey,
    task: String,
    /// When each agent had learnt of it.
    learnt: BTreeMap<usize, Duration>,
    /// Agents that have had it again after that.
    relapsed: BTreeSet<usize>,
}

pub(super) struct World {
    pub(super) now: Duration,
    pub(super) marathon: SimMarathon,
    pub(super) relays: Vec<SimRelay>,
    pub(super) agents: Vec<Agent>,
    /// The most agents that might read Marathon themselves at the same time.
    pub(super) most_readers: usize,
    marker: Option<Marker>,
    queue: BTreeMap<(Duration, u64), What>,
    order: u64,
}

impl World {
    /// Starts relays, and then agents within a minute.
    pub(super) fn new(agents: u32, relays: usize, cluster: Cluster) -> Self {
        let marathon = SimMarathon {
            cluster,
            leader: Some(0),
            from_relays: Load::default(),
            from_agents: Load::default(),
        };
        let mut world = Self {
            now: Duration::ZERO,
            marathon,
            relays: Vec::new(),
            agents: Vec::new(),
            most_readers: 0,
            marker: None,
            queue: BTreeMap::new(),
            order: 0,
        };
        for relay in 0..relays {
            world.relays.push(SimRelay::new(relay, relays, world.now));
            world.push(world.now, What::RelayWake(relay));
            // Relays don't beat at the same moment.
            let beat = BEAT.mul_f64((relay + 1) as f64 / relays as f64);
            world.push(world.now + beat, What::Beat(relay));
        }
        for index in 0..agents {
            let start = BEAT + START * index / agents;
            world.agents.push(Agent::new(index, agents, relays, start));
            world.push(start, What::StateWake(index as usize));
            world.push(start, What::FollowerWake(index as usize));
        }
        world.run(2 * START);
        world
    }

    pub(super) fn push(&mut self, at: Duration, what: What) {
        self.order += 1;
        self.queue.insert((at.max(self.now), self.order), what);
    }

    /// Begins to count anew.
    pub(super) fn reset(&mut self) {
        self.marathon.from_relays = Load::default();
        self.marathon.from_agents = Load::default();
        self.most_readers = 0;
        self.agents.iter_mut().for_each(|agent| (agent.touched, agent.connects) = (0, 0));
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= end
        {
            let ((at, _), what) = entry.remove_entry();
            self.now = at;
            self.happen(what);
        }
        self.now = end;
    }

    pub(super) fn tell_in(&mut self, millis: u64, tell: Tell) {
        self.push(self.now + Duration::from_millis(millis), What::Tell(tell));
    }

    pub(super) fn change_leader(&mut self, outage: Duration) {
        let next = self.marathon.leader.map_or(0, |leader| leader + 1);
        self.push(self.now, What::Leader(None));
        self.push(self.now + outage, What::Leader(Some(next)));
    }

    /// Ends a relay.
    pub(super) fn end_relay(&mut self, relay: usize, condition: Condition) {
        self.relays[relay].condition = condition;
        if condition != Condition::Killed {
            return;
        }
        for index in 0..self.agents.len() {
            let agent = &mut self.agents[index];
            if agent.connection.as_ref().is_some_and(|connection| connection.relay == relay) {
                agent.connection = None;
                self.follow(index, |follower, now, orders| {
                    follower.on_end("connection reset", now, orders);
                });
            }
        }
    }

    /// Counts the agents that may read Marathon themselves now.
    pub(super) fn count_readers(&mut self) {
        let may_read = |agent: &&Agent| agent.may_read_marathon(self.now);
        let readers = self.agents.iter().filter(may_read).count();
        self.most_readers = self.most_readers.max(readers);
    }

    /// Notes from now on when agents learn that a task has ended.
    pub(super) fn mark(&mut self, app: usize, task: &str) {
        let key = self.marathon.cluster.workloads()[app].key();
        let (learnt, relapsed) = (BTreeMap::new(), BTreeSet::new());
        self.marker = Some(Marker { key, task: task.to_owned(), learnt, relapsed });
    }

    /// When each agent that has learnt of the marked task had.
    pub(super) fn learnt(&self) -> Vec<Duration> {
        self.marker.iter().flat_map(|marker| marker.learnt.values().copied()).collect()
    }

    /// The number of agents that have shown the marked task again after they had learnt of its end.
    pub(super) fn relapsed(&self) -> usize {
        self.marker.iter().map(|marker| marker.relapsed.len()).sum()
    }

    /// Cuts a relay off from Marathon, which it notices, or ends that.
    pub(super) fn cut_off(&mut self, relay: usize, is_cut: bool) {
        self.relays[relay].is_cut = is_cut;
        if let Some(stream) = self.relays[relay].stream.take_if(|_| is_cut) {
            self.tell_relay(relay, Message::Ended { stream, why: "connection reset".to_owned() });
        }
    }

    /// The number of agents that don't see Marathon as it is.
    pub(super) fn astray(&self) -> usize {
        let truth = self.marathon.cluster.workloads();
        let is_right = |agent: &&Agent| agent.state.workloads().map(|known| &**known).eq(truth);
        self.agents.len() - self.agents.iter().filter(is_right).count()
    }

    fn happen(&mut self, what: What) {
        match what {
            What::RelayWake(relay) => {
                let since = self.now - self.relays[relay].started;
                if self.is_running(relay) && self.relays[relay].core.wake_at() <= since {
                    let step = self.relays[relay].core.tick(since);
                    self.do_step(relay, step);
                }
            }
            What::RelayAnswer(relay, action) if self.is_running(relay) => {
                self.answer_relay(relay, action);
            }
            What::MarathonBeat(relay, stream) if self.hears(relay, stream) => {
                self.push(self.now + MARATHON_BEAT, What::MarathonBeat(relay, stream));
                self.tell_relay(relay, Message::Bytes { stream });
            }
            What::Beat(relay) => {
                self.push(self.now + BEAT, What::Beat(relay));
                if self.is_running(relay) {
                    let since = self.now - self.relays[relay].started;
                    let heartbeat = self.relays[relay].core.heartbeat(since);
                    self.broadcast(relay, &heartbeat.segment);
                }
            }
            What::Agent(index, number, came) if self.agents[index].number == number => {
                self.come(index, came);
            }
            What::AgentAnswer(index, action) => self.answer_agent(index, action),
            What::StateWake(index) if self.agents[index].state_wakes_at == self.now => {
                let wants = self.agents[index].advance(Input::Tick, self.now);
                self.do_wants(index, wants);
            }
            What::FollowerWake(index) if self.agents[index].follower_wakes_at == self.now => {
                if self.agents[index].wake_at(self.now) <= self.now {
                    self.follow(index, Follower::tick);
                }
                self.agents[index].follower_wakes_at = Duration::MAX;
                self.wake_follower(index);
            }
            What::RelayAnswer(..)
            | What::MarathonBeat(..)
            | What::Agent(..)
            | What::StateWake(_)
            | What::FollowerWake(_) => {}
            What::Tell(tell) => {
                for mut event in self.marathon.cluster.happen(tell) {
                    event.at = Timestamp::UNIX_EPOCH.checked_add(self.now).ok();
                    self.tell(&event);
                }
            }
            What::Leader(leader) => {
                self.marathon.leader = leader;
                for relay in 0..self.relays.len() {
                    if let Some(stream) = self.relays[relay].stream.take() {
                        let why = "the leader is gone".to_owned();
                        self.tell_relay(relay, Message::Ended { stream, why });
                    }
                }
            }
        }
    }

    pub(super) fn is_running(&self, relay: usize) -> bool {
        self.relays[relay].condition == Condition::Serves
    }

    fn hears(&self, relay: usize, stream: StreamId) -> bool {
        let SimRelay { stream: open, is_cut, .. } = self.relays[relay];
        self.is_running(relay) && !is_cut && open == Some(stream)
    }

    /// Has Marathon send an event to all relays that listen.
    fn tell(&mut self, event: &Event) {
        for relay in 0..self.relays.len() {
            if let Some(stream) = self.relays[relay].stream
                && self.hears(relay, stream)
            {
                self.marathon.from_relays.count_event();
                self.tell_relay(relay, Message::Event { stream, event: event.clone() });
            }
        }
    }

    fn tell_relay(&mut self, relay: usize, message: Message) {
        let since = self.now - self.relays[relay].started;
        let mut published = Vec::new();
        let core = &mut self.relays[relay].core;
        let step = core.on_message(message, since, &mut |ahead| published.extend(ahead));
        published.extend(step.published);
        self.do_step(relay, RelayStep { published, ..step });
    }

    fn do_step(&mut self, relay: usize, step: RelayStep) {
        let RelayStep { actions, published } = step;
        for published in published {
            self.broadcast(relay, &published.segment);
        }
        for action in actions {
            if matches!(action, Action::Close) {
                self.relays[relay].stream = None;
                continue;
            }
            self.marathon.from_relays.count(&action, self.now);
            let takes = match (&self.relays[relay], &action) {
                (SimRelay { is_cut: true, .. }, _) => UNREACHABLE,
                (_, Action::Open { .. }) => LATENCY,
                (SimRelay { reads_take, .. }, _) => *reads_take,
            };
            self.push(self.now + takes, What::RelayAnswer(relay, action));
        }
        let SimRelay { core, started, .. } = &self.relays[relay];
        self.push(*started + core.wake_at(), What::RelayWake(relay));
    }

    fn answer_relay(&mut self, relay: usize, action: Action) {
        let is_answered = !self.relays[relay].is_cut && self.marathon.leader.is_some();
        if let Action::Open { stream, .. } = action {
            let message = if is_answered {
                self.relays[relay].stream = Some(stream);
                self.push(self.now + MARATHON_BEAT, What::MarathonBeat(relay, stream));
                Message::Opened { stream, leader: self.marathon.leader_name(), relay: None }
            } else {
                Message::Ended { stream, why: "no leader is reached".to_owned() }
            };
            return self.tell_relay(relay, message);
        }
        let answer = self.answer(action, is_answered);
        answer.into_iter().for_each(|answer| self.tell_relay(relay, answer));
    }

    fn answer_agent(&mut self, index: usize, action: Action) {
        let is_answered = self.marathon.leader.is_some();
        if let Some(answer) = self.answer(action, is_answered) {
            let wants = self.agents[index].take(answer, self.now);
            self.do_wants(index, wants);
        }
    }

    /// Marathon's answer to a read.
    fn answer(&self, action: Action, is_answered: bool) -> Option<Message> {
        let leader = self.marathon.leader_name();
        let error = || ReadError::Relay("no leader is reached".to_owned());
        match action {
            Action::ReadEverything => {
                let answer =
                    if is_answered { Ok(self.marathon.everything()) } else { Err(error()) };
                Some(Message::ReadEverything { answer, leader })
            }
            Action::Read(key) => {
                let answer = if is_answered { Ok(self.marathon.one(&key)) } else { Err(error()) };
                Some(Message::Read { key, answer, leader })
            }
            Action::Open { .. } | Action::Close => None,
        }
    }

    pub(super) fn follow(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut Follower, Now, &mut Vec<Order>),
    ) {
        let wants = self.agents[index].follow(self.now, act);
        self.do_wants(index, wants);
    }

    fn do_wants(&mut self, index: usize, wants: Vec<Want>) {
        for want in wants {
            match want {
                Want::Wake(at) => self.push(at, What::StateWake(index)),
                Want::Connection(order) => self.do_order(index, order),
            }
        }
        self.wake_follower(index);
        let now = self.now;
        let Some(marker) = &mut self.marker else { return };
        let has_learnt = marker.learnt.contains_key(&index);
        match self.agents[index].has(&marker.key, &marker.task) {
            true if has_learnt => drop(marker.relapsed.insert(index)),
            false if !has_learnt => drop(marker.learnt.insert(index, now)),
            _ => {}
        }
    }

    /// Sees to it that the follower is woken by the time at which something is due.
    fn wake_follower(&mut self, index: usize) {
        let due = self.agents[index].wake_at(self.now).max(self.now + Duration::from_millis(1));
        if due < self.agents[index].follower_wakes_at {
            self.agents[index].follower_wakes_at = due;
            self.push(due, What::FollowerWake(index));
        }
    }
}
