//! A single decision about the whole table, for a command: from the same claims, facts and rules as
//! the agent's, but without effects.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::known_ways::Question;
use super::{Controller, Input};
use crate::{Desired, Observed, Plan, Scope, Ways};

/// A single decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The state of the kernel as read.
    pub observed: Arc<Observed>,
    /// The desired state, and the reports on labels.
    pub desired: Desired,
    /// How much the plan may remove.
    pub scope: Scope,
    /// The operations from the one to the other.
    pub plan: Plan,
}

impl Controller {
    /// Takes in claims or facts, without effects.
    pub fn learn_input(&mut self, input: Input) {
        self.take_in(input, Duration::ZERO);
    }

    /// Decides about everything by one reading of the kernel. `find_ways` answers
    /// [`Effect::FindWays`](super::Effect::FindWays).
    ///
    /// # Errors
    /// When `find_ways` fails.
    pub fn decide_once<E>(
        mut self,
        observed: Observed,
        mut find_ways: impl FnMut(&BTreeSet<IpAddr>) -> Result<Ways, E>,
    ) -> Result<Decision, E> {
        let now = Duration::ZERO;
        self.drains.note_connections(&observed, now);
        let observed = Arc::new(observed);
        self.model = Some(Arc::clone(&observed));
        self.touch_all(now);
        let addresses = self.touched.keys().copied().collect();
        let plan = loop {
            match self.plan_for(&observed, &addresses, now) {
                Ok(plan) => break plan,
                Err(Question { ways, .. }) => drop(self.learn_ways(find_ways(&ways)?, &ways)),
            }
        };
        let scope = self.scope();
        Ok(Decision { observed, scope, plan, desired: self.into_desired() })
    }

    fn into_desired(self) -> Desired {
        let names = self.all_names();
        let unplaced: Vec<_> = self.unplaced.values().flatten().cloned().collect();
        let listeners = self.model.as_ref().map(|model| self.listeners(model)).unwrap_or_default();
        let desired = Desired { names, listeners, ..self.nothing_desired() };
        let mut desired = self.decided.into_desired(desired);
        desired.reports.extend(unplaced);
        desired
    }
}
