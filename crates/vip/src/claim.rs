//! Claims of apps: a VIP for one of their ports, and the tasks that could serve it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use nl_ipvs::Family;

use crate::label::Options;
use crate::naming::VipName;
use crate::{LabelPlace, SourceId, Vip};

/// A claim of an app to a VIP, made by one label of one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The VIP.
    pub vip: Vip,
    /// The name whose address the VIP has, if the label has one.
    pub name: Option<VipName>,
    /// The source of the app, filled in by [`Controller`](crate::Controller): two sources may have
    /// apps of one name.
    pub source: SourceId,
    /// The label that makes the claim.
    pub label: LabelPlace,
    /// Whether the label stands in an earlier version of the definition that some tasks still run.
    /// Such a claim counts, but is not reported.
    pub superseded: bool,
    /// Whether the location of some running tasks of the app is unknown: real servers without a
    /// known task may be theirs.
    pub incomplete: bool,
    /// Whether the app is scaled to 0 instances: that nothing serves it is no trouble.
    pub suspended: bool,
    /// A note for the app's owner about a label that is obeyed.
    pub note: Option<String>,
    /// The options of the port and the app.
    pub options: Options,
    /// The tasks that could serve it.
    pub candidates: Vec<Candidate>,
}

/// A task that may become a real server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Marathon's id of the task or pod instance.
    pub task: Arc<str>,
    /// The state and health of the task.
    pub condition: Condition,
    /// Whether the condition was remembered from an earlier run of the agent: the IPVS table is
    /// newer.
    pub remembered: bool,
    /// Whether the last answer of the source lacks the task, which is doubted.
    pub unlisted: bool,
    /// The endpoint of the task, or a sentence that says why there is none.
    pub reach: Result<Reach, Arc<str>>,
}

/// The endpoint of a task's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The endpoint that every node can reach.
    pub place: Place,
    /// For a host port: the container's own endpoint, which only its agent may reach.
    pub behind: Option<Place>,
}

/// Addresses and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// One or more addresses of either family, shared by all tasks of an agent.
    pub addresses: Arc<[IpAddr]>,
    /// The port.
    pub port: u16,
}

impl From<SocketAddr> for Place {
    fn from(at: SocketAddr) -> Self {
        Self { addresses: Arc::new([at.ip()]), port: at.port() }
    }
}

impl Condition {
    /// Tells whether the task runs, and nothing says that it can't serve.
    pub(crate) fn may_serve(self) -> bool {
        matches!(self, Self::Healthy | Self::Unchecked | Self::Unknown { .. })
    }

    /// Tells whether the task is ending, or may have ended already.
    pub(crate) fn is_leaving(self) -> bool {
        matches!(self, Self::Killing | Self::Unreachable | Self::Terminal { .. })
    }
}

impl Place {
    /// Returns the first address of a family, with the port.
    #[must_use]
    pub fn in_family(&self, family: Family) -> Option<SocketAddr> {
        let address = self.addresses.iter().find(|address| Family::from(**address) == family)?;
        Some(SocketAddr::new(*address, self.port))
    }
}

/// The condition of a task: its state and health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Running, and every health check passes.
    Healthy,
    /// Running, and the app has no health checks.
    Unchecked,
    /// Running, and a health check fails.
    Unhealthy,
    /// Running, and the health checks have not reported.
    Unknown {
        /// The task has run for longer than grace period and interval: no result will come.
        settled: bool,
    },
    /// Running, and not yet reported ready by the readiness checks of a deployment.
    NotReady,
    /// Not running yet.
    Starting,
    /// Told to stop, but still running.
    Killing,
    /// Marathon has lost contact with the task's agent.
    Unreachable,
    /// Ended.
    Terminal(Ending),
}

/// The way a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Killed by Marathon or an operator.
    Killed,
    /// Exited with an error.
    Failed,
    /// Exited without an error.
    Finished,
    /// Lost with its agent, or never started.
    Lost,
    /// Ended in an unknown way.
    Unknown,
}

/// Writes a verb.
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Killed => "killed",
            Self::Failed => "failed",
            Self::Finished => "finished",
            Self::Lost => "lost",
            Self::Unknown => "ended",
        })
    }
}
