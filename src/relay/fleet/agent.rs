//! An agent of the model: the follower and the watch of a real one.

use std::rc::Rc;
use std::time::Duration;

use ::relay::Parsed;
use marathon::watch::{Action, Config, DEFAULT_DOUBT, Input, ReadOutcome, State};
use marathon::{TaskState, WorkloadKey};

use crate::sources::marathon::messages::Message;
use crate::sources::relay::follower::Follower;
use crate::sources::relay::orders::{Now, Order};

/// The app of which a task ends.
const FIRST: &str = "/g/app00000";

/// A stream to a relay.
pub(super) struct Connection {
    pub(super) relay: usize,
    /// What came behind a snapshot that is on its way.
    pub(super) waiting: Option<Vec<Rc<Parsed>>>,
}

pub(super) struct Agent {
    pub(super) follower: Follower,
    pub(super) state: State,
    pub(super) state_wakes_at: Duration,
    pub(super) follower_wakes_at: Duration,
    pub(super) connection: Option<Connection>,
    /// The number of its stream: what comes of an earlier one is dropped.
    pub(super) number: u64,
    /// Since when the source's stream is open, or closed.
    pub(super) opened_at: Option<Duration>,
    /// How often it has connected to a relay.
    pub(super) connects: usize,
    /// Changes of apps other than the first one.
    pub(super) touched: usize,
}

/// What the world has to do for an agent.
pub(super) enum Want {
    /// An order to its connection.
    Connection(Order),
    /// The watch wants to be woken.
    Wake(Duration),
}

impl Agent {
    pub(super) fn new(index: u32, agents: u32, relays: usize, now: Duration) -> Self {
        let names = (0..relays).map(|relay| format!("http://relay{relay}:9615")).collect();
        let clock = clock(now);
        let config = Config {
            urls: std::num::NonZeroUsize::MIN,
            // As of a source that follows relays.
            agents: Some(1),
            seed: u64::from(index) * 0x9E37_79B9,
            doubt: DEFAULT_DOUBT,
        };
        Self {
            follower: Follower::new(names, &format!("node{index}"), Some(agents), clock),
            state: State::new(&config, now),
            state_wakes_at: now,
            follower_wakes_at: now,
            connection: None,
            number: 0,
            opened_at: None,
            connects: 0,
            touched: 0,
        }
    }

    /// Lets the follower act, and the watch on what it tells.
    pub(super) fn follow(
        &mut self,
        now: Duration,
        act: impl FnOnce(&mut Follower, Now, &mut Vec<Order>),
    ) -> Vec<Want> {
        let mut orders = Vec::new();
        act(&mut self.follower, clock(now), &mut orders);
        self.carry_out(orders, now)
    }

    fn carry_out(&mut self, orders: Vec<Order>, now: Duration) -> Vec<Want> {
        let mut wants = Vec::new();
        for order in orders {
            match order {
                Order::Tell(message) => wants.extend(self.take(message, now)),
                other => wants.push(Want::Connection(other)),
            }
        }
        wants
    }

    /// Takes in a message as the source does.
    pub(super) fn take(&mut self, message: Message, now: Duration) -> Vec<Want> {
        let input = match message {
            Message::Servers(_) => return Vec::new(),
            Message::Opened { stream, leader, .. } => {
                self.opened_at = Some(now);
                Input::Opened { stream, leader }
            }
            Message::Bytes { stream } => Input::Bytes { stream },
            Message::Event { stream, event } => Input::Event { stream, event },
            Message::Ended { stream, .. } => {
                self.opened_at = None;
                Input::Ended { stream }
            }
            Message::Told { stream, key, workload } => Input::Told { stream, key, workload },
            Message::ToldAll { stream } => Input::ToldAll { stream },
            Message::Accepted => Input::Accept,
            Message::ReadEverything { answer, leader } => {
                Input::ReadEverything { answer: answer.ok(), leader }
            }
            Message::Read { key, answer, leader } => {
                let answer = match answer {
                    Ok(Some(workload)) => ReadOutcome::Found(workload),
                    Ok(None) => ReadOutcome::Missing,
                    Err(_) => ReadOutcome::Failed,
                };
                Input::Read { key, answer, leader }
            }
        };
        self.advance(input, now)
    }

    /// Lets the watch take a step.
    pub(super) fn advance(&mut self, input: Input, now: Duration) -> Vec<Want> {
        let update = self.state.handle_input(input, now);
        let others = update.changed.iter().filter(|key| &*key.id != FIRST);
        self.touched += others.count();
        let mut wants = Vec::new();
        if self.state_wakes_at != update.wake_at {
            self.state_wakes_at = update.wake_at;
            wants.push(Want::Wake(update.wake_at));
        }
        for action in update.actions {
            if matches!(action, Action::Close) {
                self.opened_at = None;
            }
            wants.extend(self.follow(now, |follower, clock, orders| {
                follower.on_request(action, clock, orders);
            }));
        }
        wants
    }

    /// Tells whether it has a real server with this task.
    pub(super) fn has(&self, key: &WorkloadKey, task: &str) -> bool {
        let instances = self.state.get(key).map(|workload| &workload.instances);
        let mut instances = instances.into_iter().flatten();
        instances.any(|instance| &*instance.id == task && instance.state == TaskState::Running)
    }

    /// Tells whether it has no relay, and its turn to read Marathon itself.
    pub(super) fn may_read_marathon(&self, now: Duration) -> bool {
        self.connection.is_none() && self.follower.may_read_marathon(clock(now))
    }

    pub(super) fn wake_at(&self, now: Duration) -> Duration {
        self.follower.wake_at(clock(now))
    }
}

/// The agents' clocks agree.
fn clock(now: Duration) -> Now {
    Now { at: now, second: 1_700_000_000 + now.as_secs() }
}
