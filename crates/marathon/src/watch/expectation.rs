use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::snapshot::instance_has_task;
use crate::{Health, Instance, InstanceSpec, Kind, TaskState, Time, Workload};

/// How long the API may lag behind an event.
const LAG: Duration = Duration::from_secs(1);

/// Whether a read that began then knows of an event that heard_at then, whatever it says.
pub(super) fn covers_event(heard_at: Duration, begun: Duration) -> bool {
    begun >= heard_at + LAG
}

/// What a read has to show before it is taken for one that knows of an event: Marathon's API may
/// lag behind its events.
#[derive(Debug, Clone)]
pub(super) struct Expectation {
    pub(super) fact: Fact,
    /// The task id or instance id; empty where it is about the workload.
    pub(super) id: Arc<str>,
    pub(super) at: Option<Timestamp>,
    /// When it was heard.
    pub(super) heard_at: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    Running,
    Killing,
    Ended,
    Healthy,
    Unhealthy,
    /// The workload is no more.
    Removed,
    /// The definitions its instances run by are known.
    Recorded,
    /// More than is remembered one by one: no read can be seen to show it.
    More,
}

impl Expectation {
    pub(super) fn new(fact: Fact, id: &str, at: Option<Timestamp>, heard_at: Duration) -> Self {
        Self { fact, id: id.into(), at, heard_at }
    }

    /// Whether a read that began then has the last word on it. Until then what it says may be
    /// from before the event, and is no reason to stop asking.
    pub(super) fn is_settled(&self, begun: Duration) -> bool {
        covers_event(self.heard_at, begun)
    }

    /// Whether the workload is as was said, or further on.
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

    /// True if it is known to be said before that moment.
    pub(super) fn is_before(&self, moment: Option<Time>) -> bool {
        matches!((self.at, moment), (Some(at), Some(moment)) if at <= moment.to_timestamp())
    }
}

/// How final a state is: 1 is on its way out, 2 is over.
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

/// Where the instance is listed that an event names. Of a pod's containers nothing is listed.
pub(super) fn find_instance(workload: &Workload, id: &str) -> Option<usize> {
    let find = |is: &dyn Fn(&Instance) -> bool| workload.instances.iter().position(is);
    find(&|listed| *listed.id == *id).or_else(|| {
        let of_app = workload.kind == Kind::App;
        of_app.then(|| find(&|listed| instance_has_task(id, &listed.id))).flatten()
    })
}
