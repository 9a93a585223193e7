//! Facts that a read has to show after an event.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::snapshot::instance_has_task;
use crate::{Health, Instance, InstanceSpec, Kind, TaskState, Time, Workload};

/// Longest time that the API lags behind an event.
pub(super) const LAG: Duration = Duration::from_secs(1);

/// Tells whether a read that began at `begun` includes the effect of an event heard at `heard_at`.
pub(super) fn covers_event(heard_at: Duration, begun: Duration) -> bool {
    begun >= heard_at + LAG
}

/// A fact of an event that a read has to show: until it does, or began long enough after the event,
/// it may be from before the event, since Marathon's API lags behind its events.
#[derive(Debug, Clone)]
pub(super) struct Expectation {
    pub(super) fact: Fact,
    /// The task id or instance id; empty for a fact about the workload.
    pub(super) id: Arc<str>,
    pub(super) at: Option<Timestamp>,
    /// The time when the event arrived.
    pub(super) heard_at: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    Running,
    Killing,
    Ended,
    Healthy,
    Unhealthy,
    /// The workload was removed.
    Removed,
    /// The definitions of all its instances are known.
    Recorded,
    /// More facts than are remembered. No read can show them.
    More,
}

impl Expectation {
    pub(super) fn new(fact: Fact, id: &str, at: Option<Timestamp>, heard_at: Duration) -> Self {
        Self { fact, id: id.into(), at, heard_at }
    }

    /// Tells whether a read that began at `begun` is late enough to decide, whatever it shows.
    pub(super) fn is_settled(&self, begun: Duration) -> bool {
        covers_event(self.heard_at, begun)
    }

    /// Tells whether the workload shows the fact, or a later state.
    pub(super) fn is_met_by(&self, workload: &Workload) -> bool {
        match self.fact {
            Fact::Removed | Fact::More => return false,
            Fact::Recorded => return !has_unknown_spec(workload),
            _ => {}
        }
        let listed = find_instance(workload, &self.id).map(|index| &workload.instances[index]);
        let Some(listed) = listed else { return self.fact == Fact::Ended };
        let rank = state_rank(&listed.state);
        match self.fact {
            Fact::Running => rank > 0 || listed.state == TaskState::Running,
            Fact::Killing => rank > 0,
            Fact::Ended => rank > 1,
            Fact::Healthy => rank > 0 || matches!(listed.health, Health::Up | Health::NoChecks),
            Fact::Unhealthy => {
                rank > 0 || listed.health == Health::Down || self.is_before(listed.last_success)
            }
            Fact::Removed | Fact::Recorded | Fact::More => false,
        }
    }

    /// Tells whether the event is known to be older than `moment`.
    pub(super) fn is_before(&self, moment: Option<Time>) -> bool {
        matches!((self.at, moment), (Some(at), Some(moment)) if at <= moment.to_timestamp())
    }
}

/// Ranks how final a state is: 1 is being killed, 2 has ended.
pub(super) fn state_rank(state: &TaskState) -> u8 {
    match state {
        TaskState::Killing => 1,
        TaskState::Terminal(_) => 2,
        _ => 0,
    }
}

pub(super) fn has_unknown_spec(workload: &Workload) -> bool {
    let unknown = |instance: &Instance| {
        matches!(instance.spec, InstanceSpec::Unknown(_)) && !instance.state.is_terminal()
    };
    workload.instances.iter().any(unknown)
}

/// Finds the instance that an event names by instance id or task id. The tasks of a pod are not
/// listed.
pub(super) fn find_instance(workload: &Workload, id: &str) -> Option<usize> {
    let find = |is: &dyn Fn(&Instance) -> bool| workload.instances.iter().position(is);
    find(&|listed| *listed.id == *id).or_else(|| {
        let of_app = workload.kind == Kind::App;
        of_app.then(|| find(&|listed| instance_has_task(id, &listed.id))).flatten()
    })
}
