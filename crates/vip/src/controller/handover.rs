//! Hands what only the agent's controller knows to that of a command beside it.

use std::time::Duration;

use super::Controller;
use super::local_facts::{LocalFacts, milliseconds};

impl Controller {
    /// Tells what only this controller knows, as of `now`.
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

    /// Takes over what the node's agent knows. To be told before anything else.
    pub fn take_over(&mut self, facts: &LocalFacts, now: Duration) {
        for drain in &facts.drains {
            self.drains.take_over(drain, now);
        }
        for (address, left) in &facts.lingering {
            self.lingering.extend_until(*address, now + Duration::from_millis(*left));
        }
    }
}
