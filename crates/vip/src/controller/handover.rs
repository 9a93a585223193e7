//! Handover of facts that only the agent's controller knows to a command's controller.

use std::time::Duration;

use super::Controller;
use super::local_facts::{LocalFacts, milliseconds};

impl Controller {
    /// Returns the facts that only this controller knows, as of `now`.
    #[must_use]
    pub fn local_facts(&self, now: Duration) -> LocalFacts {
        LocalFacts {
            drains: self.drains.drain_facts(now),
            lingering: self
                .lingering
                .iter()
                .map(|(address, until)| (address, milliseconds(until.saturating_sub(now))))
                .collect(),
        }
    }

    /// Takes over facts from the node's agent. Must be called before any other input.
    pub fn take_over(&mut self, facts: &LocalFacts, now: Duration) {
        for drain in &facts.drains {
            self.drains.take_over(drain, now);
        }
        for (address, left) in &facts.lingering {
            self.lingering.extend_until(*address, now + Duration::from_millis(*left));
        }
    }
}
