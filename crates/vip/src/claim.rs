//! What an app asks for: a VIP for one of its ports, and the tasks that could serve it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use nl_ipvs::Family;

use crate::label::Options;
use crate::{LabelPlace, SourceId, Vip};

/// One app's claim to a VIP, by one label of one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The VIP.
    pub vip: Vip,
    /// The source of the app, filled in by [`Controller`](crate::Controller): two sources may have
    /// apps of one name.
    pub source: SourceId,
    /// The label that says so.
    pub label: LabelPlace,
    /// It stands in an earlier version of the definition, by which some tasks still run. Such a
    /// claim counts, and is not reported.
    pub superseded: bool,
    /// Where some running tasks of the app are isn't known: real servers that nobody accounts for
    /// may be theirs.
    pub incomplete: bool,
    /// Something its owner should know though it is obeyed.
    pub note: Option<String>,
    /// What its options ask for.
    pub options: Options,
    /// The tasks that could serve it.
    pub candidates: Vec<Candidate>,
}

/// A task, seen as a possible real server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Marathon's id of the task or pod instance.
    pub task: Arc<str>,
    /// How it fares.
    pub condition: Condition,
    /// That is what an earlier run knew last: the kernel's table is younger.
    pub remembered: bool,
    /// Where it is reached, or a sentence on why it isn't.
    pub reach: Result<Reach, Arc<str>>,
}

/// Where a task's port is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// From everywhere.
    pub place: Place,
    /// Of a port of its agent: where the container itself listens, which only that agent may reach.
    pub behind: Option<Place>,
}

/// Addresses and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Of either family, at least one. All tasks of an agent share them.
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
    /// It goes, or may be gone already.
    pub(crate) fn is_leaving(self) -> bool {
        matches!(self, Self::Killing | Self::Unreachable | Self::Terminal { .. })
    }
}

impl Place {
    /// The first address of a family, with the port.
    #[must_use]
    pub fn in_family(&self, family: Family) -> Option<SocketAddr> {
        let address = self.addresses.iter().find(|address| Family::from(**address) == family)?;
        Some(SocketAddr::new(*address, self.port))
    }
}

/// How a task fares, by its state and health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Running, and every health check says alive.
    Healthy,
    /// Running, and its app has no health checks.
    Unchecked,
    /// Running, and a health check says it isn't alive.
    Unhealthy,
    /// Running, and its app's health checks say nothing about it.
    Unknown {
        /// It runs for longer than grace period and interval: no result will come.
        settled: bool,
    },
    /// Running, and its readiness checks don't say ready during a deployment.
    NotReady,
    /// Not running yet.
    Starting,
    /// Told to stop, and still there.
    Killing,
    /// Its agent is out of Marathon's sight.
    Unreachable,
    /// Ended.
    Terminal(Ending),
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was told to, by Marathon or a human.
    Killed,
    /// By itself, with an error.
    Failed,
    /// By itself.
    Finished,
    /// With its agent, or it never began.
    Lost,
    /// In a way that isn't known.
    Unknown,
}

/// A verb.
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
