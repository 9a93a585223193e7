//! Running of plans, and the results of their operations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use nl_ipvs::errno::{EEXIST, ENODEV, ENOENT, ESRCH};

use super::{Op, Plan};
use crate::Vip;
use crate::nft::Element;
use crate::ownership::MARK;

/// The kernel's error for an operation. One pointer in size, as each operation of a plan has room
/// for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpError(Box<(i32, String)>);

impl OpError {
    /// Combines a positive errno with its message, which is the kernel's own where there is one.
    #[must_use]
    pub fn new(errno: i32, message: impl Into<String>) -> Self {
        Self(Box::new((errno, message.into())))
    }

    /// Returns the errno, positive; 0 if there is none.
    #[must_use]
    pub fn errno(&self) -> i32 {
        self.0.0
    }

    /// Returns the message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.1
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// The result of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpResult {
    /// Done.
    Done,
    /// The kernel was already in that state: another program changed it meanwhile. Read it again.
    AlreadySo,
    /// Refused, or unanswered. Read the kernel again before the next attempt.
    Failed(OpError),
    /// Not attempted, because an operation that it depends on failed.
    Skipped,
}

/// The results of a plan. The default value, of an empty plan, says that nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// The plan that was run.
    pub plan: Plan,
    /// The results other than [`OpResult::Done`], by index of the operation: few among thousands.
    odd: BTreeMap<usize, OpResult>,
}

impl Outcome {
    /// Tells whether every operation was done, or wasn't needed any more.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.odd.values().all(|result| *result == OpResult::AlreadySo)
    }

    /// Tells whether the kernel may differ from the state that the plan predicts.
    #[must_use]
    pub fn wants_a_fresh_look(&self) -> bool {
        !self.odd.is_empty()
    }

    /// Returns the operations in the order of the plan, each with its result.
    pub fn results(&self) -> impl DoubleEndedIterator<Item = (&Op, &OpResult)> + ExactSizeIterator {
        let result = |(place, op)| (op, self.odd.get(&place).unwrap_or(&OpResult::Done));
        self.plan.ops.iter().enumerate().map(result)
    }

    /// Returns the operations that failed, with the error.
    pub fn failures(&self) -> impl Iterator<Item = (&Op, &OpError)> {
        self.results().filter_map(|(op, result)| match result {
            OpResult::Failed(error) => Some((op, error)),
            _ => None,
        })
    }
}

/// From `asm-generic/errno.h`.
const EADDRNOTAVAIL: i32 = 99;

impl OpResult {
    /// Interprets the kernel's answer to `op`.
    ///
    /// Adding what exists and deleting what doesn't are no failures.
    #[must_use]
    pub fn from_answer(op: &Op, answer: Result<(), OpError>) -> Self {
        let Err(error) = answer else { return Self::Done };
        let already_so = match op {
            Op::AddService { .. }
            | Op::AddServer { .. }
            | Op::AddElement { .. }
            | Op::Bind { .. }
            | Op::CreateLink => error.errno() == EEXIST,
            Op::DeleteElement { .. } | Op::DeleteTable { .. } | Op::DeleteRule { .. } => {
                error.errno() == ENOENT
            }
            Op::DeleteService { .. } => error.errno() == ESRCH,
            Op::DeleteServer { .. } => matches!(error.errno(), ESRCH | ENOENT),
            Op::Unbind { .. } => matches!(error.errno(), EADDRNOTAVAIL | ENODEV),
            Op::DeleteLink => error.errno() == ENODEV,
            Op::SetService { .. }
            | Op::SetServer { .. }
            | Op::Rebind { .. }
            | Op::SetRoute { .. }
            | Op::SetTimeouts { .. }
            | Op::SetTable { .. }
            | Op::InsertRule { .. }
            | Op::ForgetFlows { .. }
            | Op::RaiseLink => false,
        };
        if already_so { Self::AlreadySo } else { Self::Failed(error) }
    }
}

impl Plan {
    /// Runs the plan step by step. `send` gets the operations of one step and returns an answer for
    /// each.
    ///
    /// After a failure, dependent operations are skipped. No server is added to a service that
    /// doesn't exist, or that another program has just created; none is removed if its replacement
    /// failed and no other server takes new connections. No address is bound that isn't guarded or
    /// whose service could not be created, none is unbound while its service still exists, and none
    /// that is still bound loses its guard.
    pub fn run(self, mut send: impl FnMut(&[&Op]) -> Vec<Result<(), OpError>>) -> Outcome {
        let mut done = Progress::new(&self);
        let mut odd = BTreeMap::new();
        let mut place = 0;
        for step in self.ops.chunk_by(|one, next| one.step() == next.step()) {
            let allowed: Vec<bool> = step.iter().map(|op| done.allows(op)).collect();
            let ready = step.iter().zip(&allowed).filter_map(|(op, allowed)| allowed.then_some(op));
            let ready: Vec<&Op> = ready.collect();
            let answers = if ready.is_empty() { Vec::new() } else { send(&ready) };
            let mut answers = answers.into_iter();
            for (op, allowed) in step.iter().zip(allowed) {
                let mut answer = || answers.next().unwrap_or_else(|| Err(OpError::unanswered()));
                let result =
                    if allowed { OpResult::from_answer(op, answer()) } else { OpResult::Skipped };
                done.record(op, &result);
                if result != OpResult::Done {
                    odd.insert(place, result);
                }
                place += 1;
            }
        }
        Outcome { plan: self, odd }
    }
}

impl OpError {
    fn unanswered() -> Self {
        Self::new(0, "the kernel's answer was lost")
    }
}

/// The failures so far.
#[derive(Default)]
struct Progress {
    /// Services that don't exist, or aren't ours.
    failed: BTreeSet<Vip>,
    /// Services with a real server that could not be added or changed.
    wanting: BTreeSet<Vip>,
    /// Services from which the plan removes a real server.
    losing: BTreeSet<Vip>,
    /// Those of them with a real server that certainly takes new connections.
    served: BTreeSet<Vip>,
    not_guarded: BTreeSet<IpAddr>,
    not_made: BTreeSet<IpAddr>,
    made: BTreeSet<IpAddr>,
    not_deleted: BTreeSet<IpAddr>,
    /// Addresses that could not be unbound; `None` stands for all of them.
    still_bound: BTreeSet<Option<IpAddr>>,
}

impl Progress {
    fn new(Plan { ops, baseline, .. }: &Plan) -> Self {
        let losing = ops.iter().filter_map(|op| match op {
            Op::DeleteServer { vip, .. } => Some(*vip),
            _ => None,
        });
        let losing: BTreeSet<Vip> = losing.collect();
        let served = baseline.served.intersection(&losing).copied().collect();
        Self { losing, served, made: baseline.addresses.clone(), ..Self::default() }
    }

    fn allows(&self, op: &Op) -> bool {
        match op {
            // A foreign service gets no server, refuses no client and keeps its flows.
            Op::SetServer { vip, .. }
            | Op::AddServer { vip, .. }
            | Op::ForgetFlows { vip, .. }
            | Op::AddElement { element: Element::Refused(vip) } => !self.failed.contains(vip),
            Op::DeleteServer { vip, .. } => {
                let replaced = !self.wanting.contains(vip) || self.served.contains(vip);
                !self.failed.contains(vip) && replaced
            }
            Op::Bind { address, .. } => {
                !self.not_guarded.contains(address) && self.may_be_reached(address)
            }
            Op::Rebind { address } | Op::SetRoute { address, .. } => self.may_be_reached(address),
            Op::DeleteElement { element: Element::Guarded(address) } => {
                !self.still_bound.contains(&Some(*address))
            }
            Op::DeleteTable { .. } => self.still_bound.is_empty(),
            Op::Unbind { address } => !self.not_deleted.contains(address),
            Op::DeleteLink => self.not_deleted.is_empty(),
            Op::SetTable { .. }
            | Op::InsertRule { .. }
            | Op::DeleteRule { .. }
            | Op::AddElement {
                element: Element::Guarded(_) | Element::Open(_) | Element::Source(_),
            }
            | Op::DeleteElement {
                element: Element::Refused(_) | Element::Open(_) | Element::Source(_),
            }
            | Op::CreateLink
            | Op::RaiseLink
            | Op::SetTimeouts { .. }
            | Op::AddService { .. }
            | Op::SetService { .. }
            | Op::DeleteService { .. } => true,
        }
    }

    fn may_be_reached(&self, address: &IpAddr) -> bool {
        self.made.contains(address) || !self.not_made.contains(address)
    }

    fn record(&mut self, op: &Op, result: &OpResult) {
        let failed = matches!(result, OpResult::Failed(_) | OpResult::Skipped);
        match op {
            Op::AddService { vip, .. } if *result == OpResult::Done => {
                self.made.insert(vip.address);
            }
            // `AlreadySo` means that another program has created it since the table was read.
            Op::AddService { vip, .. } => {
                self.failed.insert(*vip);
                self.not_made.insert(vip.address);
            }
            // A service with its mark is ours whatever failed, for example for lack of a scheduler:
            // its servers are changed all the same.
            Op::SetService { vip, before, .. } if failed && !before.flags.contains(MARK) => {
                self.failed.insert(*vip);
            }
            Op::SetServer { vip, settings, .. } | Op::AddServer { vip, settings, .. } => {
                if failed {
                    self.wanting.insert(*vip);
                } else if *result == OpResult::Done
                    && settings.weight > 0
                    && self.losing.contains(vip)
                {
                    self.served.insert(*vip);
                }
            }
            Op::DeleteService { vip, .. } if failed => {
                self.not_deleted.insert(vip.address);
            }
            Op::AddElement { element: Element::Guarded(address) } if failed => {
                self.not_guarded.insert(*address);
            }
            Op::Unbind { .. } | Op::DeleteLink if failed => {
                self.still_bound.insert(op.address());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Options;
    use crate::{LocalRoute, Protocol};
    use nl_ipvs::DestinationSettings;
    use std::net::SocketAddr;
    use std::num::NonZeroU16;

    fn vip(last: u8) -> Vip {
        let address = IpAddr::from([3, 3, 0, last]);
        Vip { address, port: NonZeroU16::new(80).unwrap(), protocol: Protocol::Tcp }
    }

    fn server(port: u16) -> SocketAddr {
        ([10, 0, 0, 1], port).into()
    }

    fn add_service(last: u8) -> Op {
        let settings = Options::default().service_settings();
        Op::AddService { vip: vip(last), settings }
    }

    fn add(last: u8, port: u16) -> Op {
        let settings = DestinationSettings::masquerade(1);
        Op::AddServer { vip: vip(last), server: server(port), settings }
    }

    fn delete(last: u8, port: u16) -> Op {
        Op::DeleteServer { vip: vip(last), server: server(port) }
    }

    fn bind(last: u8) -> Op {
        Op::Bind { address: vip(last).address, route: LocalRoute::default(), names: false }
    }

    /// Runs a plan on a kernel that refuses `refused` with `errno`; the words say what became of
    /// each operation.
    fn run(ops: &[Op], refused: &[Op], errno: i32) -> Vec<&'static str> {
        let plan = Plan { ops: ops.to_vec(), ..Plan::default() };
        let outcome = plan.run(|step| {
            step.iter()
                .map(|op| match refused.contains(op) {
                    true => Err(OpError::new(errno, "no")),
                    false => Ok(()),
                })
                .collect()
        });
        outcome
            .results()
            .map(|(_, result)| match result {
                OpResult::Done => "done",
                OpResult::AlreadySo => "so",
                OpResult::Failed(_) => "failed",
                OpResult::Skipped => "skipped",
            })
            .collect()
    }

    #[test]
    fn a_server_is_not_removed_where_its_replacement_failed() {
        let ops = [add(1, 2), add(2, 2), delete(1, 1), delete(2, 1)];
        assert_eq!(run(&ops, &[add(1, 2)], 12), ["failed", "done", "skipped", "done"]);
    }

    #[test]
    fn a_service_somebody_else_just_made_gets_no_servers_of_ours() {
        let ops = [add_service(1), add(1, 1), bind(1)];
        assert_eq!(run(&ops, &[add_service(1)], EEXIST), ["so", "skipped", "skipped"]);
    }

    #[test]
    fn one_failing_service_leaves_another_on_its_address_alone() {
        let mut other = vip(1);
        other.port = NonZeroU16::new(81).unwrap();
        let settings = Options::default().service_settings();
        let ops = [add_service(1), Op::AddService { vip: other, settings }, bind(1)];
        assert_eq!(run(&ops, &[add_service(1)], ENOENT), ["failed", "done", "done"]);
    }

    #[test]
    fn an_address_stays_while_its_service_does() {
        let ops = [
            Op::DeleteService { vip: vip(1), servers: vec![] },
            Op::DeleteService { vip: vip(2), servers: vec![] },
            Op::Unbind { address: vip(1).address },
            Op::Unbind { address: vip(2).address },
        ];
        assert_eq!(run(&ops, &[ops[0].clone()], 1), ["failed", "done", "skipped", "done"]);
        assert_eq!(run(&ops, &[ops[0].clone()], ESRCH), ["so", "done", "done", "done"]);
    }

    #[test]
    fn a_lost_answer_is_a_failure() {
        let plan = Plan { ops: vec![add_service(1)], ..Plan::default() };
        assert!(!plan.run(|_| Vec::new()).is_success());
    }
}
