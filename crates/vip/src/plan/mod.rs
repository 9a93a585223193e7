//! The plan: what takes the kernel from what it is to what it should be, and nothing else.

mod baseline;
mod diff;
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
pub use op::{Op, Step};
pub use op_kind::OpKind;
pub use outcome::{OpError, OpResult, Outcome};

/// Changes in the order in which they are made, and what was left alone though it was wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Sorted by step.
    pub ops: Vec<Op>,
    /// Wanted VIPs that somebody else's services stand in the way of.
    pub conflicts: Vec<Conflict>,
    /// What the plan starts from.
    pub baseline: Baseline,
}

/// How far a plan may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The desired table is the whole truth: what is ours and isn't in it goes.
    Complete,
    /// Every app is known, but something else isn't: services and addresses stay, and real
    /// servers go only where all of their service are known.
    Servers,
    /// It is a part of the truth: add and change only.
    Partial,
}

/// A wanted VIP that is left alone because of a service that isn't ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The VIP.
    pub vip: Vip,
    /// The unmarked service: on the VIP itself, or on its address.
    pub with: ServiceKey,
}

/// Names the cause and the cure.
impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if ServiceKey::from(self.vip) == self.with {
            write!(
                f,
                "{} is a virtual service that vipd didn't make; left alone. Find out whose it is \
                 (keepalived, docker, kube-proxy?), or take it over with `vipd adopt {}`",
                self.with, self.with
            )
        } else if Vip::from_key(&self.with).is_none() {
            write!(
                f,
                "{} has a virtual service of a kind that vipd never makes ({}), so its address \
                 is not bound. Find out whose it is",
                self.vip.address, self.with
            )
        } else {
            write!(
                f,
                "{} has a virtual service that vipd didn't make ({}), so its address is not \
                 bound. Find out whose it is, or take it over with `vipd adopt {}`",
                self.vip.address, self.with, self.with
            )
        }
    }
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// The operations of one step, in order.
    pub fn ops_of_step(&self, step: Step) -> impl Iterator<Item = &Op> {
        self.ops.iter().filter(move |op| op.step() == step)
    }

    /// The table after the plan, if every operation does what it says.
    #[must_use]
    pub fn applied_to(&self, observed: &Observed) -> Observed {
        let mut model = observed.clone();
        for op in &self.ops {
            op.apply_to(&mut model);
        }
        model
    }

    /// Addresses the plan binds or unbinds.
    pub fn changed_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.ops.iter().filter_map(|op| match op {
            Op::Bind { address, .. } | Op::Unbind { address } | Op::SetSource { address, .. } => {
                Some(*address)
            }
            _ => None,
        })
    }
}
