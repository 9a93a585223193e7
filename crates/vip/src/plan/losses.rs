//! Detection of plans that remove suspiciously much.

use std::collections::BTreeMap;

use super::{Op, Plan};
use crate::Vip;

/// The services and real servers that a plan removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// Virtual services that are removed.
    pub services: usize,
    /// Virtual services before the plan.
    pub of_services: usize,
    /// Real servers that are removed without replacement. Replaced ones don't count: a rolling
    /// upgrade replaces all of them.
    pub servers: usize,
    /// Real servers before the plan.
    pub of_servers: usize,
}

impl Losses {
    /// Tells whether the plan removes more than half of all virtual services, or of all real
    /// servers. That can be right, but it is also the effect of a wrong or half-started Marathon.
    #[must_use]
    pub fn is_suspicious(&self) -> bool {
        self.services * 2 > self.of_services || self.servers * 2 > self.of_servers
    }
}

impl Plan {
    /// Counts the losses of the plan.
    #[must_use]
    pub fn losses(&self) -> Losses {
        let mut services = 0;
        let mut by_vip: BTreeMap<Vip, (usize, usize)> = BTreeMap::new();
        for op in &self.ops {
            let Some(vip) = op.vip() else { continue };
            let (deleted, added) = by_vip.entry(vip).or_default();
            match op {
                Op::AddServer { .. } => *added += 1,
                Op::DeleteServer { .. } => *deleted += 1,
                Op::DeleteService { servers, .. } => {
                    services += 1;
                    *deleted += servers.len();
                }
                _ => {}
            }
        }
        let fewer = by_vip.values().map(|(deleted, added)| deleted.saturating_sub(*added));
        let (of_services, of_servers) = (self.baseline.services, self.baseline.servers);
        Losses { services, of_services, servers: fewer.sum(), of_servers }
    }
}
