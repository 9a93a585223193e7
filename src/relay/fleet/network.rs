//! The streams between the relays of the model and its agents.

use std::rc::Rc;
use std::time::Duration;

use ::relay::{Parsed, Position, Segment};

use super::agent::Connection;
use super::sim_relay::{Condition, Opening};
use super::world::{BEAT, LATENCY, What, World};
use crate::sources::relay::orders::Order;

/// The time that a connection to a relay takes.
const CONNECT: Duration = Duration::from_millis(2);

/// What comes of a stream.
pub(super) enum Came {
    Connected { relay: usize, position: Option<Position> },
    Refused,
    Comment { until: Duration },
    Rest(Vec<Rc<Parsed>>),
}

impl World {
    /// Sends a record to all agents of a relay.
    pub(super) fn broadcast(&mut self, relay: usize, segment: &Segment) {
        let parsed = self.relays[relay].parse(segment);
        for index in 0..self.agents.len() {
            let Some(connection) = &mut self.agents[index].connection else { continue };
            if connection.relay != relay {
                continue;
            }
            match &mut connection.waiting {
                Some(waiting) => waiting.push(Rc::clone(&parsed)),
                None => self.give(index, &parsed),
            }
        }
    }

    fn give(&mut self, index: usize, parsed: &Rc<Parsed>) {
        let parsed = Parsed::clone(parsed);
        self.follow(index, |follower, now, orders| follower.on_record(parsed, now, orders));
    }

    pub(super) fn come(&mut self, index: usize, came: Came) {
        let number = self.agents[index].number;
        match came {
            Came::Refused => self.follow(index, |follower, now, orders| {
                follower.on_end("connection refused", now, orders);
            }),
            Came::Connected { relay, position } => {
                let Some(opening) = self.relays[relay].open(position.as_ref(), self.now) else {
                    return self.come(index, Came::Refused);
                };
                let Opening { hello, rest, arrives_at } = opening;
                let waiting = Some(Vec::new());
                self.agents[index].connection = Some(Connection { relay, waiting });
                self.give(index, &hello);
                self.push(arrives_at, What::Agent(index, number, Came::Rest(rest)));
                let comment = Came::Comment { until: arrives_at };
                self.push(self.now + BEAT, What::Agent(index, number, comment));
            }
            Came::Comment { until } => {
                let connection = self.agents[index].connection.as_ref();
                let serves = connection.is_some_and(|connection| self.is_running(connection.relay));
                if self.now < until && serves {
                    self.follow(index, |follower, now, _| follower.on_bytes(now));
                    let comment = Came::Comment { until };
                    self.push(self.now + BEAT, What::Agent(index, number, comment));
                }
            }
            Came::Rest(rest) => {
                let Some(connection) = &mut self.agents[index].connection else { return };
                if self.relays[connection.relay].condition != Condition::Serves {
                    return;
                }
                let later = connection.waiting.take().unwrap_or_default();
                for parsed in rest.iter().chain(&later) {
                    if self.agents[index].number == number {
                        self.give(index, parsed);
                    }
                }
            }
        }
    }

    pub(super) fn do_order(&mut self, index: usize, order: Order) {
        let agent = &mut self.agents[index];
        match order {
            Order::Connect { relay, position } => {
                agent.number += 1;
                agent.connects += 1;
                agent.connection = None;
                let number = agent.number;
                let came = match self.relays[relay].condition {
                    Condition::Serves => Came::Connected { relay, position },
                    Condition::Killed => Came::Refused,
                    Condition::Silent => return,
                };
                self.push(self.now + CONNECT, What::Agent(index, number, came));
            }
            Order::Disconnect => {
                agent.number += 1;
                agent.connection = None;
            }
            Order::Ask(action) => {
                self.marathon.from_agents.count(&action, self.now);
                self.push(self.now + LATENCY, What::AgentAnswer(index, action));
            }
            Order::Probe { relay } => {
                let is_ready = self.is_running(relay) && self.relays[relay].stream.is_some();
                self.follow(index, |follower, now, orders| {
                    follower.on_probe(relay, is_ready, now, orders);
                });
            }
            Order::Tell(_) => {}
        }
    }
}
