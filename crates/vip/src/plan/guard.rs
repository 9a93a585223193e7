//! Telling a plan that removes suspiciously much.

use super::{Op, Plan};
use crate::Observed;

/// What the kernel held of ours before the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Virtual services.
    pub services: usize,
    /// Real servers of them.
    pub servers: usize,
}

impl Totals {
    pub(super) fn of(observed: &Observed) -> Self {
        observed.ours().fold(Self::default(), |totals, (_, service)| Self {
            services: totals.services + 1,
            servers: totals.servers + service.servers.len(),
        })
    }
}

/// What a plan takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// What there is now.
    pub before: Totals,
    /// Virtual services that go.
    pub services: usize,
    /// By how many real servers there are fewer afterwards. Replaced ones don't count: a rolling
    /// upgrade replaces them all.
    pub servers: usize,
}

impl Losses {
    /// More than half of all virtual services, or of all real servers. That can be right; it is
    /// also what a wrong or half-started Marathon looks like.
    #[must_use]
    pub fn suspicious(&self) -> bool {
        self.services * 2 > self.before.services || self.servers * 2 > self.before.servers
    }
}

pub(super) fn losses(plan: &Plan) -> Losses {
    let count = |wanted: fn(&Op) -> bool| plan.ops.iter().filter(|op| wanted(op)).count();
    let services = count(|op| matches!(op, Op::DeleteService { .. }));
    let deleted = plan.ops.iter().map(|op| match op {
        Op::DeleteServer { .. } => 1,
        Op::DeleteService { servers, .. } => servers.len(),
        _ => 0,
    });
    let deleted: usize = deleted.sum();
    let added = count(|op| matches!(op, Op::AddServer { .. }));
    Losses { before: plan.totals, services, servers: deleted.saturating_sub(added) }
}
