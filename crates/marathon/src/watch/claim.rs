use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::snapshot::instance_has_task;
use crate::{Health, Instance, InstanceSpec, Kind, TaskState, Time, Workload};

/// How long the API may lag behind an event.
const LAG: Duration = Duration::from_secs(1);

/// Whether a read that began then knows of an event that came then, whatever it says.
pub(super) fn knows_of(came: Duration, begun: Duration) -> bool {
    begun >= came + LAG
}

/// What a read has to show before it is taken for one that knows of an event: Marathon's API may
/// lag behind its events.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) said: Said,
    /// The task id or instance id; empty where it is about the workload.
    pub(super) id: Arc<str>,
    pub(super) at: Option<Timestamp>,
    /// When it was heard.
    pub(super) came: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
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

impl Claim {
    pub(super) fn new(said: Said, id: &str, at: Option<Timestamp>, came: Duration) -> Self {
        Self { said, id: id.into(), at, came }
    }

    /// Whether a read that began then has the last word on it. Until then what it says may be
    /// from before the event, and is no reason to stop asking.
    pub(super) fn is_settled(&self, begun: Duration) -> bool {
        knows_of(self.came, begun)
    }

    /// Whether the workload is as was said, or further on.
    pub(super) fn holds(&self, workload: &Workload) -> bool {
        match self.said {
            Said::Removed | Said::More => return false,
            Said::Recorded => return !has_unknown_spec(workload),
            _ => {}
        }
        let listed = position(workload, &self.id).map(|index| &workload.instances[index]);
        let Some(listed) = listed else { return self.said == Said::Ended };
        let rank = rank(&listed.state);
        match self.said {
            Said::Running => rank > 0 || listed.state == TaskState::Running,
            Said::Killing => rank > 0,
            Said::Ended => rank > 1,
            Said::Healthy => rank > 0 || matches!(listed.health, Health::Up | Health::NoChecks),
            Said::Unhealthy => {
                rank > 0 || listed.health == Health::Down || self.is_before(listed.last_success)
            }
            Said::Removed | Said::Recorded | Said::More => false,
        }
    }

    /// True if it is known to be said before that moment.
    pub(super) fn is_before(&self, moment: Option<Time>) -> bool {
        matches!((self.at, moment), (Some(at), Some(moment)) if at <= moment.to_timestamp())
    }
}

/// How final a state is: 1 is on its way out, 2 is over.
pub(super) fn rank(state: &TaskState) -> u8 {
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
pub(super) fn position(workload: &Workload, id: &str) -> Option<usize> {
    let find = |is: &dyn Fn(&Instance) -> bool| workload.instances.iter().position(is);
    find(&|listed| *listed.id == *id).or_else(|| {
        let of_app = workload.kind == Kind::App;
        of_app.then(|| find(&|listed| instance_has_task(id, &listed.id))).flatten()
    })
}
