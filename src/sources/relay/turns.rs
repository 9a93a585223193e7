//! When an agent without a relay may read Marathon itself: of all agents, as many have their turn in
//! each minute as Marathon bears. The minutes of agents begin at different seconds, so that they don't
//! all read at once.

use std::time::Duration;

use super::chance::{hash_of, part_of};
use super::timing::{DIRECT, DIRECT_AGENTS, DIRECT_AT_FIRST, MOST_AGENTS, UNKNOWN_AGENTS};

/// The turns of one agent.
#[derive(Debug)]
pub(super) struct Turns {
    seed: u64,
    /// The number of agents, if it is set.
    set: Option<u64>,
    /// The number of hosts that a relay told.
    told: Option<u64>,
    /// The number of hosts that an earlier run knew, which had tasks of VIPs: the least that is
    /// believed.
    restored: u64,
    /// The agent has a table to keep: of an earlier run, or of a relay.
    has_table: bool,
}

impl Turns {
    pub(super) fn new(seed: u64, agents: Option<u32>) -> Self {
        Self { seed, set: agents.map(u64::from), told: None, restored: 0, has_table: false }
    }

    /// Notes the number of hosts that an earlier run knew.
    pub(super) fn restore_hosts(&mut self, hosts: u64) {
        self.restored = hosts;
        self.has_table |= hosts > 0;
    }

    /// Notes that a relay has answered.
    pub(super) fn note_table(&mut self) {
        self.has_table = true;
    }

    /// Notes the number of hosts that a relay tells, which the agent follows.
    pub(super) fn note_hosts(&mut self, hosts: Option<u64>) {
        self.told = hosts.or(self.told);
    }

    /// Returns how long an agent without a relay leaves Marathon alone. Then it waits for its turn, which
    /// keeps a cluster that starts as a whole from reading at once.
    pub(super) fn wait(&self) -> Duration {
        let (least, more) = if self.has_table { DIRECT } else { DIRECT_AT_FIRST };
        least + part_of(more, self.seed)
    }

    /// Tells whether it is this agent's turn at a second since 1970.
    pub(super) fn is_turn(&self, second: u64) -> bool {
        let known = self.told.unwrap_or(0).max(self.restored);
        let known = Some(known.min(MOST_AGENTS)).filter(|hosts| *hosts > 0);
        let set = self.set.filter(|agents| *agents > 0);
        let turns = set.or(known).unwrap_or(UNKNOWN_AGENTS).div_ceil(DIRECT_AGENTS);
        let minute = (second + hash_of(self.seed) % 60) / 60;
        (self.seed % turns + minute).is_multiple_of(turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the minutes of a day in which an agent has a turn.
    fn turns_in_a_day(turns: &Turns) -> usize {
        (0..24 * 60).filter(|minute| turns.is_turn(minute * 60)).count()
    }

    #[test]
    fn no_number_that_a_relay_tells_gives_each_agent_every_turn_or_none() {
        let mut turns = Turns::new(7, None);
        turns.restore_hosts(3000);
        for (told, expected) in [(1, 24 * 60 / 30), (6000, 24 * 60 / 60), (u64::MAX, 1)] {
            turns.note_hosts(Some(told));
            assert_eq!(turns_in_a_day(&turns), expected, "{told} hosts");
        }
    }
}
