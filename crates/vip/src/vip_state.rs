//! The state of a VIP: whether its clients are served, and whether somebody should look.

use serde::{Deserialize, Serialize};

use crate::{DesiredService, Observed, ObservedServer, ObservedService, Sign, Vip, Why};

/// The state of a VIP, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VipState {
    /// New clients are refused: no real server takes connections.
    Refusing,
    /// A virtual service of another owner stands in the way.
    Conflict,
    /// The kernel does not hold what is wanted.
    Unapplied,
    /// Some tasks do not serve, or all are unhealthy and used nevertheless.
    Degraded,
    /// New clients are refused on purpose: its apps are scaled to 0 instances, or gone.
    Suspended,
    /// All tasks serve.
    Serving,
}

impl VipState {
    /// All states, worst first.
    pub const ALL: [Self; 6] = [
        Self::Refusing,
        Self::Conflict,
        Self::Unapplied,
        Self::Degraded,
        Self::Suspended,
        Self::Serving,
    ];

    /// Returns the word that people and JSON have for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Refusing => "refusing",
            Self::Conflict => "conflict",
            Self::Unapplied => "unapplied",
            Self::Degraded => "degraded",
            Self::Suspended => "suspended",
            Self::Serving => "serving",
        }
    }

    /// Returns the sign of its line.
    #[must_use]
    pub fn sign(self) -> Sign {
        match self {
            Self::Refusing | Self::Conflict => Sign::Warn,
            Self::Unapplied | Self::Degraded => Sign::Change,
            Self::Suspended | Self::Serving => Sign::Plain,
        }
    }

    /// Tells whether clients are refused that should not be, or the kernel does not hold what is
    /// wanted.
    #[must_use]
    pub fn is_broken(self) -> bool {
        self < Self::Degraded
    }
}

/// The differences between the kernel and what is wanted of a VIP; none if nothing is known of the
/// kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KernelMatch {
    /// The virtual service is missing, one of its real servers has another weight, or one takes
    /// connections that is to be none.
    pub differs: bool,
    /// The virtual service is there, and its address is not bound on this node.
    pub is_unbound: bool,
}

impl KernelMatch {
    /// Compares what is wanted of a VIP, if anything, with the kernel.
    #[must_use]
    pub fn compare(vip: &Vip, wanted: Option<&DesiredService>, observed: &Observed) -> Self {
        let held = observed.service(vip);
        Self {
            differs: wanted.is_some_and(|wanted| differs(wanted, held)),
            is_unbound: held.is_some() && !observed.addresses.contains_key(&vip.address),
        }
    }

    fn is_whole(self) -> bool {
        self == Self::default()
    }
}

fn differs(wanted: &DesiredService, held: Option<&ObservedService>) -> bool {
    let Some(held) = held else { return true };
    let members = &wanted.selection.members;
    let has_weight = members.iter().all(|(address, member)| {
        held.servers.get(address).is_some_and(|server| server.settings.weight == member.weight)
    });
    let takes_connections = |server: &ObservedServer| server.settings.weight > 0;
    let mut others = held.servers.iter().filter(|(address, _)| !members.contains_key(*address));
    !has_weight || others.any(|(_, server)| takes_connections(server))
}

/// The numbers of tasks of one VIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskCounts {
    /// Real servers that take new connections.
    pub serving: usize,
    /// Those of them that are unhealthy, and used since no task is healthy.
    pub fail_open: usize,
    /// Real servers with weight 0, whatever the reason.
    pub weightless: usize,
    /// Tasks that are no real servers and haven't ended.
    pub left_out: usize,
}

impl TaskCounts {
    /// Counts the tasks of a wanted service.
    #[must_use]
    pub fn of_service(service: &DesiredService) -> Self {
        let members = service.selection.members.values();
        let mut counts =
            Self { left_out: service.selection.waiting_tasks().count(), ..Self::default() };
        for member in members {
            counts.count_server(member.weight > 0, member.why == Why::FailOpen);
        }
        counts
    }

    /// Counts a real server.
    pub fn count_server(&mut self, is_serving: bool, fails_open: bool) {
        match is_serving {
            true => {
                self.serving += 1;
                self.fail_open += usize::from(fails_open);
            }
            false => self.weightless += 1,
        }
    }

    /// Determines the state of a VIP with these tasks. `is_suspended`: every app that claims it is
    /// scaled to 0 instances.
    #[must_use]
    pub fn find_state(
        &self,
        kernel: KernelMatch,
        has_conflict: bool,
        is_suspended: bool,
    ) -> VipState {
        if has_conflict {
            VipState::Conflict
        } else if self.serving == 0 && !is_suspended {
            VipState::Refusing
        } else if !kernel.is_whole() {
            VipState::Unapplied
        } else if self.serving == 0 {
            VipState::Suspended
        } else if self.fail_open > 0 || self.weightless > 0 || self.left_out > 0 {
            VipState::Degraded
        } else {
            VipState::Serving
        }
    }
}

/// The state and the tasks of one VIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VipCount {
    /// The state.
    pub state: VipState,
    /// The tasks.
    pub tasks: TaskCounts,
    /// No task serves it, and none is to, whatever the kernel holds.
    pub is_suspended: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(counts: TaskCounts, is_suspended: bool) -> VipState {
        counts.find_state(KernelMatch::default(), false, is_suspended)
    }

    #[test]
    fn a_vip_without_tasks_is_no_trouble_if_its_apps_are_to_have_none() {
        let none = TaskCounts::default();
        assert_eq!(state(none, false), VipState::Refusing);
        assert_eq!(state(none, true), VipState::Suspended);
        assert!(VipState::Refusing.is_broken() && !VipState::Suspended.is_broken());
    }

    #[test]
    fn a_suspended_app_serves_until_its_last_task_is_killed() {
        let last = TaskCounts { serving: 1, ..TaskCounts::default() };
        assert_eq!(state(last, true), VipState::Serving);
        let draining = TaskCounts { weightless: 1, ..TaskCounts::default() };
        assert_eq!(state(draining, true), VipState::Suspended);
        let dying = TaskCounts { left_out: 1, ..TaskCounts::default() };
        assert_eq!(state(dying, true), VipState::Suspended);
    }

    #[test]
    fn a_suspended_vip_that_the_kernel_lacks_or_that_is_blocked_is_trouble() {
        let find = |kernel, conflict| TaskCounts::default().find_state(kernel, conflict, true);
        let whole = KernelMatch::default();
        assert_eq!(find(KernelMatch { differs: true, ..whole }, false), VipState::Unapplied);
        assert_eq!(find(KernelMatch { is_unbound: true, ..whole }, false), VipState::Unapplied);
        assert_eq!(find(whole, true), VipState::Conflict);
    }

    #[test]
    fn unhealthy_tasks_that_are_used_degrade_a_vip_though_all_of_them_serve() {
        let open = TaskCounts { serving: 2, fail_open: 2, ..TaskCounts::default() };
        assert_eq!(state(open, false), VipState::Degraded);
        let healthy = TaskCounts { serving: 2, ..TaskCounts::default() };
        assert_eq!(state(healthy, false), VipState::Serving);
    }

    #[test]
    fn names_are_those_of_the_json_and_states_are_in_their_order() {
        for state in VipState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.word());
        }
        assert!(VipState::ALL.is_sorted());
    }
}
