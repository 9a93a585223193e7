//! Plans: the operations that take the kernel from its present state to the desired one.

mod baseline;
mod diff;
mod flows;
mod ipvsadm;
mod losses;
mod model;
mod op;
mod op_kind;
mod outcome;
mod rules;
mod shuffle;
mod summary;
mod tables;
pub(crate) mod text;

use std::fmt;
use std::net::IpAddr;

use nl_ipvs::ServiceKey;

use crate::{Observed, Vip};

pub use baseline::Baseline;
pub use ipvsadm::ipvsadm_args;
pub use losses::Losses;
pub use op::{Op, StaleFlows, Step};
pub use op_kind::OpKind;
pub use outcome::{OpError, OpResult, Outcome};

/// Operations in the order in which they run, and the VIPs that are left alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The operations, sorted by step.
    pub ops: Vec<Op>,
    /// Desired VIPs that are left alone because of foreign services.
    pub conflicts: Vec<Conflict>,
    /// The state before the plan.
    pub baseline: Baseline,
}

/// The extent of what a plan may remove, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The desired state is partial: nothing is removed.
    Partial,
    /// Every app is known, but not every task: services and addresses stay, and real servers are
    /// removed only from services whose tasks are all known.
    Servers,
    /// The desired state is complete: whatever is ours and not part of it is removed, except what
    /// stays in a [`TableDoubt`](crate::TableDoubt).
    Complete,
}

/// A desired VIP that is left alone because of a foreign service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The VIP.
    pub vip: Vip,
    /// The foreign service: on the VIP itself, or on its address.
    pub with: ServiceKey,
}

/// Writes the cause and the remedy.
impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if ServiceKey::from(self.vip) == self.with {
            write!(
                f,
                "{} is a virtual service that vipd did not create; left alone. Find out which \
                 program owns it (keepalived, docker, kube-proxy?), or take it over with \
                 `vipd adopt {}`",
                self.with, self.with
            )
        } else if Vip::from_key(&self.with).is_none() {
            write!(
                f,
                "{} has a virtual service of a kind that vipd never creates ({}), so its address \
                 is not bound. Find out which program owns it",
                self.vip.address, self.with
            )
        } else {
            write!(
                f,
                "{} has a virtual service that vipd did not create ({}), so its address is not \
                 bound. Find out which program owns it, or take it over with `vipd adopt {}`",
                self.vip.address, self.with, self.with
            )
        }
    }
}

impl Plan {
    /// Tells whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Returns the operations of one step, in order.
    pub fn ops_of_step(&self, step: Step) -> impl Iterator<Item = &Op> {
        self.ops.iter().filter(move |op| op.step() == step)
    }

    /// Predicts the state after the plan, if every operation succeeds.
    #[must_use]
    pub fn applied_to(&self, observed: &Observed) -> Observed {
        let mut model = observed.clone();
        for op in &self.ops {
            op.apply_to(&mut model);
        }
        model
    }

    /// Returns the addresses whose binding the plan changes.
    pub fn changed_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.ops.iter().filter_map(|op| match op {
            Op::Bind { address, .. }
            | Op::Rebind { address }
            | Op::Unbind { address }
            | Op::SetRoute { address, .. } => Some(*address),
            _ => None,
        })
    }
}
