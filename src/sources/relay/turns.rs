//! When an agent without a relay may read Marathon itself: of all agents, as many have their turn in
//! each minute as Marathon bears. The minutes of agents begin at different seconds, so that they don't
//! all read at once.

use std::time::Duration;

use super::chance::{hash_of, part_of};
use super::timing::{DIRECT, DIRECT_AGENTS, UNKNOWN_AGENTS};

/// The turns of one agent.
#[derive(Debug)]
pub(super) struct Turns {
    seed: u64,
    /// The number of agents, if it is set.
    set: Option<u64>,
    /// The number of hosts that a relay told, or that an earlier run knew.
    hosts: Option<u64>,
}

impl Turns {
    pub(super) fn new(seed: u64, agents: Option<u32>) -> Self {
        Self { seed, set: agents.map(u64::from), hosts: None }
    }

    /// Notes the number of hosts that an earlier run knew, until a relay tells.
    pub(super) fn restore_hosts(&mut self, hosts: u64) {
        self.hosts = self.hosts.or(Some(hosts));
    }

    /// Notes the number of hosts that a relay tells.
    pub(super) fn note_hosts(&mut self, hosts: Option<u64>) {
        self.hosts = hosts.or(self.hosts);
    }

    /// Returns how long an agent without a relay leaves Marathon alone.
    pub(super) fn wait(&self) -> Duration {
        DIRECT.0 + part_of(DIRECT.1, self.seed)
    }

    /// Tells whether it is this agent's turn at a second since 1970.
    pub(super) fn is_turn(&self, second: u64) -> bool {
        let told = self.set.or(self.hosts).filter(|agents| *agents > 0);
        let turns = told.unwrap_or(UNKNOWN_AGENTS).div_ceil(DIRECT_AGENTS);
        let minute = (second + hash_of(self.seed) % 60) / 60;
        (self.seed % turns + minute).is_multiple_of(turns)
    }
}
